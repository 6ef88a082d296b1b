"""What goes out: answers. A client ignores members that it does not know."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from contract.wire.requests import Delivery, Retry


class Record(msgspec.Struct, rename="camel", kw_only=True):
    """Base of what is sent out."""


class CommentRecord(Record):
    """One comment: when (ISO), who, what."""

    t: str
    by: str
    text: str


class Approval(Record):
    """Where a job's approval stands: `pending`, `approved` or `rejected`; `specDigest` is what is approved."""

    state: str
    spec_digest: str
    by: str | None


class ReviewState(Record):
    """Where a job's review stands: `pending`, `accepted` or `rework`."""

    state: str
    by: str | None


class Receipt(Record):
    """What one reader has done with a message: `pending`, `delivered`, `read` or `expired`."""

    reader: str
    state: str
    delivered_at: str | None
    read_at: str | None


class Message(Record):
    """A message. A reader gets its own `state`; who looks at it from outside gets `receipts`."""

    id: str
    at: str
    by: str
    to: str
    kind: str
    text: str
    priority: int
    thread: str
    reply_to: str | None
    job_id: str | None
    expires_at: str | None
    state: str | UnsetType = UNSET
    receipts: list[Receipt] | UnsetType = UNSET


class MessageList(Record):
    """Answer of GET /messages."""

    messages: list[Message]
    next_cursor: str | None


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
    not_before: str | None = None
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    after: list[str] = []
    retry: Retry | None = None
    dedupe_key: str | None = None
    needs_approval: bool = False
    approval: Approval | None = None
    needs_review: bool = False
    review: ReviewState | None = None
    notify: list[str] = []
    delivery: Delivery | None = None
    schedule_id: str | UnsetType = UNSET
    new_comments: list[CommentRecord] | UnsetType = UNSET
    messages: list[Message] | UnsetType = UNSET


class JobList(Record):
    """Answer of GET /jobs."""

    jobs: list[Job]
    truncated: bool | UnsetType = UNSET
    next_cursor: str | UnsetType = UNSET


class Claimed(Record):
    """Answer of POST /jobs/claim; no job when only messages came."""

    jobs: list[Job]
    messages: list[Message] | UnsetType = UNSET


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
    result: Any = UNSET
    cause: str | UnsetType = UNSET
    late_result: Any = UNSET
    late_error: str | None | UnsetType = UNSET
    late_at: str | UnsetType = UNSET


class Reason(Record):
    """One reason why a job does not run: a stable `code`, a sentence, and the jobs that it is about."""

    code: str
    message: str
    jobs: list[str]


class Why(Record):
    """Answer of GET /jobs/:id/why: what would unblock it first stands first."""

    status: str
    reasons: list[Reason]


class BulkResult(Record):
    """Answer of POST /jobs/bulk/…: jobs that match in all, jobs that this call changed, and where to go on.

    `atLeast`: there may be more that match; to look through all for `q` would have taken too long.
    """

    matched: int
    changed: int
    next_cursor: str | None
    at_least: bool | UnsetType = UNSET


class Machine(Record):
    """A machine as it was last heard of: `state` is active, draining, paused or revoked; `running` are job ids."""

    id: str
    name: str
    state: str
    capabilities: list[str]
    facts: dict[str, Any]
    first_seen_at: str
    seen_at: str
    revoked_at: str | None
    running: list[str]


class MachineList(Record):
    """Answer of GET /machines."""

    machines: list[Machine]
    paused_targets: list[str]


class JoinCode(Record):
    """Answer of POST /machines/join-codes. `command` is what to paste on the machine."""

    name: str
    code: str
    expires_at: str
    command: str


class Joined(Record):
    """Answer of POST /join: the token is shown this once."""

    name: str
    token: str


class NamedLease(Record):
    """A named lease; `holder` is null when it is free. `data` is whatever the holder keeps with it."""

    name: str
    holder: str | None
    fence: int
    until: str | None
    data: Any


class AttemptList(Record):
    """Answer of GET /jobs/:id/attempts, oldest first."""

    attempts: list[Attempt]


class EarlierRun(Record):
    """What an ended job of the same schedule came to: its words, or its error. `cut`: there was more."""

    job_id: str
    status: str
    finished_at: str
    text: str
    cut: bool


class EarlierRuns(Record):
    """Answer of GET /jobs/:id/earlier: the newest first, or the likest where the schedule's `context` says `like`."""

    runs: list[EarlierRun]


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
