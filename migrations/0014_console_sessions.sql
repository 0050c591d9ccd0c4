-- Which revocations are log-outs of the console: they end with the session, take back nothing else, and are not listed.
ALTER TABLE revocations ADD COLUMN console BIGINT NOT NULL DEFAULT 0;
