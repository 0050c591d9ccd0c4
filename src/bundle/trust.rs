//! Whose signatures count.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::refusal::{Refusal, Refused};
use super::sign::{PublicKey, Signature};
use crate::diagnostic::Diagnostic;

/// Public keys by id. Empty, signatures are not asked for.
#[derive(Clone, Debug, Default)]
pub struct Trust(BTreeMap<Arc<str>, PublicKey>);

impl Trust {
    /// Asks for no signature.
    pub fn none() -> Self {
        Self::default()
    }

    /// The public keys in these PEM files, or everything that is wrong with them.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Vec<Diagnostic>> {
        let (mut keys, mut findings) = (Vec::new(), Vec::new());
        for path in paths {
            match PublicKey::read_all(path) {
                Ok(read) => keys.extend(read),
                Err(finding) => findings.push(finding),
            }
        }
        if findings.is_empty() { Ok(Self::of(keys)) } else { Err(findings) }
    }

    /// Trusts these keys.
    pub fn of(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of a trusted key that signed `manifest`; `None` when nothing is trusted. Every signature that names a
    /// trusted key must hold; those by other keys are passed over.
    pub(super) fn verify(
        &self,
        manifest: &[u8],
        signatures: &[Signature],
    ) -> Result<Option<Arc<str>>, Refused> {
        if self.is_empty() {
            return Ok(None);
        }
        if signatures.is_empty() {
            return Err(Refused::because(Refusal::Unsigned, "it has no `signatures.json`"));
        }
        let mut signer = None;
        for signature in signatures {
            let Some(key) = self.0.get(&signature.key) else { continue };
            if !key.verify(manifest, signature) {
                let what = format!("the signature by key `{}`", key.id());
                return Err(Refused::because(Refusal::BadSignature, what));
            }
            signer.get_or_insert_with(|| key.id());
        }
        if signer.is_none() {
            let keys: Vec<_> =
                signatures.iter().map(|signature| signature.key.escape_debug().to_string()).collect();
            let what = format!("signed by `{}`", keys.join("`, `"));
            return Err(Refused::because(Refusal::UnknownKey, what));
        }
        Ok(signer)
    }
}
