-- Jobs of Skyclaw's dialect, for its own list: first those that have not ended. It costs nothing for all others.
CREATE INDEX jobs_skyclaw ON jobs (finished_at, seq) WHERE created_by = 'skyclaw';
-- What Skyclaw's hosts hold: how many leases one has is counted at each of its claims.
CREATE INDEX jobs_held ON jobs (claimed_by, started_at)
    WHERE status = 'running' AND claimed_by >= 'skyclaw:' AND claimed_by < 'skyclaw<';

-- Plans that somebody may approve, once. digest: SHA-256 (hex) of the plan's text as its maker reported it.
CREATE TABLE plans (
    id          TEXT    PRIMARY KEY,
    job_id      TEXT    NOT NULL, -- the job whose result it is
    digest      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    approved_at INTEGER,
    approved_by TEXT,
    approval    TEXT             -- the job that carries the approval out
);
CREATE INDEX plans_job ON plans (job_id);
