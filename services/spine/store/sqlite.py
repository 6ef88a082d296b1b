"""The embedded engine: SQLite in WAL mode with FULL sync, one writer thread with group commit, a pool of readers."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, TypeVar

import peewee as pw
import structlog

from contract.clock import Clock
from contract.errors import Internal, SpineError, StorageFull, Unavailable
from contract.killpoints import reach
from spine.store import checkpoint
from spine.store.checkpoint import Checkpoint
from spine.store.engine import Operation, Signals, StoreUnusable, Tx
from spine.store.lock import refuse_half_restored, take_lock
from spine.store.marks import refuse_moved
from spine.store.migrations import migrate
from spine.store.writer import Writer, WroteAndFailed

T = TypeVar("T")
_log = structlog.get_logger()

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


class _Pen:
    """What keeps the operations of a batch apart (see `Pen`)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.run = connection.execute

    @property
    def changes(self) -> int:
        return self._connection.total_changes


class SqliteEngine(Writer):
    """The store of one server process.

    Args:
        data_dir: holds `spine.db` and `spine.lock`; made when missing.
        clock: `now` is read once per transaction.

    Raises:
        DataDirBusy: another process holds the lock; the message names its pid.
        HalfRestored: a restore into the directory was interrupted.
        NewerStore: a newer version wrote this store.
        StoreUnusable: the file in it cannot be opened, or was moved to a database.
        OSError: the directory cannot be used.
    """

    dialect = "sqlite"
    refused = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    failed = sqlite3.Error

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
        super().__init__(readers)
        self._pen = _Pen(self._connection)
        self.folded: Checkpoint | None = None  # by the close
        self._reading = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self.start()

    def _open(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = pw.SqliteDatabase(
            str(self._path), pragmas=_PRAGMAS, check_same_thread=False
        ).connection()
        try:
            os.chmod(self._path, 0o600)
            migrate(connection, self.dialect, self._clock.now())
            refuse_moved(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    # --- the interface ---------------------------------------------------------------------------------------------

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
        if not self.finish():
            return
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

    def _given_up(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in _FATAL:
            _log.error("store.fatal", error=str(error))
            os._exit(70)

    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction; twice when one of them failed after it had written."""
        try:
            return self._attempt(operations, savepoints=False)
        except WroteAndFailed:
            return self._attempt(operations, savepoints=True)

    def _attempt(self, operations: list[Operation[Any]], savepoints: bool) -> tuple[list[Any], Signals]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes, signals, now = [], Signals(), self._clock.now()
            for operation in operations:
                outcomes.append(
                    self._operate(operation, Tx(connection, self.dialect, now), self._pen, savepoints, signals)
                )
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

    def _fault(self, error: Exception) -> Exception:
        return _fault(error)


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
