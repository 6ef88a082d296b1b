-- Told by the end that is missing, and not by two states: so no index by state is taken in its place.
DROP INDEX notices_open;
CREATE INDEX notices_open ON notices (addressee, due_at) WHERE ended_at IS NULL;
-- Without it each look for old ones reads every run of a schedule.
CREATE INDEX occurrences_fruitless ON occurrences (schedule_id, seq)
    WHERE status IN ('skipped', 'missed', 'refused', 'dropped');
