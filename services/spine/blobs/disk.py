"""Files on the local disk: written beside, fsynced, renamed, the folder fsynced; only then does a row name them.

Several servers of one machine may share a folder: a name is made once, and each file on its way in is locked.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from contract.durable import sync_folder
from spine.blobs.base import UNLIMITED, Listed, Upload, make_tmp, refused

_PIECE = 256 * 1024


class DiskUpload(Upload):
    """A file on its way to a folder of the same disk."""

    def __init__(self, root: Path, tmp: Path, most: int) -> None:
        super().__init__(tmp, most)
        self._root = root

    def keep(self, blob_id: str) -> None:
        """Put the file in its place, durably.

        Raises:
            StorageFull
        """
        place = path_of(self._root, blob_id)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            if not place.parent.is_dir():
                place.parent.mkdir(exist_ok=True, mode=0o700)
                sync_folder(self._root)
            self._path.replace(place)  # while it is locked: another server would take it for a left-over
            sync_folder(place.parent)
            self._file.close()
        except OSError as e:
            raise refused(e) from e


class DiskBlobs:
    """Blobs under a folder (see `Blobs`): `<root>/<two characters>/<id>`, uploads under `<root>/tmp`."""

    where = "on this server's disk"

    def __init__(self, root: Path, most: int) -> None:
        self._root, self._most = root, most
        self._tmp = make_tmp(root)

    def upload(self) -> Upload:
        """Begin a file of at most the settings' size."""
        return DiskUpload(self._root, self._tmp, self._most)

    def sealing(self) -> Upload:
        """Begin a file of the server's own."""
        return DiskUpload(self._root, self._tmp, UNLIMITED)

    def open(self, blob_id: str, start: int, length: int) -> "DiskSource | None":
        """Open a range of a blob for reading."""
        try:
            file = path_of(self._root, blob_id).open("rb")
        except FileNotFoundError:
            return None
        file.seek(start)
        return DiskSource(file, length)

    def remove(self, blob_id: str) -> None:
        """Delete a blob's bytes."""
        path_of(self._root, blob_id).unlink(missing_ok=True)

    def listed(self) -> Iterator[Listed]:
        """Iterate over all files."""
        return listed(self._root)


class DiskSource:
    """A range of a file."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self) -> bytes:
        """Return the next piece."""
        piece = self._file.read(min(_PIECE, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def listed(root: Path) -> Iterator[Listed]:
    """Iterate over the files in a folder of blobs, whether or not it is there and is served."""
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.is_dir() and folder.name != "tmp":
            for file in folder.iterdir():
                try:
                    stat = file.stat()
                except FileNotFoundError:
                    continue  # retention was quicker
                yield Listed(file.name, stat.st_size, stat.st_mtime_ns // 1_000_000)


def path_of(root: Path, blob_id: str) -> Path:
    """Return where a blob lies. Ids are made by the server; anything else is never looked up."""
    return root / blob_id.removeprefix("blob_")[:2] / blob_id
