-- How the end of a job is told, as JSON; null for what `notify` alone says.
ALTER TABLE jobs ADD COLUMN delivery TEXT;

-- The outbox: what is to be told, to whom, written in the transaction that makes it true.
-- due_at: when it may be taken next; while it is being sent, when the sender's lease ends.
-- addressee: the name of an alias. since: when its time to be sent began; parts: how many pieces of a long text have gone out.
CREATE TABLE notices (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    job_id     TEXT,
    addressee  TEXT    NOT NULL,
    channel    TEXT,
    recipient  TEXT,
    status     TEXT    NOT NULL CHECK (status IN ('waiting', 'sending', 'sent', 'given_up')),
    said       TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    parts      INTEGER NOT NULL,
    error      TEXT,
    ended_at   INTEGER,
    CHECK ((ended_at IS NULL) = (status IN ('waiting', 'sending')))
);
CREATE INDEX notices_open ON notices (addressee, due_at) WHERE status IN ('waiting', 'sending');
CREATE INDEX notices_status ON notices (status, seq);
CREATE INDEX notices_job ON notices (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX notices_sent ON notices (ended_at) WHERE status = 'sent';

-- Each time a notice was taken to be sent, and what came of it; ended_at is null while a sender has it, or has died.
CREATE TABLE notice_attempts (
    notice_id  TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    detail     TEXT,
    PRIMARY KEY (notice_id, fence)
);
