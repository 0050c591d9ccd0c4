-- The bodies of calls, apart from their requests: a listing reads past none, and they go before the request does.
-- `body_bytes` says how long a body was, also when it is kept no longer.
CREATE TABLE bodies (
    approval TEXT NOT NULL PRIMARY KEY REFERENCES approvals (id) ON DELETE CASCADE,
    body     TEXT NOT NULL
);
INSERT INTO bodies (approval, body) SELECT id, body FROM approvals WHERE body <> '';
ALTER TABLE approvals ADD COLUMN body_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE approvals SET body_bytes = length(body) / 4 * 3 - (length(body) - length(rtrim(body, '='))) WHERE body <> '';
ALTER TABLE approvals DROP COLUMN body;
