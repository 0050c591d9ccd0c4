//! Keys and revocations: from the configuration to what the engine asks.

use crate::authn;
use crate::authn::api_key::{ApiKeys, HashKey};
use crate::authn::revocation::Revocations;
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::engine::Credentials;

/// What is kept in step with the store: empty yet.
pub(super) fn read(
    config: &authn::Config,
    clock: &Clock,
    findings: &mut Vec<Diagnostic>,
) -> Option<Credentials> {
    let revocations = Revocations::new(config.revocation, clock.clone());
    let hash_key = config.api_keys.as_ref().map(|keys| HashKey::load(&keys.hash_key));
    let api_keys = hash_key.map(|key| key.and_then(|key| ApiKeys::new(key, clock.clone()))).transpose();
    let refused =
        |error| Diagnostic::error("invalid-hash-key", format!("the key of the API keys' hashes: {error}"));
    let api_keys = api_keys.map_err(|error| findings.push(refused(error))).ok()?;
    Some(Credentials { revocations, api_keys })
}
