"""What a head does with schedules: make, change, pause, resume, run now, delete; and how they are shown."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from contract import wire
from contract.clock import iso, iso_or_none
from contract.errors import Conflict, InvalidField, NotFound
from contract.ids import new_job_id
from spine.queue import schedule_plan
from spine.queue.access import Caller
from spine.queue.schedule_times import Plan, following, next_due, zone_of
from spine.store import events, jobs, occurrences, schedules
from spine.store.engine import Tx
from spine.store.occurrences import ListedRow
from spine.store.schedules import ScheduleRow

DEPTH_MOST = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_MORE = "its last due time has passed"
ORPHANED = "its parent was deleted"


class Definition(NamedTuple):
    """What a head sent, decoded and checked (`schedule_plan.check`), and the text of it that is kept."""

    request: wire.NewSchedule
    text: str


def find(tx: Tx, schedule_id: str) -> ScheduleRow:
    """Return a schedule.

    Raises:
        NotFound
    """
    row = schedules.find(tx, schedule_id)
    if row is None:
        raise NotFound(f"there is no schedule {schedule_id[:64]}")
    return row


def make(tx: Tx, caller: Caller, made: Definition) -> ScheduleRow:
    """Add a schedule.

    Raises:
        InvalidField: `parentId`.
    """
    request, new_id = made.request, f"sch_{new_job_id(tx.now)}"
    _check_parent(tx, new_id, request.parent_id)
    row = ScheduleRow(
        seq=0,
        id=new_id,
        name=request.name,
        kind=schedule_plan.kind_of(request),
        definition=made.text,
        parent_id=request.parent_id,
        paused=int(request.paused),
        next_at=None,
        fire_at=None,
        last_at=None,
        expires_at=schedule_plan.expiry_of(request, tx.now),
        ended=None,
        created_at=tx.now,
        updated_at=tx.now,
        created_by=caller.name,
        version=1,
    )
    row = schedules.add(tx, row._replace(**planned(row, request, tx.now - 1)))
    _event(tx, "schedule.created", caller, row, {"kind": row.kind})
    return row


def edit(tx: Tx, caller: Caller, schedule_id: str, seen: int, made: Definition, paused: bool | None) -> ScheduleRow:
    """Put another definition in the place of version `seen`.

    A due time that has not been dealt with stays when none of the members that say when is another; else the plan
    begins anew, from now on. An occurrence that is queued is settled anew by another overlap policy.

    Raises:
        NotFound, InvalidField
        Conflict: it is not at that version any more.
    """
    row = find(tx, schedule_id)
    if row.version != seen:
        raise Conflict(f"the schedule is at version {row.version}, not {seen}; read it again", version=row.version)
    request = made.request
    follows_as_before = request.parent_id is not None and request.parent_id == row.parent_id
    if not follows_as_before:  # one whose parent was deleted can be changed too, and stays ended
        _check_parent(tx, row.id, request.parent_id)
    changes: dict[str, Any] = {
        "name": request.name,
        "kind": schedule_plan.kind_of(request),
        "definition": made.text,
        "parent_id": request.parent_id,
        "paused": row.paused if paused is None else int(paused),
        "expires_at": schedule_plan.expiry_of(request, row.created_at),
    }
    changed = row._replace(**changes, ended=row.ended if follows_as_before else None)
    same = schedule_plan.times(schedule_plan.read(row.definition)) == schedule_plan.times(request)
    if not same or changed.paused != row.paused:
        changes |= planned(changed, request, tx.now)
    row = schedules.change(tx, row, **changes, updated_at=tx.now, version=row.version + 1)
    queued = None if request.overlap == "queue" else occurrences.queued(tx, row.id)
    if queued is not None:
        occurrences.change(tx, queued, status="pending", reason=None, fire_at=tx.now)
    _event(tx, "schedule.updated", caller, row)
    return row


def pause(tx: Tx, caller: Caller, schedule_id: str, paused: bool) -> ScheduleRow:
    """Pause a schedule, or resume it: what it was due meanwhile is not caught up. Twice is once.

    Raises:
        NotFound
    """
    row = find(tx, schedule_id)
    if bool(row.paused) == paused:
        return row
    plan = planned(row._replace(paused=int(paused)), schedule_plan.read(row.definition), tx.now)
    row = schedules.change(tx, row, paused=int(paused), **plan, updated_at=tx.now, version=row.version + 1)
    _event(tx, "schedule.paused" if paused else "schedule.resumed", caller, row)
    return row


def delete(tx: Tx, by: str, row: ScheduleRow) -> None:
    """Delete a schedule and its record of runs. Its jobs stay; schedules that follow it end."""
    for child in schedules.children(tx, row.id):
        if child.ended is None:
            schedules.change(tx, child, ended=ORPHANED, updated_at=tx.now)
    schedules.delete(tx, row.id)
    events.append(tx, "schedule.deleted", by, None, None, {"scheduleId": row.id, "name": row.name})


def planned(row: ScheduleRow, request: wire.NewSchedule, after: int) -> dict[str, Any]:
    """Return the columns that say what is next, for the time after `after` (ms)."""
    if row.kind == "chain":
        return {"next_at": None, "fire_at": None, "ended": row.ended}
    plan = plan_for(row, request)
    if row.last_at is None and plan.at is not None:
        after = min(after, plan.at - 1)  # up to a minute late: it was checked when it came
    following_at = next_due(plan, after)
    if following_at is None:
        return {"next_at": None, "fire_at": None, "ended": NO_MORE}
    if row.paused:
        return {"next_at": None, "fire_at": None, "ended": None}
    fire_at = schedule_plan.fire_at(plan, row.id, following_at, request.jitter_seconds)
    return {"next_at": following_at, "fire_at": fire_at, "ended": None}


def plan_for(row: ScheduleRow, request: wire.NewSchedule) -> Plan:
    """Return the plan of a schedule."""
    return schedule_plan.plan_of(request, row.created_at, row.expires_at)


def _check_parent(tx: Tx, own_id: str, parent_id: str | None) -> None:
    """Refuse a parent that is not there, follows this schedule itself, or stands too deep.

    Raises:
        InvalidField: `parentId`.
    """
    depth, above = 1, parent_id
    while above is not None:
        if above == own_id:
            raise InvalidField("parentId: the chain would come back to this schedule", "parentId")
        row = schedules.find(tx, above)
        if row is None:
            if depth == 1:
                raise InvalidField(f"parentId: there is no schedule {above[:64]}", "parentId")
            break
        depth, above = depth + 1, row.parent_id
    if parent_id is not None and depth + _height(tx, own_id) > DEPTH_MOST:
        raise InvalidField(f"parentId: a chain may have {DEPTH_MOST} schedules one below the other", "parentId")


def _height(tx: Tx, schedule_id: str) -> int:
    """Return how many schedules stand below this one, one below the other."""
    height, level = 0, [schedule_id]
    while level and height <= DEPTH_MOST:
        level = [child.id for above in level for child in schedules.children(tx, above)]
        height += bool(level)
    return height


def _event(tx: Tx, kind: str, caller: Caller, row: ScheduleRow, more: dict[str, Any] | None = None) -> None:
    data = {"scheduleId": row.id, "name": row.name, "nextAt": iso_or_none(row.next_at)}
    events.append(tx, kind, caller.name, None, None, data | (more or {}))


# --- how they are shown ----------------------------------------------------------------------------------------------


def record(tx: Tx, row: ScheduleRow) -> wire.Schedule:
    """Return a schedule as a record."""
    d = schedule_plan.read(row.definition)
    over = row.is_over(tx.now)
    return wire.Schedule(
        id=row.id,
        name=row.name,
        kind=row.kind,
        state="ended" if over else "paused" if row.paused else "active",
        ended_reason=(row.ended or "it has expired") if over else None,
        next_at=None if over else iso_or_none(row.next_at),
        last_at=iso_or_none(row.last_at),
        expires_at=iso_or_none(row.expires_at),
        cron=d.cron,
        every_seconds=d.every_seconds,
        at=d.at,
        timezone=d.timezone,
        start_at=d.start_at,
        end_at=d.end_at,
        parent_id=d.parent_id,
        on=d.on,
        delay_seconds=d.delay_seconds,
        condition=_condition(row.definition),
        missed=d.missed,
        missed_most=d.missed_most,
        overlap=d.overlap,
        jitter_seconds=d.jitter_seconds,
        paused=bool(row.paused),
        ttl_hours=d.ttl_hours,
        delete_after_run=d.delete_after_run,
        approval_timeout_seconds=d.approval_timeout_seconds,
        context=d.context,
        job=d.job,
        created_at=iso(row.created_at),
        updated_at=iso(row.updated_at),
        created_by=row.created_by,
        version=row.version,
    )


def _condition(definition: str) -> msgspec.Raw | None:
    return msgspec.json.decode(definition, type=dict[str, msgspec.Raw]).get("condition")


def occurrence_record(found: ListedRow) -> wire.Occurrence:
    """Return an occurrence as a record."""
    row = found.row
    return wire.Occurrence(
        id=str(row.seq),
        schedule_id=row.schedule_id,
        due_at=iso(row.due_at),
        cause=row.cause,
        outcome=row.status,
        reason=row.reason,
        job_id=row.job_id,
        job_status=found.job_status,
        parent_job_id=row.parent_job_id,
        recorded_at=iso(row.recorded_at),
    )


def status_of(tx: Tx, job_id: str) -> str | None:
    """Return a job's status; None when there is no such job any more."""
    job = jobs.find(tx, job_id)
    return None if job is None else job.status


def next_of(tx: Tx, row: ScheduleRow, most: int) -> wire.DueTimes:
    """Return a schedule's next due times; of a paused one those that it would have if it were resumed now."""
    request = schedule_plan.read(row.definition)
    plan = plan_for(row, request)
    if row.kind == "chain" or row.is_over(tx.now):
        return wire.DueTimes(timezone=plan.zone, next=[])
    return due_times(plan, tx.now if row.next_at is None else row.next_at - 1, most)


def due_times(plan: Plan, after: int, most: int) -> wire.DueTimes:
    """Return the next due times as a record."""
    zone = zone_of(plan.zone)

    def shown() -> Iterator[wire.DueTime]:
        for moment in following(plan, after, most):
            local = (_EPOCH + timedelta(milliseconds=moment)).astimezone(zone)
            yield wire.DueTime(due_at=iso(moment), local=local.isoformat(timespec="seconds"))

    return wire.DueTimes(timezone=plan.zone, next=list(shown()))
