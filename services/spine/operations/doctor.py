"""`spine doctor`: settings, data directory and store looked at one by one, each with what to do. Changes nothing."""

import contextlib
import os
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from contract.env import Secret, SettingsError
from spine import database_settings
from spine import settings as spine_settings
from spine.backup_settings import Plan
from spine.bucket_settings import blobs_here
from spine.operations import blob_checks, findings, regular
from spine.operations.findings import Check
from spine.operations.manifest import DATABASE
from spine.store import lock, offline
from spine.store.offline import NotAStore

DISK_LEAST_BYTES = 512 << 20
WAL_MOST_BYTES = 256 << 20


def examine() -> tuple[list[Check], bool]:
    """Return the findings, and whether the settings can be used: without them the store is looked at all the same."""
    try:
        used = spine_settings.from_env()
    except SettingsError as e:
        faults = [Check("settings", "failed", fault) for fault in e.faults]
        return [*faults, *_by_faulty_settings()], False
    kept = f"kept for {used.retention_days} days after their end" if used.retention_days else "kept for ever"
    told = f"{used.token_count} tokens, listens on {used.host}:{used.port}, jobs are {kept}"
    checks = [Check("settings", "ok", told), *_store(used.data_dir, used.reaper_interval_ms, used.database_url)]
    checks += blob_checks.examine(used.data_dir, used.blob_place, used.database_url)
    return [*checks, *_backups(used.backups)], True


def _by_faulty_settings() -> list[Check]:
    folder = spine_settings.store_folder()
    try:
        url = database_settings.url()
    except SettingsError:
        return []  # where the store is, is among what is faulty
    found = list(_store(folder, None, url))
    with contextlib.suppress(SettingsError):
        found += blob_checks.examine(folder, blobs_here(), url)
    return found


def table(checks: list[Check]) -> str:
    """Lay the findings out for people."""
    return "\n".join(f"{check.state:<7} {check.name:<12} {check.detail}" for check in checks)


def _store(data_dir: Path, interval_ms: int | None, url: Secret | None) -> Iterator[Check]:
    """Look at the store: the file in the folder, or the database, which may be looked at without the folder."""
    yield _folder(data_dir)
    pid = None
    if data_dir.is_dir():
        pid = yield from _place(data_dir)
    if url is not None:
        from spine.operations import doctor_database  # an extra brings what it needs

        yield from doctor_database.examine(url, data_dir, interval_ms if pid else None)
    elif data_dir.is_dir():
        yield from _file(data_dir, interval_ms if pid else None)


def _place(data_dir: Path) -> Generator[Check, None, str | None]:
    """Look at the folder itself; return the process that serves it."""
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
    return pid


def _file(data_dir: Path, interval_ms: int | None) -> Iterator[Check]:
    """Look at the embedded store."""
    db = data_dir / DATABASE
    if not db.exists():
        yield Check("store", "hint", "there is none yet; the first `spine serve` makes it")
        return
    yield _wal(db)
    try:
        version = _version(db)
        yield version
        gone = offline.moved_to(db)
        if gone is not None:
            yield Check("store", "failed", f"it was moved to {gone}; set SPINE_DATABASE_URL to that database")
            return
        yield _integrity(db)
        if version.state == "ok":
            with offline.reading(db) as tx:
                yield from findings.clock_and_reaper(tx, interval_ms)
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
    told = f"whole: {findings.shown(facts.jobs)}, {facts.events} events, {facts.blobs} blobs"
    return Check("integrity", "ok", told)


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
