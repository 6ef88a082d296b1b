"""The engine for several servers: PostgreSQL, one writing transaction at a time over all of them, a pool of readers.

A batch takes one advisory lock, so that the verbs have the serial meaning that they have in the embedded store,
whichever server carries them out. What this process has cached of the store it drops when another one wrote since.
"""

import secrets
import threading
import time
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import errors as pg

from contract.clock import Clock
from contract.errors import Internal, OutcomeUnknown, SpineError, StorageFull, Unavailable
from contract.killpoints import reach
from spine.store.deadline import DEADLINE_SECONDS
from spine.store.engine import Operation, Signals, StoreAway, StoreUnusable, Tx
from spine.store.handover import Failed
from spine.store.link import Link
from spine.store.marks import refuse_half_arrived
from spine.store.migrations import NewerStore, files, split
from spine.store.servers import Servers
from spine.store.statement import Statement
from spine.store.writer import Writer, WroteAndFailed

T = TypeVar("T")
_log = structlog.get_logger()

DIALECT = "postgres"
# Advisory locks are a database's own; the numbers are ours: "spin" and which of them.
_WRITING, _MIGRATING = 0x7370696E_00000001, 0x7370696E_00000002
_NOW = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# The lock's own statement has a snapshot from before the wait: what was committed meanwhile is seen by those after it.
_BEGIN_WRITING = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({_WRITING}); "
    f"SELECT {_NOW}, writer FROM last_writer"
)
_BEGIN_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT {_NOW}"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
# Another transaction was in the way, and this one was taken back: it may do better alone.
_COLLIDED = (pg.SerializationFailure, pg.DeadlockDetected)
_COLLISIONS_MOST = 3


class PostgresTx(Tx):
    """A transaction whose inserts answer the new row's key as a row."""

    def insert(self, statement: Statement, **values: Any) -> int:
        """Run an insert, return the new row's integer key."""
        sql, names = statement.keyed(self._dialect)
        key: int = self._execute(sql, [values[name] for name in names]).fetchone()[0]
        return key

    def insert_row(self, statement: Statement, row: object) -> int:
        """Run an insert whose parameters are attributes of a row, return the new row's integer key."""
        sql, values = statement.keyed_reader(self._dialect)
        key: int = self._execute(sql, values(row)).fetchone()[0]
        return key


class PostgresEngine(Writer):
    """The store of one server process, in a database that others may use at the same time.

    Args:
        url: as libpq takes it, several hosts allowed; what it says of time-outs goes before ours.
        clock: None for the database's own, which all servers share (ms; it never goes back within this process).
        deadline: seconds after which a transaction's connection is cut.
        memory: a file that remembers which primary was the newest (see `spine.store.lineage`).

    Raises:
        StoreAway: no server answers, or none lets this one in.
        StoreUnusable: the address cannot be read, or the database cannot be used.
        NewerStore: a newer version wrote this store.
    """

    dialect = DIALECT
    refused = (
        psycopg.IntegrityError,
        psycopg.DataError,
        psycopg.ProgrammingError,
        psycopg.NotSupportedError,
        pg.ProgramLimitExceeded,  # such as a value too long for an index
    )
    failed = psycopg.Error

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        readers: int = 4,
        deadline: float = DEADLINE_SECONDS,
        memory: Path | None = None,
    ) -> None:
        self._clock = clock
        self._me = secrets.token_hex(6)
        self._servers = Servers(url, deadline, memory)
        self._link: Link | None = None
        self._pause, self._not_before = _FIRST_PAUSE, 0.0
        # Of the batch that is being written: its time, and whether another server wrote last.
        self._batch_now, self._stranger = 0, True
        self._latest, self._telling = 0, threading.Lock()
        self._reading = threading.local()
        self._readers: list[Link] = []
        try:
            self._link = Link(self._servers)
            migrate(self._link)
            refuse_half_arrived(self._link)
        except BaseException as e:
            self._let_go()
            self._servers.close()
            if isinstance(e, psycopg.OperationalError):
                raise StoreAway(f"the database cannot be reached: {e}") from e
            if isinstance(e, psycopg.Error):
                raise StoreUnusable(f"the database cannot be used: {e}") from e
            raise
        super().__init__(readers)
        self.start()

    def _now(self, servers: int) -> int:
        if self._clock is not None:
            return self._clock.now()
        with self._telling:  # after a failover the new server's clock may be behind
            self._latest = max(self._latest, servers)
            return self._latest

    # --- the interface ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Do nothing: the server does it by itself (see `Engine.checkpoint`)."""
        if self._closed:
            raise Unavailable("the store is closed")

    def close(self) -> None:
        """Finish the queue, close the connections."""
        if not self.finish():
            return
        for reader in self._readers:
            reader.close()
        self._let_go()
        self._servers.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, operation: Operation[T]) -> T:
        try:
            link, servers = self._begin_reading()
            try:
                with link.bounded():
                    return operation(PostgresTx(link, self.dialect, self._now(servers)))
            finally:
                link.rollback()
        except psycopg.Error as e:
            raise self._fault(e) from e

    def _begin_reading(self) -> tuple[Link, int]:
        """Begin on this thread's connection; on another one when the server has dropped it since."""
        link: Link | None = getattr(self._reading, "link", None)
        if link is not None:
            try:
                if not link.broken:
                    with link.bounded():
                        return link, link.begin(_BEGIN_READING)[0]
            except psycopg.Error:
                if not link.broken:
                    raise
            self._readers.remove(link)
            self._reading.link = None
            link.close()
        link = self._reading.link = Link(self._servers)
        self._readers.append(link)
        with link.bounded():
            return link, link.begin(_BEGIN_READING)[0]

    # --- writing ---------------------------------------------------------------------------------------------------

    def _connected(self) -> Link:
        """Return the writer's connection, made anew when it broke; soon after a vain try there is no other.

        Raises:
            Unavailable
        """
        if self._link is not None and not self._link.broken:
            return self._link
        self._let_go()
        if time.monotonic() < self._not_before:
            raise Unavailable("the database cannot be reached; try again")
        try:
            self._link = Link(self._servers)
        except psycopg.Error as e:
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            raise Unavailable("the database cannot be reached; try again") from e
        self._pause = _FIRST_PAUSE
        return self._link

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction; again when one of them failed after it had written, or another was in the way."""
        try:
            return self._settled(operations)
        except _COLLIDED:
            return self._one_by_one(operations)

    def _settled(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        try:
            return self._attempt(operations, savepoints=False)
        except WroteAndFailed:
            return self._attempt(operations, savepoints=True)

    def _one_by_one(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run each in a transaction of its own: one that fails fails alone."""
        outcomes, signals = [], Signals()
        for operation in operations:
            try:
                (outcome,), told = self._alone(operation)
            except Exception as e:  # noqa: BLE001 — those before it are committed, and must be told so
                outcomes.append(Failed(self._fault(e)))
            else:
                outcomes.append(outcome)
                signals.merge(told)
        return outcomes, signals

    def _alone(self, operation: Operation[Any]) -> tuple[list[Any], Signals]:
        for _ in range(_COLLISIONS_MOST - 1):
            try:
                return self._settled([operation])
            except _COLLIDED:
                pass
        return self._settled([operation])

    def _attempt(self, operations: list[Operation[Any]], savepoints: bool) -> tuple[list[Any], Signals]:
        link = self._begin()
        try:
            with link.bounded():
                outcomes, signals = [], Signals()
                for operation in operations:
                    tx = PostgresTx(link, self.dialect, self._batch_now)
                    outcomes.append(self._operate(operation, tx, savepoints, signals))
                if len(operations) > 1:
                    reach("spine.batch-written")
                if self._stranger:
                    link.run(f"UPDATE last_writer SET writer = '{self._me}'")
                link.commit()
            return outcomes, signals
        except BaseException:
            self.on_rollback()
            link.rollback()
            raise

    def _begin(self) -> Link:
        """Begin a transaction; once more when the connection turns out to have been dropped since the last one."""
        link = self._connected()
        try:
            row = self._begun(link)
        except psycopg.Error:
            if not link.broken:
                link.rollback()
                raise
            link = self._connected()
            row = self._begun(link)
        self._batch_now = self._now(row[0])
        self._stranger = row[1] != self._me
        if self._stranger:
            self.on_rollback()
        return link

    @staticmethod
    def _begun(link: Link) -> Any:
        with link.bounded():
            return link.begin(_BEGIN_WRITING)

    def _run(self, sql: str) -> object:
        return self._connected().run(sql)

    def _changes(self) -> int:
        return 0 if self._link is None else self._link.changes

    def _given_up(self, error: Exception) -> None:
        if isinstance(error, OutcomeUnknown | pg.ReadOnlySqlTransaction):
            self._let_go()  # what became of it is not known, or it leads to a server that writes no more

    def _fault(self, error: Exception) -> Exception:
        if isinstance(error, SpineError):
            return error
        if isinstance(error, pg.DiskFull):
            return StorageFull()
        if isinstance(error, _COLLIDED):
            return Unavailable("others changed the same at the same moment; try again")
        if isinstance(error, psycopg.OperationalError | pg.ReadOnlySqlTransaction):
            return Unavailable("the database does not answer; nothing was changed, try again")
        return Internal(f"the store failed ({type(error).__name__})")


def migrate(link: Link) -> int:
    """Bring the database up to date, return its version. Servers that start at once do it one after another.

    Raises:
        NewerStore: it holds a version that this program does not know.
        psycopg.Error: the database is as it was.
    """
    known = files(DIALECT)
    newest = known[-1][0]
    link.run("BEGIN")
    try:
        link.run("SET LOCAL statement_timeout = 0")
        link.run("SET LOCAL lock_timeout = 0")
        link.run(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        link.run(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)"
        )
        done = {row[0] for row in link.run("SELECT version FROM schema_migrations").fetchall()}
        if max(done, default=0) > newest:
            raise NewerStore(
                f"the store is at version {max(done)}, this program knows {newest}: install the newer program"
            )
        for version, _name, sql in known:
            if version not in done:
                for statement in split(sql):
                    link.run(statement)
                link.run(f"INSERT INTO schema_migrations VALUES ({version}, {_NOW})")
        link.run("COMMIT")
    except BaseException:
        link.rollback()
        raise
    return newest
