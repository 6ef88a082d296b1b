"""Backups kept in an object store that speaks S3, through obstore, which is imported only when it is needed.

A backup there is the same tree as on a disk, under its name. The manifest is written last and deleted first: what has
none is no backup. Only the database is copied to the disk on the way; blobs go from where the server keeps them.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from contract.clock import Clock
from spine.blobs.bucket import AT_ONCE, PIECE, Bucket, Patience, reached, said
from spine.blobs.disk import path_of
from spine.operations import files, manifest
from spine.operations.backup import fill
from spine.operations.files import Progress
from spine.operations.kept import ABANDONED_MS, Kept, made_at, whole
from spine.operations.manifest import BLOBS, DATABASE, MANIFEST, Manifest
from spine.operations.refusal import BrokenBackup, Refused
from spine.store import lock
from spine.store.offline import Bytes, NotAStore

T = TypeVar("T")
STAGED = ".backup-"
FETCHED = ".fetched-"
# Nobody waits for a backup.
_PATIENCE = Patience(call_seconds=120, retry_seconds=180)


class BucketPlace:
    """A prefix in a bucket (see `Place`); it belongs to one spine alone."""

    def __init__(self, place: Bucket, blobs_at: str | None = None) -> None:
        self.title, self._blobs_at = place.url, blobs_at
        self._store = reached(place, _PATIENCE)

    def backups(self) -> list[Kept]:
        """Return every whole backup, newest first."""
        return whole(name for name in self._names() if self._has(f"{name}/{MANIFEST}"))

    def make(self, name: str, data_dir: Path, clock: Clock, progress: Progress) -> Manifest:
        """Upload each file, read each back and compare it, then upload the manifest."""
        source = data_dir / DATABASE
        if not source.is_file():
            raise Refused(f"there is no store in {data_dir}; set SPINE_DATA_DIR to the server's folder")
        for left in data_dir.glob(f"{STAGED}*"):  # of a process that was killed: two at once are kept apart by a lock
            shutil.rmtree(left, ignore_errors=True)
        kept = lock.keep_files(data_dir)
        staging = Path(tempfile.mkdtemp(prefix=STAGED, dir=data_dir))
        try:
            put = partial(self._put_blob, name, data_dir / BLOBS)
            made = fill(staging, source, put, clock, progress, self._blobs_at)
            for file in (DATABASE, MANIFEST):
                self._put(f"{name}/{file}", staging / file, files.digest(staging / file))
            return made
        except NotAStore as e:
            raise Refused(str(e)) from e
        finally:
            os.close(kept)
            shutil.rmtree(staging, ignore_errors=True)

    def _put_blob(self, name: str, blobs: Path, row: Bytes) -> tuple[int, str]:
        source = path_of(blobs, row.blob_id)
        found = source.stat().st_size, files.digest(source)
        if found == (row.size, row.sha256):  # bytes that are wrong already are named, and not worth their way
            self._put(f"{name}/{_key(row)}", source, row.sha256)
        return found

    def _put(self, key: str, source: Path, sha256: str) -> None:
        import obstore

        self._call(lambda: obstore.put(self._store, key, source, chunk_size=PIECE, max_concurrency=AT_ONCE))
        size = source.stat().st_size
        taken = hashlib.sha256()
        for piece in self._pieces(key, size):
            taken.update(piece)
        if taken.hexdigest() != sha256:
            raise OSError(errno.EIO, "what was read back is not what was sent", f"{self.title}/{key}")

    def _pieces(self, key: str, size: int) -> Iterator[bytes]:
        import obstore

        for start in range(0, size, PIECE):
            end = min(start + PIECE, size)
            yield bytes(self._call(partial(obstore.get_range, self._store, key, start=start, end=end)))

    def remove(self, name: str) -> None:
        """Delete the manifest, then the rest."""
        import obstore

        if self._has(f"{name}/{MANIFEST}"):
            self._call(lambda: obstore.delete(self._store, f"{name}/{MANIFEST}"))
        while keys := self._call(lambda: [one["path"] for one in next(obstore.list(self._store, f"{name}/"), [])]):
            self._call(partial(obstore.delete, self._store, keys))

    def sweep(self, now: int) -> None:
        """Delete what was uploaded of backups that never came to their manifest."""
        for name in self._names():
            at = made_at(name)
            if at is not None and at < now - ABANDONED_MS and not self._has(f"{name}/{MANIFEST}"):
                self.remove(name)

    @contextmanager
    def fetched(self, name: str, data_dir: Path) -> Iterator[Path]:
        """Download a backup into the data directory; what its manifest and its database name, and nothing else."""
        fresh = not data_dir.exists()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in data_dir.glob(f"{FETCHED}*"):
            _drop_unless_used(left)
        folder = Path(tempfile.mkdtemp(prefix=FETCHED, dir=data_dir))
        handle = lock.take_folder(folder)
        try:
            self._fetch(name, folder)
            yield folder
        finally:
            if handle is not None:
                os.close(handle)
            shutil.rmtree(folder, ignore_errors=True)
            if fresh and {lock.LOCK}.issuperset(os.listdir(data_dir)):
                shutil.rmtree(data_dir)

    def _fetch(self, name: str, folder: Path) -> None:
        try:
            self._get(f"{name}/{MANIFEST}", folder / MANIFEST)
        except FileNotFoundError as e:
            raise BrokenBackup(f"{self.title} holds no backup {name}; `spine backups list` names them") from e
        made = manifest.read(folder)
        try:
            self._get(f"{name}/{DATABASE}", folder / DATABASE)
            if files.digest(folder / DATABASE) != made.database_sha256:
                raise BrokenBackup(
                    f"{self.title}/{name}/{DATABASE} is not the file that was written; use another backup"
                )
            for row in manifest.blobs_in(folder / DATABASE):
                if made.blobs_at is None and row.blob_id not in made.damaged:
                    self._get(f"{name}/{_key(row)}", path_of(folder / BLOBS, row.blob_id))
        except FileNotFoundError as e:
            raise BrokenBackup(f"{self.title}/{name} is not whole: it lacks {e.filename}; use another backup") from e
        except NotAStore as e:
            raise BrokenBackup(str(e)) from e
        (folder / BLOBS).mkdir(exist_ok=True)

    def _get(self, key: str, target: Path) -> None:
        import obstore

        size = self._call(lambda: obstore.head(self._store, key), key)["size"]
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with files.open_new(target) as out:
            for piece in self._pieces(key, size):
                out.write(piece)

    def _names(self) -> list[str]:
        import obstore

        found = self._call(lambda: obstore.list_with_delimiter(self._store))
        return [name for prefix in found["common_prefixes"] if made_at(name := prefix.rpartition("/")[2]) is not None]

    def _has(self, key: str) -> bool:
        import obstore

        try:
            self._call(lambda: obstore.head(self._store, key), key)
        except FileNotFoundError:
            return False
        return True

    def _call(self, call: Callable[[], T], key: str = "") -> T:
        """Make a call; its faults become those of a disk. `key`: the object that it asks for.

        Raises:
            FileNotFoundError: there is no such object. OSError
        """
        from obstore.exceptions import BaseError

        try:
            return call()
        except (BaseError, OSError) as e:
            if key and isinstance(e, FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, "no such object", key) from e
            raise OSError(errno.EIO, said(e), self.title) from e


def _drop_unless_used(folder: Path) -> None:
    """Delete what a process that was killed had fetched: a copy of a whole store. One that goes on holds its folder."""
    try:
        handle = lock.take_folder(folder)
    except OSError:  # another user's, or gone meanwhile: no reason not to fetch
        return
    if handle is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _key(row: Bytes) -> str:
    return path_of(Path(BLOBS), row.blob_id).as_posix()
