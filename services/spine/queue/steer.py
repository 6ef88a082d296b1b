"""What a head says of a job: cancel, approve, reject, review, retry, adopt."""

from contract import wire
from contract.errors import (
    DedupeConflict,
    InvalidField,
    NoLateResult,
    NotAwaiting,
    SpecChanged,
    TerminalStatus,
)
from contract.states import TERMINAL, Action, Status
from spine.queue.access import Caller, stale, visible
from spine.queue.comment import comment
from spine.queue.moving import cancel_row, go_on, move, note_end_for_schedule, settle_dependants
from spine.store import attempts, dependencies, events, jobs
from spine.store.engine import Tx
from spine.store.jobs import JobRow

PREFER_MS = 60_000  # how long a rework waits for the machine that knows the work already


def current(tx: Tx, job: JobRow) -> JobRow:
    """Return a job as it is now (an earlier change of this transaction may have moved it)."""
    return jobs.find(tx, job.id) or job


def cancel(tx: Tx, caller: Caller, job_id: str, reason: str | None) -> JobRow:
    """Cancel a job that has not ended; its holder learns it with the next heartbeat. Twice is once.

    Raises:
        NotFound, TerminalStatus
    """
    job = visible(tx, caller.principal, job_id)
    if job.status == Status.CANCELLED:
        return job
    if job.status in TERMINAL:
        raise TerminalStatus(f"the job is {job.status}", status=job.status, jobId=job.id)
    cancelled = cancel_row(tx, job, caller.name, reason)
    settle_dependants(tx, cancelled)
    return cancelled


def approve(tx: Tx, caller: Caller, job_id: str, spec_digest: str | None) -> JobRow:
    """Approve exactly the spec that was submitted. Twice is once.

    Raises:
        NotFound, NotAwaiting
        SpecChanged: the digest that was looked at is not the job's.
    """
    job = visible(tx, caller.principal, job_id)
    if job.approval is not None and spec_digest is not None and spec_digest != job.spec_digest:
        raise SpecChanged("the digest is not that of this job's spec", jobId=job.id, specDigest=job.spec_digest)
    if job.approval == "approved":
        return job
    _require_pending_approval(job)
    approved = jobs.note_approval(tx, job, caller.name)
    events.append(tx, "job.approved", caller.name, job.id, job.target, {"specDigest": job.spec_digest})
    return go_on(tx, approved, caller.name) or approved


def reject(tx: Tx, caller: Caller, job_id: str, reason: str | None) -> JobRow:
    """Refuse approval: the job is cancelled. Twice is once.

    Raises:
        NotFound, NotAwaiting
    """
    job = visible(tx, caller.principal, job_id)
    if job.approval == "rejected":
        return job
    _require_pending_approval(job)
    data = {"reason": reason, "specDigest": job.spec_digest}
    return move(
        tx,
        Action.REJECT,
        job,
        caller.name,
        data,
        approval="rejected",
        approval_by=caller.name,
        error=reason or "rejected",
    )


def _require_pending_approval(job: JobRow) -> None:
    if job.status != Status.WAITING or job.approval != "pending":
        asked = "asks for no approval" if job.approval is None else f"is {job.status}"
        raise NotAwaiting(f"the job {asked}", jobId=job.id, status=job.status)


def review(tx: Tx, caller: Caller, job_id: str, asked: wire.Review) -> JobRow:
    """Accept a finished job, or send it back for another round with what is to be done differently.

    A fence, when sent, says which result was looked at.

    Raises:
        NotFound, NotAwaiting: it asks for no review, or is not done, or was reviewed already.
        StaleFence: the result that was looked at is not the job's any more. DedupeConflict
    """
    decision, text = asked.decision, asked.text
    job = visible(tx, caller.principal, job_id)
    if asked.fence is not None and asked.fence != job.fence:
        raise stale(job, asked.fence)
    if not job.needs_review:
        raise NotAwaiting("the job asks for no review", jobId=job.id, status=job.status)
    if decision == "accept" and job.review == "accepted":
        return job
    if job.status != Status.DONE or job.review != "pending":
        state = f"its review is {job.review}" if job.review else f"it is {job.status}"
        raise NotAwaiting(f"there is nothing to review: {state}", jobId=job.id, status=job.status)
    if text:
        job = comment(tx, caller, job.id, text)
    data = {"decision": decision, "text": text, "fence": job.fence, "round": job.round}
    if decision == "accept":
        accepted = jobs.note_review(tx, job, "accepted", caller.name)
        events.append(tx, "job.reviewed", caller.name, job.id, job.target, data)
        note_end_for_schedule(tx, accepted)
        settle_dependants(tx, accepted)
        return accepted
    _require_free_dedupe_key(tx, job)
    attempts.keep_round(tx, job.id, job.fence, job.result)
    until = tx.now + PREFER_MS
    return move(
        tx,
        Action.REWORK,
        job,
        caller.name,
        data,
        review="rework",
        review_by=caller.name,
        result=None,
        prefer_machine=job.machine,
        prefer_until=until,
        wake_at=until,
        **_new_round(job),
    )


def retry(tx: Tx, caller: Caller, job_id: str) -> JobRow:
    """Queue a job again that has ended badly; what it once waited for is not asked again.

    Raises:
        NotFound, TerminalStatus: it is done. DedupeConflict
        NotAwaiting: it has not ended, or was never approved: a retry is no way round a person's word.
    """
    job = visible(tx, caller.principal, job_id)
    if job.status == Status.DONE:
        raise TerminalStatus("the job is done; review it, or submit another", status=job.status, jobId=job.id)
    if job.status not in TERMINAL:
        raise NotAwaiting(f"the job is {job.status}: it has not ended", status=job.status, jobId=job.id)
    if job.approval in ("pending", "rejected"):
        told = "refused" if job.approval == "rejected" else "never approved"
        raise NotAwaiting(f"the job was {told}; submit it again", status=job.status, jobId=job.id)
    _require_free_dedupe_key(tx, job)
    dependencies.waive(tx, job.id)
    data = {"round": job.round + 1, "from": job.status}
    return move(tx, Action.RETRY, job, caller.name, data, prefer_until=None, **_new_round(job))


def _new_round(job: JobRow) -> dict[str, object]:
    return {"attempts": 0, "unaccepted": 0, "round": job.round + 1, "claimed_by": None, "worker_id": None}


def _require_free_dedupe_key(tx: Tx, job: JobRow) -> None:
    other = None if job.dedupe_key is None else jobs.holder_of_dedupe_key(tx, job.dedupe_key)
    if other is not None and other.id != job.id:
        raise DedupeConflict(f"job {other.id} carries the key and has not ended", jobId=other.id, status=other.status)


def adopt(tx: Tx, caller: Caller, job_id: str, fence: int) -> JobRow:
    """Make a late result the job's result. Raises the fence: whoever holds the job now has lost it.

    Raises:
        NotFound, TerminalStatus: it is done. NoLateResult
        InvalidField: the fence was never given out.
    """
    job = visible(tx, caller.principal, job_id)
    known = attempts.find(tx, job.id, fence)
    if known is None:
        raise InvalidField(f"fence: {fence} was never given out for this job", "fence")
    if job.status == Status.DONE:
        raise TerminalStatus("the job is done already", status=job.status, jobId=job.id)
    if known.late_at is None or known.late_error is not None or known.late_result is None:
        raise NoLateResult(f"the attempt with fence {fence} left no late result", jobId=job.id, fence=fence)
    if job.status == Status.RUNNING:
        attempts.end(tx, job.id, job.fence, "superseded")
    return move(
        tx,
        Action.ADOPT,
        job,
        caller.name,
        {"fence": fence, "from": job.status},
        fence=job.fence + 1,
        result=known.late_result,
        error=None,
        claimed_by=known.claimed_by,
        worker_id=known.worker_id,
        machine=known.machine,
        review="pending" if job.needs_review else None,
    )
