"""The embedded engine: SQLite in WAL mode with FULL sync, one writer thread with group commit, a pool of readers.

Every operation that waits when the writer comes round goes into one transaction; answers leave after its commit. No
operation has a savepoint of its own while all goes well: only when one fails after it wrote is the batch rolled back
and run again with savepoints, which keeps the others and drops that one.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import peewee as pw
import structlog

from contract.clock import Clock
from contract.errors import Internal, SpineError, StorageFull, Unavailable
from contract.killpoints import reach
from spine.store import checkpoint
from spine.store.checkpoint import Checkpoint
from spine.store.engine import Operation, Signals, Tx
from spine.store.handover import Asked, Failed, Turn, deliver
from spine.store.lock import refuse_half_restored, take_lock
from spine.store.migrations import migrate

T = TypeVar("T")
_log = structlog.get_logger()

BATCH_MOST = 256
_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "busy_timeout": 5000,
    "foreign_keys": 1,
    # Pages, 32 MiB: the pages that every batch changes are then written back once for many batches.
    "wal_autocheckpoint": 8192,
    "journal_size_limit": 64 * 1024 * 1024,
    "temp_store": "memory",
    "cache_size": -64 * 1024,
}
# After one of these the state of the files on disk is not known: only a fresh start may go on.
_FATAL = frozenset({"SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC", "SQLITE_CORRUPT", "SQLITE_NOTADB"})

# Faults of one operation's values: its neighbours are none the worse.
_REFUSED = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class StoreUnusable(RuntimeError):
    """The store's file cannot be opened: it is no store, it is damaged, or it cannot be written."""


class SqliteEngine:
    """The store of one server process.

    Args:
        data_dir: holds `spine.db` and `spine.lock`; made when missing.
        clock: `now` is read once per transaction.

    Raises:
        DataDirBusy: another process holds the lock; the message names its pid.
        HalfRestored: a restore into the directory was interrupted.
        NewerStore: a newer version wrote this store.
        StoreUnusable: the file in it cannot be opened. OSError: the directory cannot be used.
    """

    dialect = "sqlite"

    def __init__(self, data_dir: Path, clock: Clock, readers: int = 4) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = take_lock(data_dir)
        self._path = data_dir / "spine.db"
        self._clock = clock
        try:
            refuse_half_restored(data_dir)
            self._connection = self._open()
        except BaseException as e:
            os.close(self._lock)
            if isinstance(e, pw.DatabaseError | sqlite3.DatabaseError):
                raise StoreUnusable(f"{self._path} cannot be used: {e}") from e
            raise
        self.on_commit: Callable[[Signals], None] = lambda _signals: None
        self.batches = self.operations = 0
        self.folded: Checkpoint | None = None  # by the close
        self.on_rollback: Callable[[], None] = lambda: None
        self._queue: queue.SimpleQueue[list[Asked] | None] = queue.SimpleQueue()
        self._turn = Turn(self._put)
        self._closed = False
        self._closing = threading.Lock()
        self._reading = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(readers, "store-reader")
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._writer.start()

    def _open(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = pw.SqliteDatabase(
            str(self._path), pragmas=_PRAGMAS, check_same_thread=False
        ).connection()
        try:
            os.chmod(self._path, 0o600)
            migrate(connection, self.dialect, self._clock.now())
        except BaseException:
            connection.close()
            raise
        return connection

    # --- the interface ---------------------------------------------------------------------------------------------

    def write(self, operation: Operation[T]) -> "Future[T]":
        """Queue an operation for the next batch (see `Engine.write`)."""
        future: Future[T] = Future()
        self._put([Asked(operation, future)])
        return future

    def ask(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Queue an operation from a task of an event loop (see `Engine.ask`)."""
        return self._turn.ask(operation)

    def _put(self, asked: list[Asked]) -> None:
        with self._closing:  # nothing may be queued behind the writer's end: its future would never be resolved
            if not self._closed:
                self._queue.put(asked)
                return
        deliver(asked, [Failed(Unavailable("the store is closed"))] * len(asked))

    def read(self, operation: Operation[T]) -> "Future[T]":
        """Run an operation on a read-only connection of the pool."""
        try:
            return self._pool.submit(self._read, operation)
        except RuntimeError:  # the pool takes nothing more
            future: Future[T] = Future()
            future.set_exception(Unavailable("the store is closed"))
            return future

    def checkpoint(self) -> None:
        """Fold back of the write-ahead log what can be folded in passing (see `Engine.checkpoint`)."""
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            found = checkpoint.passive(self._path)
            _log.info("store.checkpoint", kind="passive", **found._asdict())
        except sqlite3.Error as e:
            raise _fault(e) from e

    def close(self) -> None:
        """Finish the queue, fold the write-ahead log back, give up the lock. `folded` tells how that went."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        self._pool.shutdown()
        for reader in self._readers:
            reader.close()
        try:
            self._connection.execute("PRAGMA optimize")
            self.folded = checkpoint.truncate(self._connection)
        except sqlite3.Error as e:
            _log.warning("store.checkpoint_failed", error=str(e))
        self._connection.close()
        os.close(self._lock)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self, operation: Operation[T]) -> T:
        connection = getattr(self._reading, "connection", None)
        if connection is None:
            database = pw.SqliteDatabase(
                f"{self._path.resolve().as_uri()}?mode=ro",
                uri=True,
                pragmas={"query_only": 1, "busy_timeout": 5000, "cache_size": -16 * 1024},
                check_same_thread=False,  # closed by whoever closes the store
            )
            connection = self._reading.connection = database.connection()
            self._readers.append(connection)
        connection.execute("BEGIN")  # one snapshot for all of the operation's statements
        try:
            return operation(Tx(connection, self.dialect, self._clock.now()))
        except sqlite3.Error as e:
            raise _fault(e) from e
        finally:
            connection.rollback()

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write_loop(self) -> None:
        while (asked := self._queue.get()) is not None:
            batch = list(asked)
            last = False
            while len(batch) < BATCH_MOST:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch += more
            for n in range(0, len(batch), BATCH_MOST):
                self._write_batch(batch[n : n + BATCH_MOST])
            if last:
                return

    def _write_batch(self, asked: list[Asked]) -> None:
        batch = [each for each in asked if each.begin()]  # what nobody waits for any more is left undone
        if not batch:
            return
        try:
            outcomes, signals = self._transact([each.operation for each in batch])
        except Exception as e:  # noqa: BLE001 — the outermost turn of the writer: nothing of the batch was written
            fault = _fault(e)
            _log.error("store.batch_failed", error=str(e), kind=type(e).__name__, operations=len(batch))
            deliver(batch, [Failed(fault)] * len(batch))
            if isinstance(e, sqlite3.Error) and getattr(e, "sqlite_errorname", "") in _FATAL:
                _log.error("store.fatal", error=str(e))
                os._exit(70)
            return
        if len(batch) > 1:
            reach("spine.batch-committed")
        self.batches, self.operations = self.batches + 1, self.operations + len(batch)
        try:
            self.on_commit(signals)
        except Exception:  # noqa: BLE001 — a hint that nobody takes must not end the writer
            _log.exception("store.signals_failed")
        deliver(batch, outcomes)

    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction; twice when one of them failed after it had written."""
        try:
            return self._attempt(operations, savepoints=False)
        except _WroteAndFailed:
            return self._attempt(operations, savepoints=True)

    def _attempt(self, operations: list[Operation[Any]], savepoints: bool) -> tuple[list[Any], Signals]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes, signals, now = [], Signals(), self._clock.now()
            for operation in operations:
                outcomes.append(self._operate(operation, now, savepoints, signals))
                if not connection.in_transaction:
                    raise StorageFull("SQLite ended the transaction: the disk is full or fails")
            if len(operations) > 1:
                reach("spine.batch-written")
            connection.execute("COMMIT")
            return outcomes, signals
        except BaseException:
            self.on_rollback()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _operate(self, operation: Operation[Any], now: int, savepoint: bool, signals: Signals) -> Any:
        connection = self._connection
        before = connection.total_changes
        if savepoint:
            connection.execute("SAVEPOINT operation")
        tx = Tx(connection, self.dialect, now)
        try:
            value = operation(tx)
        except _REFUSED as e:
            outcome = Failed(Internal(f"the store refused: {e}"))
            _log.error("store.refused", error=str(e), kind=type(e).__name__)
        except sqlite3.Error:
            raise
        except SpineError as e:
            outcome = Failed(e)
        except Exception as e:  # noqa: BLE001 — a fault of one operation must not take its neighbours down
            _log.exception("store.operation_failed")
            outcome = Failed(Internal(f"the operation failed ({type(e).__name__})"))
        else:
            if savepoint:
                connection.execute("RELEASE operation")
            signals.merge(tx.signals)
            return value
        if savepoint:
            self.on_rollback()
            connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
        elif connection.total_changes != before:
            raise _WroteAndFailed
        return outcome


class _WroteAndFailed(Exception):
    """An operation failed after it had written: its batch must be run again, with savepoints."""


def _fault(error: Exception) -> Exception:
    """Turn a driver's error into one that a client can act on."""
    if isinstance(error, SpineError):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_FULL" or "disk is full" in str(error):
        return StorageFull()
    if name.startswith("SQLITE_IOERR"):
        return StorageFull("the disk refuses to write; nothing was changed")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable("the store is busy; try again")
    return Internal(f"the store failed ({name or type(error).__name__})")
