"""Locks on a data directory: one server (or command in its place) at a time; files that a backup copies stay."""

import fcntl
import os
from pathlib import Path

LOCK = "spine.lock"
RESTORING = "restore.unfinished"
FILES_LOCK = "files.lock"
BACKUPS_LOCK = "backups.lock"


class DataDirBusy(RuntimeError):
    """Another server serves this data directory."""


class HalfRestored(RuntimeError):
    """A restore was interrupted while it put files in their places."""


def take_lock(data_dir: Path) -> int:
    """Hold the data directory for the life of the process; the file tells who holds it. Closing the handle gives it up.

    Raises:
        DataDirBusy: another process holds it; the message names its pid.
    """
    handle = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        holder = _holder(handle)
        os.close(handle)
        raise DataDirBusy(f"{data_dir} is already served by process {holder}; stop it or use another directory") from e
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def refuse_half_restored(data_dir: Path) -> None:
    """Refuse a directory whose files are partly of one store and partly of another.

    Raises:
        HalfRestored
    """
    if (data_dir / RESTORING).exists():
        raise HalfRestored(f"a restore into {data_dir} was interrupted; run the same `spine restore` again")


def holder(data_dir: Path) -> str | None:
    """Return the pid of the process that holds the directory, None when nobody does. Changes nothing."""
    try:
        handle = os.open(data_dir / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(handle)
    else:
        return None
    finally:
        os.close(handle)


def keep_files(data_dir: Path) -> int:
    """Wait until no blob is being deleted, then let none be until the handle is closed. Any number may hold this."""
    handle = _opened(data_dir / FILES_LOCK)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def drop_files(data_dir: Path) -> int | None:
    """Take the right to delete blobs until the handle is closed; None while a backup copies them."""
    return _taken(data_dir / FILES_LOCK)


def make_backups(data_dir: Path) -> int | None:
    """Take the right to make and prune the regular backups until the handle is closed; None while another has it."""
    return _taken(data_dir / BACKUPS_LOCK)


def take_folder(folder: Path) -> int | None:
    """Take a folder for oneself until the handle is closed, or the process is killed; None while another has it."""
    return _locked(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _taken(path: Path) -> int | None:
    return _locked(_opened(path))


def _locked(handle: int) -> int | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _holder(handle: int) -> str:
    return os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
