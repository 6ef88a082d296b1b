"""The engine for several servers: PostgreSQL, with writers beside each other and one that writes alone; readers.

What says that it may runs beside other writers, of this server and of others: claims, heartbeats, logs, ends, submits.
Everything else, and what finds that it meets more than its own job, is carried out while nobody else writes, so that
the verbs have the serial meaning that they have in the embedded store. An advisory lock tells them apart, as a lock of
readers and writers does: shared beside others, exclusive alone. The server queues for it in order, so none starves.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg import errors as pg

from contract.clock import Clock
from contract.errors import Conflict, Internal, OutcomeUnknown, SpineError, StorageFull, Unavailable
from contract.killpoints import reach
from spine.store import places
from spine.store.deadline import DEADLINE_SECONDS
from spine.store.engine import Operation, Signals, StoreAway, StoreUnusable
from spine.store.handover import Failed
from spine.store.link import Link
from spine.store.marks import refuse_half_arrived
from spine.store.migrations import NewerStore, files, split
from spine.store.postgres_tx import DIALECT, BesideTx, PostgresTx
from spine.store.servers import Servers
from spine.store.writer import POSTPONED, Writer, WroteAndFailed

T = TypeVar("T")
_log = structlog.get_logger()

WRITERS_BESIDE = 3
"""How many connections write beside each other. A commit waits for the disk: the next batch runs meanwhile."""

# Advisory locks are a database's own; the numbers are ours: "spin" and which of them.
_WRITING, _MIGRATING = 0x7370696E_00000001, 0x7370696E_00000002
_NOW = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# The lock's own statement has a snapshot from before the wait: what was committed meanwhile is seen by those after it.
# Lanes and messages are added alone, so that the highest number tells whether there is one more; and what is paused
# stays so while others write beside each other.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_KNOWN = f"""
    SELECT {_NOW}, (SELECT coalesce(max(id), 0) FROM lanes), (SELECT coalesce(max(seq), 0) FROM messages)
"""
_BEGIN_ALONE = f"{_BEGIN}; SELECT pg_advisory_xact_lock({_WRITING}); {_KNOWN}"
# Plans are kept: one that joins what was a small table by reading it through would be bad once it is a big one.
_BEGIN_BESIDE = f"""
    {_BEGIN}; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
    SELECT pg_advisory_xact_lock_shared({_WRITING}); {_KNOWN}, (SELECT array_agg(name) FROM paused_targets)
"""
_BEGIN_READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT {_NOW}, {places.OLDEST}"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
# Another transaction was in the way, and this one was taken back: it may do better alone.
_COLLIDED = (pg.SerializationFailure, pg.DeadlockDetected)
_COLLISIONS_MOST = 3


class _Pen:
    """A writer's connection, made anew when it broke. Used by one thread."""

    def __init__(self, servers: Servers, begin: str, link: Link | None = None) -> None:
        self._servers, self._begin_sql = servers, begin
        self.link = link
        self._pause, self._not_before = _FIRST_PAUSE, 0.0

    @property
    def changes(self) -> int:
        """A number that is another one once the connection has written."""
        return 0 if self.link is None else self.link.changes

    def run(self, sql: str) -> object:
        """Run a statement without values."""
        return self._connected().run(sql)

    def begin(self) -> tuple[Link, Sequence[Any]]:
        """Begin a transaction, return the server's time, the newest lane and message and, beside others, what is
        paused; once more when the connection was dropped since the last one.

        Raises:
            Unavailable, psycopg.Error
        """
        link = self._connected()
        try:
            return link, link.begin(self._begin_sql)
        except psycopg.Error:
            if not link.broken:
                raise
            link = self._connected()
            return link, link.begin(self._begin_sql)

    def _connected(self) -> Link:
        """Return the connection; soon after a vain try to make one there is none.

        Raises:
            Unavailable
        """
        if self.link is not None and not self.link.broken:
            return self.link
        self.let_go()
        if time.monotonic() < self._not_before:
            raise Unavailable("the database cannot be reached; try again")
        try:
            self.link = Link(self._servers)
        except psycopg.Error as e:
            self._not_before = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            raise Unavailable("the database cannot be reached; try again") from e
        self._pause = _FIRST_PAUSE
        return self.link

    def let_go(self) -> None:
        """Close the connection."""
        if self.link is not None:
            self.link.close()
            self.link = None


class PostgresEngine(Writer):
    """The store of one server process, in a database that others may use at the same time.

    Args:
        url: as libpq takes it, several hosts allowed; what it says of time-outs goes before ours.
        clock: None for the database's own, which all servers share (ms; it never goes back within this process).
        deadline: seconds after which a transaction's connection is cut.
        memory: a file that remembers which primary was the newest (see `spine.store.lineage`).
        writers: how many connections write beside each other.

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
        writers: int = WRITERS_BESIDE,
    ) -> None:
        self._clock = clock
        self.servers = Servers(url, deadline, memory)
        self._latest, self._telling = 0, threading.Lock()
        self._lasting: dict[Any, Any] = {}
        self._writing, self._reading = threading.local(), threading.local()
        self._pens: list[_Pen] = []
        self._readers: list[Link] = []
        link: Link | None = None
        try:
            link = Link(self.servers)
            migrate(link)
            refuse_half_arrived(link)
            with link.bounded():
                self._origin = places.raise_origin(link)
        except BaseException as e:
            if link is not None:
                link.close()
            self.servers.close()
            if isinstance(e, psycopg.OperationalError):
                raise StoreAway(f"the database cannot be reached: {e}") from e
            if isinstance(e, psycopg.Error):
                raise StoreUnusable(f"the database cannot be used: {e}") from e
            raise
        self._first: Link | None = link  # for whoever writes first
        super().__init__(readers, writers)
        self.start()

    def _now(self, servers: int) -> int:
        if self._clock is not None:
            return self._clock.now()
        with self._telling:  # after a failover the new server's clock may be behind
            self._latest = max(self._latest, servers)
            return self._latest

    # --- the interface ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Count events anew when they are many (see `spine.store.places`); the rest the server does by itself."""
        self.write(lambda tx: tx.run(places.RECOUNT)).result()

    def close(self) -> None:
        """Finish the queue, close the connections."""
        if not self.finish():
            return
        for link in (*self._readers, self._first):
            if link is not None:
                link.close()
        for pen in self._pens:
            pen.let_go()
        self.servers.close()

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, operation: Operation[T]) -> T:
        try:
            link, (servers, oldest) = self._begin_reading()
            try:
                with link.bounded():
                    return operation(PostgresTx(link, self._now(servers), self._origin, oldest))
            finally:
                link.rollback()
        except psycopg.Error as e:
            raise self._fault(e) from e

    def _begin_reading(self) -> tuple[Link, Any]:
        """Begin on this thread's connection; on another one when the server has dropped it since."""
        link: Link | None = getattr(self._reading, "link", None)
        if link is not None:
            try:
                if not link.broken:
                    return link, link.begin(_BEGIN_READING)
            except psycopg.Error:
                if not link.broken:
                    raise
            self._readers.remove(link)
            self._reading.link = None
            link.close()
        link = self._reading.link = Link(self.servers)
        self._readers.append(link)
        return link, link.begin(_BEGIN_READING)

    # --- writing ---------------------------------------------------------------------------------------------------

    def _pen(self, beside: bool) -> _Pen:
        """Return this thread's connection."""
        pen: _Pen | None = getattr(self._writing, "pen", None)
        if pen is None:
            with self._telling:
                link, self._first = self._first, None
            pen = _Pen(self.servers, _BEGIN_BESIDE if beside else _BEGIN_ALONE, link)
            self._writing.pen = pen
            self._pens.append(pen)
        return pen

    def _transact_beside(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run what can be run beside others. With others in the way nothing is done, and all of it goes on alone."""
        try:
            return self._attempt(BesideTx, operations, savepoints=False)
        except (WroteAndFailed, Conflict, *_COLLIDED, *self.refused):
            return [POSTPONED] * len(operations), Signals()

    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction; again when one of them failed after it had written, or another was in the way."""
        try:
            return self._settled(operations)
        except _COLLIDED:
            return self._one_by_one(operations)

    def _settled(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        try:
            return self._attempt(PostgresTx, operations, savepoints=False)
        except WroteAndFailed:
            return self._attempt(PostgresTx, operations, savepoints=True)

    def _one_by_one(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run each in a transaction of its own: one that fails fails alone."""
        outcomes, signals = [], Signals()
        for operation in operations:
            try:
                (outcome,), told = self._again(operation)
            except Exception as e:  # noqa: BLE001 — those before it are committed, and must be told so
                outcomes.append(Failed(self._fault(e)))
                self._given_up(e)
            else:
                outcomes.append(outcome)
                signals.merge(told)
        return outcomes, signals

    def _again(self, operation: Operation[Any]) -> tuple[list[Any], Signals]:
        for _ in range(_COLLISIONS_MOST - 1):
            try:
                return self._settled([operation])
            except _COLLIDED:
                pass
        return self._settled([operation])

    def _attempt(
        self, kind: type[PostgresTx], operations: list[Operation[Any]], savepoints: bool
    ) -> tuple[list[Any], Signals]:
        pen = self._pen(kind.beside)
        link, (servers, lane, message, *paused) = pen.begin()
        now = self._now(servers)
        try:
            with link.bounded():
                outcomes, signals, memo, ends = [], Signals(), dict[Any, Any](), dict[Any, list[Any]]()
                for operation in operations:
                    tx = kind(link, now, self._origin, known=(lane, message))
                    if kind.beside:  # alone, an operation may change what one before it has read
                        tx.memo, tx.done, tx.lasting, tx.batch = memo, ends, self._lasting, len(operations)
                        tx.paused = frozenset(paused[0] or ())
                    outcomes.append(self._operate(operation, tx, pen, savepoints, signals))
                    if outcomes[-1] is not POSTPONED and not isinstance(outcomes[-1], Failed):
                        for what, item in tx.ends:
                            ends.setdefault(what, []).append(item)
                for what, items in ends.items():
                    tx = kind(link, now, self._origin)
                    tx.lasting = self._lasting
                    what(tx, items)
                if len(operations) > 1:
                    reach("spine.batch-written")
                if all(outcome is POSTPONED for outcome in outcomes):
                    link.rollback()  # no answer, and so no wait for disk and standby
                else:
                    self._gate.leave()
                    link.commit()
            return outcomes, signals
        except BaseException:
            self.on_rollback()
            link.rollback()
            raise

    def _given_up(self, error: Exception) -> None:
        pen: _Pen | None = getattr(self._writing, "pen", None)
        if pen is not None and isinstance(error, OutcomeUnknown | pg.ReadOnlySqlTransaction):
            pen.let_go()  # what became of it is not known, or it leads to a server that writes no more

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
