"""What a holder says of its job: heartbeat, complete, fail, release; and what comes too late.

A fence, when sent, decides before ownership and status (design: Fence). Without one, v0's rules hold.
"""

from collections.abc import Callable
from typing import Any

from contract.clock import iso
from contract.states import Action, Status
from spine.queue import causes
from spine.queue.access import Caller, not_running, require_holder, stale, visible
from spine.queue.causes import Wish
from spine.queue.mentions import note_mentions
from spine.queue.moving import move
from spine.queue.rules import Rules
from spine.queue.view import raw
from spine.store import attempts, comments, events, jobs, leases, machines
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow

Settling = Callable[[Tx], JobRow | Refusal]


def heartbeat(
    tx: Tx, rules: Rules, caller: Caller, job_id: str, fence: int | None, progress: str | None
) -> tuple[JobRow, int]:
    """Extend the lease; return the job and the seq of the last comment that its holder had seen.

    Raises:
        StaleFence, NotRunning, NotOwner, NotFound, Forbidden
    """
    job = held(tx, caller, job_id, fence)
    if job.status != Status.RUNNING:
        raise not_running(job)
    if caller.principal.is_claw:
        machines.seen(tx, caller.name, None)
    seen = job.comments_seen
    newest = comments.of_job(tx, job.id)[-1].seq if job.comments else 0
    job = stretch(tx, rules, job, progress, newest)
    if progress is not None:
        note_mentions(tx, job.id, progress)
        events.append(
            tx, "job.heartbeat", caller.name, job.id, job.target, {"progress": raw(progress), "fence": job.fence}
        )
    return job, seen


def stretch(tx: Tx, rules: Rules, job: JobRow, progress: str | None = None, seen: int | None = None) -> JobRow:
    """Give a running job a full lease from now."""
    until = rules.lease_end(tx.now, job.started_at, job.timeout_seconds, rules.lease_ms)
    return leases.extend(
        tx,
        job,
        until,
        job.progress if progress is None else progress,
        job.comments_seen if seen is None else seen,
    )


def complete(tx: Tx, caller: Caller, job_id: str, fence: int | None, result: str | None) -> JobRow | Refusal:
    """End a job with its result.

    Raises:
        NotRunning, NotOwner, NotFound, Forbidden
    """
    job = visible(tx, caller.principal, job_id)
    jobs.alone_if_tied(tx, job)
    if fence is not None:
        if fence != job.fence:
            return _late(tx, caller, job, fence, result, None, kind="done")
        if job.status == Status.DONE and _ended_by(tx, job, fence, "done"):
            return job
        # A job that runs under this fence cannot have been settled under it: that moves both in one transaction.
        if job.status != Status.RUNNING and (job.status != Status.QUEUED or _settled(tx, job, fence)):
            return _late(tx, caller, job, fence, result, None, kind="done")
    else:
        require_holder(caller, job)
    action = Action.COMPLETE if job.status == Status.RUNNING else Action.COMPLETE_LATE
    attempts.end(tx, job.id, job.fence, "done")
    note_mentions(tx, job.id, result)
    changes: dict[str, Any] = {"result": result, "error": None, "review": "pending" if job.needs_review else None}
    if action == Action.COMPLETE_LATE:
        changes |= _holder_again(tx, job)
    return move(tx, action, job, caller.name, {"status": "done", "fence": job.fence}, **changes)


def fail(
    tx: Tx,
    caller: Caller,
    job_id: str,
    fence: int | None,
    error: str | None,
    requeue: bool,
    result: str | None = None,
    wish: Wish = causes.NONE,
) -> JobRow | Refusal:
    """End an attempt with an error: another try, or the end. A `result` that comes with it stays on a job that ends.

    `wish`: the cause, and when the next attempt may begin (see `causes`).

    Raises:
        NotRunning, NotOwner, NotFound, Forbidden
    """
    job = visible(tx, caller.principal, job_id)
    jobs.alone_if_tied(tx, job)
    if fence is not None:
        known = attempts.find(tx, job.id, fence)
        if known is not None and known.outcome == "failed":
            return job  # a repeat
        if fence != job.fence:
            return _late(tx, caller, job, fence, None, error, kind="failed")
        if job.status not in (Status.RUNNING, Status.QUEUED) or _settled(tx, job, fence):
            return _late(tx, caller, job, fence, None, error, kind="failed")
    else:
        require_holder(caller, job)
    requeue = requeue and wish.cause != "permanent"
    uncounted = None
    if wish.cause == "overload" and requeue and job.status == Status.RUNNING:
        uncounted = causes.uncounted_until(tx, job, wish)
    attempts.end(tx, job.id, job.fence, "failed", error, wish.cause)
    note_mentions(tx, job.id, error, result)
    ended: dict[str, Any] = {"error": error} if result is None else {"error": error, "result": result}
    back: dict[str, Any] = {"error": error, "claimed_by": None, "worker_id": None}
    exhausted = job.attempts >= job.max_attempts
    data: dict[str, Any] = {
        "requeued": uncounted is not None or (requeue and not exhausted),
        "attempt": job.attempts,
        "error": error,
        "fence": job.fence,
    }
    if wish.cause is not None:
        data["cause"] = wish.cause
    if uncounted is not None:
        data |= {"notBefore": iso(uncounted), "counted": False}
        return move(
            tx, Action.FAIL_OVERLOAD, job, caller.name, data, wake_at=uncounted, attempts=job.attempts - 1, **back
        )
    if job.status == Status.QUEUED:
        if requeue:  # expiry has put it back already; only the reason is new
            events.append(tx, "job.failed", caller.name, job.id, job.target, data)
            return jobs.note_error(tx, job, error)
        return move(tx, Action.FAIL_LATE, job, caller.name, data, **ended, **_holder_again(tx, job))
    if exhausted:
        dead = {"reason": "max_attempts", "attempts": job.attempts, "error": error, "fence": job.fence}
        if wish.cause is not None:
            dead["cause"] = wish.cause
        return move(tx, Action.EXHAUST, job, caller.name, dead, **ended)
    if requeue:
        wake_at = causes.again_at(tx, job, wish)
        if wake_at is not None:
            return move(tx, Action.FAIL_BACKOFF, job, caller.name, data, wake_at=wake_at, **back)
        return move(tx, Action.FAIL_REQUEUE, job, caller.name, data, **back)
    return move(tx, Action.FAIL, job, caller.name, data, **ended)


def refuse(tx: Tx, caller: Caller, job: JobRow, error: str) -> JobRow:
    """End a job that nobody runs, with an error: for a dialect whose workers may fail what is queued."""
    known = attempts.find(tx, job.id, job.fence)
    if known is not None and known.outcome == "expired":
        attempts.end(tx, job.id, job.fence, "failed", error)
    data = {"requeued": False, "attempt": job.attempts, "error": error, "fence": job.fence}
    return move(tx, Action.FAIL_LATE, job, caller.name, data, error=error)


def release(
    tx: Tx,
    caller: Caller,
    job_id: str,
    fence: int | None,
    reason: str | None,
    count_attempt: bool,
    wish: Wish = causes.NONE,
) -> JobRow:
    """Give a job back to the queue; without `count_attempt` the attempt too. With a time in `wish` it waits until then.

    Raises:
        StaleFence, NotRunning, NotOwner, NotFound, Forbidden
    """
    job = visible(tx, caller.principal, job_id)
    jobs.alone_if_tied(tx, job)
    if fence is not None:
        known = attempts.find(tx, job.id, fence)
        if known is not None and known.outcome == "released":
            return job  # a repeat
        if fence != job.fence:
            raise stale(job, fence)
        if job.status == Status.QUEUED and known is not None and not _settled(tx, job, fence):
            return job  # expiry has given it back already
        if job.status != Status.RUNNING:
            raise not_running(job)
    else:
        require_holder(caller, job)
    attempts.end(tx, job.id, job.fence, "released", reason)
    note_mentions(tx, job.id, reason)
    changes: dict[str, Any] = {"claimed_by": None, "worker_id": None}
    if reason is not None:
        changes["release_reason"] = reason
    if not count_attempt:
        changes["attempts"] = job.attempts - 1
    data: dict[str, Any] = {"reason": reason, "fence": job.fence}
    wake_at = wish.earliest(tx)
    if wake_at is None:
        return move(tx, Action.RELEASE, job, caller.name, data, **changes)
    data["notBefore"] = iso(wake_at)
    return move(tx, Action.RELEASE_LATER, job, caller.name, data, wake_at=wake_at, **changes)


def held(tx: Tx, caller: Caller, job_id: str, fence: int | None) -> JobRow:
    """Return a job that the caller holds: by the newest fence, or by v0's rules. With a fence any status comes back.

    Raises:
        StaleFence, NotRunning, NotOwner, NotFound, Forbidden
    """
    job = visible(tx, caller.principal, job_id)
    if fence is None:
        require_holder(caller, job)
    elif fence != job.fence:
        raise stale(job, fence)
    return job


def _settled(tx: Tx, job: JobRow, fence: int) -> bool:
    """Tell whether this fence's attempt has been ended by its own holder: nothing it says later can move the job."""
    known = attempts.find(tx, job.id, fence)
    return known is None or known.outcome in ("done", "failed", "released", "cancelled")


def _ended_by(tx: Tx, job: JobRow, fence: int, outcome: str) -> bool:
    known = attempts.find(tx, job.id, fence)
    return known is not None and known.outcome == outcome


def _holder_again(tx: Tx, job: JobRow) -> dict[str, Any]:
    """Return who held the attempt that expiry took away, so that the ended job names its author."""
    known = attempts.find(tx, job.id, job.fence)
    if known is None:
        return {}
    return {"claimed_by": known.claimed_by, "worker_id": known.worker_id}


def _late(
    tx: Tx, caller: Caller, job: JobRow, fence: int, result: str | None, error: str | None, kind: str
) -> JobRow | Refusal:
    """Keep what came too late with the attempt it belongs to; nothing else changes. A repeat changes nothing."""
    known = attempts.find(tx, job.id, fence)
    refused = stale(job, fence) if fence != job.fence else not_running(job)
    if known is None:
        return Refusal(refused)
    if known.outcome == kind == "done":
        return job  # the attempt that ended the job, repeated after the head had moved it on
    if kind == "done" and result is None:
        result = "null"  # a success that says nothing is one, and can be adopted
    refused.members["lateResult"] = "kept"
    if kind == "failed" and known.late_result is not None:
        return Refusal(refused)  # a result that came stays: an afterthought must not throw it away
    if known.late_at is None or (known.late_result, known.late_error) != (result, error):
        attempts.keep_late(tx, job.id, fence, result, error)
        note_mentions(tx, job.id, result)
        events.append(tx, "job.late_result", caller.name, job.id, job.target, {"fence": fence, "outcome": kind})
    return Refusal(refused)
