-- Schedules. definition: what a head sent, as JSON, checked. The other columns follow from it, or say how far it is.
CREATE TABLE schedules (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('cron', 'every', 'at', 'chain')),
    definition  TEXT    NOT NULL,
    parent_id   TEXT,             -- the schedule whose jobs' ends this one follows
    paused      INTEGER NOT NULL,
    next_at     INTEGER,          -- the next due time (ms), none: never again, or never by time
    fire_at     INTEGER,          -- when the tick looks at it: next_at with jitter, none while paused
    last_at     INTEGER,          -- the last due time that has been dealt with
    expires_at  INTEGER,
    ended       TEXT,             -- why it is never due again
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    version     INTEGER NOT NULL
);
CREATE INDEX schedules_fire ON schedules (fire_at) WHERE fire_at IS NOT NULL;
CREATE INDEX schedules_parent ON schedules (parent_id, seq) WHERE parent_id IS NOT NULL;
CREATE INDEX schedules_name ON schedules (name);

-- What became of each due time, each run that a head asked for, and each end of a parent's job.
CREATE TABLE occurrences (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id    TEXT    NOT NULL,
    due_at         INTEGER NOT NULL,
    cause          TEXT    NOT NULL CHECK (cause IN ('time', 'run', 'chain')),
    parent_job_id  TEXT,
    parent_version INTEGER,       -- of the parent's job when it ended: one that ends again is another end
    status         TEXT    NOT NULL
        CHECK (status IN ('submitted', 'queued', 'pending', 'skipped', 'missed', 'refused', 'dropped')),
    reason         TEXT,
    job_id         TEXT,
    fire_at        INTEGER,       -- pending: when it is submitted
    approve_by     INTEGER,       -- until when somebody may approve its job
    recorded_at    INTEGER NOT NULL
);
-- The row that decides when two fire at once: a due time has one, an end of a parent's job has one a schedule.
CREATE UNIQUE INDEX occurrences_time ON occurrences (schedule_id, due_at) WHERE cause = 'time';
CREATE UNIQUE INDEX occurrences_chain ON occurrences (schedule_id, parent_job_id, parent_version)
    WHERE cause = 'chain';
CREATE INDEX occurrences_schedule ON occurrences (schedule_id, seq);
CREATE INDEX occurrences_fire ON occurrences (fire_at) WHERE fire_at IS NOT NULL;
CREATE INDEX occurrences_approve ON occurrences (approve_by) WHERE approve_by IS NOT NULL;
CREATE INDEX occurrences_queued ON occurrences (schedule_id, seq) WHERE status = 'queued';
CREATE INDEX occurrences_job ON occurrences (job_id) WHERE job_id IS NOT NULL;

-- Ends of jobs that came from a schedule, until the tick has seen to what follows from them.
CREATE TABLE schedule_ends (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id TEXT    NOT NULL,
    job_id      TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('success', 'failure', 'review'))
);

ALTER TABLE jobs ADD COLUMN schedule_id TEXT;
-- Costs nothing for a job that came from no schedule.
CREATE INDEX jobs_schedule ON jobs (schedule_id, finished_at) WHERE schedule_id IS NOT NULL;
