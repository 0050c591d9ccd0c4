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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::parse;
    use super::*;
    use crate::authn::revocation::OnStale;

    fn read(identity: &str) -> (Option<Credentials>, Vec<&'static str>) {
        let text = format!("policies: [p]\nidentity: {identity}\n");
        let read = parse(&"portcullis.yaml".into(), &text.as_str().into(), Path::new("/etc/portcullis"));
        let codes = read.findings.iter().map(|finding| finding.code).collect();
        (read.config.map(|config| config.credentials), codes)
    }

    #[test]
    fn without_a_word_keys_are_off_and_what_is_stale_denies() {
        let (credentials, codes) = read("{mtls: true}");
        assert!(codes.is_empty(), "{codes:?}");
        let credentials = credentials.unwrap();
        assert_eq!(credentials.api_key_hash_key, None);
        assert_eq!(
            credentials.freshness,
            Freshness { on_stale: OnStale::Deny, max_age: Duration::from_secs(30) }
        );
    }

    #[test]
    fn what_is_said_counts() {
        let (credentials, codes) =
            read("{api_keys: {hash_key: keys.bin}, revocation: {on_stale: continue, max_age: 5m}}");
        assert!(codes.is_empty(), "{codes:?}");
        let credentials = credentials.unwrap();
        assert_eq!(credentials.api_key_hash_key, Some("/etc/portcullis/keys.bin".into()));
        assert_eq!(
            credentials.freshness,
            Freshness { on_stale: OnStale::Continue, max_age: Duration::from_secs(300) }
        );
    }

    #[test]
    fn each_mistake_is_named() {
        for (identity, code) in [
            ("{api_keys: {}}", "missing-field"),
            ("{api_keys: {hash_key: k, header: Authorization}}", "invalid-header"),
            ("{api_keys: {hash_key: k, header: \"a b\"}}", "invalid-header"),
            ("{api_keys: {hash_key: k, hashkey: k}}", "unknown-field"),
            ("{revocation: {on_stale: allow}}", "unknown-value"),
            ("{revocation: {max_age: 1s}}", "out-of-range"),
            ("{revocation: {max_age: soon}}", "invalid-duration"),
            ("{revocation: 5}", "wrong-type"),
            ("{revocations: {}}", "unknown-field"),
        ] {
            assert_eq!(read(identity), (None, vec![code]), "{identity}");
        }
    }
}
