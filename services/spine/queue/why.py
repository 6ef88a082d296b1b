"""Why a job does not run: reasons with stable codes, what would unblock it first at the top."""

import msgspec

from contract import wire
from contract.clock import iso
from contract.states import TERMINAL, Status
from contract.wire import Reason
from spine.queue import causes
from spine.queue.access import Caller
from spine.queue.moving import holds
from spine.store import dependencies, jobs, keys, machines
from spine.store.engine import Tx
from spine.store.jobs import JobRow

SHOWN_MOST = 20


def why(tx: Tx, job: JobRow) -> wire.Why:
    """Return a job's status and the reasons for it. An ended or running job says so, and who holds it."""
    if job.status in TERMINAL:
        told = f"it is {job.status}" + (f": {job.error}" if job.error else "")
        return wire.Why(status=job.status, reasons=[Reason(code="ended", message=told, jobs=[])])
    if job.status == Status.RUNNING:
        lease = "its first heartbeat is awaited" if not job.accepted else "it is held"
        told = f"{job.claimed_by} runs it; {lease} until {iso(job.lease_until or 0)}"
        return wire.Why(status=job.status, reasons=[Reason(code="running", message=told, jobs=[job.id])])
    reasons = _waits(tx, job) if job.status == Status.WAITING else []
    reasons += _key_full(tx, job) + _no_machine(tx, job)
    if not reasons:
        reasons = _in_line(tx, job)
    return wire.Why(status=job.status, reasons=reasons)


def obstacles(tx: Tx, caller: Caller, job: JobRow, capabilities: frozenset[str] | None) -> list[Reason]:
    """Return why this claw may not take this job now; none when it may. `capabilities` None: it named none."""
    reasons = _waits(tx, job) if job.status == Status.WAITING else []
    reasons += _key_full(tx, job)
    if job.prefer_until is not None and job.prefer_until > tx.now and job.prefer_machine != caller.name:
        told = f"it is kept for {job.prefer_machine}, which did it before, until {iso(job.prefer_until)}"
        reasons.append(Reason(code="preferred_machine", message=told, jobs=[]))
    if machines.is_target_paused(tx, job.target):
        reasons.append(Reason(code="target_paused", message=f"the target {job.target} is paused", jobs=[]))
    machine = machines.find(tx, caller.name)
    if machine is not None and machine.state != "active":
        reasons.append(Reason(code="machines_held", message=f"{caller.name} is {machine.state}", jobs=[]))
    missing = sorted(set(_requires(job)) - (capabilities or frozenset()))
    if missing:
        reasons.append(Reason(code="requires", message=f"it requires {', '.join(missing)}", jobs=[]))
    return reasons


def _waits(tx: Tx, job: JobRow) -> list[Reason]:
    found = []
    for hold in holds(tx, job):
        if hold == "approval":
            told = "a person has to approve it"
            found.append(Reason(code="approval", message=told, jobs=[]))
        elif hold == "after":
            needed = dependencies.unmet(tx, job.id)
            shown = needed[:SHOWN_MOST]
            states = [_state_of(tx, job_id) for job_id in shown]
            told = f"it waits for {len(needed)} other job(s): " + ", ".join(states)
            found.append(Reason(code="after", message=told, jobs=shown))
        elif causes.is_overload(tx, job):
            told = f"what it needs was overloaded ({job.error}); the attempt was not counted, the next may begin "
            found.append(Reason(code="overload", message=told + iso(job.wake_at or 0), jobs=[]))
        else:
            code = "backoff" if job.attempts else "time"
            what = "the last attempt has ended; the next may begin" if job.attempts else "it may not begin before"
            found.append(Reason(code=code, message=f"{what} {iso(job.wake_at or 0)}", jobs=[]))
    return found or [Reason(code="waiting", message="it waits; the reaper looks at it within a moment", jobs=[])]


def _state_of(tx: Tx, job_id: str) -> str:
    job = jobs.find(tx, job_id)
    if job is None:
        return f"{job_id} (unknown)"
    review = ", review pending" if job.status == Status.DONE and job.needs_review else ""
    return f"{job_id} ({job.status}{review})"


def _key_full(tx: Tx, job: JobRow) -> list[Reason]:
    key = job.concurrency_key
    if key is None or keys.running(tx, key) < (job.concurrency_limit or 1):
        return []
    holders = keys.holders(tx, key)
    told = f"all {job.concurrency_limit} slot(s) of {key!r} are taken by {', '.join(holders)}"
    return [Reason(code="concurrency", message=told, jobs=holders)]


def _no_machine(tx: Tx, job: JobRow) -> list[Reason]:
    """Look at the machines that have been heard of: paused, draining, not able, or silent."""
    found = []
    if machines.is_target_paused(tx, job.target):
        found.append(Reason(code="target_paused", message=f"the target {job.target} is paused", jobs=[]))
    needed = set(_requires(job))
    known = [m for m in machines.all_of(tx) if m.revoked_at is None and job.target in (m.name, wire.ANY_TARGET)]
    able = [m for m in known if needed <= set(msgspec.json.decode(m.capabilities))]
    if not known:
        found.append(Reason(code="no_machine", message=f"no machine for {job.target} has been heard of", jobs=[]))
    elif not able:
        told = f"no machine for {job.target} has all of {', '.join(sorted(needed))}"
        found.append(Reason(code="requires", message=told, jobs=[]))
    elif all(m.state != "active" for m in able):
        told = ", ".join(f"{m.name} is {m.state}" for m in able)
        found.append(Reason(code="machines_held", message=told, jobs=[]))
    elif all(tx.now - m.seen_at > machines.SILENT_MS for m in able if m.state == "active"):
        told = ", ".join(f"{m.name} was last heard of at {iso(m.seen_at)}" for m in able)
        found.append(Reason(code="machines_silent", message=told, jobs=[]))
    return found


def _in_line(tx: Tx, job: JobRow) -> list[Reason]:
    if job.prefer_until is not None and job.prefer_until > tx.now:
        told = f"it is kept for {job.prefer_machine} until {iso(job.prefer_until)}"
        return [Reason(code="preferred_machine", message=told, jobs=[])]
    ahead = [row.id for row in jobs.ready(tx, job.lane, SHOWN_MOST + 1) if row.id != job.id][:SHOWN_MOST]
    first = next(iter(jobs.ready(tx, job.lane, 1)), None)
    if first is not None and first.id == job.id:
        return [Reason(code="ready", message="it is next: the first fitting claw that asks gets it", jobs=[])]
    return [Reason(code="behind", message="others with a higher priority, or older, are ahead of it", jobs=ahead)]


def _requires(job: JobRow) -> list[str]:
    names: list[str] = msgspec.json.decode(job.requires)
    return names
