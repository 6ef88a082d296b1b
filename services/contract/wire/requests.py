"""What comes in: the bodies of requests, strict."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

ANY_TARGET = "any"
DEFAULT_TARGET = "left-claw"

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")]
Capability = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+/@-]*\Z")]
Fence = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Traceparent = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")]
Key = Annotated[str, Meta(min_length=1, max_length=200)]
Pause = Annotated[float, Meta(ge=0, le=31_536_000)]
MessageKind = Literal["text", "decision", "constraint", "fact", "task", "status", "system"]
Cause = Literal["transient", "overload", "permanent"]
DeliveryMode = Literal["announce", "announce-always", "none"]
AliasName = Annotated[str, Meta(min_length=1, max_length=65, pattern=r"^@?[a-z0-9][a-z0-9._-]{0,63}\Z")]
JobId = Annotated[str, Meta(min_length=1, max_length=64)]
CLAIM_MOST = 100
CLAIM_WAIT_MOST = 30


class Request(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Base of what comes in."""


class Retry(Request):
    """When a requeued failure is tried again: `backoffSeconds`, times `factor` an attempt, at most `maxSeconds`."""

    backoff_seconds: Annotated[float, Meta(gt=0, le=86_400)]
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_seconds: Annotated[float, Meta(gt=0, le=604_800)] = 3600.0


class Delivery(Request):
    """How the end of a job is told: `announce` every end but a success that printed nothing, `announce-always` each.

    `channel` and `to`: such as `telegram` and a chat's id; `to` alone names an alias, as in `@team_room`.
    """

    mode: DeliveryMode = "announce"
    channel: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*\Z")] | None = None
    to: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+\Z")] | None = None


class Submit(Request):
    """Body of POST /jobs. `spec`, `meta` stay the JSON text that came; null in another of v0's members means absent."""

    target: Name | None = DEFAULT_TARGET
    spec: msgspec.Raw | UnsetType = UNSET
    meta: msgspec.Raw | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    timeout_seconds: Annotated[int, Meta(ge=1, le=2_592_000)] | None = None
    requires: Annotated[list[Capability], Meta(max_length=32)] = []
    label: Annotated[str, Meta(max_length=200)] | None = None
    parent_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    traceparent: Traceparent | None = None
    not_before: str | None = None
    delay_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] | None = None
    concurrency_key: Key | None = None
    concurrency_limit: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    after: Annotated[list[JobId], Meta(max_length=1000)] = []
    retry: Retry | None = None
    dedupe_key: Key | None = None
    needs_approval: bool = False
    needs_review: bool = False
    notify: Annotated[list[AliasName], Meta(max_length=16)] = []
    delivery: Delivery | None = None


class Cancel(Request):
    """Body of POST /jobs/:id/cancel and /reject."""

    reason: Annotated[str, Meta(max_length=4000)] | None = None


class Approve(Request):
    """Body of POST /jobs/:id/approve. `specDigest`: of the spec that was looked at."""

    spec_digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None


class Review(Request):
    """Body of POST /jobs/:id/review. `fence`: of the result that was looked at; another one is refused."""

    decision: Literal["accept", "rework"]
    fence: Fence | None = None
    text: Annotated[str, Meta(max_length=16_384)] | None = None


class Adopt(Request):
    """Body of POST /jobs/:id/adopt: whose late result."""

    fence: Fence


class Bulk(Request):
    """Body of POST /jobs/bulk/…: a filter, or `all`. One call handles up to 500 jobs; go on from `nextCursor`.

    `dryRun`: change nothing, tell in `matched` how many jobs the verb would take.
    """

    status: list[str] | UnsetType = UNSET
    target: Name | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    q: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    since: str | UnsetType = UNSET
    all: bool = False
    dry_run: bool = False
    reason: Annotated[str, Meta(max_length=4000)] | None = None
    cursor: str | None = None


class NewJoinCode(Request):
    """Body of POST /machines/join-codes."""

    name: Name
    ttl_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 900


class Join(Request):
    """Body of POST /join."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    capabilities: Annotated[list[Capability], Meta(max_length=256)] = []
    facts: dict[str, str | int | float | bool | None] = {}


class Rotate(Request):
    """Body of POST /machines/:id/rotate. `graceSeconds`: how long the tokens before stay valid."""

    grace_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600


class Facts(Request):
    """Body of POST /machines/:id/facts: what a claw says of itself."""

    capabilities: Annotated[list[Capability], Meta(max_length=256)] = []
    facts: dict[str, str | int | float | bool | None] = {}


class Nothing(Request):
    """An empty body."""


class TakeLease(Request):
    """Body of POST /leases/:name/take. `ttlSeconds`: how long without a renewal."""

    holder: Annotated[str, Meta(min_length=1, max_length=200)]
    ttl_seconds: Annotated[float, Meta(ge=0.1, le=86_400)] = 15.0
    data: msgspec.Raw | UnsetType = UNSET


class RenewLease(Request):
    """Body of POST /leases/:name/renew."""

    fence: Fence
    ttl_seconds: Annotated[float, Meta(ge=0.1, le=86_400)] = 15.0
    data: msgspec.Raw | UnsetType = UNSET


class ReleaseLease(Request):
    """Body of POST /leases/:name/release."""

    fence: Fence


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
    """Body of POST /jobs/:id/fail. `result` is any JSON value; it stays on a job that this ends.

    `notBefore` (ISO 8601) or `retryAfterSeconds`: when the next attempt may begin.
    """

    error: str | None = None
    requeue: bool | None = None
    result: msgspec.Raw | UnsetType = UNSET
    cause: Cause | None = None
    not_before: str | None = None
    retry_after_seconds: Pause | None = None
    fence: Fence | None = None


class Release(Request):
    """Body of POST /jobs/:id/release. `countAttempt` false gives the attempt back; the times are those of a fail."""

    reason: str | None = None
    count_attempt: bool = True
    not_before: str | None = None
    retry_after_seconds: Pause | None = None
    fence: Fence | None = None


class SendMessage(Request):
    """Body of POST /messages. `to`: a claw's name, `all` or `head`; a reply needs none, and a claw writes to head."""

    text: Annotated[str, Meta(min_length=1)]
    to: Name | None = None
    kind: MessageKind = "text"
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    reply_to: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    job_id: JobId | None = None
    expires_at: str | None = None
    ttl_seconds: Annotated[int, Meta(ge=1, le=31_536_000)] | None = None


class Comment(Request):
    """Body of POST /jobs/:id/comment."""

    text: str
