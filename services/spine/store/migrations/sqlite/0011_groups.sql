-- A dead-man's switch over a set of jobs: some named ones, or those with a label or a parent. Each of its two summaries is
-- written once, in the transaction that sets its _at.
CREATE TABLE groups (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    label      TEXT,
    parent_id  TEXT,
    overdue_at INTEGER,
    notify     TEXT    NOT NULL DEFAULT '[]',
    warned_at  INTEGER,
    done_at    INTEGER,
    closed_at  INTEGER,
    summary    TEXT
);
CREATE INDEX groups_open ON groups (seq) WHERE done_at IS NULL AND closed_at IS NULL;
CREATE TABLE group_jobs (
    group_id TEXT NOT NULL,
    job_id   TEXT NOT NULL,
    PRIMARY KEY (group_id, job_id)
) WITHOUT ROWID;
CREATE INDEX jobs_parent ON jobs (parent_id, seq) WHERE parent_id IS NOT NULL;
