"""`spine backup`: a copy of a store that may be serving, whole and checked before it gets its name.

The database first, as it is at one moment, then the blobs that this copy names: their files never change once they are
there, and none is deleted meanwhile. So every row of the copy has its bytes. The server's writer is not asked.
Blobs in an object store stay there: the backup says where, and holds none of them.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from contract import __version__
from contract.clock import Clock, iso
from spine.blobs.disk import path_of
from spine.operations import files, manifest
from spine.operations.files import Progress
from spine.operations.manifest import BLOBS, DATABASE, FORMAT, VERSION, Manifest
from spine.operations.refusal import Refused
from spine.store import lock, offline
from spine.store.offline import Bytes, NotAStore

PARTIAL = ".partial-"
Put = Callable[[Bytes], tuple[int, str]]
"""Brings a blob's bytes to where the backup is made; returns how many there were and their SHA-256 in hex."""


def back_up(
    data_dir: Path,
    path: Path,
    clock: Clock,
    progress: Progress = files.quiet,
    blobs_at: str | None = None,
    url: str | None = None,
) -> Manifest:
    """Write a backup to a path that does not exist yet; return what it holds. `blobs_at`, `url`: see `fill`.

    Raises:
        Refused: the path exists, or there is no store, or it is damaged. Nothing is left behind.
        StoreUnusable: the database cannot be read, or the store was moved to one. OSError: the disk refuses.
    """
    source = data_dir / DATABASE
    if os.path.lexists(path):
        raise Refused(f"{path} exists; a backup is never written over anything, give another path")
    if url is None and not source.is_file():
        raise Refused(f"there is no store in {data_dir}; set SPINE_DATA_DIR to the server's folder")
    if not path.absolute().parent.is_dir():
        raise Refused(f"{path.absolute().parent} is not a folder; make it first")
    partial = path.absolute().parent / f".{path.name}{PARTIAL}{os.getpid()}"
    blobs = data_dir / BLOBS
    kept = lock.keep_files(data_dir)
    try:
        partial.mkdir(mode=0o700)
        (partial / BLOBS).mkdir(mode=0o700)
        made = fill(
            partial,
            source,
            lambda row: files.copy(path_of(blobs, row.blob_id), path_of(partial / BLOBS, row.blob_id)),
            clock,
            progress,
            blobs_at,
            url,
        )
        files.sync_folders(partial)
        partial.rename(path)
        files.sync(path.absolute().parent)
        return made
    except NotAStore as e:
        raise Refused(str(e)) from e
    finally:
        os.close(kept)
        shutil.rmtree(partial, ignore_errors=True)


def fill(
    partial: Path,
    source: Path,
    put: Put,
    clock: Clock,
    progress: Progress,
    blobs_at: str | None = None,
    url: str | None = None,
) -> Manifest:
    """Copy a store into a folder, check the copy, bring its blobs where `put` does, and write the manifest.

    The caller keeps the blobs' files from being deleted meanwhile (`lock.keep_files`). `blobs_at`: the address of the
    object store that has the blobs; they are not brought along then. `url`: the database that has the store, None when
    it is the file `source`; the copy is a file in either case.

    Raises:
        Refused: the store is damaged. NotAStore, StoreUnusable: it cannot be read. OSError
    """
    target = partial / DATABASE
    created_at = iso(clock.now())
    files.write(target, b"")
    if url is None:
        offline.refuse_moved(source)
        offline.copy(source, target, lambda done, total: progress("database", done, total))
    else:
        from spine.store import online  # an extra brings what it needs

        online.copy(url, target, lambda done, total: progress("database", done, total))
    files.sync(target)
    facts = offline.examine(target, still=True)
    if facts.faults:
        raise Refused(
            f"{source} is damaged ({facts.faults[0]}); restore an earlier backup, or ask for help with the file"
        )
    rows = offline.blobs_of(target, still=True)
    made = Manifest(
        format=FORMAT,
        version=1 if blobs_at is None else VERSION,
        created_at=created_at,
        program=__version__,
        schema=facts.version,
        store_id=facts.store_id,
        database_bytes=target.stat().st_size,
        database_sha256=files.digest(target),
        jobs=facts.jobs,
        events=facts.events,
        blobs=facts.blobs,
        blob_bytes=facts.blob_bytes,
        damaged=_put_blobs(rows, put, progress) if blobs_at is None else [],
        blobs_at=blobs_at,
    )
    manifest.write(partial, made)
    return made


def _put_blobs(rows: list[Bytes], put: Put, progress: Progress) -> list[str]:
    """Bring the blobs' bytes along; return the ids of those that are not there, or not what their row says.

    One lost file must not be the reason that nothing else can be backed up: it is named, and a restore tells of it.
    """
    damaged = []
    for n, row in enumerate(rows):
        progress("blobs", n, len(rows))
        try:
            found = put(row)
        except FileNotFoundError:
            found = (-1, "")
        if found != (row.size, row.sha256):
            damaged.append(row.blob_id)
    progress("blobs", len(rows), len(rows))
    return damaged
