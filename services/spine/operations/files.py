"""Files that must survive: copied with their digest taken on the way, synced, put in place by a rename."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_PIECE = 1024 * 1024

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file durably; return how many bytes it has and their SHA-256 in hex. The target's folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken, size = hashlib.sha256(), 0
    with source.open("rb") as read, open_new(target) as write:
        while piece := read.read(_PIECE):
            taken.update(piece)
            size += len(piece)
            write.write(piece)
        write.flush()
        os.fsync(write.fileno())
    return size, taken.hexdigest()


def open_new(path: Path) -> BinaryIO:
    """Open a file that does not exist yet, for nobody but its owner."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def write(path: Path, data: bytes) -> None:
    """Write a new file durably."""
    with open_new(path) as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folders(root: Path) -> None:
    """Bring the names in a folder and in all below it to the disk."""
    for folder, _, _ in os.walk(root, topdown=False):
        sync(Path(folder))


def give_to_owner(folder: Path) -> None:
    """Run by root, give what lies in a folder to whom the folder belongs: its server may be another user."""
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    for parent, folders, names in os.walk(folder):
        for name in folders + names:
            os.chown(Path(parent) / name, owner.st_uid, owner.st_gid, follow_symlinks=False)
