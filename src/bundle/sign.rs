//! Ed25519 keys and signatures of bundles.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pem::{EncodeConfig, LineEnding, Pem};
use serde::{Deserialize, Serialize};

use super::digest;
use super::refusal::{Refusal, Refused};
use crate::diagnostic::Diagnostic;
use crate::secret::Secret;

/// The name of the signatures in the archive.
pub(super) const FILE: &str = "signatures.json";
pub(super) const MAX_BYTES: u64 = 64 << 10;
const MAX_SIGNATURES: usize = 16;
/// A file of keys is no longer than this.
const MAX_KEY_FILE: u64 = 64 << 10;
/// An Ed25519 key as SubjectPublicKeyInfo (RFC 8410) is this, and then its 32 bytes.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// One entry of `signatures.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The id of the key.
    pub key: Arc<str>,
    pub algorithm: Algorithm,
    /// In base64.
    pub signature: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Ed25519,
}

/// A key that verifies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

/// Reads `signatures.json`.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Signature>, Refused> {
    let invalid = |error: String| Refused::because(Refusal::BadSignature, format!("`{FILE}`: {error}"));
    let signatures: Vec<Signature> =
        serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
        return Err(invalid(format!("it has {} signatures, not 1 to {MAX_SIGNATURES}", signatures.len())));
    }
    Ok(signatures)
}

/// The bytes of `signatures.json`.
pub(super) fn write(signatures: &[Signature]) -> Result<Vec<u8>, Refused> {
    let mut bytes = serde_json::to_vec_pretty(signatures)
        .map_err(|error| Refused::because(Refusal::BadSignature, error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl PublicKey {
    /// The first 16 hex digits of the SHA-256 of the key's 32 bytes.
    pub fn id(&self) -> Arc<str> {
        let hex = digest::sha256(&self.0);
        hex.get(..16).unwrap_or(&hex).into()
    }

    /// SubjectPublicKeyInfo as PEM, as `openssl pkey -pubout` writes it.
    pub fn to_pem(&self) -> String {
        encode(PUBLIC, [&SPKI[..], &self.0].concat())
    }

    /// Every public key in a PEM file.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, Diagnostic> {
        let blocks = read_pem(path)?;
        blocks.iter().map(|block| Self::of_pem(block, path)).collect()
    }

    fn of_pem(block: &Pem, path: &Path) -> Result<Self, Diagnostic> {
        let invalid = |what: &str| {
            Diagnostic::error("invalid-key", format!("`{}` {what}", path.display()))
                .help("give the Ed25519 public key, as `portcullis bundle keygen` or `openssl pkey -pubout` writes it")
        };
        if block.tag() != PUBLIC {
            return Err(invalid(&format!("holds `{}`, not a public key", block.tag().escape_debug())));
        }
        let key = block.contents().strip_prefix(&SPKI).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| invalid("holds a public key that is not of Ed25519"))
    }

    /// Whether the signature over this manifest is by this key.
    pub(super) fn verify(&self, manifest: &[u8], signature: &Signature) -> bool {
        let Ok(bytes) = STANDARD.decode(&signature.signature) else { return false };
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(&digest::signed_message(manifest), &bytes).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl SigningKey {
    pub fn generate() -> Result<Self, Unspecified> {
        Ed25519KeyPair::generate().map(Self)
    }

    /// The private key in a PEM file: PKCS#8, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let invalid = |what: &str| {
            Diagnostic::error("invalid-key", format!("`{}` {what}", path.display()))
                .help("give an Ed25519 private key as `portcullis bundle keygen` writes it: PKCS#8 in PEM, not encrypted")
        };
        let blocks = read_pem(path)?;
        let [block] = blocks.as_slice() else { return Err(invalid("holds more than one key")) };
        if block.tag() != PRIVATE {
            return Err(invalid(&format!("holds `{}`, not a private key", block.tag().escape_debug())));
        }
        let pair = Ed25519KeyPair::from_pkcs8(block.contents());
        pair.map(Self).map_err(|_| invalid("holds a private key that is not of Ed25519, or is broken"))
    }

    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        let key = self.0.public_key().as_ref();
        for (to, from) in bytes.iter_mut().zip(key) {
            *to = *from;
        }
        PublicKey(bytes)
    }

    /// PKCS#8 as PEM.
    pub fn to_pem(&self) -> Result<Secret<String>, Unspecified> {
        let document = self.0.to_pkcs8v1()?;
        Ok(Secret::new(encode(PRIVATE, document.as_ref().to_vec())))
    }

    /// Signs a manifest. Ed25519 is deterministic: the same manifest gives the same signature.
    pub(super) fn sign(&self, manifest: &[u8]) -> Signature {
        let signature = self.0.sign(&digest::signed_message(manifest));
        let signature = STANDARD.encode(signature.as_ref());
        Signature { key: self.public().id(), algorithm: Algorithm::Ed25519, signature }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

/// The blocks of a PEM file, at least one.
fn read_pem(path: &Path) -> Result<Vec<Pem>, Diagnostic> {
    let unreadable = |error: &dyn fmt::Display| {
        Diagnostic::error("unreadable-key", format!("can't read the key `{}`: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(MAX_KEY_FILE).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    let blocks = pem::parse_many(&bytes).map_err(|error| unreadable(&error))?;
    if blocks.is_empty() {
        return Err(unreadable(&"it holds no PEM block (`-----BEGIN ...`)"));
    }
    Ok(blocks)
}

fn encode(tag: &str, contents: Vec<u8>) -> String {
    pem::encode_config(&Pem::new(tag, contents), EncodeConfig::new().set_line_ending(LineEnding::LF))
}
