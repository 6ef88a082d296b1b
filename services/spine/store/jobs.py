"""Jobs: insert, find, move. `move` is the only function of the product that changes a job's status."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import peewee as pw

from contract.errors import Conflict
from contract.states import TERMINAL, TRANSITIONS, Action, Status
from spine.store import dependencies, events, keys
from spine.store.engine import Tx
from spine.store.models import Job
from spine.store.statement import Statement, bind, number, text


class JobRow(NamedTuple):
    """A row of `jobs` as the migrations order its columns. Times in ms; JSON members as text."""

    seq: int
    id: str
    lane: int
    target: str
    status: str
    created_at: int
    updated_at: int
    created_by: str
    claimed_by: str | None = None
    worker_id: str | None = None
    machine: str | None = None
    lease_until: int | None = None
    accepted: int = 1
    unaccepted: int = 0
    attempts: int = 0
    max_attempts: int = 1
    spec: str = '""'
    meta: str = "{}"
    result: str | None = None
    error: str | None = None
    progress: str | None = None
    release_reason: str | None = None
    priority: int = 0
    timeout_seconds: int | None = None
    requires: str = "[]"
    label: str | None = None
    parent_id: str | None = None
    traceparent: str | None = None
    fence: int = 0
    round: int = 1
    comments: int = 0
    comments_seen: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    version: int = 1
    ready: int = 1
    not_before: int | None = None
    wake_at: int | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    after: str = "[]"
    retry: str | None = None
    dedupe_key: str | None = None
    approval: str | None = None
    approval_by: str | None = None
    spec_digest: str | None = None
    needs_review: int = 0
    review: str | None = None
    review_by: str | None = None
    notify: str = "[]"
    prefer_machine: str | None = None
    prefer_until: int | None = None
    schedule_id: str | None = None
    delivery: str | None = None


COLUMNS = [getattr(Job, name) for name in JobRow._fields]
_PLACES = {name: n for n, name in enumerate(JobRow._fields)}
_AT_BIRTH = tuple(
    name
    for name in JobRow._fields
    if name
    not in (
        *("seq", "claimed_by", "worker_id", "machine", "lease_until", "result", "error", "progress", "release_reason"),
        *("approval_by", "review", "review_by", "prefer_machine", "prefer_until"),
    )
)
_INSERT = Statement(Job.insert({getattr(Job, name): bind(name) for name in _AT_BIRTH}), beside=True)
_BY_ID = Statement(Job.select(*COLUMNS).where(Job.id == bind("id")))
_READY = Statement(
    Job.select(*COLUMNS)
    .where((Job.lane == bind("lane")) & (Job.status == text("queued")) & (Job.ready == number(1)))
    .order_by(Job.priority.desc(), Job.seq)
    .limit(bind("limit"))
    .offset(bind("offset"))
)
# What a holder's report or a claim changes is its own job, unless that is tied to others (see `alone_if_tied`).
_BESIDE = frozenset(
    {
        Action.CLAIM,
        Action.COMPLETE,
        Action.COMPLETE_LATE,
        Action.FAIL,
        Action.FAIL_LATE,
        Action.FAIL_BACKOFF,
        Action.FAIL_OVERLOAD,
        Action.FAIL_REQUEUE,
        Action.EXHAUST,
        Action.RELEASE,
        Action.RELEASE_LATER,
    }
)
_COMMENTED = Statement(
    Job.update(
        {
            Job.comments: Job.comments + number(1),
            Job.updated_at: bind("now"),
            Job.version: Job.version + number(1),
        }
    ).where(Job.id == bind("id"))
)
_REVIEWED = Statement(
    Job.update(
        {
            Job.review: bind("review"),
            Job.review_by: bind("review_by"),
            Job.updated_at: bind("now"),
            Job.version: Job.version + number(1),
        }
    ).where((Job.id == bind("id")) & (Job.fence == bind("fence")) & (Job.status == text("done")))
)
_APPROVED = Statement(
    Job.update(
        {
            Job.approval: text("approved"),
            Job.approval_by: bind("by"),
            Job.updated_at: bind("now"),
            Job.version: Job.version + number(1),
        }
    ).where((Job.id == bind("id")) & (Job.status == text("waiting")) & (Job.approval == text("pending")))
)
_BY_DEDUPE = Statement(
    Job.select(*COLUMNS).where(
        (Job.dedupe_key == bind("key")) & Job.status.in_([text("waiting"), text("queued"), text("running")])
    )
)
_NOTE_ERROR = Statement(
    Job.update({Job.error: bind("error"), Job.updated_at: bind("now"), Job.version: Job.version + number(1)}).where(
        (Job.id == bind("id")) & (Job.fence == bind("fence"))
    )
)


def insert(tx: Tx, action: Action, row: JobRow, data: dict[str, Any]) -> JobRow:
    """Add a job in the state that `action` gives it, and its event."""
    alone_if_tied(tx, row)
    born = changed(row, {"status": TRANSITIONS[action].target.value, "ready": int(row.concurrency_key is None)})
    seq = tx.insert_row(_INSERT, born)
    events.append(tx, TRANSITIONS[action].event, born.created_by, born.id, born.target, data)
    if born.status == Status.QUEUED:
        _claimable(tx, born)
    _watch(tx, born)
    return changed(born, {"seq": seq})


def changed(row: JobRow, changes: dict[str, Any]) -> JobRow:
    """Return a row with some values changed: `_replace`, which goes over all names, takes three times as long."""
    values = list(row)
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return JobRow._make(values)


def _claimable(tx: Tx, job: JobRow) -> None:
    """Tell of a job that has become claimable: at once, or behind its concurrency key."""
    if job.concurrency_key is None:
        tx.signals.lanes[job.lane] = tx.signals.lanes.get(job.lane, 0) + 1
    else:
        keys.refill(tx, job.concurrency_key)


def _watch(tx: Tx, job: JobRow) -> None:
    """Tell of the moments at which the reaper has to look at a job."""
    for moment in (job.lease_until, job.wake_at):
        if moment is not None:
            tx.signals.deadline = min(moment, tx.signals.deadline or moment)


def find(tx: Tx, job_id: str) -> JobRow | None:
    """Return a job, or None. Beside other writers it stays as it is until the transaction ends."""
    row = tx.held(_BY_ID, id=job_id)
    return None if row is None else JobRow._make(row)


def alone_if_tied(tx: Tx, job: JobRow) -> None:
    """Ask to be the only writer where a job's moves concern more than the job.

    That is its concurrency key, its schedule, notices, and jobs that wait for it.
    """
    if job.concurrency_key is not None or job.schedule_id is not None or job.delivery is not None:
        tx.alone()
    if job.notify != "[]" or (tx.beside and job.seq and dependencies.waiting_for(tx, job.id)):
        tx.alone()


def ready(tx: Tx, lane: int, limit: int) -> Iterator[JobRow]:
    """Iterate over a lane's claimable jobs, the next one first; nothing of them may change meanwhile."""
    offset, page = 0, min(limit, tx.page)
    while page:
        count = 0
        for row in tx.rows(_READY, lane=lane, limit=page, offset=offset):
            count += 1
            yield JobRow._make(row)
        if count < page:
            return
        offset += page
        page = min(limit - offset, page * 8)


def note_review(tx: Tx, job: JobRow, review: str, by: str) -> JobRow:
    """Record what a person thinks of a job that is done; its status stays.

    Raises:
        Conflict: it is not done under this fence any more.
    """
    if tx.run(_REVIEWED, id=job.id, fence=job.fence, review=review, review_by=by, now=tx.now) != 1:
        raise Conflict(jobId=job.id)
    return job._replace(review=review, review_by=by, updated_at=tx.now, version=job.version + 1)


def note_approval(tx: Tx, job: JobRow, by: str) -> JobRow:
    """Record a person's approval of a waiting job; its status stays.

    Raises:
        Conflict: it does not wait any more.
    """
    if tx.run(_APPROVED, id=job.id, by=by, now=tx.now) != 1:
        raise Conflict(jobId=job.id)
    return job._replace(approval="approved", approval_by=by, updated_at=tx.now, version=job.version + 1)


def holder_of_dedupe_key(tx: Tx, key: str) -> JobRow | None:
    """Return the unfinished job that carries the key, or None."""
    row = tx.one(_BY_DEDUPE, key=key)
    return None if row is None else JobRow._make(row)


def note_error(tx: Tx, job: JobRow, error: str | None) -> JobRow:
    """Set the error of a job whose status stays."""
    tx.run(_NOTE_ERROR, id=job.id, fence=job.fence, error=error, now=tx.now)
    return job._replace(error=error, updated_at=tx.now, version=job.version + 1)


def count_comment(tx: Tx, job: JobRow) -> JobRow:
    """Note that a comment was added."""
    tx.run(_COMMENTED, id=job.id, now=tx.now)
    return job._replace(comments=job.comments + 1, updated_at=tx.now, version=job.version + 1)


@lru_cache(maxsize=128)
def _move_statement(action: Action, changed: tuple[str, ...]) -> Statement:
    # By its place in the table, which is one look-up less than by its id.
    guard = (Job.seq == bind("guard_seq")) & (Job.id == bind("guard_id")) & (Job.fence == bind("guard_fence"))
    values, allowed = moved_values(action, {name: bind(name) for name in changed})
    return Statement(Job.update(values).where(guard & allowed), beside=action in _BESIDE)


def moved_values(action: Action, changed: dict[str, Any]) -> tuple[dict[Any, Any], Any]:
    """Return what a row of the transition table sets, with what goes along, and the condition on the status before.

    `changed`: expressions by column. Binds `now`, and for what is cleared `none`.
    """
    row = TRANSITIONS[action]
    values: dict[Any, Any] = {
        Job.status: text(row.target.value),
        Job.version: Job.version + number(1),
        Job.updated_at: bind("now"),
        **{getattr(Job, name): value for name, value in changed.items()},
    }
    if Status.RUNNING in row.sources and row.target != Status.RUNNING:
        values[Job.lease_until] = bind("none")
    if row.target != Status.RUNNING:
        values[Job.ready] = pw.Case(None, [(Job.concurrency_key.is_null(), number(1))], number(0))
    if row.target != Status.WAITING and "wake_at" not in changed:
        values[Job.wake_at] = bind("none")
    if row.target in TERMINAL:
        values[Job.finished_at] = bind("now")
    elif row.sources & TERMINAL:
        values[Job.finished_at] = bind("none")
    return values, Job.status.in_([text(status.value) for status in Status if status in row.sources])


def moved_row(tx: Tx, action: Action, job: JobRow, changes: dict[str, Any]) -> JobRow:
    """Return a row as a move has left it, having told of the moments that follow from it."""
    target = TRANSITIONS[action].target
    fields: dict[str, Any] = {
        "status": target.value,
        "version": job.version + 1,
        "updated_at": tx.now,
        "finished_at": tx.now if target in TERMINAL else None,
        "lease_until": None,
    }
    if target != Status.RUNNING:
        fields["ready"] = int(job.concurrency_key is None)
    if target != Status.WAITING:
        fields["wake_at"] = None
    moved = changed(job, fields | changes)
    _watch(tx, moved)
    return moved


def move(tx: Tx, action: Action, job: JobRow, by: str, data: dict[str, Any], **changes: Any) -> JobRow:
    """Carry out one row of the transition table: guarded by id, from-set and fence, with its event, or not at all.

    Leaving `running` ends the lease; entering a terminal status sets `finished_at`, leaving one clears it.

    Raises:
        Conflict: the row was not in the from-set under this fence any more.
    """
    row = TRANSITIONS[action]
    statement = _move_statement(action, tuple(changes))
    if (
        tx.run(statement, guard_seq=job.seq, guard_id=job.id, guard_fence=job.fence, now=tx.now, none=None, **changes)
        != 1
    ):
        raise Conflict(f"{action} found the job {job.id} in another state", jobId=job.id)
    moved = moved_row(tx, action, job, changes)
    events.append(tx, row.event, by, job.id, job.target, data)
    if row.target == Status.QUEUED:
        _claimable(tx, moved)
    elif job.concurrency_key is not None and row.target != Status.RUNNING:
        keys.refill(tx, job.concurrency_key)  # a slot, or a place in the ready index, has become free
    if job.status == Status.RUNNING:
        tx.signals.logs.add(job.id)
    return moved
