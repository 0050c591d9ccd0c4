//! Keys and revocations: from the configuration to what the engine asks.

use crate::authn;
use crate::authn::api_key::{ApiKeys, HashKey};
use crate::authn::revocation::Revocations;
use crate::clock::Clock;
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::engine::Credentials;
use crate::mask;

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

/// The configured key of masked hashes, or a random one for the life of this process.
pub(super) fn hash_key(config: &Config, findings: &mut Vec<Diagnostic>) -> Option<mask::HashKey> {
    let key = match &config.hash_key_file {
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => mask::HashKey::from_file(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(format!("can't read `{}`: {error}", path.display())),
        },
        None => mask::HashKey::random().map_err(|error| error.to_string()),
    };
    let refused = |error| Diagnostic::error("invalid-hash-key", format!("the key of masked hashes: {error}"));
    key.map_err(|error| findings.push(refused(error))).ok()
}
