-- The first schema. Times are milliseconds since the Unix epoch, on the server's clock unless a
-- comment says real time. There are no foreign keys: the one writer keeps references whole, and
-- checking them would cost every decision.

CREATE TABLE domain (
    name                 TEXT PRIMARY KEY,    -- bare host; immutable
    plan                 TEXT NOT NULL,       -- starter, pro, agency or agency_plus
    active               INTEGER NOT NULL,    -- 1, or 0 once deactivated
    monthly_render_limit INTEGER,             -- renders a period; null: no limit
    renders_used         INTEGER NOT NULL,    -- renders charged since period_start
    period_start         INTEGER NOT NULL,    -- when the period began that renders_used counts
    created_at           INTEGER NOT NULL,    -- anchors the periods; immutable
    last_refresh         INTEGER,             -- refresh.seq; null before the first
    CONSTRAINT domain_active_is_a_flag CHECK (active IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TABLE known_path (
    domain TEXT NOT NULL,                     -- domain.name
    place  INTEGER NOT NULL,                  -- order among the domain's paths, from 0
    path   TEXT NOT NULL,                     -- begins with a slash
    PRIMARY KEY (domain, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    seq     INTEGER PRIMARY KEY,              -- order of creation
    id      TEXT NOT NULL,                    -- name on the fixture protocol; immutable
    domain  TEXT NOT NULL,                    -- domain.name; immutable
    hash    BLOB NOT NULL,                    -- SHA-256 of the value, which is not stored; immutable
    revoked INTEGER NOT NULL,                 -- 1 once revoked
    CONSTRAINT token_revoked_is_a_flag CHECK (revoked IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX token_id ON token (id);
CREATE UNIQUE INDEX token_hash ON token (hash);
CREATE INDEX token_domain ON token (domain);

CREATE TABLE rate_window (
    key   TEXT PRIMARY KEY,                   -- what the limiter counts under; the domain's host
    state BLOB NOT NULL                       -- what it remembers: 64-bit little-endian integers
) STRICT, WITHOUT ROWID;

-- Accepted refreshes; rows are immutable. Those of a domain are chained from domain.last_refresh: an index
-- on the domain would add a page of its own to nearly every decision's share of the commit.
CREATE TABLE refresh (
    seq         INTEGER PRIMARY KEY,          -- order of acceptance
    previous    INTEGER,                      -- refresh.seq of the domain's one before; null: its first
    domain      TEXT NOT NULL,                -- domain.name
    accepted_at INTEGER NOT NULL,
    full        INTEGER NOT NULL,             -- 1 for {"all": true}
    paths       TEXT NOT NULL,                -- JSON list of the paths queued
    CONSTRAINT refresh_full_is_a_flag CHECK (full IN (0, 1))
) STRICT;

CREATE TABLE template (
    id                BLOB PRIMARY KEY,       -- UUID, 16 bytes; immutable
    slug              TEXT NOT NULL,          -- name in URLs; immutable
    project           TEXT NOT NULL,          -- whose keys open it; immutable
    token_hash        BLOB NOT NULL,          -- SHA-256 of the inbound token; immutable
    secret            TEXT NOT NULL,          -- key of the HMAC, so it cannot be a hash; immutable
    require_signature INTEGER NOT NULL,       -- 1 when unsigned requests are refused
    current_version   INTEGER,                -- template_version.number; null while unpublished
    draft             TEXT NOT NULL,          -- JSON manifest published first; immutable
    revision          INTEGER NOT NULL,       -- counts changes
    CONSTRAINT template_require_signature_is_a_flag CHECK (require_signature IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX template_slug ON template (slug);
CREATE UNIQUE INDEX template_token_hash ON template (token_hash);

CREATE TABLE template_version (               -- published manifests; rows are immutable
    template BLOB NOT NULL,                   -- template.id
    number   INTEGER NOT NULL,                -- from 1
    manifest TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (template, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE project_key (                    -- rows are immutable
    hash    BLOB PRIMARY KEY,                 -- SHA-256 of the key, which is not stored
    project TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE render (                         -- rows are immutable: the data can be long
    id              BLOB PRIMARY KEY,         -- UUIDv7, 16 bytes, so nearly in order of time
    project         TEXT NOT NULL,
    template        BLOB NOT NULL,            -- template.id, which may be gone
    slug            TEXT NOT NULL,            -- of that template
    version         INTEGER NOT NULL,         -- that judged the data
    idempotency_key TEXT,                     -- unique in the project
    created_at      INTEGER NOT NULL,         -- when it was accepted
    data            TEXT NOT NULL             -- JSON that passed the manifest
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX render_idempotency_key ON render (project, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE render_queue (                   -- renders that are not finished
    render      BLOB PRIMARY KEY,             -- render.id
    lease_until INTEGER NOT NULL              -- real time; until then a worker has it; 0: nobody
) STRICT, WITHOUT ROWID;

CREATE TABLE render_outcome (                 -- renders that are finished; rows are immutable
    render       BLOB PRIMARY KEY,            -- render.id
    status       TEXT NOT NULL,               -- succeeded or failed
    completed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription (                   -- rows are immutable
    id      BLOB PRIMARY KEY,                 -- UUID, 16 bytes
    project TEXT NOT NULL,                    -- whose renders it hears of
    url     TEXT NOT NULL,                    -- where events are posted
    secret  TEXT NOT NULL,                    -- key of the HMAC, so it cannot be a hash
    events  TEXT NOT NULL                     -- JSON list of events wanted; empty: all
) STRICT, WITHOUT ROWID;
CREATE INDEX subscription_project ON subscription (project);

CREATE TABLE delivery (
    id           BLOB PRIMARY KEY,            -- UUID, 16 bytes, the same in every attempt; immutable
    subscription BLOB NOT NULL,               -- subscription.id; immutable
    event        TEXT NOT NULL,               -- immutable
    body         TEXT NOT NULL,               -- sent in every attempt; immutable
    attempts     INTEGER NOT NULL,            -- that failed
    due_at       INTEGER NOT NULL,            -- when the next attempt is due
    lease_until  INTEGER NOT NULL,            -- real time; until then an attempt is under way
    state        TEXT NOT NULL                -- pending, delivered or abandoned
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'pending';

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,                   -- clock: how far a manual clock was moved
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
