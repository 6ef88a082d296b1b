"""Files on the local disk: written beside, fsynced, renamed, the folder fsynced; only then does a row name them.

Several servers of one machine may share a folder: a name is made once, and each file on its way in is locked.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from contract.durable import sync_folder
from contract.errors import StorageFull, TooLarge


class Upload:
    """A file on its way in. `keep` makes it durable under a blob id; otherwise `discard` removes it."""

    def __init__(self, root: Path, most: int) -> None:
        self._root, self._most = root, most
        handle, self._path = _begun(root / "tmp")
        self._file = os.fdopen(handle, "wb")
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest of what was written so far, in hex."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge, StorageFull
        """
        self.size += len(data)
        if self.size > self._most:
            raise TooLarge(f"a blob may have {self._most} bytes", limit=self._most)
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as e:
            raise StorageFull(f"the disk refuses to write ({e.strerror})") from e

    def keep(self, blob_id: str) -> None:
        """Put the file in its place, durably.

        Raises:
            StorageFull
        """
        place = path_of(self._root, blob_id)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if not place.parent.is_dir():
                place.parent.mkdir(exist_ok=True, mode=0o700)
                sync_folder(self._root)
            self._path.replace(place)
            sync_folder(place.parent)
        except OSError as e:
            raise StorageFull(f"the disk refuses to write ({e.strerror})") from e

    def discard(self) -> None:
        """Remove what was written, when it was not kept."""
        try:
            self._file.close()
        except OSError:
            pass  # closing flushes, which a full disk refuses; the file goes anyway
        self._path.unlink(missing_ok=True)


class DiskBlobs:
    """Blobs under a folder: `<root>/<two characters>/<id>`, uploads under `<root>/tmp`."""

    def __init__(self, root: Path, most: int) -> None:
        self._root, self._most = root, most
        for folder in (root, root / "tmp"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in (root / "tmp").glob("upload-*"):
            _clear(left)

    def upload(self) -> Upload:
        """Begin a file of at most the settings' size.

        Raises:
            StorageFull
        """
        return self._begin(self._most)

    def sealing(self) -> Upload:
        """Begin a file of the server's own, without a limit.

        Raises:
            StorageFull
        """
        return self._begin(2**63)

    def _begin(self, most: int) -> Upload:
        try:
            return Upload(self._root, most)
        except OSError as e:
            raise StorageFull(f"the disk refuses to write ({e.strerror})") from e

    def open(self, blob_id: str) -> BinaryIO | None:
        """Open a blob for reading; None when its bytes are not here."""
        try:
            return path_of(self._root, blob_id).open("rb")
        except FileNotFoundError:
            return None

    def read(self, blob_id: str, start: int, length: int) -> bytes:
        """Return a range of a blob; empty beyond its end or when it is not here."""
        file = self.open(blob_id)
        if file is None:
            return b""
        with file:
            file.seek(start)
            return file.read(length)

    def remove(self, blob_id: str) -> None:
        """Delete a blob's bytes; one that is not here is none to delete."""
        path_of(self._root, blob_id).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Iterate over the ids of all files."""
        for folder in self._root.iterdir():
            if folder.name != "tmp" and folder.is_dir():
                yield from (file.name for file in folder.iterdir())


def _begun(folder: Path) -> tuple[int, Path]:
    """Make a file on its way in, locked as long as it is open; return it and its path."""
    while True:
        handle, name = tempfile.mkstemp(prefix="upload-", dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another server that starts took it for a left-over, before it was locked


def _clear(left: Path) -> None:
    """Remove a file on its way in, unless a server that lives still writes it."""
    try:
        handle = os.open(left, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        left.unlink(missing_ok=True)
    finally:
        os.close(handle)


def path_of(root: Path, blob_id: str) -> Path:
    """Return where a blob lies. Ids are made by the server; anything else is never looked up."""
    return root / blob_id.removeprefix("blob_")[:2] / blob_id
