-- Times are milliseconds since 1970 in UTC. Sealed columns hold version, nonce and ciphertext
-- (store/seal.rs). Enumerations that will grow have no closed CHECK: changing one means
-- rebuilding its table.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Log-ins that many servers share. kind says where the key comes from: password (none), key (stored
-- here), hub_key, agent (the ssh-agent beside the hub). An empty ssh_user: each server has its own.
-- public_key is the stored key's; agent_key the fingerprint of the one to take from the agent, null
-- for any. Public keys and certificates are no secrets.
CREATE TABLE credential (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    kind        TEXT    NOT NULL,
    ssh_user    TEXT    NOT NULL,
    agent_key   TEXT,
    password    BLOB,
    private_key BLOB,
    passphrase  BLOB,
    public_key  TEXT,
    certificate TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

-- Keys that certify host keys, as "@cert-authority" in known_hosts does, and keys that are never
-- trusted again, as "@revoked" does. patterns are as in known_hosts.
CREATE TABLE host_authority (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    public_key TEXT    NOT NULL UNIQUE,
    patterns   TEXT    NOT NULL CHECK (length(patterns) > 0),
    revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    comment    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- A server logs in with its own password or key, with a shared credential, or (with none of these)
-- with the hub's key.
-- AUTOINCREMENT: the id of a deleted server is never given again, so that samples which are
-- still being swept away can never show up under another one.
CREATE TABLE server (
    id                        INTEGER PRIMARY KEY AUTOINCREMENT,
    name                      TEXT    NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    ip                        TEXT    NOT NULL CHECK (length(ip) > 0),
    ssh_port                  INTEGER NOT NULL CHECK (ssh_port BETWEEN 1 AND 65535),
    ssh_user                  TEXT    NOT NULL,
    transport                 TEXT    NOT NULL CHECK (transport IN ('auto', 'ssh', 'agent', 'local')),
    interval_seconds          INTEGER CHECK (interval_seconds > 0),
    jump_server_id            INTEGER REFERENCES server (id) ON DELETE RESTRICT,
    tags                      TEXT    NOT NULL CHECK (json_type(tags) = 'array'),
    group_name                TEXT,
    cpu_warning_percent       INTEGER NOT NULL CHECK (cpu_warning_percent BETWEEN 1 AND 100),
    cpu_critical_percent      INTEGER NOT NULL CHECK (cpu_critical_percent BETWEEN 1 AND 100),
    memory_warning_percent    INTEGER NOT NULL CHECK (memory_warning_percent BETWEEN 1 AND 100),
    memory_critical_percent   INTEGER NOT NULL CHECK (memory_critical_percent BETWEEN 1 AND 100),
    disk_warning_percent      INTEGER NOT NULL CHECK (disk_warning_percent BETWEEN 1 AND 100),
    disk_critical_percent     INTEGER NOT NULL CHECK (disk_critical_percent BETWEEN 1 AND 100),
    enabled                   INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    password                  BLOB,
    private_key               BLOB,
    passphrase                BLOB,
    credential_id             INTEGER REFERENCES credential (id) ON DELETE RESTRICT,
    host_key_algorithm        TEXT,
    host_key_fingerprint      TEXT,
    host_key_public           TEXT,
    created_at                INTEGER NOT NULL,
    updated_at                INTEGER NOT NULL,
    CHECK ((host_key_algorithm IS NULL) = (host_key_public IS NULL)),
    CHECK ((host_key_fingerprint IS NULL) = (host_key_public IS NULL)),
    CHECK (credential_id IS NULL OR (password IS NULL AND private_key IS NULL AND passphrase IS NULL))
) STRICT;

CREATE INDEX server_by_jump_host ON server (jump_server_id) WHERE jump_server_id IS NOT NULL;
CREATE INDEX server_by_credential ON server (credential_id) WHERE credential_id IS NOT NULL;

-- What the hub last saw of a server: its state across a restart.
CREATE TABLE status (
    server_id     INTEGER PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
    status        TEXT    NOT NULL,
    status_since  INTEGER,
    last_success  INTEGER,
    failure_count INTEGER NOT NULL CHECK (failure_count >= 0),
    error         TEXT CHECK (json_valid(error)),
    origin        TEXT,
    path          TEXT CHECK (json_valid(path)),
    boot_id       TEXT,
    system        TEXT CHECK (json_valid(system))
) STRICT;

-- The dictionary of series; metric is an id of the catalogue (model/metric.rs).
-- last_seen_at trails the newest sample with a value of the series by at most an hour.
-- AUTOINCREMENT: blocks hold ids, so none is ever given again.
CREATE TABLE series (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id    INTEGER NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    metric       INTEGER NOT NULL,
    label        TEXT    NOT NULL CHECK (length(CAST(label AS BLOB)) <= 255),
    last_seen_at INTEGER NOT NULL,
    UNIQUE (server_id, metric, label)
) STRICT;

-- Which series the cells of a sample belong to, in their order: varint ids.
-- No sample of a layout is newer than its last_used_at plus an hour.
CREATE TABLE layout (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id    INTEGER NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    series       BLOB    NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;

CREATE INDEX layout_by_server ON layout (server_id);

-- One row a server and moment. No foreign key: a deleted server's samples are swept away
-- afterwards in small batches (table removal), never in one giant transaction. No index by time: with
-- a thousand servers every row that folding takes away would touch a page of its own in it.
CREATE TABLE sample (
    server_id INTEGER NOT NULL,
    taken_at  INTEGER NOT NULL,
    layout_id INTEGER NOT NULL,
    cells     BLOB    NOT NULL,
    PRIMARY KEY (server_id, taken_at)
) STRICT, WITHOUT ROWID;

-- Samples folded into columns (store/block), and roll-ups of them. tier is 0 for samples, and for
-- a roll-up the length of its buckets in milliseconds. A sample is in a row or in a block of tier 0,
-- never in both. What lies before first_at in a block's bytes is deleted; samples, first_at and
-- last_at tell what is left. rolled: its samples are in the roll-ups.
CREATE TABLE block (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id       INTEGER NOT NULL,
    tier            INTEGER NOT NULL,
    first_at        INTEGER NOT NULL,
    last_at         INTEGER NOT NULL,
    samples         INTEGER NOT NULL CHECK (samples > 0),
    cells           INTEGER NOT NULL,
    rolled          INTEGER NOT NULL CHECK (rolled IN (0, 1)),
    directory_bytes INTEGER NOT NULL,
    bytes           INTEGER NOT NULL
) STRICT;

CREATE INDEX block_by_server ON block (server_id, tier, last_at, first_at);
CREATE INDEX block_by_time ON block (tier, first_at, last_at);

-- The bytes of blocks, cut so that a row fills a page: no overflow chains, and a reader fetches
-- the few it wants. id is the block's id times 65,536 plus the number of the chunk.
CREATE TABLE chunk (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- Chunks of blocks that are gone, to be swept away in small steps.
CREATE TABLE trash (
    block_id INTEGER PRIMARY KEY,
    chunks   INTEGER NOT NULL
) STRICT;

-- What retention has removed: a tier has nothing of a server from before this moment.
CREATE TABLE horizon (
    server_id INTEGER NOT NULL,
    tier      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (server_id, tier)
) STRICT, WITHOUT ROWID;

-- Number of samples a server has, and how many of them are in blocks: kept with every write, for
-- counting rows would read them all.
CREATE TABLE tally (
    server_id INTEGER PRIMARY KEY,
    samples   INTEGER NOT NULL,
    folded    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Deleted servers whose samples are still to be swept away.
CREATE TABLE removal (
    server_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE alert (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id          INTEGER NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    rule               TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    phase              TEXT    NOT NULL CHECK (phase IN ('pending', 'firing', 'resolved')),
    level              TEXT    NOT NULL CHECK (level IN ('warning', 'critical')),
    pending_since      INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    resolved_at        INTEGER,
    resolved_by        TEXT,
    held               INTEGER NOT NULL CHECK (held IN (0, 1)),
    clearing_since     INTEGER,
    level_change_since INTEGER,
    evidence_at        INTEGER NOT NULL,
    evidence_count     INTEGER NOT NULL,
    params             TEXT    NOT NULL CHECK (json_type(params) = 'object')
) STRICT;

-- One open alert per (rule, server, label).
CREATE UNIQUE INDEX alert_open ON alert (server_id, rule, label) WHERE phase <> 'resolved' OR held = 1;
CREATE INDEX alert_by_server ON alert (server_id, id);
CREATE INDEX alert_firing ON alert (id) WHERE phase = 'firing';

CREATE TABLE event (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    server_id INTEGER,
    actor     TEXT,
    details   TEXT    NOT NULL CHECK (json_valid(details))
) STRICT;

CREATE INDEX event_by_server ON event (server_id, id) WHERE server_id IS NOT NULL;
CREATE INDEX event_by_kind ON event (kind, id);
CREATE INDEX event_by_time ON event (at);

CREATE TABLE user (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    username      TEXT    NOT NULL UNIQUE CHECK (length(username) > 0),
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('viewer', 'admin')),
    created_at    INTEGER NOT NULL
) STRICT;

-- Tokens are random; only their SHA-256 is kept.
CREATE TABLE session (
    token_hash BLOB    NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE api_token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE CHECK (length(name) > 0),
    token_hash BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    role       TEXT    NOT NULL CHECK (role IN ('viewer', 'admin')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

-- The hub's own certificate authority for agents. One row.
CREATE TABLE authority (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    certificate BLOB    NOT NULL,
    private_key BLOB    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- The key the hub logs in with where a server has neither a password nor a key of its own. One row.
CREATE TABLE hub_key (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    private_key BLOB    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- What machines enrol with; only the SHA-256 is kept.
CREATE TABLE agent_token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    name       TEXT    NOT NULL,
    uses       INTEGER NOT NULL CHECK (uses > 0),
    used       INTEGER NOT NULL CHECK (used BETWEEN 0 AND uses),
    expires_at INTEGER NOT NULL,
    tags       TEXT    NOT NULL CHECK (json_type(tags) = 'array'),
    group_name TEXT,
    transport  TEXT    NOT NULL CHECK (transport IN ('auto', 'agent')),
    server_id  INTEGER REFERENCES server (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX agent_token_by_server ON agent_token (server_id) WHERE server_id IS NOT NULL;

-- uid is in the serial number of an agent's certificates; key_hash is of its first public key.
CREATE TABLE agent (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    uid            BLOB    NOT NULL UNIQUE CHECK (length(uid) = 12),
    server_id      INTEGER NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    key_hash       BLOB    NOT NULL CHECK (length(key_hash) = 32),
    token_id       INTEGER,
    machine_id     TEXT    NOT NULL,
    machine        TEXT    NOT NULL CHECK (json_type(machine) = 'object'),
    enrolled_at    INTEGER NOT NULL,
    last_seen_at   INTEGER,
    not_after      INTEGER NOT NULL,
    clock_ahead_ms INTEGER NOT NULL,
    dropped        INTEGER NOT NULL,
    revoked_at     INTEGER,
    revoked_by     TEXT
) STRICT;

-- One agent a server.
CREATE UNIQUE INDEX agent_active ON agent (server_id) WHERE revoked_at IS NULL;
CREATE INDEX agent_by_server ON agent (server_id);
CREATE INDEX agent_by_machine ON agent (machine_id) WHERE revoked_at IS NULL;
CREATE INDEX agent_by_key ON agent (key_hash) WHERE revoked_at IS NULL;
CREATE INDEX agent_revoked ON agent (revoked_at) WHERE revoked_at IS NOT NULL;

-- Machines that look like a server that is there, and wait for a person.
CREATE TABLE agent_pending (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    key_hash       BLOB    NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    token_id       INTEGER NOT NULL REFERENCES agent_token (id) ON DELETE CASCADE,
    server_id      INTEGER NOT NULL REFERENCES server (id) ON DELETE CASCADE,
    likeness       TEXT    NOT NULL,
    machine        TEXT    NOT NULL CHECK (json_type(machine) = 'object'),
    address        TEXT    NOT NULL,
    first_asked_at INTEGER NOT NULL,
    last_asked_at  INTEGER NOT NULL,
    decision       TEXT
) STRICT;

CREATE INDEX agent_pending_by_token ON agent_pending (token_id);
CREATE INDEX agent_pending_by_server ON agent_pending (server_id);
