"""A store in PostgreSQL copied into a file, as it is at one moment, while its servers go on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from spine.store import offline
from spine.store.copying import COPIED, PAGE, compare
from spine.store.engine import StoreUnusable, Tx
from spine.store.migrations import migrate
from spine.store.offline import NotAStore
from spine.store.visit import Visit


def copy(url: str, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a store into a new file, and compare every row. `progress`: rows done, of how many.

    Raises:
        StoreAway, StoreUnusable, NewerStore: the database cannot be read. NotAStore: the file cannot be written.
    """
    try:
        with (
            Visit(url) as visit,
            visit.snapshot() as there,
            closing(sqlite3.connect(target, isolation_level=None)) as file,
        ):
            file.execute("PRAGMA synchronous=OFF")  # whoever asked for the copy syncs the whole file at the end
            file.execute("PRAGMA journal_mode=MEMORY")
            migrate(file, offline.DIALECT, there.now)
            _fill(visit, there, file, progress)
            here = Tx(file, offline.DIALECT, there.now)
            for table in COPIED:
                read, written = compare(table, there, here, lambda _done: None)
                if read != written:
                    raise StoreUnusable(f"{table.name} of {visit.address} could not be copied as it is")
            file.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as e:
        raise NotAStore(f"{target} cannot be written: {e}") from e


def _fill(visit: Visit, there: Tx, file: sqlite3.Connection, progress: Callable[[int, int], None]) -> None:
    total, done, counted = sum(table.size(there) for table in COPIED), 0, visit.counted()
    file.execute("BEGIN")
    for table in COPIED:
        for batch in table.batches(there, PAGE):
            file.executemany(table.insert_sqlite, batch)
            done += len(batch)
            progress(done, total)
    # Beyond the last row of a table: what is gone has had its number.
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'").fetchall():
        last = counted.get(name, 0)
        if file.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, name)).rowcount == 0:
            file.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, last))
    file.execute("COMMIT")
    progress(total, total)
