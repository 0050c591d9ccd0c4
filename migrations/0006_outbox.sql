-- What is to be told to whom, written in the transaction of the change that it tells of. A row leaves when it was sent;
-- one that is given up stays as `dead` until history is forgotten. `due_at` is not before when it is tried (again): who
-- takes it moves that on, so that no other server sends it meanwhile, and signs with `lease`. Times are microseconds
-- since 1970.
CREATE TABLE outbox (
    id         TEXT   NOT NULL PRIMARY KEY,
    target     TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('waiting', 'dead')),
    notice     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    due_at     BIGINT NOT NULL,
    attempts   BIGINT NOT NULL,
    lease      TEXT   NOT NULL
);
CREATE INDEX outbox_due ON outbox (target, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_age ON outbox (created_at);
