-- When an open request expires; NULL once it is over. What is due is found by this alone, however many are open.
ALTER TABLE approvals ADD COLUMN open_until BIGINT;
UPDATE approvals SET open_until = expires_at WHERE state IN ('pending', 'approved');
DROP INDEX approvals_due;
CREATE INDEX approvals_open_until ON approvals (open_until) WHERE open_until IS NOT NULL;
