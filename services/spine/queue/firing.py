"""The schedules' tick: due times, ends of their jobs, delays and approvals that are over. Exactly once, by rows.

Each occurrence is a row, written in the transaction that submits its job; the row is unique by schedule and due time
(or by the parent's end), so that whoever comes second, after a crash or beside another server, changes nothing.
"""

from typing import Any, NamedTuple

import msgspec

from contract import wire
from contract.clock import iso
from contract.errors import InvalidField
from contract.states import Status
from spine.queue import conditions, schedule_plan, submit
from spine.queue.access import Caller, Principal
from spine.queue.moving import cancel_row, settle_dependants
from spine.queue.rules import Rules
from spine.queue.schedule_plan import LATE_MS, fire_at
from spine.queue.schedule_times import last_due
from spine.queue.schedules import delete, plan_for, planned
from spine.store import events, jobs, machines, occurrences, schedules
from spine.store.engine import Tx
from spine.store.jobs import JobRow
from spine.store.occurrences import EndRow, OccurrenceRow
from spine.store.schedules import ScheduleRow

SPINE = "spine"
FIRE_MOST = 10  # things to do in one transaction, some milliseconds: the writer is everyone's
FAN_OUT_MOST = 25
_REPLACED_MOST = 1000
# What nobody planned is an event too.
_TOLD = {"missed": "schedule.missed", "refused": "schedule.refused", "dropped": "schedule.dropped"}


class Task(NamedTuple):
    """One thing to do. `kind`: time (of a schedule `id`), end, pending or approval (of a row `seq`)."""

    kind: str
    id: str = ""
    seq: int = 0
    end: EndRow | None = None


def first_moment(tx: Tx) -> int | None:
    """Return when there is something to do next (ms), or None."""
    moments = [m for m in (schedules.first_moment(tx), occurrences.first_moment(tx)) if m is not None]
    return min(moments, default=None)


def tasks(tx: Tx, most: int = FIRE_MOST) -> list[Task]:
    """Return what is to be done now: ends first, since they free places."""
    found = [Task("end", end=end) for end in occurrences.ends(tx, most)]
    found += [Task("approval", seq=row.seq) for row in occurrences.unapproved(tx, most - len(found))]
    found += [Task("pending", seq=row.seq) for row in occurrences.pending(tx, most - len(found))]
    found += [Task("time", id=row.id) for row in schedules.due(tx, most - len(found))]
    return found


def fire(tx: Tx, rules: Rules) -> bool:
    """Do some of what is to be done now, a short transaction's worth; tell whether anything was to be done."""
    found = tasks(tx)
    cost = 0
    for task in found:
        cost += carry_out(tx, rules, task)
        if cost >= FIRE_MOST:
            break
    return bool(found)


def carry_out(tx: Tx, rules: Rules, task: Task) -> int:
    """Do one thing, once: what has been done meanwhile is passed over. Return how many occurrences it came to."""
    if task.kind == "time":
        row = schedules.find(tx, task.id)
        if row is not None and row.fire_at is not None and row.fire_at <= tx.now:
            return _by_time(tx, rules, row)
    elif task.end is not None:
        if occurrences.drop_end(tx, task.end):
            return _follow(tx, rules, task.end)
    else:
        found = occurrences.find(tx, task.seq)
        if found is not None and task.kind == "pending" and found.status == "pending":
            _settle_found(tx, rules, found)
        elif found is not None and task.kind == "approval" and found.approve_by is not None:
            _too_late_to_approve(tx, found)
    return 1


def give_up(tx: Tx, task: Task, why: str) -> None:
    """Put away a thing that cannot be done at all, so that it does not keep others from being done; say so."""
    if task.kind == "time":
        row = schedules.find(tx, task.id)
        if row is not None:
            _record(tx, row, row.next_at or tx.now, "time", "refused", why)
            schedules.change(tx, row, next_at=None, fire_at=None, ended=f"it could not be fired: {why}")
    elif task.end is not None:
        row = schedules.find(tx, task.end.schedule_id)
        if occurrences.drop_end(tx, task.end) and row is not None:
            _event(tx, "refused", row, tx.now, f"the end of job {task.end.job_id} could not be followed: {why}")
    else:
        found = occurrences.find(tx, task.seq)
        if found is not None:
            status = "refused" if found.status == "pending" else found.status
            occurrences.change(tx, found, status=status, reason=why, fire_at=None, approve_by=None)


# --- due times -------------------------------------------------------------------------------------------------------


def _by_time(tx: Tx, rules: Rules, row: ScheduleRow) -> int:
    """Deal with all that is due by now, and plan the next time; return how many due times that were."""
    request = schedule_plan.read(row.definition)
    first = row.next_at
    if first is None:
        schedules.change(tx, row, fire_at=None)
        return 1
    most = request.missed_most if request.missed == "all" else 1
    plan = plan_for(row, request)
    due = [first, *last_due(plan, first, tx.now, most + 1)]
    # With jitter the newest may have its own moment still to come; those before it had theirs before it was due.
    if len(due) > 1 and fire_at(plan, row.id, due[-1], request.jitter_seconds) > tx.now:
        due.pop()
    newest = due[-1]
    chosen = due[-most:]
    late = tx.now - fire_at(plan, row.id, newest, request.jitter_seconds)
    if row.is_over(tx.now):
        chosen, why = [], "it had expired"
    elif request.missed == "skip" and late > LATE_MS:
        chosen, why = [], "its time had passed by more than a minute, and missed is skip"
    else:
        why = f"later times had come too, and missed is {request.missed}"
    if first not in chosen:
        _record(tx, row, first, "time", "missed", why)
    for due_at in chosen:
        found = _record(tx, row, due_at, "time", "pending")
        if found is not None:
            settle(tx, rules, row, request, found)
    row = row._replace(last_at=newest)
    schedules.change(tx, row, last_at=newest, **planned(row, request, newest))
    return max(1, len(chosen))


def run_now(tx: Tx, rules: Rules, caller: Caller, row: ScheduleRow) -> OccurrenceRow:
    """Submit a schedule's job beside its plan, also while it is paused; its overlap policy holds."""
    found = _record(tx, row, tx.now, "run", "pending")
    assert found is not None  # noqa: S101 - only due times and ends are unique
    return settle(tx, rules, row, schedule_plan.read(row.definition), found, caller)


def _record(
    tx: Tx,
    row: ScheduleRow,
    due_at: int,
    cause: str,
    status: str,
    reason: str | None = None,
    end: EndRow | None = None,
    fire_at: int | None = None,
) -> OccurrenceRow | None:
    """Write the row of an occurrence; None when there is one already."""
    fresh = OccurrenceRow(
        seq=0,
        schedule_id=row.id,
        due_at=due_at,
        cause=cause,
        parent_job_id=None if end is None else end.job_id,
        parent_version=None if end is None else end.version,
        status=status,
        reason=reason,
        job_id=None,
        fire_at=fire_at,
        approve_by=None,
        recorded_at=tx.now,
    )
    found = occurrences.add(tx, fresh)
    if found is not None:
        _tell(tx, row, found)
    return found


def prune(tx: Tx, after: int, most: int) -> int | None:
    """Drop old occurrences that came to no job, of up to `most` schedules behind a position; return where to go on."""
    rows = schedules.page(tx, after, most)
    for row in rows:
        occurrences.prune(tx, row.id)
    return rows[-1].seq if len(rows) == most else None


def _tell(tx: Tx, row: ScheduleRow, found: OccurrenceRow) -> None:
    if found.status in _TOLD:
        _event(tx, found.status, row, found.due_at, found.reason)


def _event(tx: Tx, status: str, row: ScheduleRow, due_at: int, reason: str | None) -> None:
    data = {"scheduleId": row.id, "name": row.name, "dueAt": iso(due_at), "reason": reason}
    events.append(tx, _TOLD[status], SPINE, None, None, data)


# --- from an occurrence to a job -------------------------------------------------------------------------------------


def settle(
    tx: Tx,
    rules: Rules,
    row: ScheduleRow,
    request: wire.NewSchedule,
    found: OccurrenceRow,
    caller: Caller | None = None,
) -> OccurrenceRow:
    """Submit an occurrence's job, or say why not: by the overlap policy, or because it cannot be taken now."""
    active = [] if request.overlap == "allow" else occurrences.active_jobs(tx, row.id, _REPLACED_MOST)
    if active and request.overlap == "queue" and occurrences.queued(tx, row.id) in (None, found):
        return _now(tx, row, found, "queued", f"until job {active[0]} has ended")
    if active and request.overlap != "replace":
        also = ", and one is queued already" if request.overlap == "queue" else ""
        return _now(tx, row, found, "skipped", f"job {active[0]} has not ended{also}")
    try:
        job = _request(tx, rules, request, found)
        # Before anything is cancelled for its sake: what follows can only fail for a job that it is to wait for.
        submit.require_known(tx, job)
    except InvalidField as e:
        return _now(tx, row, found, "refused", f"the job cannot be submitted: {e.detail}")
    for job_id in active:
        _replace(tx, row, job_id)
    by = caller or Caller(Principal(row.created_by, "head"))
    made, new = submit.submit(tx, rules, by, job, schedule_id=row.id)
    if not new:
        return _now(tx, row, found, "skipped", f"job {made.id} carries its dedupeKey and has not ended")
    approve_by = tx.now + request.approval_timeout_seconds * 1000 if job.needs_approval else None
    return occurrences.change(
        tx, found, status="submitted", reason=None, job_id=made.id, fire_at=None, approve_by=approve_by
    )


def _now(tx: Tx, row: ScheduleRow, found: OccurrenceRow, status: str, reason: str) -> OccurrenceRow:
    changed = occurrences.change(tx, found, status=status, reason=reason, fire_at=None)
    _tell(tx, row, changed)
    return changed


def _request(tx: Tx, rules: Rules, request: wire.NewSchedule, found: OccurrenceRow) -> wire.Submit:
    """Return the submit of an occurrence: the template, with what its meta is to tell of earlier jobs.

    For a chain that is what its parent's job hands on (`parent`); `context` is what the claw is to ask for.

    Raises:
        InvalidField
    """
    job = msgspec.json.decode(bytes(request.job), type=wire.Submit)
    submit.check(rules, job)
    target = job.target or wire.DEFAULT_TARGET
    machine = None if target == wire.ANY_TARGET else machines.find(tx, target)
    if machine is not None and machine.revoked_at is not None:
        raise InvalidField(f"target: the machine {target} has been revoked", "target")
    told: dict[str, Any] = {} if request.context is None else {"context": request.context}
    if found.parent_job_id is not None:
        parent = jobs.find(tx, found.parent_job_id)
        told["parent"] = {"jobId": found.parent_job_id} if parent is None else conditions.handed_on(parent)
        job = msgspec.structs.replace(job, parent_id=found.parent_job_id)
    if not told:
        return job
    own = msgspec.json.decode(bytes(job.meta), type=dict[str, msgspec.Raw] | None) if job.meta else None
    return msgspec.structs.replace(job, meta=msgspec.Raw(msgspec.json.encode((own or {}) | told)))


def _replace(tx: Tx, row: ScheduleRow, job_id: str) -> None:
    job = jobs.find(tx, job_id)
    if job is not None and job.finished_at is None:
        cancelled = cancel_row(tx, job, SPINE, f"the next run of schedule {row.id} replaces it")
        settle_dependants(tx, cancelled)


# --- ends, delays, approvals -----------------------------------------------------------------------------------------


def _follow(tx: Tx, rules: Rules, end: EndRow) -> int:
    """See to what follows from the end of a schedule's job: chains, the queued occurrence, deletion after a run."""
    row, job = schedules.find(tx, end.schedule_id), jobs.find(tx, end.job_id)
    if row is None:
        return 1
    started = 0
    if job is not None and end.outcome != "review":
        started = _chain(tx, rules, row, job, end)
    waiting = occurrences.queued(tx, row.id)
    if waiting is not None and not occurrences.active_jobs(tx, row.id, 1):
        settle(tx, rules, row, schedule_plan.read(row.definition), waiting)
    elif waiting is None and end.outcome == "success" and _is_to_go(tx, row):
        delete(tx, SPINE, row)
    return 1 + started


def _is_to_go(tx: Tx, row: ScheduleRow) -> bool:
    if not schedule_plan.read(row.definition).delete_after_run:
        return False
    # Another end that is not seen to yet has followers of its own; it deletes the schedule after them.
    return not occurrences.active_jobs(tx, row.id, 1) and not occurrences.has_ends(tx, row.id)


def _chain(tx: Tx, rules: Rules, row: ScheduleRow, job: JobRow, end: EndRow) -> int:
    """Start what follows: at most 25 of those whose conditions hold; those that are dropped are recorded."""
    started = 0
    ended = conditions.Ended(job)
    for child in schedules.children(tx, row.id):
        request = schedule_plan.read(child.definition)
        if child.is_over(tx.now) or request.on not in (end.outcome, "both"):
            continue
        if not conditions.holds(request.condition, ended):
            continue
        due_at = tx.now + request.delay_seconds * 1000
        if child.paused:
            _record(tx, child, due_at, "chain", "skipped", "it is paused", end)
        elif started == FAN_OUT_MOST:
            why = f"{FAN_OUT_MOST} others follow job {job.id} already"
            _record(tx, child, due_at, "chain", "dropped", why, end)
        else:
            started += 1
            later = due_at if request.delay_seconds else None
            found = _record(tx, child, due_at, "chain", "pending", None, end, later)
            if found is not None and later is None:
                settle(tx, rules, child, request, found)
            schedules.change(tx, child, last_at=due_at)
    return started


def _settle_found(tx: Tx, rules: Rules, found: OccurrenceRow) -> None:
    row = schedules.find(tx, found.schedule_id)
    if row is not None:
        settle(tx, rules, row, schedule_plan.read(row.definition), found)


def _too_late_to_approve(tx: Tx, found: OccurrenceRow) -> None:
    """Cancel a job that nobody approved in time: without an approval nothing runs."""
    occurrences.change(tx, found, approve_by=None)
    job = None if found.job_id is None else jobs.find(tx, found.job_id)
    if job is None or job.status != Status.WAITING or job.approval != "pending":
        return
    cancelled = cancel_row(tx, job, SPINE, "nobody approved it in time")
    settle_dependants(tx, cancelled)
