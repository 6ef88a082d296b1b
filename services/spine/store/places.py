"""Where an event stands in the order of all, in a database where several write at once.

Numbers that are given out one by one do not do: who was given the lower one may commit later, and a reader that has
passed it by then never sees its event. So a place begins with the number of a transaction, and readers stop below the
oldest transaction that is still under way: nothing comes into being there any more.

That number is the writing transaction's own, or that of the latest one that has ended where that is higher: a
transaction may have begun before one whose job it goes on with, and the job's events must stand in the order in which
they came. After it comes a count of all events, which only grows, for those of one number. The database works it out
(`event_place`, in the migrations).

Transactions are numbered from anew in a database that was made from a copy of rows; the origin makes up for it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from spine.store.statement import Written

SHIFT = 20
OLDEST = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The number of the oldest transaction under way, as the asking transaction sees it."""
_COMING = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
# The count is to stay below the next transaction's number; where it does not, its events are seen a little later. No
# event may be under way: all that follow are of later transactions, and stand behind those before.
RECOUNT = Written(
    "postgres",
    f"""
    UPDATE event_origin SET counted = (SELECT last_value FROM event_count)
    WHERE (SELECT last_value FROM event_count) - counted > {1 << (SHIFT - 1)}
    """,
    (),
)


class Asked(Protocol):
    """What runs a statement in the transaction that is meant."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Return what can be fetched from."""


def settled(link: Asked, origin: int, oldest: int | None) -> int:
    """Return the place below which all is there. `oldest` None: as the database's latest statement sees it."""
    return origin + ((_number(link, OLDEST) if oldest is None else oldest) << SHIFT)


def origin(link: Asked) -> int:
    """Return what is added to every place of this database."""
    return _number(link, "origin FROM event_origin")


def raise_origin(link: Asked) -> int:
    """The same, raised first when there are events beyond the places that come next."""
    wanted = _number(link, f"coalesce(max(seq), 0) + 1 - ({_COMING} << {SHIFT}) FROM events")
    if wanted > origin(link):
        link.execute(f"UPDATE event_origin SET origin = greatest(origin, {wanted})")
    return origin(link)


def _number(link: Asked, asked: str) -> int:
    found: int = link.execute(f"SELECT {asked}").fetchone()[0]
    return found
