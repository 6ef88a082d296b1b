"""Group commit: one writer thread, many operations a transaction, answers after its commit. Drivers are subclasses.

Every operation that waits when the writer comes round goes into one transaction. No operation has a savepoint of its
own while all goes well: only when one fails after it wrote is the batch rolled back and run again with savepoints,
which keeps the others and drops that one.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import structlog

from contract.errors import Internal, SpineError, Unavailable
from contract.killpoints import reach
from spine.store.engine import Operation, Signals, Tx
from spine.store.handover import Asked, Failed, Turn, deliver

T = TypeVar("T")
_log = structlog.get_logger()

BATCH_MOST = 256


class WroteAndFailed(Exception):
    """An operation failed after it had written: its batch must be run again, with savepoints."""


class Writer(ABC):
    """What every engine does alike. A driver makes its connection, calls `start`, and ends with `finish`.

    `refused`: its driver's faults of one operation's values, whose neighbours are none the worse; `failed`: all others.
    """

    refused: ClassVar[tuple[type[Exception], ...]]
    failed: ClassVar[type[Exception]]

    def __init__(self, readers: int) -> None:
        self.on_commit: Callable[[Signals], None] = lambda _signals: None
        self.on_rollback: Callable[[], None] = lambda: None
        self.batches = self.operations = 0
        self._queue: queue.SimpleQueue[list[Asked] | None] = queue.SimpleQueue()
        self._turn = Turn(self._put)
        self._closed = False
        self._closing = threading.Lock()
        self._pool = ThreadPoolExecutor(readers, "store-reader")
        self._thread = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def finish(self) -> bool:
        """Carry out what was given, then write and read no more; False when that was asked for before."""
        with self._closing:
            if self._closed:
                return False
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._pool.shutdown()
        return True

    # --- what a driver does ----------------------------------------------------------------------------------------

    @abstractmethod
    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction and commit it, or raise; see `_operate`."""

    @abstractmethod
    def _read(self, operation: Operation[T]) -> T:
        """Run an operation on a snapshot, in a thread of the pool."""

    @abstractmethod
    def _fault(self, error: Exception) -> Exception:
        """Turn a driver's error into one that a client can act on."""

    @abstractmethod
    def _run(self, sql: str) -> object:
        """Run a statement on the writer's connection."""

    @abstractmethod
    def _changes(self) -> int:
        """Return a number that is another one once the writer's connection has written."""

    @abstractmethod
    def _given_up(self, error: Exception) -> None:
        """Learn that a batch failed, once its futures are resolved."""

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
        except Exception as e:  # noqa: BLE001 — the outermost turn of the writer: nothing of the batch is acknowledged
            fault = self._fault(e)
            _log.error("store.batch_failed", error=str(e), kind=type(e).__name__, operations=len(batch))
            deliver(batch, [Failed(fault)] * len(batch))
            self._given_up(e)
            return
        if len(batch) > 1:
            reach("spine.batch-committed")
        self.batches, self.operations = self.batches + 1, self.operations + len(batch)
        try:
            self.on_commit(signals)
        except Exception:  # noqa: BLE001 — a hint that nobody takes must not end the writer
            _log.exception("store.signals_failed")
        deliver(batch, outcomes)

    def _operate(self, operation: Operation[Any], tx: Tx, savepoint: bool, signals: Signals) -> Any:
        """Run one operation of a batch; return its value, or `Failed`.

        Raises:
            WroteAndFailed: it failed after it wrote, and had no savepoint.
        """
        before = self._changes()
        if savepoint:
            self._run("SAVEPOINT operation")
        try:
            value = operation(tx)
        except self.refused as e:
            outcome = Failed(Internal(f"the store refused: {e}"))
            _log.error("store.refused", error=str(e), kind=type(e).__name__)
        except self.failed:
            raise
        except SpineError as e:
            outcome = Failed(e)
        except Exception as e:  # noqa: BLE001 — a fault of one operation must not take its neighbours down
            _log.exception("store.operation_failed")
            outcome = Failed(Internal(f"the operation failed ({type(e).__name__})"))
        else:
            if savepoint:
                self._run("RELEASE operation")
            signals.merge(tx.signals)
            return value
        if savepoint:
            self.on_rollback()
            self._run("ROLLBACK TO operation")
            self._run("RELEASE operation")
        elif self._changes() != before:
            raise WroteAndFailed
        return outcome
