-- How many jobs of each target have ended, and how: without reading the jobs. Queued ones have an index of their own, and
-- those that run are few.
CREATE INDEX jobs_tally ON jobs (status, target) WHERE status <> 'queued' AND status <> 'running';
