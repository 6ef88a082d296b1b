"""`spine restore`: a backup in the place of a store. Checked first; made ready beside; then put in place by renames.

A restored store is another one: every fence is a million higher, what ran is queued, cursors are of another store. So
nobody who held something before, and may have gone on since the backup, holds it any more.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from contract.clock import Clock, iso
from contract.states import Status
from spine.blobs.base import Listed
from spine.blobs.disk import path_of
from spine.operations import files, manifest
from spine.operations.files import Progress
from spine.operations.manifest import BLOBS, DATABASE, Manifest
from spine.operations.objects import FETCHED, STAGED
from spine.operations.refusal import BrokenBackup, Refused
from spine.operations.requeue import give_back
from spine.store import fences, listing, lock
from spine.store.engine import Tx
from spine.store.listing import Filter
from spine.store.offline import Bytes
from spine.store.sqlite import SqliteEngine

FENCE_STEP = 1_000_000
_STAGING = ".restore"
_ASIDE = "before-restore-"
# In this order: the database last, for it makes the folder a store.
_NEW = (BLOBS, DATABASE)
_OLD = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", BLOBS)
_NO_DATA = frozenset({lock.LOCK, lock.FILES_LOCK, lock.BACKUPS_LOCK, lock.RESTORING, _STAGING, "lost+found"})
_PASSING = (_ASIDE, STAGED, FETCHED)
_ALL_ROWS = 2**62


class Restored(NamedTuple):
    """What a restore did. `aside`: where the store before lies now, None when there was none.

    `lacking`: blobs that the backup names and the object store does not have (any more).
    """

    manifest: Manifest
    jobs: int
    leases: int
    requeued: list[str]
    store_id: str
    aside: Path | None
    lacking: list[str]


def restore(
    path: Path,
    data_dir: Path,
    replace: bool,
    clock: Clock,
    progress: Progress = files.quiet,
    kept: Callable[[], Iterator[Listed]] | None = None,
) -> Restored:
    """Put a backup in the place of a data directory's store; the old one is set aside, never deleted.

    `kept` lists the object store of the settings, None where they name none. One whose blobs stayed there needs it.

    Raises:
        BrokenBackup: it cannot be used. Refused: the directory holds something, and `replace` was not asked for.
        DataDirBusy: it is served. BlobsUnusable: the object store cannot be read. In these cases nothing has changed.
        OSError: the disk refuses. Unless that was in the midst of the renames, likewise; then the same call ends them.
    """
    made, rows = manifest.verify(path)
    lacking = _lacking(made, rows, kept)
    ready(data_dir, replace)
    fresh = not data_dir.exists()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = lock.take_lock(data_dir)
    staging = data_dir / _STAGING
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        jobs, leases, requeued, store_id = _stage(path, staging, made, rows, clock, progress)
        aside = _swap(data_dir, staging, clock)
        files.give_to_owner(data_dir)
        fresh = False
        return Restored(made, jobs, leases, requeued, store_id, aside, lacking)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if fresh:
            shutil.rmtree(data_dir, ignore_errors=True)
        os.close(handle)


def _lacking(made: Manifest, rows: list[Bytes], kept: Callable[[], Iterator[Listed]] | None) -> list[str]:
    """Return the blobs of a backup that holds none which are not in the object store."""
    if made.blobs_at is None:
        return []
    if kept is None:
        raise Refused(
            f"the blobs of this backup stayed in {made.blobs_at}; set SPINE_BLOB_URL to it, or to where they are now"
        )
    sizes = {one.blob_id: one.size for one in kept()}
    return [row.blob_id for row in rows if sizes.get(row.blob_id) != row.size]


def ready(data_dir: Path, replace: bool) -> None:
    """Refuse a directory that is served, or that holds something and `replace` was not asked for.

    Raises:
        DataDirBusy, Refused: see `restore`.
    """
    pid = lock.holder(data_dir)
    if pid is not None:
        raise lock.DataDirBusy(f"{data_dir} is served by process {pid}; stop it first")
    unfinished = (data_dir / lock.RESTORING).exists()
    if _holds_something(data_dir) and not replace and not unfinished:
        raise Refused(f"{data_dir} is not empty; give --replace to set its store aside, or set SPINE_DATA_DIR")


def _holds_something(data_dir: Path) -> bool:
    if not data_dir.exists():
        return False
    return any(name not in _NO_DATA and not name.startswith(_PASSING) for name in os.listdir(data_dir))


def _stage(
    path: Path, staging: Path, made: Manifest, rows: list[Bytes], clock: Clock, progress: Progress
) -> tuple[int, int, list[str], str]:
    """Make the store ready in a folder of its own, so that nothing is touched when anything is wrong."""
    progress("database", 0, 1)
    if files.copy(path / DATABASE, staging / DATABASE) != (made.database_bytes, made.database_sha256):
        raise BrokenBackup(f"{path / DATABASE} changed while it was read")
    progress("database", 1, 1)
    (staging / BLOBS).mkdir(mode=0o700)
    damaged = frozenset(made.damaged)
    held = rows if made.blobs_at is None else []
    for n, row in enumerate(held):
        progress("blobs", n, len(held))
        try:
            found = files.copy(path_of(path / BLOBS, row.blob_id), path_of(staging / BLOBS, row.blob_id))
        except FileNotFoundError:
            found = (-1, "")
        if found != (row.size, row.sha256) and row.blob_id not in damaged:
            raise BrokenBackup(
                f"the bytes of {row.blob_id} in {path} are not those that were stored; use another backup"
            )
    progress("blobs", len(held), len(held))
    store = SqliteEngine(staging, clock, readers=1)
    try:
        done = store.write(_renew).result()
    finally:
        store.close()
    if (staging / f"{DATABASE}-wal").exists():
        raise Refused(f"the store in {staging} could not be closed whole; is the disk full?")
    files.sync(staging / DATABASE)
    files.sync_folders(staging)
    return done


def _renew(tx: Tx) -> tuple[int, int, list[str], str]:
    jobs, leases = fences.raise_all(tx, FENCE_STEP)
    running = list(listing.matching(tx, Filter((Status.RUNNING.value,)), None, 0, _ALL_ROWS))
    for job in running:
        # Nobody failed: the attempt is given back, or a job at its last one would be buried for a disk's sake.
        give_back(tx, job, job.fence - FENCE_STEP, "restored", attempts=max(0, job.attempts - 1))
    return jobs, leases, [job.id for job in running], fences.new_store_id(tx)


def _swap(data_dir: Path, staging: Path, clock: Clock) -> Path | None:
    """Set the old store aside and put the new one in its place. While the marker lies there no server starts.

    After an interruption the marker names the folder that was begun: what lies in it came from the old store, and what
    lies in place under the same name came from the restore that was cut off.
    """
    marker = data_dir / lock.RESTORING
    if marker.exists():
        aside = data_dir / marker.read_text(encoding="utf-8").strip()
    else:
        stamp = iso(clock.now()).replace("-", "").replace(":", "")
        aside = data_dir / f"{_ASIDE}{stamp}"
        files.write(marker, f"{aside.name}\n".encode())
        files.sync(data_dir)
    aside.mkdir(mode=0o700, exist_ok=True)
    for name in _OLD:
        if (aside / name).exists():
            _remove(data_dir / name)
        elif (data_dir / name).exists():
            (data_dir / name).rename(aside / name)
    for name in _NEW:
        (staging / name).rename(data_dir / name)
    had_store = any(aside.iterdir())
    if had_store:
        files.sync(aside)
    else:
        aside.rmdir()
    files.sync(data_dir)
    marker.unlink()
    files.sync(data_dir)
    return aside if had_store else None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
