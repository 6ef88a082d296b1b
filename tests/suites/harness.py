"""A store of any engine and the queue's verbs on it, said shortly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.suites.manual_clock import ManualClock

from contract import wire
from contract.clock import Clock
from spine.queue import claim, fleet, history, joblog, listing, reap, settle, steer
from spine.queue import comment as commenting
from spine.queue import submit as submitting
from spine.queue import why as explaining
from spine.queue.access import Caller, Principal
from spine.queue.causes import NONE, Wish
from spine.queue.rules import Rules
from spine.store import attempts, events, jobs
from spine.store.attempts import AttemptRow
from spine.store.engine import Engine, Operation, Refusal, Signals, Tx
from spine.store.events import EventRow
from spine.store.jobs import JobRow
from spine.store.listing import Filter
from spine.store.models import TABLES
from spine.store.statement import Statement

T = TypeVar("T")
OpenEngine = Callable[[Path, Clock], Engine]

LEASE_SECONDS = 300
ACCEPT_SECONDS = 15
LOG_MOST = 200_000
STORE_ID = "abc123"

HEAD = Caller(Principal("head", "head"))
LEFT = Caller(Principal("left-claw", "claw"), "l1")
LEFT2 = Caller(Principal("left-claw", "claw"), "l2")
RIGHT = Caller(Principal("right-claw", "claw"), "r1")
V0_LEFT = Caller(Principal("left-claw", "claw"))

Dump = dict[str, list[tuple[Any, ...]]]


class Raw(Statement):
    """SQL as it stands, with `?` for each named value."""

    def __init__(self, sql: str, *names: str) -> None:
        super().__init__(None)
        self._text, self._names = sql, names

    def compiled(self, dialect: str) -> tuple[str, tuple[str, ...]]:
        """Return the SQL with the dialect's place marks."""
        return self._text if dialect == "sqlite" else self._text.replace("?", "%s"), self._names


def new_rules() -> Rules:
    """Return the rules that the suites go by."""
    return Rules(
        lease_ms=LEASE_SECONDS * 1000,
        accept_lease_ms=ACCEPT_SECONDS * 1000,
        default_max_attempts=5,
        targets={"left-claw", "right-claw"},
        log_max_bytes=LOG_MOST,
    )


def plain(value: T | Refusal) -> T:
    """Return a verb's value, or raise the error that it refuses with."""
    if isinstance(value, Refusal):
        raise value.error
    return value


class Store:
    """A store under test."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine, self.clock = engine, clock
        self.rules = new_rules()
        engine.on_rollback = self.rules.forget
        engine.on_commit = self._told
        self.signals = Signals()

    def _told(self, signals: Signals) -> None:
        self.signals.merge(signals)

    def write(self, operation: Operation[T]) -> T:
        """Run an operation to its end. Beside other writers first: where that is wrong it has to say so by itself."""
        return self.engine.write(operation, beside=True).result(90)

    def read(self, operation: Operation[T]) -> T:
        """Run a reading operation."""
        return self.engine.read(operation).result(90)

    def dump(self) -> Dump:
        """Return every row of every table."""

        def rows(tx: Tx) -> Dump:
            names = [model._meta.table_name for model in TABLES]
            return {name: sorted((tuple(r) for r in tx.rows(Raw(f"SELECT * FROM {name}"))), key=repr) for name in names}

        return self.read(rows)

    # --- verbs -----------------------------------------------------------------------------------------------------

    def submit(self, caller: Caller = HEAD, **fields: Any) -> JobRow:
        """Submit a job; `fields` as on the wire."""
        request = msgspec.json.decode(msgspec.json.encode(fields), type=wire.Submit)

        def verb(tx: Tx) -> JobRow:
            submitting.check(self.rules, request)
            return submitting.submit(tx, self.rules, caller, request)[0]

        return self.write(verb)

    def take(self, caller: Caller = LEFT, most: int = 1, capabilities: tuple[str, ...] = ()) -> list[JobRow]:
        """Claim the next jobs."""
        targets, can = claim.targets_of(caller, None), frozenset(capabilities)
        return self.write(lambda tx: claim.claim_next(tx, self.rules, caller, targets, can, most))

    def take_one(self, caller: Caller = LEFT) -> JobRow:
        """Claim the next job, which must be there, and confirm it by a heartbeat."""
        (job,) = self.take(caller)
        return self.beat(job.id, job.fence, caller)

    def claim(self, job_id: str, caller: Caller = LEFT, capabilities: frozenset[str] | None = None) -> JobRow:
        """Claim one job by id."""
        return plain(self.write(lambda tx: claim.claim_one(tx, self.rules, caller, job_id, capabilities)))

    def beat(self, job_id: str, fence: int | None, caller: Caller = LEFT, progress: str | None = None) -> JobRow:
        """Send a heartbeat."""
        return self.write(lambda tx: settle.heartbeat(tx, self.rules, caller, job_id, fence, progress))[0]

    def complete(self, job_id: str, fence: int | None, caller: Caller = LEFT, result: str | None = '"ok"') -> JobRow:
        """Report success."""
        return plain(self.write(lambda tx: settle.complete(tx, caller, job_id, fence, result)))

    def fail(
        self,
        job_id: str,
        fence: int | None,
        caller: Caller = LEFT,
        error: str | None = "broke",
        requeue: bool = True,
        result: str | None = None,
        wish: Wish = NONE,
    ) -> JobRow:
        """Report failure."""
        return plain(self.write(lambda tx: settle.fail(tx, caller, job_id, fence, error, requeue, result, wish)))

    def release(
        self,
        job_id: str,
        fence: int | None,
        caller: Caller = LEFT,
        reason: str | None = None,
        count_attempt: bool = True,
        wish: Wish = NONE,
    ) -> JobRow:
        """Give a job back."""
        return self.write(lambda tx: settle.release(tx, caller, job_id, fence, reason, count_attempt, wish))

    def comment(self, job_id: str, text: str, caller: Caller = HEAD) -> JobRow:
        """Add a comment."""
        return self.write(lambda tx: commenting.comment(tx, caller, job_id, text))

    def append(self, job_id: str, fence: int | None, offset: int | None, data: bytes, caller: Caller = LEFT) -> int:
        """Append to a log; return its size."""
        return self.write(lambda tx: joblog.append(tx, self.rules, caller, job_id, fence, offset, data))[1]

    # --- a head's decisions ----------------------------------------------------------------------------------------

    def submit_all(self, *items: dict[str, Any]) -> list[tuple[JobRow, bool]]:
        """Submit a list; return each job and whether it is new."""
        requests = msgspec.json.decode(msgspec.json.encode(items), type=list[wire.Submit])
        return self.write(lambda tx: submitting.submit_all(tx, self.rules, HEAD, requests))

    def cancel(self, job_id: str, reason: str | None = None) -> JobRow:
        """Cancel a job."""
        return self.write(lambda tx: steer.cancel(tx, HEAD, job_id, reason))

    def approve(self, job_id: str, digest: str | None = None) -> JobRow:
        """Approve a job."""
        return self.write(lambda tx: steer.approve(tx, HEAD, job_id, digest))

    def reject(self, job_id: str, reason: str | None = None) -> JobRow:
        """Refuse to approve a job."""
        return self.write(lambda tx: steer.reject(tx, HEAD, job_id, reason))

    def review(self, job_id: str, decision: str, text: str | None = None) -> JobRow:
        """Accept a job, or send it back."""
        return self.write(lambda tx: steer.review(tx, HEAD, job_id, wire.Review(decision=decision, text=text)))

    def retry(self, job_id: str) -> JobRow:
        """Queue an ended job again."""
        return self.write(lambda tx: steer.retry(tx, HEAD, job_id))

    def adopt(self, job_id: str, fence: int) -> JobRow:
        """Take a late result."""
        return self.write(lambda tx: steer.adopt(tx, HEAD, job_id, fence))

    def machine(self, name: str, state: str) -> None:
        """Drain, pause or resume a machine that has been heard of."""
        self.write(lambda tx: fleet.set_state(tx, HEAD, name, state))

    def target(self, name: str, paused: bool) -> None:
        """Pause or resume a target."""
        self.write(lambda tx: fleet.pause_target(tx, HEAD, name, paused))

    def reap(self) -> tuple[int, int | None]:
        """Make one pass of the reaper."""
        done = self.write(reap.reap)
        return done.ended, done.following

    # --- looks -----------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobRow:
        """Return a job that must be there."""
        found = self.read(lambda tx: jobs.find(tx, job_id))
        assert found is not None
        return found

    def why(self, job_id: str) -> list[tuple[str, list[str]]]:
        """Return the codes of the reasons why a job does not run, each with the jobs that it names."""
        job = self.job(job_id)
        return [(r.code, r.jobs) for r in self.read(lambda tx: explaining.why(tx, job)).reasons]

    def attempts(self, job_id: str) -> list[AttemptRow]:
        """Return a job's claims."""
        return self.read(lambda tx: attempts.of_job(tx, job_id))

    def events(self, job_id: str) -> list[EventRow]:
        """Return a job's events."""
        return self.read(lambda tx: events.of_job(tx, job_id, 0, 10_000))

    def event_types(self, job_id: str) -> list[str]:
        """Return the types of a job's events."""
        return [event.type for event in self.events(job_id)]

    def page(
        self, caller: Caller, after: str | None = None, limit: int = 100, job_id: str | None = None
    ) -> wire.EventPage:
        """Return a page of events."""
        return self.read(lambda tx: history.page(tx, STORE_ID, caller.principal, after, limit, job_id))[0]

    def listed(
        self,
        caller: Caller = HEAD,
        limit: int | None = None,
        after: str | None = None,
        newest: bool = False,
        **narrowed: Any,
    ) -> wire.JobList | None:
        """Return a page of jobs."""
        data = self.read(
            lambda tx: listing.page(tx, STORE_ID, caller.principal, Filter(**narrowed), limit, after, newest)
        )
        return None if data is None else msgspec.json.decode(data, type=wire.JobList)
