"""The records on the wire: what a client sends and what it gets, in camelCase JSON.

Times are ISO 8601 UTC texts, durations whole seconds, fences integers that only grow. A member that a client does not
know must be ignored by it; what a server does with a member that it does not know is decided in `spine.api.body`.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

ANY_TARGET = "any"
DEFAULT_TARGET = "left-claw"

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
Capability = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+/@-]*\Z")]
Fence = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Traceparent = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")]
CLAIM_MOST = 100
CLAIM_WAIT_MOST = 30


class Record(msgspec.Struct, rename="camel", kw_only=True):
    """Base of what is sent out."""


class Request(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Base of what comes in."""


# --- what comes in -------------------------------------------------------------------------------------------------


class Submit(Request):
    """Body of POST /jobs. `spec`, `meta` stay the JSON text that came."""

    target: Name = DEFAULT_TARGET
    spec: msgspec.Raw | UnsetType = UNSET
    meta: msgspec.Raw | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    timeout_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None
    requires: Annotated[list[Capability], Meta(max_length=32)] = []
    label: Annotated[str, Meta(max_length=200)] | None = None
    parent_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    traceparent: Traceparent | None = None


class ClaimNext(Request):
    """Body of POST /jobs/claim. `wait` in seconds."""

    targets: Annotated[list[Name], Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    capabilities: Annotated[list[Capability], Meta(max_length=256)] = []
    max: Annotated[int, Meta(ge=1, le=CLAIM_MOST)] = 1
    wait: Annotated[float, Meta(ge=0, le=CLAIM_WAIT_MOST)] = 0.0


class ClaimOne(Request):
    """Body of POST /jobs/:id/claim (v0 sends none)."""

    capabilities: Annotated[list[Capability], Meta(max_length=256)] | UnsetType = UNSET


class Heartbeat(Request):
    """Body of POST /jobs/:id/heartbeat. `progress` is any JSON value."""

    progress: msgspec.Raw | UnsetType = UNSET
    fence: Fence | None = None


class Complete(Request):
    """Body of POST /jobs/:id/complete. `result` is any JSON value."""

    result: msgspec.Raw | UnsetType = UNSET
    fence: Fence | None = None


class Fail(Request):
    """Body of POST /jobs/:id/fail."""

    error: str | None = None
    requeue: bool = True
    fence: Fence | None = None


class Release(Request):
    """Body of POST /jobs/:id/release. `countAttempt` false gives the attempt back."""

    reason: str | None = None
    count_attempt: bool = True
    fence: Fence | None = None


class Comment(Request):
    """Body of POST /jobs/:id/comment."""

    text: str


# --- what goes out -------------------------------------------------------------------------------------------------


class CommentRecord(Record):
    """One comment: when (ISO), who, what."""

    t: str
    by: str
    text: str


class Job(Record):
    """A job as every route answers it. Encoded, `spec`, `meta`, `result` and `progress` hold the text as it came."""

    id: str
    target: str
    status: str
    created_at: str
    updated_at: str
    created_by: str
    claimed_by: str | None
    lease_until: str | None
    attempts: int
    max_attempts: int
    spec: Any
    meta: Any
    comments: list[CommentRecord]
    result: Any
    error: str | None
    progress: Any = UNSET
    release_reason: str | UnsetType = UNSET
    priority: int = 0
    timeout_seconds: int | None = None
    requires: list[str] = []
    label: str | None = None
    parent_id: str | None = None
    traceparent: str | None = None
    fence: int = 0
    round: int = 1
    worker_id: str | None = None
    machine: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    version: int = 1
    new_comments: list[CommentRecord] | UnsetType = UNSET


class JobList(Record):
    """Answer of GET /jobs and POST /jobs/claim."""

    jobs: list[Job]
    truncated: bool | UnsetType = UNSET
    next_cursor: str | UnsetType = UNSET


class Attempt(Record):
    """One claim of a job and how it ended; `late` is what came after its fence was no longer the newest."""

    fence: int
    round: int
    attempt: int
    outcome: str
    claimed_by: str
    worker_id: str | None
    machine: str | None
    started_at: str
    ended_at: str | None
    error: str | None
    late_result: Any = UNSET
    late_error: str | None | UnsetType = UNSET
    late_at: str | UnsetType = UNSET


class AttemptList(Record):
    """Answer of GET /jobs/:id/attempts, oldest first."""

    attempts: list[Attempt]


class Event(Record):
    """One entry of the append-only log. `cursor` is opaque."""

    cursor: str
    job_id: str | None
    at: str
    type: str
    by: str
    data: Any


class EventPage(Record):
    """Answer of GET /events and GET /jobs/:id/events; go on from `nextCursor`. `gap`: events before it are gone."""

    events: list[Event]
    next_cursor: str
    gap: bool = False


class Blob(Record):
    """A stored file. `sha256` in hex; `url` is the path on this server."""

    id: str
    filename: str
    size: int
    sha256: str
    content_type: str
    created_at: str
    url: str


class LogState(Record):
    """Answer of POST /jobs/:id/log: how many bytes this attempt's log holds now."""

    fence: int
    size: int
