-- Every revision of the policies that was ever active, with its content, so that a rollback and a restart need no
-- source. Plain files have neither name nor version. Times are microseconds since 1970.
CREATE TABLE bundles (
    id        TEXT   NOT NULL PRIMARY KEY,
    revision  TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    version   TEXT   NOT NULL,
    digest    TEXT   NOT NULL,
    signer    TEXT   NOT NULL,
    source    TEXT   NOT NULL,
    form      TEXT   NOT NULL CHECK (form IN ('archive', 'files')),
    content   BLOB   NOT NULL,
    kept_at   BIGINT NOT NULL,
    active_at BIGINT NOT NULL,
    previous  TEXT   NOT NULL
);
CREATE UNIQUE INDEX bundles_of_content ON bundles (name, version, digest);
CREATE INDEX bundles_by_use ON bundles (active_at);

-- The newest version of each bundle that was ever active: older ones are not taken from a source again.
CREATE TABLE bundle_versions (
    name    TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    digest  TEXT NOT NULL
);

-- One row: which revision is active, whether it is pinned, and which content of the source is passed over because
-- a person chose otherwise.
CREATE TABLE bundle_state (
    only_one    BIGINT NOT NULL PRIMARY KEY CHECK (only_one = 1),
    active      TEXT   NOT NULL,
    pinned      BIGINT NOT NULL,
    passed_over TEXT   NOT NULL
);

-- What was activated, rolled back, pinned, unpinned and refused, when and by whom (JSON). Ids sort by age.
CREATE TABLE bundle_events (
    id    TEXT   NOT NULL PRIMARY KEY,
    at    BIGINT NOT NULL,
    event TEXT   NOT NULL
);
