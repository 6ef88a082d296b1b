"""The one transition table of a job. The database's CHECK constraint, the docs' picture and every move derive from it.

A move is named by its action. `spine.store.jobs.move` is the only function that changes a status, and it refuses any
status outside the action's from-set.
"""

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Where a job stands. The last two of the seven can only come from fields that v0 did not have."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    WAITING = "waiting"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.DONE, Status.FAILED, Status.DEAD, Status.CANCELLED})
UNFINISHED = frozenset(Status) - TERMINAL


class Action(StrEnum):
    """What moves a job."""

    SUBMIT = "submit"
    HOLD = "hold"
    READY = "ready"
    CLAIM = "claim"
    COMPLETE = "complete"
    COMPLETE_LATE = "complete_late"
    FAIL_REQUEUE = "fail_requeue"
    FAIL_BACKOFF = "fail_backoff"
    FAIL_OVERLOAD = "fail_overload"
    FAIL = "fail"
    FAIL_LATE = "fail_late"
    EXHAUST = "exhaust"
    RELEASE = "release"
    RELEASE_LATER = "release_later"
    EXPIRE = "expire"
    EXPIRE_BACKOFF = "expire_backoff"
    EXPIRE_DEAD = "expire_dead"
    BURY = "bury"
    CANCEL = "cancel"
    REJECT = "reject"
    REWORK = "rework"
    RETRY = "retry"
    ADOPT = "adopt"


class Transition(NamedTuple):
    """One row of the table: an action takes a job from any of `sources` to `target`; `who` may cause it."""

    action: Action
    sources: frozenset[Status]
    target: Status
    who: str
    event: str
    meaning: str


def _row(action: Action, sources: str, target: Status, who: str, event: str, meaning: str) -> Transition:
    return Transition(action, frozenset(Status(name) for name in sources.split()), target, who, event, meaning)


_TABLE = (
    _row(Action.SUBMIT, "", Status.QUEUED, "head", "job.created", "a new job, ready to be claimed"),
    _row(Action.HOLD, "", Status.WAITING, "head", "job.created", "a new job that waits for a time, a job or a person"),
    _row(Action.READY, "waiting", Status.QUEUED, "spine, head", "job.ready", "what it waited for has come"),
    _row(
        Action.CLAIM,
        "queued",
        Status.RUNNING,
        "claw",
        "job.claimed",
        "a claw holds the lease; attempts and fence go up",
    ),
    _row(Action.COMPLETE, "running", Status.DONE, "owner, head", "job.completed", "the result is stored"),
    _row(
        Action.COMPLETE_LATE,
        "queued",
        Status.DONE,
        "owner",
        "job.completed",
        "the newest fence reports after expiry, before another claim",
    ),
    _row(Action.FAIL_REQUEUE, "running", Status.QUEUED, "owner, head", "job.failed", "another attempt is left"),
    _row(
        Action.FAIL_BACKOFF, "running", Status.WAITING, "owner, head", "job.failed", "another attempt, after a backoff"
    ),
    _row(
        Action.FAIL_OVERLOAD,
        "running",
        Status.WAITING,
        "owner, head",
        "job.failed",
        "what it needs is overloaded or out of quota; the attempt is not counted",
    ),
    _row(
        Action.FAIL, "running", Status.FAILED, "owner, head", "job.failed", "a failure that asks for no other attempt"
    ),
    _row(
        Action.FAIL_LATE,
        "queued",
        Status.FAILED,
        "owner",
        "job.failed",
        "a final failure by the newest fence after expiry, or by a dialect that may fail a queued job",
    ),
    _row(Action.EXHAUST, "running", Status.DEAD, "owner, head", "job.dead", "a failure with no attempt left"),
    _row(Action.RELEASE, "running", Status.QUEUED, "owner, head", "job.released", "given back; attempts stay counted"),
    _row(
        Action.RELEASE_LATER,
        "running",
        Status.WAITING,
        "owner, head",
        "job.released",
        "given back, not to be claimed before a time",
    ),
    _row(Action.EXPIRE, "running", Status.QUEUED, "reaper", "job.expired", "the lease ended"),
    _row(
        Action.EXPIRE_BACKOFF, "running", Status.WAITING, "reaper", "job.expired", "the lease ended; a backoff is due"
    ),
    _row(Action.EXPIRE_DEAD, "running", Status.DEAD, "reaper", "job.dead", "the lease ended with no attempt left"),
    _row(Action.BURY, "queued", Status.DEAD, "claw", "job.dead", "a claim found that no attempt is left"),
    _row(
        Action.CANCEL, "waiting queued running", Status.CANCELLED, "head, spine", "job.cancelled", "not wanted any more"
    ),
    _row(Action.REJECT, "waiting", Status.CANCELLED, "head", "job.rejected", "a person refused it"),
    _row(Action.REWORK, "done", Status.QUEUED, "head", "job.reviewed", "a review sent it back; a new round"),
    _row(Action.RETRY, "failed dead cancelled", Status.QUEUED, "head", "job.retried", "a new round"),
    _row(
        Action.ADOPT,
        "waiting queued running failed dead cancelled",
        Status.DONE,
        "head",
        "job.adopted",
        "a late result becomes the result; the fence goes up",
    ),
)

TRANSITIONS: dict[Action, Transition] = {row.action: row for row in _TABLE}


def allowed(action: Action, status: Status) -> bool:
    """Tell whether a job in `status` may take `action`."""
    return status in TRANSITIONS[action].sources
