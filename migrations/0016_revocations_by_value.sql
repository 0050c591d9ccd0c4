-- Who approved a call is looked up among the revocations before the call is released.
CREATE INDEX revocations_by_value ON revocations (value);
