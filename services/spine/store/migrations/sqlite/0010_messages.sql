-- Why an attempt failed, as its holder said it. Those that ended by overload are counted from here.
ALTER TABLE attempts ADD COLUMN cause TEXT
    CHECK (cause = 'transient' OR cause = 'overload' OR cause = 'permanent');

-- What head and claws tell each other. place: where it stands in an inbox, by kind and then by priority (lower first).
CREATE TABLE messages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    at         INTEGER NOT NULL,
    sender     TEXT    NOT NULL,
    audience   TEXT    NOT NULL, -- head, a claw's name, or all
    kind       TEXT    NOT NULL,
    priority   INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    thread     TEXT    NOT NULL, -- the id of the message that began it
    reply_to   TEXT,
    job_id     TEXT,
    expires_at INTEGER
);
CREATE INDEX messages_thread ON messages (thread, seq);
CREATE INDEX messages_sender ON messages (sender, seq);

-- One row for each reader, so that what one of them has read is still there for the others.
CREATE TABLE receipts (
    message      INTEGER NOT NULL REFERENCES messages (seq),
    reader       TEXT    NOT NULL,
    place        INTEGER NOT NULL,
    expires_at   INTEGER,
    offered_at   INTEGER, -- the last time that an answer carried it
    delivered_at INTEGER, -- the first time
    read_at      INTEGER,
    expired_at   INTEGER, -- when it was marked
    PRIMARY KEY (message, reader)
) WITHOUT ROWID;
CREATE INDEX receipts_reader ON receipts (reader, place, message);
CREATE INDEX receipts_unread ON receipts (reader, place, message) WHERE read_at IS NULL AND expired_at IS NULL;
CREATE INDEX receipts_expiry ON receipts (expires_at)
    WHERE expires_at IS NOT NULL AND read_at IS NULL AND expired_at IS NULL;
