"""Schedules on the wire: what a head sends of them, and what it gets."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contract.wire.records import Record
from contract.wire.requests import Request

Kind = Literal["cron", "every", "at", "chain"]
On = Literal["success", "failure", "both"]
Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue", "replace"]
ScheduleName = Annotated[str, Meta(min_length=1, max_length=200)]
Seconds = Annotated[int, Meta(ge=0, le=2_592_000)]
PREVIEW_MOST = 100
PREVIEW_SHOWN = 5
CONTEXT_MOST = 10
CONTEXT_SHOWN = 3
CONTEXT_LIKE_MOST = 2000

_Moment = Annotated[str, Meta(max_length=64)]
_Cron = Annotated[str, Meta(min_length=1, max_length=200)]
_Every = Annotated[int, Meta(ge=1, le=315_360_000)]
_Zone = Annotated[str, Meta(min_length=1, max_length=64)]
_ScheduleId = Annotated[str, Meta(min_length=1, max_length=64)]
_MissedMost = Annotated[int, Meta(ge=1, le=100)]
_Jitter = Annotated[int, Meta(ge=0, le=86_400)]
_Ttl = Annotated[float, Meta(gt=0, le=876_000)]
_ApprovalTimeout = Annotated[int, Meta(ge=1, le=2_592_000)]
_ExitCodes = Annotated[list[Annotated[int, Meta(ge=-255, le=255)]], Meta(min_length=1, max_length=32)]


class Condition(Request):
    """What the parent's result must be; every member that is given must hold.

    `exitCode`: one of these. `contains`: a text, upper and lower case told apart, in any text of the result or in the
    error. `pointer` (RFC 6901) with `equals` (any JSON value) or `exists`; alone it means `exists`.
    """

    exit_code: _ExitCodes | None = None
    contains: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    pointer: Annotated[str, Meta(max_length=500)] | None = None
    equals: msgspec.Raw | UnsetType = UNSET
    exists: bool | None = None


class Context(Request):
    """What the agent of a schedule's job is shown of the runs before it: the `last` so many results.

    With `like`, a text: those of the newest results whose words are the most like it, and none that share no word.
    """

    last: Annotated[int, Meta(ge=1, le=CONTEXT_MOST)] = CONTEXT_SHOWN
    like: Annotated[str, Meta(min_length=1, max_length=CONTEXT_LIKE_MOST, pattern=r"^[^\x00]+\Z")] | None = None


class NewSchedule(Request):
    """Body of POST /schedules. Exactly one of `cron`, `everySeconds`, `at` and `parentId` says when it is due.

    `job` is a body of POST /jobs. Null in a member means absent.
    """

    name: ScheduleName
    job: msgspec.Raw
    kind: Kind | None = None
    cron: _Cron | None = None
    every_seconds: _Every | None = None
    at: _Moment | None = None
    parent_id: _ScheduleId | None = None
    on: On = "success"
    delay_seconds: Seconds = 0
    condition: Condition | None = None
    timezone: _Zone = "UTC"
    start_at: _Moment | None = None
    end_at: _Moment | None = None
    missed: Missed = "once"
    missed_most: _MissedMost = 10
    overlap: Overlap = "skip"
    jitter_seconds: _Jitter = 0
    paused: bool = False
    ttl_hours: _Ttl | None = None
    delete_after_run: bool = False
    approval_timeout_seconds: _ApprovalTimeout = 3600
    context: Context | None = None
    run_now: bool = False


class EditSchedule(Request):
    """Body of PATCH /schedules/:id: what is to be another; null takes a member away (its default holds again).

    `version`: the one that was looked at; another is refused.
    """

    version: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    name: ScheduleName | UnsetType = UNSET
    job: msgspec.Raw | UnsetType = UNSET
    kind: Kind | UnsetType | None = UNSET
    cron: _Cron | UnsetType | None = UNSET
    every_seconds: _Every | UnsetType | None = UNSET
    at: _Moment | UnsetType | None = UNSET
    parent_id: _ScheduleId | UnsetType | None = UNSET
    on: On | UnsetType | None = UNSET
    delay_seconds: Seconds | UnsetType | None = UNSET
    condition: Condition | UnsetType | None = UNSET
    timezone: _Zone | UnsetType | None = UNSET
    start_at: _Moment | UnsetType | None = UNSET
    end_at: _Moment | UnsetType | None = UNSET
    missed: Missed | UnsetType | None = UNSET
    missed_most: _MissedMost | UnsetType | None = UNSET
    overlap: Overlap | UnsetType | None = UNSET
    jitter_seconds: _Jitter | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET
    ttl_hours: _Ttl | UnsetType | None = UNSET
    delete_after_run: bool | UnsetType | None = UNSET
    approval_timeout_seconds: _ApprovalTimeout | UnsetType | None = UNSET
    context: Context | UnsetType | None = UNSET


class PreviewSchedule(Request):
    """Body of POST /schedules/preview: the members that say when, and how many times to show."""

    cron: _Cron | None = None
    every_seconds: _Every | None = None
    at: _Moment | None = None
    timezone: _Zone = "UTC"
    start_at: _Moment | None = None
    end_at: _Moment | None = None
    n: Annotated[int, Meta(ge=1, le=PREVIEW_MOST)] = PREVIEW_SHOWN


class Schedule(Record):
    """A schedule. `state` is active, paused or ended (`endedReason` says why).

    `nextAt`: the next due time without jitter; `lastAt`: the last one that has been dealt with.
    """

    id: str
    name: str
    kind: str
    state: str
    ended_reason: str | None
    next_at: str | None
    last_at: str | None
    expires_at: str | None
    cron: str | None
    every_seconds: int | None
    at: str | None
    timezone: str
    start_at: str | None
    end_at: str | None
    parent_id: str | None
    on: str
    delay_seconds: int
    condition: Any
    missed: str
    missed_most: int
    overlap: str
    jitter_seconds: int
    paused: bool
    ttl_hours: float | None
    delete_after_run: bool
    approval_timeout_seconds: int
    job: Any
    created_at: str
    updated_at: str
    created_by: str
    version: int
    context: Context | None = None


class ScheduleList(Record):
    """Answer of GET /schedules, oldest first; go on from `nextCursor`."""

    schedules: list[Schedule]
    next_cursor: str | None


class Occurrence(Record):
    """What became of one due time, one run that was asked for, or one end of a parent's job.

    `cause` is time, run or chain. `outcome`: submitted (`jobId`, and `jobStatus` as it is now), queued (until the
    schedule's job has ended), pending (its delay runs), skipped, missed, refused or dropped (`reason` says why).
    """

    id: str
    schedule_id: str
    due_at: str
    cause: str
    outcome: str
    reason: str | None
    job_id: str | None
    job_status: str | None
    parent_job_id: str | None
    recorded_at: str


class OccurrenceList(Record):
    """Answer of GET /schedules/:id/runs, newest first; go on from `nextCursor`."""

    runs: list[Occurrence]
    next_cursor: str | None


class DueTime(Record):
    """A due time: in UTC, and as the clocks of the schedule's zone show it."""

    due_at: str
    local: str


class DueTimes(Record):
    """Answer of GET /schedules/:id/next and POST /schedules/preview."""

    timezone: str
    next: list[DueTime]
