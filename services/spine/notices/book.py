"""The file of aliases as it is now: read again when it changes; one that cannot be used changes nothing."""

from collections.abc import Callable
from pathlib import Path

import structlog

from contract import wire
from spine.notices.aliases import Entry, Unusable, read

_log = structlog.get_logger()
ALIASES_SECONDS = 1


class Book:
    """The aliases, by name. Without a file there are none.

    Args:
        adopted: told why each name cannot be used (None: it can), whenever that changes.
    """

    def __init__(self, path: Path | None, adopted: Callable[[dict[str, str | None]], None]) -> None:
        self._path, self._adopted = path, adopted
        self._seen: tuple[int, ...] | None = None
        self.entries: dict[str, Entry] = {}

    def turn(self) -> None:
        """Look at the file, and at its times first. Never raises."""
        if self._path is None:
            return
        try:
            stat = self._path.stat()
            now: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        except OSError:
            now = ()
        if now == self._seen:
            return
        self._seen = now
        try:
            found = read(self._path)
        except Unusable as e:
            _log.error("notices.aliases_refused", error=str(e), kept="the aliases that it held before")
            return
        self.entries = found
        self._adopted({name: entry.problem for name, entry in found.items()})
        for entry in found.values():
            if entry.problem is not None:
                _log.error("notices.alias_unusable", alias=entry.name, problem=entry.problem)
        _log.info("notices.aliases", aliases=sorted(found))

    def listed(self) -> wire.AliasList:
        """Return the aliases without addresses and secrets."""
        rows = sorted(self.entries.values(), key=lambda entry: entry.name)
        return wire.AliasList(
            aliases=[
                wire.Alias(name=e.name, channel=e.channel, usable=e.problem is None, problem=e.problem) for e in rows
            ]
        )
