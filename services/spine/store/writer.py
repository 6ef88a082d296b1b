"""Group commit: operations that wait go into one transaction, answers after its commit. Drivers are subclasses.

Every operation that waits when a writer comes round goes into one transaction. No operation has a savepoint of its
own while all goes well: only when one fails after it wrote is the batch rolled back and run again with savepoints,
which keeps the others and drops that one.

There is one writer to whom no other writes, and, where the store can do with several at once, some beside each other.
These take only what says that it may run so; what turns out to need more (`Tx.alone`) goes on to the other one.
"""

import asyncio
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, ClassVar, Protocol, TypeVar

import structlog

from contract.errors import Conflict, Internal, SpineError, Unavailable
from contract.killpoints import reach
from spine.store.engine import Operation, Signals, Tx
from spine.store.handover import Asked, Carried, Failed, Gate, Turn, deliver

T = TypeVar("T")
_log = structlog.get_logger()

BATCH_MOST = 256
GATHER_SECONDS = 0.005
"""How long a batch beside others waits at most for as many operations as the one before it was of. A lone one does not:
most of what a batch costs it costs once, and whoever was answered just now is likely to ask for the next."""


class WroteAndFailed(Exception):
    """An operation failed after it had written: its batch must be run again, with savepoints."""


class MustBeAlone(Exception):
    """An operation cannot be carried out while others write."""


class Postponed:
    """In place of a value: nothing was done, and the operation is to be run alone."""


POSTPONED = Postponed()


class Pen(Protocol):
    """A writer's connection: what is needed of it to keep the operations of a batch apart."""

    @property
    def changes(self) -> int:
        """A number that is another one once the connection has written."""

    def run(self, sql: str) -> object:
        """Run a statement without values."""


class Writer(ABC):
    """What every engine does alike. A driver makes its connections, calls `start`, and ends with `finish`.

    `refused`: its driver's faults of one operation's values, whose neighbours are none the worse; `failed`: all others.
    """

    refused: ClassVar[tuple[type[Exception], ...]]
    failed: ClassVar[type[Exception]]

    def __init__(self, readers: int, besides: int = 0) -> None:
        self.on_commit: Callable[[Signals], None] = lambda _signals: None
        self.on_rollback: Callable[[], None] = lambda: None
        self.batches = self.operations = 0
        self._counting = threading.Lock()
        self._queue: queue.SimpleQueue[list[Asked] | None] = queue.SimpleQueue()
        self._beside: queue.SimpleQueue[list[Asked] | None] = queue.SimpleQueue()
        self._turn = Turn(self._put)
        # Of those beside each other: who takes the next batch, of how many the last one was, who is at its statements
        # (a driver leaves before it commits).
        self._taking, self._came, self._gate = threading.Lock(), 1, Gate()
        self._closed = False
        self._closing = threading.Lock()
        self._pool = ThreadPoolExecutor(readers, "store-reader")
        self._thread = threading.Thread(target=self._write_loop, args=(self._queue, False), name="store-writer")
        self._others = [
            threading.Thread(target=self._write_loop, args=(self._beside, True), name=f"store-writer-{n}")
            for n in range(besides)
        ]
        for thread in (self._thread, *self._others):
            thread.daemon = True

    def start(self) -> None:
        """Begin to write."""
        for thread in (self._thread, *self._others):
            thread.start()

    def finish(self) -> bool:
        """Carry out what was given, then write and read no more; False when that was asked for before."""
        with self._closing:
            if self._closed:
                return False
            self._closed = True
        for _ in self._others:
            self._beside.put(None)
        for thread in self._others:
            thread.join()
        self._queue.put(None)  # after what the others have handed on
        self._thread.join()
        self._pool.shutdown()
        return True

    # --- what a driver does ----------------------------------------------------------------------------------------

    @abstractmethod
    def _transact(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """Run all in one transaction while nobody else writes, and commit it, or raise; see `_operate`."""

    def _transact_beside(self, operations: list[Operation[Any]]) -> tuple[list[Any], Signals]:
        """The same while others write; `POSTPONED` in place of the values of those that cannot be run so."""
        raise NotImplementedError

    @abstractmethod
    def _read(self, operation: Operation[T]) -> T:
        """Run an operation on a snapshot, in a thread of the pool."""

    @abstractmethod
    def _fault(self, error: Exception) -> Exception:
        """Turn a driver's error into one that a client can act on."""

    @abstractmethod
    def _given_up(self, error: Exception) -> None:
        """Learn that a batch of this thread failed, once its futures are resolved."""

    # --- the interface ---------------------------------------------------------------------------------------------

    def write(self, operation: Operation[T], beside: bool = False) -> "Future[T]":
        """Queue an operation for the next batch (see `Engine.write`)."""
        future: Future[T] = Future()
        self._put([Asked(operation, future, beside)])
        return future

    def ask(self, operation: Operation[T], beside: bool = False) -> "asyncio.Future[T]":
        """Queue an operation from a task of an event loop (see `Engine.ask`)."""
        return self._turn.ask(operation, beside)

    def _put(self, asked: list[Asked]) -> None:
        with self._closing:  # nothing may be queued behind a writer's end: its future would never be resolved
            if not self._closed:
                self._hand_out(asked)
                return
        deliver(asked, [Failed(Unavailable("the store is closed"))] * len(asked))

    def _hand_out(self, asked: list[Asked]) -> None:
        if not self._others:
            self._queue.put(asked)
            return
        for line, found in (
            (self._queue, [each for each in asked if not each.beside]),
            (self._beside, [each for each in asked if each.beside]),
        ):
            if found:
                line.put(found)

    def read(self, operation: Operation[T]) -> "Future[T]":
        """Run an operation on a read-only connection of the pool."""
        try:
            return self._pool.submit(self._read, operation)
        except RuntimeError:  # the pool takes nothing more
            future: Future[T] = Future()
            future.set_exception(Unavailable("the store is closed"))
            return future

    # --- writing ---------------------------------------------------------------------------------------------------

    def _write_loop(self, line: "queue.SimpleQueue[list[Asked] | None]", beside: bool) -> None:
        last = False
        while not last:
            with self._taking if beside else nullcontext():  # whoever waits for its turn has taken nothing
                asked = line.get()
                if asked is None:
                    return
                if beside:
                    self._gate.enter()
                batch, last = self._waiting(line, asked, self._came if beside else 1)
                if beside:
                    self._came = len(batch)
            try:
                for n in range(0, len(batch), BATCH_MOST):
                    self._write_batch(batch[n : n + BATCH_MOST], beside)
            finally:
                self._gate.leave()

    def _waiting(
        self, line: "queue.SimpleQueue[list[Asked] | None]", asked: list[Asked], wanted: int
    ) -> tuple[list[Asked], bool]:
        """Return what waits, for as many as are wanted after a moment; tell too whether nothing comes after it."""
        batch, until = list(asked), time.monotonic() + GATHER_SECONDS
        while len(batch) < BATCH_MOST:
            left = until - time.monotonic() if len(batch) < wanted else 0.0
            try:
                more = line.get(timeout=left) if left > 0 else line.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch += more
        return batch, False

    def _write_batch(self, asked: list[Asked], beside: bool) -> None:
        batch = [each for each in asked if each.begin()]  # what nobody waits for any more is left undone
        if not batch:
            return
        try:
            transact = self._transact_beside if beside else self._transact
            outcomes, signals = transact([each.operation for each in batch])
        except Exception as e:  # noqa: BLE001 — the outermost turn of a writer: nothing of the batch is acknowledged
            fault = self._fault(e)
            _log.error("store.batch_failed", error=str(e), kind=type(e).__name__, operations=len(batch))
            deliver(batch, [Failed(fault)] * len(batch))
            self._given_up(e)
            return
        later = [each._replace(begun=True) for each, got in zip(batch, outcomes, strict=True) if got is POSTPONED]
        if later:
            self._queue.put(later)
            done = [n for n, outcome in enumerate(outcomes) if outcome is not POSTPONED]
            batch, outcomes = [batch[n] for n in done], [outcomes[n] for n in done]
            if not batch:
                return
        if len(batch) > 1:
            reach("spine.batch-committed")
        with self._counting:
            self.batches, self.operations = self.batches + 1, self.operations + len(batch)
        try:
            self.on_commit(signals)
        except Exception:  # noqa: BLE001 — a hint that nobody takes must not end the writer
            _log.exception("store.signals_failed")
        deliver(batch, outcomes)

    def _operate(self, operation: Operation[Any], tx: Tx, pen: Pen, savepoint: bool, signals: Signals) -> Any:
        """Run one operation of a batch; return its value, `Failed` or `POSTPONED`.

        Raises:
            WroteAndFailed: it failed after it wrote, and had no savepoint.
        """
        before = pen.changes
        if savepoint:
            pen.run("SAVEPOINT operation")
        outcome: object
        try:
            value = operation(tx)
        except MustBeAlone:
            outcome = POSTPONED
        except self.refused as e:
            if tx.beside:
                raise
            outcome = Failed(Internal(f"the store refused: {e}"))
            _say(operation, _log.error, "store.refused", error=str(e), kind=type(e).__name__)
        except self.failed:
            raise
        except Conflict as e:
            outcome = POSTPONED if tx.beside else Failed(e)  # another writer was there first: look again
        except SpineError as e:
            outcome = Failed(e)
        except Exception as e:  # noqa: BLE001 — a fault of one operation must not take its neighbours down
            _say(operation, _log.exception, "store.operation_failed")
            outcome = Failed(Internal(f"the operation failed ({type(e).__name__})"))
        else:
            if savepoint:
                pen.run("RELEASE operation")
            signals.merge(tx.signals)
            return value
        if savepoint:
            self.on_rollback()
            pen.run("ROLLBACK TO operation")
            pen.run("RELEASE operation")
        elif pen.changes != before:
            raise WroteAndFailed
        return outcome


def _say(operation: Operation[Any], tell: Callable[..., object], event: str, **about: Any) -> None:
    """Log a line about an operation, with the request that it is of."""
    if isinstance(operation, Carried):
        operation.say(tell, event, **about)
    else:
        tell(event, **about)
