"""What a store bears that is not to be served: it was moved elsewhere, or it has not arrived whole yet."""

from typing import Any

from spine.store.engine import StoreUnusable

MOVED_TO = "moved_to"
"""A fact of an embedded store (see `spine.store.meta`): where it is now, as people write it."""
MOVED_FROM = "moved_from"
"""A fact of a database: the id of the store that was moved to it."""
ARRIVING = "arriving"
"""A table that a database has as long as a store is being moved to it. Outside of the migrations and the models."""


class Moved(StoreUnusable):
    """The store is another one now; this one would be served beside it."""


class HalfArrived(StoreUnusable):
    """A move to this database is under way, or was interrupted."""


class NotEmpty(RuntimeError):
    """A store cannot be moved to this database: it holds something else, or somebody uses it."""


def refuse_moved(connection: Any) -> None:
    """Refuse an embedded store that was moved.

    Raises:
        Moved
    """
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (MOVED_TO,)).fetchone()
    if row is not None:
        raise Moved(f"this store was moved to {row[0]}: set SPINE_DATABASE_URL to that database")


def refuse_half_arrived(link: Any) -> None:
    """Refuse a database that a store is being moved to.

    Raises:
        HalfArrived
    """
    if link.run(f"SELECT to_regclass('{ARRIVING}')").fetchone()[0] is not None:
        raise HalfArrived(
            "a store is being moved to this database and is not whole: run the same `spine migrate-store` again"
        )
