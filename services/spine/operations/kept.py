"""Backups that are kept in one place: their names, which of them stay, and what such a place can do."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from contract.clock import Clock, iso, parse_iso
from spine.operations.files import Progress
from spine.operations.manifest import Manifest

_NAME = re.compile(r"spine-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
ABANDONED_MS = 24 * 3600 * 1000
"""Older than this, what has no manifest is no upload under way but one that was cut off."""


class Kept(NamedTuple):
    """A whole backup; `at` (ms) is in its name."""

    name: str
    at: int


class Place(Protocol):
    """Where backups are kept. What has a name in it is whole; all else in it is left alone or is swept."""

    title: str
    """How a person writes the place."""

    def backups(self) -> list[Kept]:
        """Return every whole backup, newest first.

        Raises:
            OSError: the place cannot be read.
        """

    def make(self, name: str, data_dir: Path, clock: Clock, progress: Progress) -> Manifest:
        """Back a store up, check what arrived, and only then give it its name.

        Raises:
            Refused: there is no store, or it is damaged. OSError: the place, or the disk, refuses.
        """

    def remove(self, name: str) -> None:
        """Take a backup away; one that is half gone has no manifest any more.

        Raises:
            OSError
        """

    def sweep(self, now: int) -> None:
        """Take away what was cut off, which nobody is at any more.

        Raises:
            OSError
        """

    def fetched(self, name: str, data_dir: Path) -> AbstractContextManager[Path]:
        """Give a backup as a folder, for as long as it is needed.

        Raises:
            BrokenBackup: there is none of that name, or it is not whole. OSError: it cannot be read.
        """


def name_of(at: int) -> str:
    """Return the name of a backup that is made at a moment (ms)."""
    return f"spine-{datetime.fromtimestamp(at // 1000, UTC):%Y%m%dT%H%M%SZ}"


def made_at(name: str) -> int | None:
    """Return the moment (ms) in a name; None for a name that is not one of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    year, month, day, hour, minute, second = found.groups()
    try:
        return parse_iso(f"{year}-{month}-{day}T{hour}:{minute}:{second}Z")
    except ValueError:
        return None


def whole(names: Iterator[str]) -> list[Kept]:
    """Return those names that are ours as backups, newest first."""
    found = [Kept(name, at) for name in names if (at := made_at(name)) is not None]
    return sorted(found, key=lambda one: one.at, reverse=True)


def superfluous(found: list[Kept], keep: int, days: int) -> list[Kept]:
    """Return what may go: all but the newest `keep`, and but the newest of each of the last `days` days with a backup.

    Days are those of UTC, and those without a backup do not count: a clock that was a year ahead costs nothing. The
    newest of all always stays.
    """
    newest = sorted(found, key=lambda one: one.at, reverse=True)
    of_days: dict[str, Kept] = {}
    for one in newest:
        of_days.setdefault(iso(one.at)[:10], one)
    stay = {*newest[: max(1, keep)], *list(of_days.values())[:days]}
    return [one for one in newest if one not in stay]
