-- What remains of jobs that retention has deleted, and what it needs to find them without reading all history.
CREATE TABLE tombstones (
    id       TEXT PRIMARY KEY,
    ended_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One row a deletion of events: the newest that went. A row that a later one covers is dropped, so they are few.
CREATE TABLE event_prunes (
    epoch INTEGER PRIMARY KEY AUTOINCREMENT,
    upto  INTEGER NOT NULL
);

CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX blobs_age ON blobs (created_at);
CREATE INDEX blob_mentions_job ON blob_mentions (job_id);
