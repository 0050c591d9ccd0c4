-- Requests for approval. What never changes after the request was made is in `terms` (JSON) and `body`;
-- what is decided later is in `state`, `expires_at` and `votes`. Times are microseconds since 1970.
CREATE TABLE approvals (
    id              TEXT   NOT NULL PRIMARY KEY,
    digest          TEXT   NOT NULL,
    idempotency_key TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'used')),
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    issuer          TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    spiffe          TEXT   NOT NULL,
    terms           TEXT   NOT NULL,
    votes           TEXT   NOT NULL,
    body            TEXT   NOT NULL
);

-- The same call waits once, however often it comes.
CREATE UNIQUE INDEX approvals_open ON approvals (digest, idempotency_key) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_due ON approvals (expires_at) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_of_principal ON approvals (issuer, subject, spiffe) WHERE state = 'pending';
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_by_age ON approvals (created_at);

-- The rules that hold a pending request, for the limit per rule; rows leave with the state.
CREATE TABLE pending_rules (
    rule     TEXT NOT NULL,
    approval TEXT NOT NULL,
    PRIMARY KEY (rule, approval)
);
CREATE INDEX pending_rules_of_approval ON pending_rules (approval);
