-- Parked jobs are found by lane and limit in one seek each, not by a walk over all that stand behind the key.
DROP INDEX jobs_parked;
DROP INDEX jobs_key_ready;
CREATE INDEX jobs_parked ON jobs (concurrency_key, lane, concurrency_limit, priority DESC, seq)
    WHERE status = 'queued' AND ready = 0;
CREATE INDEX jobs_key_ready ON jobs (concurrency_key, lane, priority, seq DESC)
    WHERE status = 'queued' AND ready = 1 AND concurrency_key IS NOT NULL;
-- Until now one lane's job could keep those of others parked; every one is looked at anew by the claim that finds it.
UPDATE jobs SET ready = 1 WHERE status = 'queued' AND ready = 0;
