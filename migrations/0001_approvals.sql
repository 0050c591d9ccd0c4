-- Requests for approval. `state` and `expires_us` stand alone, so that expiry is one statement for all of them;
-- what is never searched is JSON. Times are microseconds since 1970.
CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'used')),
    created_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    principal TEXT NOT NULL,
    details TEXT NOT NULL,
    votes TEXT NOT NULL,
    body TEXT NOT NULL
);

-- At most one open approval per call.
CREATE UNIQUE INDEX approvals_open ON approvals (digest, idempotency_key) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_due ON approvals (expires_us) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_by_age ON approvals (created_us);
CREATE INDEX approvals_waiting ON approvals (principal) WHERE state = 'pending';

-- The rules that hold the pending ones, to count them; a row goes when its approval is no longer pending.
CREATE TABLE pending_rules (
    rule TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    expires_us BIGINT NOT NULL,
    PRIMARY KEY (rule, approval_id)
);
CREATE INDEX pending_rules_by_approval ON pending_rules (approval_id);
CREATE INDEX pending_rules_due ON pending_rules (expires_us);
