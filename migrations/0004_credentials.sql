-- API keys, revocations, and the sequence by which servers follow both. Times are microseconds since 1970.

-- `hash` is HMAC-SHA-256 under a key that is kept elsewhere: this table verifies nothing by itself.
CREATE TABLE api_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    person     TEXT   NOT NULL,
    member_of  TEXT   NOT NULL,
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT   NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE revocations (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL CHECK (kind IN ('subject', 'token_id', 'session', 'key')),
    value         TEXT   NOT NULL,
    issuer        TEXT   NOT NULL,
    issued_before BIGINT,
    until_at      BIGINT,
    created_at    BIGINT NOT NULL,
    created_by    TEXT   NOT NULL,
    reason        TEXT   NOT NULL
);
CREATE INDEX revocations_ended ON revocations (until_at) WHERE until_at IS NOT NULL;

-- One row for each change, without gaps in the order of their commits: two writers that take the same number
-- conflict, and one of them tries again.
CREATE TABLE changes (
    number     BIGINT NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL CHECK (kind IN ('api_key', 'revocation')),
    id         TEXT   NOT NULL,
    changed_at BIGINT NOT NULL
);
