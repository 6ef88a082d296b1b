"""Where blobs' bytes may be kept, behind one interface; and a file on its way in, which is the same for all of them.

Methods block: they are called on threads. An id is given to bytes once and for all; nothing is ever written over.
"""

import fcntl
import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from contract.errors import StorageFull, TooLarge

UNLIMITED = 2**63
_UPLOADS = "upload-"


class BlobsUnusable(RuntimeError):
    """Blobs cannot be kept as the settings say; the message names the setting and the fix."""


class BlobsAway(BlobsUnusable):
    """The place of the blobs cannot be reached; it may later."""


class Listed(NamedTuple):
    """Bytes that are kept: under which id, how many, since when (ms)."""

    blob_id: str
    size: int
    at: int


class Upload(ABC):
    """A file on its way in, on the local disk. `keep` makes it durable under a blob id; `discard` ends it."""

    def __init__(self, tmp: Path, most: int) -> None:
        """Begin a file of at most so many bytes.

        Raises:
            StorageFull
        """
        self._most = most
        try:
            handle, self._path = _begun(tmp)
        except OSError as e:
            raise refused(e) from e
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
            raise refused(e) from e

    @abstractmethod
    def keep(self, blob_id: str) -> None:
        """Put the file in its place, durably. When this raises, nothing is there.

        Raises:
            StorageFull, Unavailable
        """

    def discard(self) -> None:
        """Remove what was written, when it was not kept."""
        try:
            self._file.close()
        except OSError:
            pass  # closing flushes, which a full disk refuses; the file goes anyway
        self._path.unlink(missing_ok=True)


class Source(Protocol):
    """A range of a blob that is being read."""

    def read(self) -> bytes:
        """Return the next piece, nothing at the end.

        Raises:
            Unavailable: the rest cannot be had now.
        """

    def close(self) -> None:
        """End reading."""


class Blobs(Protocol):
    """A place of blobs. `where` says which, in an answer: it names no address."""

    where: str

    def upload(self) -> Upload:
        """Begin a file of at most the settings' size.

        Raises:
            StorageFull
        """

    def sealing(self) -> Upload:
        """Begin a file of the server's own, without a limit.

        Raises:
            StorageFull
        """

    def open(self, blob_id: str, start: int, length: int) -> Source | None:
        """Open a range of a blob for reading; None when its bytes are not there.

        Raises:
            Unavailable
        """

    def remove(self, blob_id: str) -> None:
        """Delete a blob's bytes; one that is not there is none to delete.

        Raises:
            Unavailable, OSError
        """

    def listed(self) -> Iterator[Listed]:
        """Iterate over all that is kept, in no order.

        Raises:
            Unavailable, OSError
        """


def read(blobs: Blobs, blob_id: str, start: int, length: int) -> bytes | None:
    """Return a range of a blob, less beyond its end; None when its bytes are not there.

    Raises:
        Unavailable
    """
    source = blobs.open(blob_id, start, length)
    if source is None:
        return None
    try:
        return b"".join(iter(source.read, b""))
    finally:
        source.close()


def make_tmp(root: Path) -> Path:
    """Return the folder for files on their way in, without those of a process that died.

    Raises:
        OSError
    """
    tmp = root / "tmp"
    for folder in (root, tmp):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in tmp.glob(f"{_UPLOADS}*"):
        _clear(left)
    return tmp


def _begun(folder: Path) -> tuple[int, Path]:
    """Make a file on its way in, locked as long as it is open; return it and its path."""
    while True:
        handle, name = tempfile.mkstemp(prefix=_UPLOADS, dir=folder)
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


def refused(error: OSError) -> StorageFull:
    """Return what to say of a disk that does not write."""
    return StorageFull(f"the disk refuses to write ({error.strerror})")
