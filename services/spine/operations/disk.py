"""Backups kept in a folder of a disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.clock import Clock
from spine.operations import files
from spine.operations.backup import PARTIAL, back_up
from spine.operations.files import Progress
from spine.operations.kept import Kept, made_at, whole
from spine.operations.manifest import MANIFEST, Manifest
from spine.operations.refusal import BrokenBackup

_GOING = ".removed"


class DiskPlace:
    """A folder that holds backups as `spine backup` makes them (see `Place`)."""

    def __init__(self, folder: Path, blobs_at: str | None = None) -> None:
        self._folder, self._blobs_at = folder, blobs_at
        self.title = str(folder)

    def backups(self) -> list[Kept]:
        """Return every whole backup, newest first."""
        return whole(name for name in os.listdir(self._folder) if (self._folder / name / MANIFEST).is_file())

    def make(self, name: str, data_dir: Path, clock: Clock, progress: Progress) -> Manifest:
        """Make one under a name for itself; it gets its own when every byte is on the disk and was checked."""
        return back_up(data_dir, self._folder / name, clock, progress, self._blobs_at)

    def remove(self, name: str) -> None:
        """Take its name first, so that it never looks whole when it is not."""
        going = self._folder / f".{name}{_GOING}"
        (self._folder / name).rename(going)
        files.sync(self._folder)
        shutil.rmtree(going)

    def sweep(self, now: int) -> None:
        """Take away what a backup or a removal left that was cut off: of those two only one is at it at a time."""
        for name in os.listdir(self._folder):
            left, _, rest = name.removeprefix(".").partition(".")
            if name.startswith(".") and made_at(left) is not None and f".{rest}".startswith((PARTIAL, _GOING)):
                shutil.rmtree(self._folder / name)

    @contextmanager
    def fetched(self, name: str, data_dir: Path) -> Iterator[Path]:
        """Give the folder itself."""
        if made_at(name) is None or not (self._folder / name).is_dir():
            raise BrokenBackup(f"{self._folder} holds no backup {name}; `spine backups list` names them")
        yield self._folder / name
