-- Events are numbered by the transaction that writes them (see spine.store.places); writers no longer take turns.
ALTER TABLE events ALTER COLUMN seq DROP IDENTITY;
CREATE SEQUENCE event_count;
CREATE TABLE event_origin (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    origin  BIGINT NOT NULL, -- is added to the place of every event
    counted BIGINT NOT NULL  -- is taken off the count of events
);
INSERT INTO event_origin VALUES (1, 0, 0);
CREATE FUNCTION event_place() RETURNS BIGINT LANGUAGE SQL VOLATILE AS $$
    SELECT origin - counted + nextval('event_count') + (greatest(
        pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1
    ) << 20) FROM event_origin
$$;
ALTER TABLE events ALTER COLUMN seq SET DEFAULT event_place();
DROP TABLE last_writer
