"""A store's file read without its server: a copy of one moment, its health, its facts. Never through the writer."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from spine.store import marks, meta, migrations
from spine.store.engine import Tx

DIALECT = "sqlite"
_PAGES = 2048  # a step of a copy: 8 MiB, so that progress moves and an interrupt is heard
_FAULTS_SHOWN = 10


class NotAStore(RuntimeError):
    """The file is no store of this product, or is damaged."""


class Facts(NamedTuple):
    """What a store's file says of itself. `faults`: what its integrity check found; `jobs` by status."""

    version: int
    store_id: str
    jobs: dict[str, int]
    events: int
    blobs: int
    blob_bytes: int
    faults: list[str]


class Bytes(NamedTuple):
    """What a blob's row says of its bytes."""

    blob_id: str
    size: int
    sha256: str


def newest_version() -> int:
    """Return the schema version that this program writes."""
    return migrations.files(DIALECT)[-1][0]


@contextmanager
def _connected(db: Path, still: bool) -> Iterator[sqlite3.Connection]:
    """Open a file for reading, in one transaction. `still`: nobody writes to it, so nothing is made beside it."""
    uri = f"{db.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master")  # the snapshot begins with the first read
            yield connection
    except sqlite3.Error as e:
        raise NotAStore(f"{db} cannot be read as a store: {e}") from e


@contextmanager
def reading(db: Path, still: bool = False) -> Iterator[Tx]:
    """Read a store of this program's version on a snapshot.

    Raises:
        NotAStore: the file cannot be read, or is of another version.
    """
    with _connected(db, still) as connection:
        version, newest = _version(connection), newest_version()
        if version != newest:
            raise NotAStore(f"{db} is at version {version}, this program's is {newest}; serve it once to bring it up")
        yield Tx(connection, DIALECT, time.time_ns() // 1_000_000)


def copy(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a store that may be in use, as it is at one moment, into a new file. `progress`: pages done, of how many.

    Raises:
        NotAStore
    """

    def told(_status: int, left: int, total: int) -> None:
        progress(total - left, total)

    with (
        _connected(source, still=False) as connection,
        closing(sqlite3.connect(target, isolation_level=None)) as copied,
    ):
        copied.execute("PRAGMA synchronous=OFF")  # whoever asked for the copy syncs the whole file at the end
        # The open snapshot is what keeps the copy going: without it every commit of the server would start it anew.
        connection.backup(copied, pages=_PAGES, progress=told)
        copied.execute("PRAGMA journal_mode=DELETE")  # one file that can be read where nothing can be written


def examine(db: Path, still: bool, check: bool = True) -> Facts:
    """Return a store's facts; with `check` every page, index and reference is looked at.

    Raises:
        NotAStore: it cannot be read at all.
    """
    with _connected(db, still) as connection:
        version = _version(connection)
        faults = _faults(connection) if check else []
        one = connection.execute
        found = one("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
        blobs = one("SELECT count(*), coalesce(sum(size), 0) FROM blobs").fetchone()
        return Facts(
            version=version,
            store_id="" if found is None else found[0],
            jobs=dict(one("SELECT status, count(*) FROM jobs GROUP BY status ORDER BY status").fetchall()),
            events=one("SELECT count(*) FROM events").fetchone()[0],
            blobs=blobs[0],
            blob_bytes=blobs[1],
            faults=faults,
        )


def refuse_moved(db: Path) -> None:
    """Refuse a store that was moved to a database.

    Raises:
        Moved: its message names the database. NotAStore
    """
    with _connected(db, still=False) as connection:
        marks.refuse_moved(connection)


def moved_to(db: Path) -> str | None:
    """Return where a store was moved, None when it was not.

    Raises:
        NotAStore
    """
    with _connected(db, still=False) as connection:
        return meta.get(Tx(connection, DIALECT, 0), marks.MOVED_TO)


def mark_moved(db: Path, address: str) -> None:
    """Have no server start on a store any more, durably. The caller holds its directory.

    Raises:
        NotAStore: it cannot be written.
    """
    try:
        with closing(sqlite3.connect(f"{db.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            meta.put(Tx(connection, DIALECT, 0), marks.MOVED_TO, address)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as e:
        raise NotAStore(f"{db} cannot be marked as moved: {e}") from e


def counted(db: Path) -> dict[str, int]:
    """Return how far the store has counted in each table that it numbers by itself.

    Raises:
        NotAStore
    """
    with _connected(db, still=False) as connection:
        return dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())


def version_of(db: Path, still: bool) -> int:
    """Return a store's schema version.

    Raises:
        NotAStore
    """
    with _connected(db, still) as connection:
        return _version(connection)


def blobs_of(db: Path, still: bool) -> list[Bytes]:
    """Return what the store says of every blob's bytes.

    Raises:
        NotAStore
    """
    with _connected(db, still) as connection:
        return [Bytes._make(row) for row in connection.execute("SELECT id, size, sha256 FROM blobs ORDER BY id")]


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()[0]
    return version


def _faults(connection: sqlite3.Connection) -> list[str]:
    found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_FAULTS_SHOWN})")]
    found = [] if found == ["ok"] else found
    references = connection.execute("PRAGMA foreign_key_check").fetchmany(_FAULTS_SHOWN)
    return found + [f"a row of {table} names a missing row of {parent}" for table, _, parent, _ in references]
