//! What `identity:` says of API keys and of revocation: read here, as the server keeps both for as long as it runs, while
//! the rest of the section is read again with each reload.

use std::path::{Path, PathBuf};

use crate::authn::api_key;
use crate::authn::revocation::Freshness;
use crate::document::{Node, Reader, Value};

/// The fields that are read here.
const OURS: [&str; 2] = ["api_keys", "revocation"];

/// How keys and revocations are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub freshness: Freshness,
    /// The file with the key of the hashes of API keys; `None` where they are not accepted.
    pub api_key_hash_key: Option<PathBuf>,
}

/// Reads the two fields of the section `identity`.
pub(super) fn credentials(identity: &Node, folder: &Path, reader: &mut Reader) -> Option<Credentials> {
    let freshness = identity.get("revocation");
    let freshness = freshness.map_or(Some(Freshness::default()), |node| Freshness::read(node, reader));
    let api_keys = identity.get("api_keys").map(|node| api_key::Config::read(node, folder, reader));
    let hash_key = match api_keys {
        Some(config) => Some(config?.hash_key),
        None => None,
    };
    Some(Credentials { freshness: freshness?, api_key_hash_key: hash_key })
}

/// The section without them.
pub fn without_credentials(identity: &Node) -> Node {
    let mut rest = identity.clone();
    if let Value::Map(entries) = &mut rest.value {
        entries.retain(|entry| !OURS.contains(&entry.key.as_str()));
    }
    rest
}
