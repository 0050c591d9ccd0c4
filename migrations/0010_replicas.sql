-- Counts the changes of the policies' state: a server that decided by an older one has to look again.
ALTER TABLE bundle_state ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
