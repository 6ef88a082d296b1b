"""Claiming: the next fitting jobs, or one by its id. Each claim raises the fence and starts a lease."""

import heapq
from collections.abc import Iterator

from contract.clock import iso, iso_or_none
from contract.errors import (
    AlreadyClaimed,
    InvalidField,
    MaxAttemptsReached,
    NotClaimable,
    TerminalStatus,
    Unauthorized,
)
from contract.states import TERMINAL, Action, Status
from contract.wire import ANY_TARGET
from spine.queue.access import Caller, visible
from spine.queue.reap import expire
from spine.queue.rules import Rules
from spine.store import attempts, jobs
from spine.store.engine import Refusal, Tx
from spine.store.jobs import JobRow

BURY_MOST = 1000


def targets_of(caller: Caller, asked: list[str] | None) -> frozenset[str]:
    """Return the targets that a claim may take from.

    Raises:
        InvalidField: a target that is not this claw's.
    """
    own = frozenset({caller.name, ANY_TARGET})
    if asked is None:
        return own
    foreign = [name for name in asked if name not in own]
    if foreign:
        raise InvalidField(f"targets: {foreign[0]!r} is not yours; you may claim for {caller.name} and any", "targets")
    return frozenset(asked)


def claim_next(
    tx: Tx, rules: Rules, caller: Caller, targets: frozenset[str], capabilities: frozenset[str], most: int
) -> list[JobRow]:
    """Claim up to `most` jobs under an accept lease: higher priority first, then older. Exhausted ones are buried."""
    lanes = rules.lanes.satisfied(tx, targets, capabilities)
    taken: list[JobRow] = []
    exhausted: list[JobRow] = []
    for job in _merged(tx, lanes, most):
        if job.attempts >= job.max_attempts:
            exhausted.append(job)
            if len(exhausted) >= BURY_MOST:
                break
            continue
        taken.append(job)
        if len(taken) == most:
            break
    for job in exhausted:
        bury(tx, job, caller.name)
    return [_start(tx, rules, caller, job, accepted=False) for job in taken]


def _merged(tx: Tx, lanes: list[int], most: int) -> Iterator[JobRow]:
    # The cursors are read as they are needed; the rows are changed only after the last one was read.
    streams = [jobs.ready(tx, lane, most + BURY_MOST) for lane in lanes]
    if len(streams) == 1:
        return streams[0]
    return heapq.merge(*streams, key=lambda job: (-job.priority, job.seq))


def claim_one(
    tx: Tx, rules: Rules, caller: Caller, job_id: str, capabilities: frozenset[str] | None
) -> JobRow | Refusal:
    """Claim one job by id, with a full lease at once. `capabilities` None: a v0 client, which says nothing of them.

    Raises:
        Unauthorized: a head claims nothing.
        NotFound, Forbidden, AlreadyClaimed, TerminalStatus, NotClaimable
    """
    if caller.principal.is_head:
        raise Unauthorized("only claws claim")
    job = visible(tx, caller.principal, job_id)
    if job.status == Status.RUNNING and (job.lease_until or 0) <= tx.now:
        job = expire(tx, job)
    if job.status == Status.RUNNING:
        raise AlreadyClaimed(
            f"{job.claimed_by} holds this job",
            claimedBy=job.claimed_by,
            leaseUntil=iso_or_none(job.lease_until),
            jobId=job.id,
        )
    if job.status in TERMINAL:
        refused = TerminalStatus(f"the job is {job.status}", status=job.status, jobId=job.id)
        return Refusal(refused)  # what an expiry just now changed stays
    missing = _missing(job, capabilities)
    if job.status == Status.WAITING or missing:
        why = f"it requires {', '.join(missing)}" if missing else "it waits"
        reasons: list[dict[str, object]] = [{"code": "requires" if missing else "waiting", "message": why, "jobs": []}]
        return Refusal(NotClaimable(f"the job cannot be claimed now: {why}", reasons=reasons, jobId=job.id))
    if job.attempts >= job.max_attempts:
        bury(tx, job, caller.name)
        return Refusal(
            MaxAttemptsReached(attempts=job.attempts, maxAttempts=job.max_attempts, jobId=job.id),
        )
    return _start(tx, rules, caller, job, accepted=True)


def _missing(job: JobRow, capabilities: frozenset[str] | None) -> list[str]:
    if job.requires == "[]":
        return []
    needed: list[str] = job.requires[2:-2].split('","')
    return [name for name in needed if name not in (capabilities or frozenset())]


def _start(tx: Tx, rules: Rules, caller: Caller, job: JobRow, accepted: bool) -> JobRow:
    fence, attempt = job.fence + 1, job.attempts + 1
    lease_ms = rules.lease_ms if accepted else min(rules.accept_lease_ms, rules.lease_ms)
    lease_until = rules.lease_end(tx.now, tx.now, job.timeout_seconds, lease_ms)
    attempts.start(tx, job.id, fence, job.round, attempt, caller.name, caller.worker_id, caller.name)
    return jobs.move(
        tx,
        Action.CLAIM,
        job,
        caller.name,
        {"leaseUntil": iso(lease_until), "attempt": attempt, "fence": fence, "workerId": caller.worker_id},
        claimed_by=caller.name,
        worker_id=caller.worker_id,
        machine=caller.name,
        lease_until=lease_until,
        accepted=int(accepted),
        attempts=attempt,
        fence=fence,
        comments_seen=0,
        started_at=tx.now,
    )


def bury(tx: Tx, job: JobRow, by: str) -> JobRow:
    """End a queued job that has no attempt left."""
    data = {"reason": "max_attempts", "attempts": job.attempts, "fence": job.fence}
    return jobs.move(tx, Action.BURY, job, by, data)
