-- A cluster of nodes: who is a member, their heartbeats, and two bounded streams. Leadership is a named lease. A node that
-- left keeps its row for its place among the messages; retention takes it.
CREATE TABLE cluster_nodes (
    id           TEXT    PRIMARY KEY,
    owner        TEXT    NOT NULL,
    instance     TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    capabilities TEXT    NOT NULL,
    endpoint     TEXT    NOT NULL,
    ttl_ms       INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state = 'online' OR state = 'offline' OR state = 'left'),
    joined_at    INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    place        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cluster_beats (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    node   TEXT    NOT NULL,
    leads  INTEGER NOT NULL,
    leader TEXT
);
CREATE INDEX cluster_beats_node ON cluster_beats (node, seq);
CREATE INDEX cluster_beats_at ON cluster_beats (at);
CREATE TABLE cluster_events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    author TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    body   TEXT    NOT NULL
);
CREATE TABLE cluster_messages (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    author TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    body   TEXT    NOT NULL
);
