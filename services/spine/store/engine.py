"""The interface of a store: operations in, futures out. SQLite and PostgreSQL implement it, each in a driver.

An operation is a function of a `Tx` that touches nothing but the transaction, so that an engine may run it again.
One that is refused raises before it writes, or returns a `Refusal` when what it wrote must stay.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from contract.errors import SpineError
from spine.store.statement import Statement

T = TypeVar("T")


class StoreUnusable(RuntimeError):
    """The store cannot be opened: it is no store, it is damaged, or it cannot be written."""


class StoreAway(StoreUnusable):
    """The store cannot be reached, or lets nobody in; it may later."""


@dataclass(frozen=True)
class Refusal:
    """An answer that refuses, from an operation whose writes are kept (a late result, a buried job)."""

    error: SpineError


class Step(NamedTuple):
    """A step of a job, for its trace: `what` in the words of messaging, `by` which verb, when it began and ended (ms).

    `traceparent` is the job's. `fence`: of the attempt; 0 where there is none yet. `outcome`: what the attempt came to.
    """

    what: str
    by: str
    job_id: str
    target: str
    traceparent: str | None
    fence: int
    begun: int
    ended: int
    outcome: str | None = None


@dataclass
class Signals:
    """What a committed batch tells the rest of the server. A hint, never the truth.

    `lanes`: lane id → how many jobs became claimable; `deadline`: the earliest new lease end (ms); `events`: some were
    written; `everything`: more than a lane may be claimable; `logs`: jobs whose log grew or ended;
    `notices`: some are due now; `firing`: the earliest new moment (ms) at which there is something to do for schedules;
    `messages`: readers for whom one was written; `tokens`: who is let in has changed.

    For the metrics of this server, since an operation may be run more than once and is committed once: `waits`: of each
    claim the target and how long the job had been queued (ms); `runs`: of each run that ended the target, how, and how
    long it took (ms); `expired`: leases that were over and that no reaper ended. For traces, of the same: `steps`.
    """

    lanes: dict[int, int] = field(default_factory=dict)
    deadline: int | None = None
    events: bool = False
    everything: bool = False
    logs: set[str] = field(default_factory=set)
    notices: bool = False
    firing: int | None = None
    messages: set[str] = field(default_factory=set)
    tokens: bool = False
    waits: list[tuple[str, int]] = field(default_factory=list)
    runs: list[tuple[str, str, int]] = field(default_factory=list)
    expired: int = 0
    steps: list[Step] = field(default_factory=list)

    def merge(self, other: "Signals") -> None:
        """Add what another operation told."""
        for lane, count in other.lanes.items():
            self.lanes[lane] = self.lanes.get(lane, 0) + count
        if other.deadline is not None:
            self.deadline = min(other.deadline, self.deadline or other.deadline)
        self.events = self.events or other.events
        self.everything = self.everything or other.everything
        self.logs |= other.logs
        self.notices = self.notices or other.notices
        self.messages |= other.messages
        self.tokens = self.tokens or other.tokens
        self.waits += other.waits
        self.runs += other.runs
        self.expired += other.expired
        self.steps += other.steps
        if other.firing is not None:
            self.fire(other.firing)

    def fire(self, moment: int) -> None:
        """Tell of a moment (ms) at which there is something to do for schedules."""
        self.firing = moment if self.firing is None else min(moment, self.firing)


class Tx:
    """One transaction: `now` (ms, read once), statements, and the signals to give after the commit.

    `beside`: whether others write at the same time. `page`: how many rows of a long list to ask for at first, where
    not all of them may be needed; where rows are fetched one by one that is all of them. `known`: the newest lane and
    the newest message as the transaction began, by which a cache of them tells that another server has added some; a
    server that is the only one has no need of it. `paused`: the targets that were paused then, where that was asked.
    `batch`: of how many operations it is. `memo`: what operations of one transaction beside others leave for those
    after them; `done`: what those before it have put off to the end, if they are through; `lasting`: what they leave
    for later transactions of this server, which may be of no use to them.
    """

    beside = False
    page = 1 << 30
    known: tuple[int, int] = (0, 0)
    paused: frozenset[str] | None = None
    batch = 1

    def __init__(self, connection: Any, dialect: str, now: int) -> None:
        self._execute = connection.execute
        self._dialect = dialect
        self.now = now
        self.signals = Signals()
        self.memo: dict[Any, Any] = {}
        self.done: dict[Any, list[Any]] = {}
        self.lasting: dict[Any, Any] = {}
        self.ends: list[tuple[Callable[[Tx, list[Any]], None], Any]] = []

    def at_end(self, what: "Callable[[Tx, list[Any]], None]", item: Any) -> None:
        """Have something done once all operations of a transaction beside others are through, if this one is.

        It is done for all items at once. What reads the same rows in the transaction does not see it yet.
        """
        self.ends.append((what, item))

    def alone(self) -> None:
        """Ask to be the only one that writes, before what needs it. The operation is begun again when it is not."""

    @property
    def settled(self) -> int:
        """Return the place below which no event comes any more: all that stands there is seen, for good."""
        return NEVER

    def run(self, statement: Statement, **values: Any) -> int:
        """Run a statement, return how many rows it changed."""
        sql, names = statement.compiled(self._dialect)
        count: int = self._execute(sql, [values[name] for name in names]).rowcount
        return count

    def insert(self, statement: Statement, **values: Any) -> int:
        """Run an insert, return the new row's integer key."""
        sql, names = statement.compiled(self._dialect)
        key: int = self._execute(sql, [values[name] for name in names]).lastrowid
        return key

    def insert_row(self, statement: Statement, row: object) -> int:
        """Run an insert whose parameters are attributes of a row, return the new row's integer key."""
        sql, values = statement.reader(self._dialect)
        key: int = self._execute(sql, values(row)).lastrowid
        return key

    def one(self, statement: Statement, **values: Any) -> Sequence[Any] | None:
        """Return the first row, or None."""
        sql, names = statement.compiled(self._dialect)
        row: Sequence[Any] | None = self._execute(sql, [values[name] for name in names]).fetchone()
        return row

    def held(self, statement: Statement, **values: Any) -> Sequence[Any] | None:
        """The same as `one`; nobody else changes the row before this transaction ends, if it writes at all."""
        return self.one(statement, **values)

    def rows(self, statement: Statement, **values: Any) -> Iterator[Sequence[Any]]:
        """Iterate over the rows, fetched as they are asked for."""
        sql, names = statement.compiled(self._dialect)
        return iter(self._execute(sql, [values[name] for name in names]))


Operation = Callable[[Tx], T]
NEVER = 2**63 - 1


class Engine(Protocol):
    """What the queue and the server need of a store."""

    on_commit: Callable[[Signals], None]
    # What was committed since the start: figures for the metrics.
    batches: int
    operations: int
    on_rollback: Callable[[], None]  # what was cached of the store may be wrong now

    def write(self, operation: Operation[T], beside: bool = False) -> "Future[T]":
        """Run an operation in a transaction; the future is resolved only after its commit is on disk.

        `beside`: it may run while others write, and calls `Tx.alone` where that would be wrong. A store with one writer
        makes no difference.

        Raises (through the future):
            SpineError: the operation was refused, and nothing of it was written.
            StorageFull, Unavailable: the store could not commit; nothing of it was written.
            OutcomeUnknown: the store was lost during the commit; it was written, or it was not.
        """

    def ask(self, operation: Operation[T], beside: bool = False) -> "asyncio.Future[T]":
        """The same for a task of an event loop, whose future it returns."""

    def read(self, operation: Operation[T]) -> "Future[T]":
        """Run an operation that only reads, on a snapshot."""

    def checkpoint(self) -> None:
        """Bring what is committed to where it stays, while everything goes on. Nothing depends on it.

        Raises:
            SpineError: the store cannot be read or written; nothing is lost.
        """

    def close(self) -> None:
        """Finish what was given, then close. Later calls fail."""
