-- The same tables with their constraints said in another way. For `x IN (…)` with more than two values SQLite builds a
-- table in memory at every insert and update, which took as long as writing the row.
-- References to a table by its name hold while it is replaced; foreign keys are off during a migration, and checked.
CREATE TABLE jobs_anew (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    lane            INTEGER NOT NULL REFERENCES lanes (id),
    target          TEXT    NOT NULL,
    status          TEXT    NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'done' OR status = 'failed' OR status = 'dead'
            OR status = 'waiting' OR status = 'cancelled'),
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
    ready           INTEGER NOT NULL DEFAULT 1, -- 0: parked behind its concurrency key
    not_before      INTEGER,
    wake_at         INTEGER, -- when the reaper looks at a waiting job again
    concurrency_key TEXT,
    concurrency_limit INTEGER,
    after           TEXT    NOT NULL DEFAULT '[]',
    retry           TEXT,
    dedupe_key      TEXT,
    approval        TEXT CHECK (approval = 'pending' OR approval = 'approved' OR approval = 'rejected'),
    approval_by     TEXT,
    spec_digest     TEXT,
    needs_review    INTEGER NOT NULL DEFAULT 0,
    review          TEXT CHECK (review = 'pending' OR review = 'accepted' OR review = 'rework'),
    review_by       TEXT,
    notify          TEXT    NOT NULL DEFAULT '[]',
    prefer_machine  TEXT, -- whose work a rework goes on with
    prefer_until    INTEGER,
    CONSTRAINT lease_iff_running CHECK ((status = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT holder_if_running CHECK (status <> 'running' OR claimed_by IS NOT NULL),
    CONSTRAINT finished_iff_ended
        CHECK ((status = 'done' OR status = 'failed' OR status = 'dead' OR status = 'cancelled')
            = (finished_at IS NOT NULL))
);
INSERT INTO jobs_anew SELECT * FROM jobs ORDER BY seq;
-- A number that was given once is never given again, also when the newest jobs have been deleted.
DELETE FROM sqlite_sequence WHERE name = 'jobs_anew';
INSERT INTO sqlite_sequence (name, seq) SELECT 'jobs_anew', seq FROM sqlite_sequence WHERE name = 'jobs';
DROP TABLE jobs;
ALTER TABLE jobs_anew RENAME TO jobs;

CREATE INDEX jobs_ready ON jobs (lane, priority DESC, seq) WHERE status = 'queued' AND ready = 1;
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX jobs_status ON jobs (status, seq);
CREATE INDEX jobs_target ON jobs (target, seq);
CREATE INDEX jobs_queued ON jobs (target, seq) WHERE status = 'queued';
CREATE INDEX jobs_parked ON jobs (concurrency_key, lane, concurrency_limit, priority DESC, seq)
    WHERE status = 'queued' AND ready = 0;
CREATE INDEX jobs_key_ready ON jobs (concurrency_key, lane, priority, seq DESC)
    WHERE status = 'queued' AND ready = 1 AND concurrency_key IS NOT NULL;
CREATE INDEX jobs_key_running ON jobs (concurrency_key) WHERE status = 'running' AND concurrency_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe_key)
    WHERE dedupe_key IS NOT NULL AND status IN ('waiting', 'queued', 'running');
CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX jobs_label ON jobs (label, seq) WHERE label IS NOT NULL;
CREATE INDEX jobs_machine ON jobs (machine, seq) WHERE machine IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE attempts_anew (
    job_id      TEXT    NOT NULL REFERENCES jobs (id),
    fence       INTEGER NOT NULL,
    round       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    outcome     TEXT    NOT NULL
        CHECK (outcome = 'running' OR outcome = 'done' OR outcome = 'failed' OR outcome = 'released'
            OR outcome = 'expired' OR outcome = 'unaccepted' OR outcome = 'cancelled' OR outcome = 'superseded'),
    claimed_by  TEXT    NOT NULL,
    worker_id   TEXT,
    machine     TEXT,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    error       TEXT,
    late_result TEXT,
    late_error  TEXT,
    late_at     INTEGER,
    result      TEXT, -- what a round that was sent back had reported
    PRIMARY KEY (job_id, fence)
) WITHOUT ROWID;
INSERT INTO attempts_anew SELECT * FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_anew RENAME TO attempts;
