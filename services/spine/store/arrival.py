"""A PostgreSQL database that a store is brought to: what it holds, how far the copy is, the moment when it is whole.

How far the copy is stands in the database itself, written in the transaction of each batch. While that table is there
no server starts on the database; it goes with the transaction that makes the store whole.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import psycopg

from spine.store import fences, meta, postgres
from spine.store.copying import COPIED, Copied, Row
from spine.store.engine import StoreUnusable
from spine.store.marks import ARRIVING, MOVED_FROM, NotEmpty
from spine.store.visit import Visit

# A session's lock: of two moves to one database the second is refused. The number is ours, as those of the engine.
_ARRIVING_LOCK = 0x7370696E_0000000A
_STORE = ""  # the row of the store itself, beside those of its tables
_OURS = {"schema_migrations", "meta", "jobs"}


class Begun(NamedTuple):
    """Of which store a copy was begun, how that store stood, and whether all of the copy was found equal since."""

    store_id: str
    stand: str
    equal: bool


class Found(NamedTuple):
    """What a database holds: nothing, a copy that was begun, or a whole store (`moved_from`: the id it had before)."""

    kind: Literal["nothing", "begun", "store"]
    begun: Begun | None = None
    moved_from: str | None = None


class _NotKept(Exception):
    """One of some rows cannot be kept; why."""


class Arrival(Visit):
    """A connection to the database, held by one move at a time.

    Raises:
        StoreAway: no server answers, or it lets nobody in.
        StoreUnusable: the address cannot be read, the database is of no use, or another move is at it.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        try:
            with self.told():
                if not self.value(f"SELECT pg_try_advisory_lock({_ARRIVING_LOCK})"):
                    raise NotEmpty(f"another `spine migrate-store` is at {self.address}; wait until it has ended")
        except BaseException:
            self.close()
            raise

    def look(self) -> Found:
        """Return what the database holds. Changes nothing.

        Raises:
            NotEmpty: tables of another program. NewerStore
        """
        with self.told():
            tables = self.tables()
            if not tables:
                return Found("nothing")
            if not tables >= _OURS:
                raise NotEmpty(
                    f"{self.address} holds tables of another program, such as {min(tables)}; make a database for the "
                    "spine alone (createdb)"
                )
            self.version()
            if ARRIVING in tables:
                return Found("begun", Begun(*self._noted(_STORE)[1]))
            there = [table.name for table in COPIED if table.name in tables and table.name != "meta"]
            if not any(self.rows(f'SELECT FROM "{name}" LIMIT 1') for name in there):
                return Found("nothing")
            moved = self.rows(f"SELECT value FROM meta WHERE key = '{MOVED_FROM}'")
            return Found("store", moved_from=moved[0][0] if moved else None)

    def begin(self, store_id: str, stand: str) -> None:
        """Make the tables, emptied of whatever a copy before has left. From now on no server starts here.

        Raises:
            NotEmpty: a server is connected to the database; it is as it was.
        """
        self.refuse_company()
        with self.told():
            postgres.migrate(self.link)
        with self._transaction():
            self.link.run(f"DROP TABLE IF EXISTS {ARRIVING}")
            self.link.run(f"CREATE TABLE {ARRIVING} (name TEXT PRIMARY KEY, rows BIGINT NOT NULL, last TEXT NOT NULL)")
            self.link.run("TRUNCATE " + ", ".join(f'"{table.name}"' for table in COPIED))
            self._note(_STORE, 0, [store_id, stand, False])
            for table in COPIED:
                self._note(table.name, 0, None)

    def refuse_company(self) -> None:
        """Refuse a database that servers are connected to: they may write, whatever was noted since they began.

        Raises:
            NotEmpty
        """
        with self.told():
            others = self.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name IN ('spine', current_setting('application_name'))"  # as the address has it
            )
        if others:
            raise NotEmpty(f"a spine is connected to {self.address}; stop it, and run this again")

    def brought(self, table: Copied) -> tuple[int, list[Any] | None]:
        """Return how many rows of a table have come, and the key of the last one."""
        with self.told():
            return self._noted(table.name)

    def add(self, table: Copied, rows: Sequence[Row], done: int) -> None:
        """Bring rows, and note with them that so many (`done`) have come now.

        Raises:
            StoreUnusable: a value cannot be kept; the message names its row. Those before it have come.
        """
        try:
            self._bring(table, rows, done)
        except _NotKept as e:
            if len(rows) == 1:
                raise StoreUnusable(f"PostgreSQL cannot keep the row {table.key(rows[0])} of {table.name}: {e}") from e
            half = len(rows) // 2
            self.add(table, rows[:half], done - len(rows) + half)
            self.add(table, rows[half:], done)

    def _bring(self, table: Copied, rows: Sequence[Row], done: int) -> None:
        """Bring all of some rows or none.

        Raises:
            _NotKept
        """
        with self._transaction():
            try:
                with self.link.connection.cursor() as cursor, cursor.copy(table.copy_postgres.encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
            except (psycopg.DataError, psycopg.IntegrityError) as e:
                raise _NotKept(str(e).splitlines()[0]) from e
            self._note(table.name, done, table.key(rows[-1]))

    def count_up(self, table: Copied, last: int) -> None:
        """Let the store count on from where the one before was, so that no number is given twice.

        A table that is numbered in another way here, as events are, has no sequence, and is let be.
        """
        with self.told():
            self.value(f"SELECT setval(pg_get_serial_sequence('{table.name}', '{table.serial}'), {last})")

    def note_equal(self, store_id: str, stand: str) -> None:
        """Note that all that has come was found equal."""
        with self._transaction():
            self._note(_STORE, 0, [store_id, stand, True])

    def start_over(self, store_id: str) -> None:
        """Have the next run begin anew."""
        with self._transaction():
            self._note(_STORE, 0, [store_id, "", False])

    def open(self, store_id: str) -> str:
        """Make it a whole store, with an id of its own, that servers may use. Return the id."""
        with self._transaction():
            tx = self.tx()
            meta.put(tx, MOVED_FROM, store_id)
            fresh = fences.new_store_id(tx)
            self.link.run(f"DROP TABLE {ARRIVING}")
        return fresh

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.told(), self.link.bounded():
            self.link.run("BEGIN")
            try:
                yield
                self.link.commit()
            except BaseException:
                self.link.rollback()
                raise

    def _noted(self, name: str) -> tuple[int, Any]:
        rows, last = self.rows(f"SELECT rows, last FROM {ARRIVING} WHERE name = '{name}'")[0]
        return int(rows), json.loads(last)

    def _note(self, name: str, rows: int, last: object) -> None:
        self.link.execute(
            f"INSERT INTO {ARRIVING} VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE SET rows = %s, last = %s",
            (name, rows, json.dumps(last), rows, json.dumps(last)),
        )
