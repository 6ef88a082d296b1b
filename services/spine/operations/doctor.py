"""`spine doctor`: settings, data directory and store looked at one by one, each with what to do. Changes nothing."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from contract.clock import iso
from contract.env import SettingsError
from spine import settings as spine_settings
from spine.backup_settings import Plan
from spine.blobs.disk import path_of
from spine.operations import regular
from spine.operations.manifest import BLOBS, DATABASE
from spine.store import blobs, events, lock, meta, offline
from spine.store.engine import Tx
from spine.store.offline import NotAStore

DISK_LEAST_BYTES = 512 << 20
WAL_MOST_BYTES = 256 << 20
ORPHAN_AGE_SECONDS = 3600.0
SKEW_MOST_MS = 5_000
REAPER_GRACE_MS = 60_000
_SHOWN = 3


class Check(msgspec.Struct, frozen=True):
    """One finding; `detail` says what was seen and, when it failed, the fix."""

    name: str
    state: Literal["ok", "failed", "hint"]
    detail: str


def examine() -> tuple[list[Check], bool]:
    """Return the findings, and whether the settings can be used: without them the store is looked at all the same."""
    try:
        used = spine_settings.from_env()
    except SettingsError as e:
        faults = [Check("settings", "failed", fault) for fault in e.faults]
        return [*faults, *_store(spine_settings.store_folder(), None)], False
    kept = f"kept for {used.retention_days} days after their end" if used.retention_days else "kept for ever"
    told = f"{used.token_count} tokens, listens on {used.host}:{used.port}, jobs are {kept}"
    checks = [Check("settings", "ok", told), *_store(used.data_dir, used.reaper_interval_ms)]
    return [*checks, *_backups(used.backups)], True


def table(checks: list[Check]) -> str:
    """Lay the findings out for people."""
    return "\n".join(f"{check.state:<7} {check.name:<12} {check.detail}" for check in checks)


def _store(data_dir: Path, interval_ms: int | None) -> Iterator[Check]:
    yield _folder(data_dir)
    if not data_dir.is_dir():
        return
    pid = None
    try:
        pid = lock.holder(data_dir)
        served = f"process {pid} serves it" if pid else "nobody serves it"
        yield Check("server", "ok" if pid else "hint", served)
        lock.refuse_half_restored(data_dir)
    except OSError as e:
        yield Check(
            "server", "failed", f"{data_dir / lock.LOCK} cannot be read ({e.strerror}); run as the server's user"
        )
    except lock.HalfRestored as e:
        yield Check("restore", "failed", str(e))
    yield _disk(data_dir)
    if any((data_dir / "jobs").glob("*.json")):
        yield Check("v0 data", "hint", f"{data_dir} holds jobs of Spine v0; `spine import {data_dir}` brings them in")
    db = data_dir / DATABASE
    if not db.exists():
        yield Check("store", "hint", "there is none yet; the first `spine serve` makes it")
        return
    yield _wal(db)
    try:
        version = _version(db)
        yield version
        yield _integrity(db)
        if version.state == "ok":
            yield from _inside(data_dir, db, interval_ms if pid else None)
    except NotAStore as e:
        yield Check("store", "failed", f"{e}; restore a backup")


def _folder(data_dir: Path) -> Check:
    try:
        found = data_dir.stat()
    except OSError as e:
        return Check("data folder", "hint", f"{data_dir} is not there ({e.strerror}); the first `spine serve` makes it")
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return Check(
            "data folder", "failed", f"{data_dir} cannot be written by this user; chown it, or run as its owner"
        )
    if found.st_mode & 0o077:
        return Check("data folder", "failed", f"{data_dir} is open to other users; chmod 700 {data_dir}")
    for name in (DATABASE, lock.LOCK):
        path = data_dir / name
        if path.exists() and path.stat().st_uid != found.st_uid:
            return Check("data folder", "failed", f"{path} belongs to another user than {data_dir}; chown it")
    return Check("data folder", "ok", f"{data_dir}, of user {found.st_uid}, closed to others")


def _disk(data_dir: Path) -> Check:
    free = shutil.disk_usage(data_dir).free
    shown = f"{free / (1 << 30):.1f} GiB free at {data_dir}"
    if free < DISK_LEAST_BYTES:
        return Check("disk", "failed", f"{shown}; below {DISK_LEAST_BYTES >> 20} MiB: make room")
    return Check("disk", "ok", shown)


def _wal(db: Path) -> Check:
    try:
        size = db.with_name(f"{db.name}-wal").stat().st_size
    except OSError:
        size = 0
    shown = f"{size / (1 << 20):.1f} MiB beside a store of {db.stat().st_size / (1 << 20):.1f} MiB"
    if size > WAL_MOST_BYTES:
        return Check("wal", "hint", f"{shown}; a long reader (a backup, a debugger) keeps it from being folded back")
    return Check("wal", "ok", shown)


def _version(db: Path) -> Check:
    version, newest = offline.version_of(db, still=False), offline.newest_version()
    if version > newest:
        return Check("schema", "failed", f"version {version}, this program knows {newest}; install the newer program")
    if version < newest:
        return Check("schema", "hint", f"version {version}; the next `spine serve` brings it to {newest}")
    return Check("schema", "ok", f"version {version}")


def _integrity(db: Path) -> Check:
    facts = offline.examine(db, still=False)
    if facts.faults:
        return Check("integrity", "failed", f"{facts.faults[0]}; stop the server and restore a backup")
    shown = ", ".join(f"{count} {status}" for status, count in facts.jobs.items()) or "no jobs"
    return Check("integrity", "ok", f"whole: {shown}, {facts.events} events, {facts.blobs} blobs")


def _inside(data_dir: Path, db: Path, interval_ms: int | None) -> Iterator[Check]:
    # Files first: one whose row comes in a moment is too young to be an orphan.
    files = list(_files(data_dir / BLOBS))
    with offline.reading(db) as tx:
        yield from _clock_and_reaper(tx, interval_ms)
        rows = {row.blob_id: row for row in offline.blobs_of(db, still=False)}
        orphans = [name for name, age in files if age > ORPHAN_AGE_SECONDS and blobs.find(tx, name) is None]
    wrong = [row.blob_id for row in rows.values() if _size(data_dir, row.blob_id) != row.size]
    with offline.reading(db) as tx:  # retention may have deleted one meanwhile
        wrong = [blob_id for blob_id in wrong if blobs.find(tx, blob_id) is not None]
    if wrong:
        told = f"{len(wrong)} of {len(rows)} have no bytes, or not all: {_some(wrong)}; take them from a backup"
        yield Check("blobs", "failed", told)
    else:
        yield Check("blobs", "ok", f"{len(rows)}, all with their bytes")
    if orphans:
        told = f"{len(orphans)} files under {data_dir / BLOBS} have no row and can be deleted: {_some(orphans)}"
        yield Check("orphans", "hint", told)


def _clock_and_reaper(tx: Tx, interval_ms: int | None) -> Iterator[Check]:
    noted = meta.get(tx, meta.LAST_PASS)
    passed = int(noted) if noted else None
    newest = max(passed or 0, events.newest_at(tx))
    ahead = _ahead(newest)
    if ahead > SKEW_MOST_MS:
        told = f"the store was written {ahead // 1000} s in the future of this machine's clock; set the clock"
        yield Check("clock", "failed", told)
    else:
        yield Check("clock", "ok", "the store was written in this clock's past")
    if passed is None:
        yield Check("reaper", "hint", "it has not made a pass yet")
        return
    shown = f"last pass at {iso(passed)}"
    if interval_ms is not None and -_ahead(passed) > 3 * interval_ms + REAPER_GRACE_MS:
        yield Check("reaper", "failed", f"{shown}, though a server runs; look at its log and restart it")
    else:
        yield Check("reaper", "ok", shown)


def _ahead(moment: int) -> int:
    """Return how far (ms) a moment lies in the future; negative: in the past."""
    return moment - time.time_ns() // 1_000_000


def _files(root: Path) -> Iterator[tuple[str, float]]:
    """Iterate over the names of stored files and their ages in seconds."""
    now = time.time()
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.is_dir() and folder.name != "tmp":
            for file in folder.iterdir():
                try:
                    yield file.name, now - file.stat().st_mtime
                except FileNotFoundError:
                    continue


def _size(data_dir: Path, blob_id: str) -> int:
    try:
        return path_of(data_dir / BLOBS, blob_id).stat().st_size
    except OSError:
        return -1


def _backups(plan: Plan | None) -> Iterator[Check]:
    if plan is None:
        return
    try:
        place = regular.place_of(plan)
        kept_up, said = regular.told(plan, place.backups(), time.time_ns() // 1_000_000)
    except OSError as e:
        yield Check("backups", "failed", f"{e.filename or 'the place'} cannot be read ({e.strerror}); see that it can")
        return
    if kept_up:
        yield Check("backups", "ok", f"{place.title}: {said}")
    else:
        told = (
            f"{place.title}: {said}, and one is due every {plan.every_ms // 1000} s; look for backup.failed in the log"
        )
        yield Check("backups", "failed", told)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
