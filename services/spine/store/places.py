"""Where an event stands in the order of all, in a database where several write at once.

Numbers that are given out one by one do not do: who was given the lower one may commit later, and a reader that has
passed it by then never sees its event. So a place is the number of the transaction and a count within it, and readers
stop below the oldest transaction that is still under way: nothing comes into being there any more. Transactions are
numbered from anew in a database that was made from a copy of rows; the origin makes up for it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

_SHIFT = 20
OLDEST = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The number of the oldest transaction under way, as the asking transaction sees it."""
_OURS = "pg_current_xact_id()::text::bigint"
_COMING = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


class Asked(Protocol):
    """What runs a statement in the transaction that is meant."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Return what can be fetched from."""


class Places:
    """The places of one transaction, given out by `next`; for a reader those that are `settled`."""

    def __init__(self, link: Asked, origin: int, oldest: int | None = None) -> None:
        self._link, self._origin, self._oldest = link, origin, oldest
        self._next: int | None = None

    def next(self) -> int:
        """Return the next place. The first one makes a transaction of what has only read so far."""
        if self._next is None:
            self._next = self._origin + (_number(self._link, _OURS) << _SHIFT)
        self._next += 1
        return self._next

    @property
    def settled(self) -> int:
        """Return the place below which all is there; a writer asks the server, which tells of its latest statement."""
        oldest = _number(self._link, OLDEST) if self._oldest is None else self._oldest
        return self._origin + (oldest << _SHIFT)


def origin(link: Asked) -> int:
    """Return what is added to every place of this database."""
    return _number(link, "origin FROM event_origin")


def raise_origin(link: Asked) -> int:
    """The same, raised first when there are events beyond the places that come next."""
    wanted = _number(link, f"coalesce(max(seq), 0) + 1 - ({_COMING} << {_SHIFT}) FROM events")
    if wanted > origin(link):
        link.execute(f"UPDATE event_origin SET origin = greatest(origin, {wanted})")
    return origin(link)


def _number(link: Asked, asked: str) -> int:
    found: int = link.execute(f"SELECT {asked}").fetchone()[0]
    return found
