-- Who is signed in at the dashboard: a session stands for a token, and ends with it. And what a person is asked about, so
-- that a page finds it among a million jobs.
CREATE TABLE sessions (
    digest     TEXT    PRIMARY KEY,
    token      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_to_approve ON jobs (approval, seq) WHERE approval = 'pending' AND status = 'waiting';
CREATE INDEX jobs_to_review ON jobs (review, seq) WHERE review = 'pending' AND status = 'done';
CREATE INDEX attempts_late ON attempts (late_at) WHERE late_result IS NOT NULL;
