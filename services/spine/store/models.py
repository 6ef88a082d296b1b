"""The tables as peewee models: statements are compiled from them; migrations make the tables (a test compares)."""

import peewee as pw

from spine.store.models_cluster import ClusterBeat, ClusterEvent, ClusterMessage, ClusterNode
from spine.store.models_groups import Group, GroupJob
from spine.store.models_mail import Message, Receipt
from spine.store.table import Table


class Lane(Table):
    id = pw.AutoField()
    target = pw.TextField()
    requires = pw.TextField()

    class Meta:
        table_name = "lanes"


class Job(Table):
    seq = pw.AutoField()
    id = pw.TextField()
    lane = pw.IntegerField()
    target = pw.TextField()
    status = pw.TextField()
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()
    created_by = pw.TextField()
    claimed_by = pw.TextField(null=True)
    worker_id = pw.TextField(null=True)
    machine = pw.TextField(null=True)
    lease_until = pw.BigIntegerField(null=True)
    accepted = pw.IntegerField()
    unaccepted = pw.IntegerField()
    attempts = pw.IntegerField()
    max_attempts = pw.IntegerField()
    spec = pw.TextField()
    meta = pw.TextField()
    result = pw.TextField(null=True)
    error = pw.TextField(null=True)
    progress = pw.TextField(null=True)
    release_reason = pw.TextField(null=True)
    priority = pw.IntegerField()
    timeout_seconds = pw.IntegerField(null=True)
    requires = pw.TextField()
    label = pw.TextField(null=True)
    parent_id = pw.TextField(null=True)
    traceparent = pw.TextField(null=True)
    fence = pw.BigIntegerField()
    round = pw.IntegerField()
    comments = pw.IntegerField()
    comments_seen = pw.BigIntegerField()
    started_at = pw.BigIntegerField(null=True)
    finished_at = pw.BigIntegerField(null=True)
    version = pw.BigIntegerField()
    ready = pw.IntegerField()
    not_before = pw.BigIntegerField(null=True)
    wake_at = pw.BigIntegerField(null=True)
    concurrency_key = pw.TextField(null=True)
    concurrency_limit = pw.IntegerField(null=True)
    after = pw.TextField()
    retry = pw.TextField(null=True)
    dedupe_key = pw.TextField(null=True)
    approval = pw.TextField(null=True)
    approval_by = pw.TextField(null=True)
    spec_digest = pw.TextField(null=True)
    needs_review = pw.IntegerField()
    review = pw.TextField(null=True)
    review_by = pw.TextField(null=True)
    notify = pw.TextField()
    prefer_machine = pw.TextField(null=True)
    prefer_until = pw.BigIntegerField(null=True)
    schedule_id = pw.TextField(null=True)
    delivery = pw.TextField(null=True)

    class Meta:
        table_name = "jobs"


class Attempt(Table):
    job_id = pw.TextField()
    fence = pw.BigIntegerField()
    round = pw.IntegerField()
    attempt = pw.IntegerField()
    outcome = pw.TextField()
    claimed_by = pw.TextField()
    worker_id = pw.TextField(null=True)
    machine = pw.TextField(null=True)
    started_at = pw.BigIntegerField()
    ended_at = pw.BigIntegerField(null=True)
    error = pw.TextField(null=True)
    late_result = pw.TextField(null=True)
    late_error = pw.TextField(null=True)
    late_at = pw.BigIntegerField(null=True)
    result = pw.TextField(null=True)
    cause = pw.TextField(null=True)

    class Meta:
        table_name = "attempts"
        primary_key = pw.CompositeKey("job_id", "fence")


class Dependency(Table):
    job_id = pw.TextField()
    needs_id = pw.TextField()
    met = pw.IntegerField()

    class Meta:
        table_name = "dependencies"
        primary_key = pw.CompositeKey("job_id", "needs_id")


class Comment(Table):
    seq = pw.AutoField()
    job_id = pw.TextField()
    at = pw.BigIntegerField()
    author = pw.TextField()
    text = pw.TextField()

    class Meta:
        table_name = "comments"


class Event(Table):
    seq = pw.AutoField()
    job_id = pw.TextField(null=True)
    target = pw.TextField(null=True)
    at = pw.BigIntegerField()
    type = pw.TextField()
    author = pw.TextField()
    data = pw.TextField()

    class Meta:
        table_name = "events"


class Idempotency(Table):
    owner = pw.TextField()
    method = pw.TextField()
    path = pw.TextField()
    key = pw.TextField()
    digest = pw.BlobField()
    status = pw.IntegerField()
    body = pw.BlobField()
    holds = pw.TextField()
    created_at = pw.BigIntegerField()

    class Meta:
        table_name = "idempotency"
        primary_key = pw.CompositeKey("owner", "method", "path", "key")


class Log(Table):
    job_id = pw.TextField()
    fence = pw.BigIntegerField()
    size = pw.BigIntegerField()
    blob_id = pw.TextField(null=True)

    class Meta:
        table_name = "logs"
        primary_key = pw.CompositeKey("job_id", "fence")


class LogChunk(Table):
    seq = pw.AutoField()
    job_id = pw.TextField()
    fence = pw.BigIntegerField()
    start = pw.BigIntegerField()
    data = pw.BlobField()

    class Meta:
        table_name = "log_chunks"


class Blob(Table):
    id = pw.TextField(primary_key=True)
    filename = pw.TextField()
    size = pw.BigIntegerField()
    sha256 = pw.TextField()
    content_type = pw.TextField()
    created_at = pw.BigIntegerField()
    uploader = pw.TextField()

    class Meta:
        table_name = "blobs"


class BlobMention(Table):
    blob_id = pw.TextField()
    job_id = pw.TextField()

    class Meta:
        table_name = "blob_mentions"
        primary_key = pw.CompositeKey("blob_id", "job_id")


class MetaEntry(Table):
    key = pw.TextField(primary_key=True)
    value = pw.TextField()

    class Meta:
        table_name = "meta"


class Machine(Table):
    name = pw.TextField(primary_key=True)
    state = pw.TextField()
    capabilities = pw.TextField()
    facts = pw.TextField()
    first_seen = pw.BigIntegerField()
    seen_at = pw.BigIntegerField()
    revoked_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "machines"


class Token(Table):
    digest = pw.TextField(primary_key=True)
    name = pw.TextField()
    role = pw.TextField()
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "tokens"


class Session(Table):
    digest = pw.TextField(primary_key=True)
    token = pw.TextField()
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField()

    class Meta:
        table_name = "sessions"


class JoinCode(Table):
    digest = pw.TextField(primary_key=True)
    name = pw.TextField()
    created_by = pw.TextField()
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField()
    used_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "join_codes"


class PausedTarget(Table):
    name = pw.TextField(primary_key=True)
    paused_at = pw.BigIntegerField()

    class Meta:
        table_name = "paused_targets"


class NamedLease(Table):
    name = pw.TextField(primary_key=True)
    holder = pw.TextField(null=True)
    owner = pw.TextField(null=True)
    fence = pw.BigIntegerField()
    until = pw.BigIntegerField(null=True)
    data = pw.TextField()

    class Meta:
        table_name = "named_leases"


class Plan(Table):
    id = pw.TextField(primary_key=True)
    job_id = pw.TextField()
    digest = pw.TextField()
    created_at = pw.BigIntegerField()
    approved_at = pw.BigIntegerField(null=True)
    approved_by = pw.TextField(null=True)
    approval = pw.TextField(null=True)

    class Meta:
        table_name = "plans"


class Tombstone(Table):
    id = pw.TextField(primary_key=True)
    ended_at = pw.BigIntegerField()

    class Meta:
        table_name = "tombstones"


class EventPrune(Table):
    epoch = pw.AutoField()
    upto = pw.BigIntegerField()

    class Meta:
        table_name = "event_prunes"


class Notice(Table):
    seq = pw.AutoField()
    id = pw.TextField()
    job_id = pw.TextField(null=True)
    addressee = pw.TextField()
    channel = pw.TextField(null=True)
    recipient = pw.TextField(null=True)
    status = pw.TextField()
    said = pw.TextField()
    created_by = pw.TextField()
    created_at = pw.BigIntegerField()
    since = pw.BigIntegerField()
    due_at = pw.BigIntegerField()
    fence = pw.BigIntegerField()
    attempts = pw.IntegerField()
    parts = pw.IntegerField()
    error = pw.TextField(null=True)
    ended_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "notices"


class NoticeAttempt(Table):
    notice_id = pw.TextField()
    fence = pw.BigIntegerField()
    started_at = pw.BigIntegerField()
    ended_at = pw.BigIntegerField(null=True)
    outcome = pw.TextField(null=True)
    detail = pw.TextField(null=True)

    class Meta:
        table_name = "notice_attempts"
        primary_key = pw.CompositeKey("notice_id", "fence")


class Schedule(Table):
    seq = pw.AutoField()
    id = pw.TextField()
    name = pw.TextField()
    kind = pw.TextField()
    definition = pw.TextField()
    parent_id = pw.TextField(null=True)
    paused = pw.IntegerField()
    next_at = pw.BigIntegerField(null=True)
    fire_at = pw.BigIntegerField(null=True)
    last_at = pw.BigIntegerField(null=True)
    expires_at = pw.BigIntegerField(null=True)
    ended = pw.TextField(null=True)
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()
    created_by = pw.TextField()
    version = pw.BigIntegerField()

    class Meta:
        table_name = "schedules"


class Occurrence(Table):
    seq = pw.AutoField()
    schedule_id = pw.TextField()
    due_at = pw.BigIntegerField()
    cause = pw.TextField()
    parent_job_id = pw.TextField(null=True)
    parent_version = pw.BigIntegerField(null=True)
    status = pw.TextField()
    reason = pw.TextField(null=True)
    job_id = pw.TextField(null=True)
    fire_at = pw.BigIntegerField(null=True)
    approve_by = pw.BigIntegerField(null=True)
    recorded_at = pw.BigIntegerField()

    class Meta:
        table_name = "occurrences"


class ScheduleEnd(Table):
    seq = pw.AutoField()
    schedule_id = pw.TextField()
    job_id = pw.TextField()
    version = pw.BigIntegerField()
    outcome = pw.TextField()

    class Meta:
        table_name = "schedule_ends"


TABLES = (
    *(Lane, Job, Attempt, Dependency, Comment, Event, Idempotency, Log, LogChunk, Blob, BlobMention, MetaEntry),
    *(Machine, Token, Session, JoinCode, PausedTarget, NamedLease, Plan, Tombstone, EventPrune),
    *(Notice, NoticeAttempt),
    *(Schedule, Occurrence, ScheduleEnd),
    *(Message, Receipt, Group, GroupJob),
    *(ClusterNode, ClusterBeat, ClusterEvent, ClusterMessage),
)
