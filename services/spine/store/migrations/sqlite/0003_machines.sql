-- Machines as they are heard of, tokens of their own (digests only), join codes, paused targets, named leases.
CREATE TABLE machines (
    name         TEXT PRIMARY KEY,
    state        TEXT    NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'draining', 'paused')),
    capabilities TEXT    NOT NULL DEFAULT '[]',
    facts        TEXT    NOT NULL DEFAULT '{}', -- what the claw says of itself: os, arch, disk, version
    first_seen   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    revoked_at   INTEGER
) WITHOUT ROWID;

CREATE TABLE tokens (
    digest     TEXT PRIMARY KEY, -- SHA-256 in hex
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role IN ('head', 'claw', 'viewer')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX tokens_name ON tokens (name);

CREATE TABLE join_codes (
    digest     TEXT PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_by TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) WITHOUT ROWID;

CREATE TABLE paused_targets (
    name      TEXT PRIMARY KEY,
    paused_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE named_leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT,
    owner   TEXT,
    fence   INTEGER NOT NULL,
    until   INTEGER,
    data    TEXT    NOT NULL DEFAULT 'null'
) WITHOUT ROWID;
