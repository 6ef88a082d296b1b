-- The rest of the record: what a job waits for, what it shares, who must look at it.
ALTER TABLE jobs ADD COLUMN ready INTEGER NOT NULL DEFAULT 1; -- 0: parked behind its concurrency key
ALTER TABLE jobs ADD COLUMN not_before INTEGER;
ALTER TABLE jobs ADD COLUMN wake_at INTEGER; -- when the reaper looks at a waiting job again
ALTER TABLE jobs ADD COLUMN concurrency_key TEXT;
ALTER TABLE jobs ADD COLUMN concurrency_limit INTEGER;
ALTER TABLE jobs ADD COLUMN after TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN retry TEXT;
ALTER TABLE jobs ADD COLUMN dedupe_key TEXT;
ALTER TABLE jobs ADD COLUMN approval TEXT CHECK (approval IN ('pending', 'approved', 'rejected'));
ALTER TABLE jobs ADD COLUMN approval_by TEXT;
ALTER TABLE jobs ADD COLUMN spec_digest TEXT;
ALTER TABLE jobs ADD COLUMN needs_review INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN review TEXT CHECK (review IN ('pending', 'accepted', 'rework'));
ALTER TABLE jobs ADD COLUMN review_by TEXT;
ALTER TABLE jobs ADD COLUMN notify TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN prefer_machine TEXT; -- whose work a rework goes on with
ALTER TABLE jobs ADD COLUMN prefer_until INTEGER;

DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (lane, priority DESC, seq) WHERE status = 'queued' AND ready = 1;
CREATE INDEX jobs_parked ON jobs (concurrency_key, priority DESC, seq) WHERE status = 'queued' AND ready = 0;
CREATE INDEX jobs_key_ready ON jobs (concurrency_key, priority, seq DESC)
    WHERE status = 'queued' AND ready = 1 AND concurrency_key IS NOT NULL;
CREATE INDEX jobs_key_running ON jobs (concurrency_key) WHERE status = 'running' AND concurrency_key IS NOT NULL;
CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe_key)
    WHERE dedupe_key IS NOT NULL AND status IN ('waiting', 'queued', 'running');
CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX jobs_label ON jobs (label, seq) WHERE label IS NOT NULL;
CREATE INDEX jobs_machine ON jobs (machine, seq) WHERE machine IS NOT NULL;

ALTER TABLE attempts ADD COLUMN result TEXT; -- what a round that was sent back had reported

CREATE TABLE dependencies (
    job_id   TEXT    NOT NULL,
    needs_id TEXT    NOT NULL,
    met      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, needs_id)
) WITHOUT ROWID;
CREATE INDEX dependencies_needs ON dependencies (needs_id) WHERE met = 0;
