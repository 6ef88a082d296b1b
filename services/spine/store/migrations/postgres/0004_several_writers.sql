-- Events are numbered by the transaction that writes them (see spine.store.places); writers no longer take turns.
ALTER TABLE events ALTER COLUMN seq DROP IDENTITY;
CREATE TABLE event_origin (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    origin BIGINT NOT NULL -- is added to the place of every event
);
INSERT INTO event_origin VALUES (1, 0);
DROP TABLE last_writer
