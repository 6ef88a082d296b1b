"""Where a loop stands: a private file that survives kills and power cuts, and a lock so that there is one loop.

Every write is a temporary file, fsync, rename and fsync of the folder.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from contract.durable import sync_folder, write_durably


class Decision(msgspec.Struct, rename="camel", kw_only=True):
    """A review that has been decided and may or may not have reached the spine: sent again it is the same request."""

    job_id: str
    round: int
    fence: int
    decision: str
    text: str | None
    key: str


class Place(msgspec.Struct, rename="camel", kw_only=True):
    """The file's content.

    `cursor` is behind the last event that was dealt with, `at` its time. `listing` is set while jobs with a pending
    review are looked up by list, because events alone do not tell of them (a first start, a gap).
    """

    version: int = 1
    cursor: str | None = None
    at: str = ""
    listing: bool = True
    decided: Decision | None = None


class Shared(msgspec.Struct, rename="camel", kw_only=True):
    """What of a place is kept with the lease of several heads, for the one that leads next: see `Place`.

    A decision is not: until the spine knows of it, whoever leads next decides.
    """

    version: int = 1
    cursor: str | None
    at: str
    listing: bool


class Taken(Exception):
    """Another loop holds the lock."""


class Ledger:
    """Reads and writes one loop's place; only the holder of its lock writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            Taken: another process has it.
            OSError: the folder cannot be used.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Taken from None
            yield
        finally:
            os.close(fd)

    def load(self) -> tuple[Place, str | None]:
        """Return the place, and a note when a file was broken and has been set aside."""
        try:
            place = msgspec.json.decode(self.path.read_bytes(), type=Place)
            if place.version == 1:
                return place, None
            fault = f"unknown version {place.version}"
        except FileNotFoundError:
            return Place(), None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            fault = str(e)
        aside = self.path.with_name(f"{self.path.name}.broken-{time.time_ns()}")
        self.path.rename(aside)
        sync_folder(self.path.parent)
        return Place(), f"{self.path} could not be read ({fault}); it was set aside as {aside.name}"

    def resume(self, place: Place, kept: Any) -> None:
        """Go on where the head stood that led before, if there was one: its place is the newer one."""
        try:
            shared = msgspec.convert(kept, Shared)
        except msgspec.ValidationError:
            return  # nothing, or what somebody else keeps with a lease of this name
        if shared.version == 1:
            place.cursor, place.at, place.listing = shared.cursor, shared.at, shared.listing

    def save(self, place: Place) -> None:
        """Write the place durably, readable by its owner alone."""
        write_durably(self.path, msgspec.json.format(msgspec.json.encode(place), indent=1), 0o600)
