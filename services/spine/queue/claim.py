"""Claiming: the next fitting jobs, or one by its id. Each claim raises the fence and starts a lease."""

import heapq
from collections.abc import Iterator

import msgspec

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
from spine.queue.moving import move
from spine.queue.reap import expire
from spine.queue.rules import Rules
from spine.queue.why import obstacles
from spine.store import attempts, claims, jobs, keys, machines
from spine.store.claims import Claim
from spine.store.engine import Refusal, Step, Tx
from spine.store.jobs import JobRow
from spine.store.lanes import canonical
from spine.store.machines import MachineRow

BURY_MOST = 1000
SWEEPS_MOST = 20


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
    tx: Tx,
    rules: Rules,
    caller: Caller,
    targets: frozenset[str],
    capabilities: frozenset[str],
    most: int,
    among: str | None = None,
) -> list[JobRow]:
    """Claim up to `most` jobs: higher priority first, then older. Exhausted ones are buried.

    Under an accept lease; but under a full one where the worker knows only jobs that ask for the capability `among`:
    the dialect that it speaks has no call to accept with.

    Raises:
        Unauthorized: its machine was revoked while it waited.
    """
    machine = machines.find_once(tx, caller.name)
    _require_not_revoked(caller, machine)
    taken: list[JobRow] = []
    if machine is None or machine.state == "active":
        lanes = rules.lanes.satisfied(tx, targets - machines.paused_targets(tx), capabilities, among)
        taken = _beside(tx, lanes, caller, most) if tx.beside else _next(tx, lanes, caller, most)
    machines.note_seen(tx, machine, caller.name, canonical(capabilities))
    if tx.beside:
        return claims.start(tx, [_claim(tx, rules, caller, job, among is not None) for job in taken])
    return [_start(tx, rules, caller, job, accepted=among is not None) for job in taken]


def _beside(tx: Tx, lanes: list[int], caller: Caller, most: int) -> list[JobRow]:
    """Return the next jobs that nobody else is taking at this moment. Where more is to be thought of than the jobs
    themselves, or others hold all that there is, the claim is made alone."""
    found = claims.pick(tx, lanes, most)
    if not found and claims.is_any_ready(tx, lanes):
        tx.alone()
    for job in found:
        if job.concurrency_key is not None or job.attempts >= job.max_attempts or kept_for_another(tx, job, caller):
            tx.alone()
    return found


def _next(tx: Tx, lanes: list[int], caller: Caller, most: int) -> list[JobRow]:
    for _ in range(SWEEPS_MOST):
        taken, swept, again = _pick(tx, lanes, caller, most)
        if taken or not (again or swept >= BURY_MOST):
            return taken
    return []


def _pick(tx: Tx, lanes: list[int], caller: Caller, most: int) -> tuple[list[JobRow], int, bool]:
    """Return the next jobs, and how many were swept out of their way: exhausted ones buried, keyed ones parked.

    Last, whether another look may find more: jobs with a wider limit than the parked ones came into their place.
    """
    taken: list[JobRow] = []
    exhausted: list[JobRow] = []
    full: list[JobRow] = []
    slots: dict[str, int] = {}
    for job in _merged(tx, lanes, most):
        if job.attempts >= job.max_attempts:
            exhausted.append(job)
        elif kept_for_another(tx, job, caller):
            continue
        elif not _take_slot(tx, job, slots):
            full.append(job)
        else:
            taken.append(job)
        if len(taken) == most or len(exhausted) + len(full) >= BURY_MOST:
            break
    for job in full:
        keys.park(tx, job.seq)
    for job in exhausted:
        bury(tx, job, caller.name)
    swept_keys = {} if taken else {job.concurrency_key: None for job in full if job.concurrency_key is not None}
    brought = sum(keys.refill(tx, key) for key in swept_keys)
    return taken, len(exhausted) + len(full), brought > 0


def _require_not_revoked(caller: Caller, machine: MachineRow | None) -> None:
    if machine is not None and machine.revoked_at is not None:
        raise Unauthorized(f"the machine {caller.name} is revoked")


def kept_for_another(tx: Tx, job: JobRow, caller: Caller) -> bool:
    """Tell whether a reworked job still waits for the machine that did it before."""
    return job.prefer_until is not None and job.prefer_until > tx.now and job.prefer_machine != caller.name


def _take_slot(tx: Tx, job: JobRow, slots: dict[str, int]) -> bool:
    """Count a job against its concurrency key, with those that this claim takes; False when no slot is free."""
    key = job.concurrency_key
    if key is None:
        return True
    used = slots[key] if key in slots else keys.running(tx, key)
    slots[key] = used
    if used >= (job.concurrency_limit or 1):
        return False
    slots[key] = used + 1
    return True


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
        Unauthorized: a head claims nothing, nor does a revoked machine.
        NotFound, Forbidden, AlreadyClaimed, TerminalStatus, NotClaimable
    """
    if caller.principal.is_head:
        raise Unauthorized("only claws claim")
    machine = machines.find(tx, caller.name)
    _require_not_revoked(caller, machine)
    job = visible(tx, caller.principal, job_id)
    if job.status == Status.RUNNING and (job.lease_until or 0) <= tx.now:
        job = expire(tx, job)
        tx.signals.expired += 1
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
    reasons = obstacles(tx, caller, job, capabilities)
    if reasons:
        told = "; ".join(reason.message for reason in reasons)
        listed = [msgspec.to_builtins(reason) for reason in reasons]
        return Refusal(NotClaimable(f"the job cannot be claimed now: {told}", reasons=listed, jobId=job.id))
    if job.attempts >= job.max_attempts:
        bury(tx, job, caller.name)
        return Refusal(
            MaxAttemptsReached(attempts=job.attempts, maxAttempts=job.max_attempts, jobId=job.id),
        )
    machines.note_seen(tx, machine, caller.name, None if capabilities is None else canonical(capabilities))
    return _start(tx, rules, caller, job, accepted=True)


def _claim(tx: Tx, rules: Rules, caller: Caller, job: JobRow, accepted: bool) -> Claim:
    tx.signals.waits.append((job.target, tx.now - _queued_since(job)))
    fence, attempt = job.fence + 1, job.attempts + 1
    tx.signals.steps.append(Step("receive", "claim", job.id, job.target, job.traceparent, fence, tx.now, tx.now))
    lease_ms = rules.lease_ms if accepted else min(rules.accept_lease_ms, rules.lease_ms)
    lease_until = rules.lease_end(tx.now, tx.now, job.timeout_seconds, lease_ms)
    data = {"leaseUntil": iso(lease_until), "attempt": attempt, "fence": fence, "workerId": caller.worker_id}
    changes = {
        "claimed_by": caller.name,
        "worker_id": caller.worker_id,
        "machine": caller.name,
        "lease_until": lease_until,
        "accepted": int(accepted),
        "attempts": attempt,
        "fence": fence,
        "comments_seen": 0,
        "prefer_until": None,
        "started_at": tx.now,
    }
    return Claim(job, caller.name, data, changes)


def _start(tx: Tx, rules: Rules, caller: Caller, job: JobRow, accepted: bool) -> JobRow:
    found = _claim(tx, rules, caller, job, accepted)
    fence, attempt, name = found.changes["fence"], found.changes["attempts"], caller.name
    attempts.start(tx, job.id, fence, job.round, attempt, name, caller.worker_id, name)
    return move(tx, Action.CLAIM, job, name, found.data, **found.changes)


def _queued_since(job: JobRow) -> int:
    """Return when a queued job became so (ms): it was born so, or moved; a comment since then counts as a move."""
    born_so = job.fence == 0 and job.not_before is None and job.approval is None and job.after == "[]"
    return job.created_at if born_so else job.updated_at


def bury(tx: Tx, job: JobRow, by: str) -> JobRow:
    """End a queued job that has no attempt left."""
    data = {"reason": "max_attempts", "attempts": job.attempts, "fence": job.fence}
    return move(tx, Action.BURY, job, by, data)
