"""Task groups: the bodies and answers of /groups."""

from typing import Annotated

from msgspec import Meta, field

from contract.wire.records import Record
from contract.wire.requests import AliasName, JobId, Request


class NewGroup(Request):
    """Body of POST /groups: exactly one of `jobIds`, `label` and `parentId`."""

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
    job_ids: Annotated[list[JobId], Meta(min_length=1, max_length=1000)] | None = None
    label: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    parent_id: JobId | None = None
    overdue_at: str | None = None
    deadline_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None
    notify: Annotated[list[AliasName], Meta(max_length=16)] = field(default_factory=list)


class GroupJob(Record):
    """A job of a group that has not ended."""

    id: str
    status: str
    label: str | None
    claimed_by: str | None


class Group(Record):
    """A group: `state` is open, overdue, done or closed. `counts`: its jobs by state; `openJobs`: 20 at most."""

    id: str
    name: str
    state: str
    created_at: str
    created_by: str
    label: str | None
    parent_id: str | None
    overdue_at: str | None
    notify: list[str]
    warned_at: str | None
    done_at: str | None
    closed_at: str | None
    summary: str | None
    counts: dict[str, int]
    open_jobs: list[GroupJob]


class GroupList(Record):
    """Answer of GET /groups, the newest first; go on from `nextCursor`."""

    groups: list[Group]
    next_cursor: str | None
