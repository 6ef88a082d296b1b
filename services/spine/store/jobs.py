"""Jobs: insert, find, move. `move` is the only function of the product that changes a job's status."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from peewee import fn

from contract.errors import Conflict
from contract.states import TERMINAL, TRANSITIONS, Action, Status
from spine.store import events
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
    claimed_by: str | None
    worker_id: str | None
    machine: str | None
    lease_until: int | None
    accepted: int
    unaccepted: int
    attempts: int
    max_attempts: int
    spec: str
    meta: str
    result: str | None
    error: str | None
    progress: str | None
    release_reason: str | None
    priority: int
    timeout_seconds: int | None
    requires: str
    label: str | None
    parent_id: str | None
    traceparent: str | None
    fence: int
    round: int
    comments: int
    comments_seen: int
    started_at: int | None
    finished_at: int | None
    version: int


_COLUMNS = [getattr(Job, name) for name in JobRow._fields]
_AT_BIRTH = tuple(
    name
    for name in JobRow._fields
    if name
    not in ("seq", "claimed_by", "worker_id", "machine", "lease_until", "result", "error", "progress", "release_reason")
)
_INSERT = Statement(Job.insert({getattr(Job, name): bind(name) for name in _AT_BIRTH}))
_BY_ID = Statement(Job.select(*_COLUMNS).where(Job.id == bind("id")))
_READY = Statement(
    Job.select(*_COLUMNS)
    .where((Job.lane == bind("lane")) & (Job.status == text("queued")))
    .order_by(Job.priority.desc(), Job.seq)
    .limit(bind("limit"))
)
_OVERDUE = Statement(
    Job.select(*_COLUMNS)
    .where(Job.lease_until <= bind("now"))  # only a running job has one
    .order_by(Job.lease_until)
    .limit(bind("limit"))
)
_NEXT_LEASE_END = Statement(
    Job.select(Job.lease_until).where(Job.lease_until.is_null(False)).order_by(Job.lease_until).limit(number(1))
)
_GRACE = Statement(
    Job.update({Job.lease_until: bind("until")}).where(
        (Job.lease_until >= bind("since")) & (Job.lease_until < bind("until"))
    )
)
_EXTEND = Statement(
    Job.update(
        {
            Job.lease_until: bind("lease_until"),
            Job.accepted: number(1),
            Job.progress: bind("progress"),
            Job.comments_seen: bind("comments_seen"),
            Job.updated_at: bind("now"),
            Job.version: Job.version + number(1),
        }
    ).where((Job.id == bind("id")) & (Job.status == text("running")) & (Job.fence == bind("fence")))
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
_COUNTS = Statement(
    Job.select(Job.status, Job.target, fn.COUNT(Job.seq), fn.MIN(Job.created_at)).group_by(Job.status, Job.target)
)
_NOTE_ERROR = Statement(
    Job.update({Job.error: bind("error"), Job.updated_at: bind("now"), Job.version: Job.version + number(1)}).where(
        (Job.id == bind("id")) & (Job.fence == bind("fence"))
    )
)


def insert(tx: Tx, action: Action, row: JobRow, data: dict[str, Any]) -> JobRow:
    """Add a job in the state that `action` gives it, and its event."""
    born = row._replace(status=TRANSITIONS[action].target.value)
    seq = tx.insert(_INSERT, **{name: getattr(born, name) for name in _AT_BIRTH})
    events.append(tx, TRANSITIONS[action].event, born.created_by, born.id, born.target, data)
    if born.status == Status.QUEUED:
        tx.signals.lanes[born.lane] = tx.signals.lanes.get(born.lane, 0) + 1
    return born._replace(seq=seq)


def find(tx: Tx, job_id: str) -> JobRow | None:
    """Return a job, or None."""
    row = tx.one(_BY_ID, id=job_id)
    return None if row is None else JobRow._make(row)


def ready(tx: Tx, lane: int, limit: int) -> Iterator[JobRow]:
    """Iterate over a lane's claimable jobs, the next one first."""
    return map(JobRow._make, tx.rows(_READY, lane=lane, limit=limit))


@lru_cache(maxsize=256)
def _matching_statement(
    statuses: tuple[str, ...], target: bool, targets: bool, machine: bool, label: bool
) -> Statement:
    where = Job.seq > bind("after")
    if len(statuses) == 1:
        where &= Job.status == text(statuses[0])  # inlined, so that a partial index can match it
    elif statuses:
        where &= Job.status.in_([text(status) for status in statuses])
    if target:
        where &= Job.target == bind("target")
    if targets:
        where &= Job.target.in_([bind("target0"), bind("target1")])
    if machine:
        where &= Job.machine == bind("machine")
    if label:
        where &= Job.label == bind("label")
    return Statement(Job.select(*_COLUMNS).where(where).order_by(Job.seq).limit(bind("limit")))


def matching(
    tx: Tx,
    statuses: tuple[str, ...],
    target: str | None,
    targets: tuple[str, str] | None,
    machine: str | None,
    label: str | None,
    after: int,
    limit: int,
) -> Iterator[JobRow]:
    """Iterate over jobs that match, oldest first, behind position `after`; `targets` is what the caller may see."""
    statement = _matching_statement(
        tuple(sorted(set(statuses))), target is not None, targets is not None, machine is not None, label is not None
    )
    values: dict[str, Any] = {}
    if targets is not None:
        values |= {"target0": targets[0], "target1": targets[1]}
    values |= {"target": target, "machine": machine, "label": label, "after": after, "limit": limit}
    return map(JobRow._make, tx.rows(statement, **values))


def counts(tx: Tx) -> list[tuple[str, str, int, int]]:
    """Return (status, target, how many, oldest creation in ms) for every pair that has jobs."""
    return [(row[0], row[1], row[2], row[3]) for row in tx.rows(_COUNTS)]


def overdue(tx: Tx, limit: int) -> list[JobRow]:
    """Return running jobs whose lease has ended, the longest ended first."""
    return [JobRow._make(row) for row in tx.rows(_OVERDUE, now=tx.now, limit=limit)]


def next_lease_end(tx: Tx) -> int | None:
    """Return the earliest end (ms) of a running job's lease, or None."""
    row = tx.one(_NEXT_LEASE_END)
    return None if row is None else row[0]


def grant_grace(tx: Tx, since: int, until: int) -> int:
    """Move every lease end in [since, until) to `until` (ms); return how many."""
    return tx.run(_GRACE, since=since, until=until)


def extend(tx: Tx, job: JobRow, lease_until: int, progress: str | None, comments_seen: int) -> JobRow:
    """Stretch a running job's lease.

    Raises:
        Conflict: it is not running under this fence any more.
    """
    changed = tx.run(
        _EXTEND,
        id=job.id,
        fence=job.fence,
        lease_until=lease_until,
        progress=progress,
        comments_seen=comments_seen,
        now=tx.now,
    )
    if changed != 1:
        raise Conflict
    return job._replace(
        lease_until=lease_until,
        accepted=1,
        progress=progress,
        comments_seen=comments_seen,
        updated_at=tx.now,
        version=job.version + 1,
    )


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
    row = TRANSITIONS[action]
    values: dict[Any, Any] = {
        Job.status: text(row.target.value),
        Job.version: Job.version + number(1),
        Job.updated_at: bind("now"),
        **{getattr(Job, name): bind(name) for name in changed},
    }
    if Status.RUNNING in row.sources and row.target != Status.RUNNING:
        values[Job.lease_until] = bind("none")
    if row.target in TERMINAL:
        values[Job.finished_at] = bind("now")
    elif row.sources & TERMINAL:
        values[Job.finished_at] = bind("none")
    allowed = [text(status.value) for status in Status if status in row.sources]
    guard = (Job.id == bind("guard_id")) & (Job.fence == bind("guard_fence")) & (Job.status.in_(allowed))
    return Statement(Job.update(values).where(guard))


def move(tx: Tx, action: Action, job: JobRow, by: str, data: dict[str, Any], **changes: Any) -> JobRow:
    """Carry out one row of the transition table: guarded by id, from-set and fence, with its event, or not at all.

    Leaving `running` ends the lease; entering a terminal status sets `finished_at`, leaving one clears it.

    Raises:
        Conflict: the row was not in the from-set under this fence any more.
    """
    row = TRANSITIONS[action]
    statement = _move_statement(action, tuple(sorted(changes)))
    if tx.run(statement, guard_id=job.id, guard_fence=job.fence, now=tx.now, none=None, **changes) != 1:
        raise Conflict(f"{action} found the job {job.id} in another state", jobId=job.id)
    fields: dict[str, Any] = {
        "status": row.target.value,
        "version": job.version + 1,
        "updated_at": tx.now,
        "finished_at": tx.now if row.target in TERMINAL else None,
        "lease_until": None,
    }
    moved = job._replace(**(fields | changes))
    events.append(tx, row.event, by, job.id, job.target, data)
    if row.target == Status.QUEUED:
        tx.signals.lanes[job.lane] = tx.signals.lanes.get(job.lane, 0) + 1
    elif row.target == Status.RUNNING:
        tx.signals.deadline = min(moved.lease_until or tx.now, tx.signals.deadline or 2**62)
    if job.status == Status.RUNNING:
        tx.signals.logs.add(job.id)
    return moved
