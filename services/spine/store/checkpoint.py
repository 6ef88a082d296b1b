"""Folding SQLite's write-ahead log back into the file of the database: in passing while it serves, wholly at the end.

The log folds itself once it has grown by so many pages. A store that is written to little never comes there: for days
its last changes would be in the log alone, and a start after a crash would have to read them all.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple


class Checkpoint(NamedTuple):
    """What SQLite answered. `busy`: a reader or a writer kept it from its end; pages of the log, and those folded."""

    busy: bool
    pages: int
    folded: int

    @property
    def whole(self) -> bool:
        """Tell whether nothing is left that only the log holds."""
        return not self.busy and self.folded == self.pages


def passive(db: Path) -> Checkpoint:
    """Fold what can be folded without anybody waiting, on a connection of its own: the writer is not asked.

    Raises:
        sqlite3.Error: the file cannot be read or written.
    """
    uri = f"{db.resolve().as_uri()}?mode=rw"  # one that is gone is not made anew
    with closing(sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")  # what is folded is on the disk before the log may forget it
        return _fold(connection, "passive")


def truncate(connection: Any) -> Checkpoint:
    """Fold everything and leave an empty log; waits for readers as long as the connection's busy time-out.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    return _fold(connection, "truncate")


def _fold(connection: Any, kind: Literal["passive", "truncate"]) -> Checkpoint:
    busy, pages, folded = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    return Checkpoint(bool(busy), pages, folded)
