-- More states; `progress` has what came to pass with time (JSON), `attention_at` is when a reminder, an escalation or an
-- unconfirmed release is due. The table is made anew, because SQLite changes no CHECK.
CREATE TABLE approvals_of_5 (
    id              TEXT   NOT NULL PRIMARY KEY,
    digest          TEXT   NOT NULL,
    idempotency_key TEXT   NOT NULL,
    state           TEXT   NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn',
                                                     'revoked', 'releasing', 'used', 'released_unconfirmed')),
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    issuer          TEXT   NOT NULL,
    subject         TEXT   NOT NULL,
    spiffe          TEXT   NOT NULL,
    terms           TEXT   NOT NULL,
    votes           TEXT   NOT NULL,
    body            TEXT   NOT NULL,
    progress        TEXT   NOT NULL,
    attention_at    BIGINT
);

INSERT INTO approvals_of_5 (id, digest, idempotency_key, state, created_at, expires_at, issuer, subject, spiffe, terms,
                            votes, body, progress, attention_at)
SELECT id, digest, idempotency_key, state, created_at, expires_at, issuer, subject, spiffe, terms, votes, body, '{}', NULL
FROM approvals;

DROP TABLE approvals;
ALTER TABLE approvals_of_5 RENAME TO approvals;

-- The same call waits once, however often it comes.
CREATE UNIQUE INDEX approvals_open ON approvals (digest, idempotency_key) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_due ON approvals (expires_at) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_of_principal ON approvals (issuer, subject, spiffe) WHERE state = 'pending';
CREATE INDEX approvals_by_state ON approvals (state, id);
CREATE INDEX approvals_by_age ON approvals (created_at);
-- Whether a call is the retry of one that was released.
CREATE INDEX approvals_used ON approvals (digest, idempotency_key, id)
    WHERE state IN ('releasing', 'used', 'released_unconfirmed');
-- What was decided on earlier calls of the same caller.
CREATE INDEX approvals_of_caller ON approvals (issuer, subject, spiffe, id);
CREATE INDEX approvals_attention ON approvals (attention_at) WHERE attention_at IS NOT NULL;
