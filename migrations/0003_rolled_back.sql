-- Whether a rollback stands: while it does, a candidate decides for nobody.
ALTER TABLE bundle_state ADD COLUMN rolled_back BIGINT NOT NULL DEFAULT 0;
