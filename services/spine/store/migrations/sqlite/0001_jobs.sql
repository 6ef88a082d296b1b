-- A lane is what a claw must be to take a job: its target and the capabilities it requires (canonical JSON list).
-- A claim seeks only in lanes that its claw satisfies, so that jobs it cannot do cost it nothing.
CREATE TABLE lanes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    target   TEXT NOT NULL,
    requires TEXT NOT NULL,
    UNIQUE (target, requires)
);

-- Times are integer milliseconds since the epoch. spec, meta, result and progress keep the JSON text that came.
CREATE TABLE jobs (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    lane            INTEGER NOT NULL REFERENCES lanes (id),
    target          TEXT    NOT NULL,
    status          TEXT    NOT NULL
        CHECK (status IN ('queued', 'running', 'done', 'failed', 'dead', 'waiting', 'cancelled')),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    created_by      TEXT    NOT NULL,
    claimed_by      TEXT,
    worker_id       TEXT,
    machine         TEXT,
    lease_until     INTEGER,
    accepted        INTEGER NOT NULL DEFAULT 1, -- 0 until the first fenced call after a waiting claim
    unaccepted      INTEGER NOT NULL DEFAULT 0, -- how often an attempt was given back for want of such a call
    attempts        INTEGER NOT NULL DEFAULT 0,
    max_attempts    INTEGER NOT NULL,
    spec            TEXT    NOT NULL,
    meta            TEXT    NOT NULL,
    result          TEXT,
    error           TEXT,
    progress        TEXT,
    release_reason  TEXT,
    priority        INTEGER NOT NULL DEFAULT 0,
    timeout_seconds INTEGER,
    requires        TEXT    NOT NULL DEFAULT '[]',
    label           TEXT,
    parent_id       TEXT,
    traceparent     TEXT,
    fence           INTEGER NOT NULL DEFAULT 0,
    round           INTEGER NOT NULL DEFAULT 1,
    comments        INTEGER NOT NULL DEFAULT 0, -- how many it has
    comments_seen   INTEGER NOT NULL DEFAULT 0, -- the last one (its seq) that a heartbeat answered
    started_at      INTEGER,
    finished_at     INTEGER,
    version         INTEGER NOT NULL DEFAULT 1,
    CONSTRAINT lease_iff_running CHECK ((status = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT holder_if_running CHECK (status <> 'running' OR claimed_by IS NOT NULL),
    CONSTRAINT finished_iff_ended
        CHECK ((status IN ('done', 'failed', 'dead', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX jobs_ready ON jobs (lane, priority DESC, seq) WHERE status = 'queued';
-- Only a running job has one; said so, no statement can prefer an index on status to it.
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX jobs_status ON jobs (status, seq);
CREATE INDEX jobs_target ON jobs (target, seq);
-- What a claw of v0 asks for every minute: status=queued and its target.
CREATE INDEX jobs_queued ON jobs (target, seq) WHERE status = 'queued';

-- One row a claim. What comes after its fence was no longer the newest is kept in the late_ columns.
CREATE TABLE attempts (
    job_id      TEXT    NOT NULL REFERENCES jobs (id),
    fence       INTEGER NOT NULL,
    round       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    outcome     TEXT    NOT NULL
        CHECK (outcome IN ('running', 'done', 'failed', 'released', 'expired', 'unaccepted', 'cancelled', 'superseded')),
    claimed_by  TEXT    NOT NULL,
    worker_id   TEXT,
    machine     TEXT,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    error       TEXT,
    late_result TEXT,
    late_error  TEXT,
    late_at     INTEGER,
    PRIMARY KEY (job_id, fence)
) WITHOUT ROWID;

CREATE TABLE comments (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT    NOT NULL REFERENCES jobs (id),
    at     INTEGER NOT NULL,
    author TEXT    NOT NULL,
    text   TEXT    NOT NULL
);
CREATE INDEX comments_job ON comments (job_id, seq);

-- Append-only. target is copied here, so that a claw's stream is filtered without a join.
CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT,
    target TEXT,
    at     INTEGER NOT NULL,
    type   TEXT    NOT NULL,
    author TEXT    NOT NULL,
    data   TEXT    NOT NULL
);
CREATE INDEX events_job ON events (job_id, seq);

-- The first answer to a request with an Idempotency-Key, written with what the request changed.
CREATE TABLE idempotency (
    owner      TEXT    NOT NULL,
    method     TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    holds      TEXT    NOT NULL DEFAULT '', -- for a claim: job:fence pairs that must be live for a replay
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, method, path, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- An attempt's log: chunk rows while it runs, one blob once it is sealed.
CREATE TABLE logs (
    job_id  TEXT    NOT NULL REFERENCES jobs (id),
    fence   INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    blob_id TEXT,
    PRIMARY KEY (job_id, fence)
) WITHOUT ROWID;
CREATE INDEX logs_open ON logs (job_id, fence) WHERE blob_id IS NULL;
CREATE TABLE log_chunks (
    seq    INTEGER PRIMARY KEY,
    job_id TEXT    NOT NULL,
    fence  INTEGER NOT NULL,
    start  INTEGER NOT NULL,
    data   BLOB    NOT NULL,
    UNIQUE (job_id, fence, start)
);

CREATE TABLE blobs (
    id           TEXT    PRIMARY KEY,
    filename     TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    sha256       TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    uploader     TEXT    NOT NULL
) WITHOUT ROWID;
-- Which jobs name a blob: a claw may read what a job that it sees names.
CREATE TABLE blob_mentions (
    blob_id TEXT NOT NULL,
    job_id  TEXT NOT NULL,
    PRIMARY KEY (blob_id, job_id)
) WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
