//! Keyed pseudonyms: equal values get equal texts, and nobody without the key can try values against them.
//!
//! A text is `hmac:<key id>:<digest>`: the first 8 hexadecimal digits of HMAC-SHA-256 over a fixed label name the
//! key, 32 more are HMAC-SHA-256 over the value, cut to 128 bits. The digest covers
//!
//! - a string's characters, escapes decoded (a lone surrogate as the three bytes UTF-8 would give it);
//! - a number or boolean as it is written: `1` and `1.0` differ, `5` and `"5"` agree;
//! - an object or array as it is written, less the white space between its tokens. This is not canonical: the
//!   order of members and the spelling of escapes matter.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

const ID_LABEL: &[u8] = b"portcullis mask key id";
const ID_BYTES: usize = 4;
const DIGEST_BYTES: usize = 16;

/// The key of the `hash` method. Shows nothing but its id.
#[derive(Clone)]
pub struct HashKey {
    id: String,
    key: hmac::Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashKeyError {
    #[error("the hash key has {0} bytes; it needs at least {min}", min = HashKey::MIN_BYTES)]
    TooShort(usize),
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl HashKey {
    pub const MIN_BYTES: usize = 16;

    pub fn new(bytes: &[u8]) -> Result<Self, HashKeyError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(HashKeyError::TooShort(bytes.len()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let id = hex_prefix(&hmac::sign(&key, ID_LABEL), ID_BYTES);
        Ok(Self { id, key })
    }

    /// The key in a file's bytes; one line end after it is not part of it, because editors and shells add it.
    pub fn from_file(bytes: &[u8]) -> Result<Self, HashKeyError> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        Self::new(bytes.strip_suffix(b"\r").unwrap_or(bytes))
    }

    /// A fresh key: its pseudonyms agree with one another, and with those of no other process.
    pub fn random() -> Result<Self, HashKeyError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| HashKeyError::NoRandomness)?;
        Self::new(&bytes)
    }

    /// Names the key without revealing it.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn digest(&self) -> Digest {
        Digest { id: self.id.clone(), context: hmac::Context::with_key(&self.key) }
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One pseudonym in the making.
pub(super) struct Digest {
    id: String,
    context: hmac::Context,
}

impl Digest {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(super) fn text(self) -> String {
        format!("hmac:{}:{}", self.id, hex_prefix(&self.context.sign(), DIGEST_BYTES))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

fn hex_prefix(tag: &hmac::Tag, bytes: usize) -> String {
    hex::encode(tag.as_ref().get(..bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: &HashKey, value: &str) -> String {
        let mut digest = key.digest();
        value.bytes().for_each(|byte| digest.update(&[byte]));
        digest.text()
    }

    #[test]
    fn pseudonyms_depend_on_key_and_value_only() {
        let (one, two) = (HashKey::new(&[1; 32]).unwrap(), HashKey::new(&[2; 32]).unwrap());
        assert_eq!(text(&one, "alice"), text(&one.clone(), "alice"));
        assert_ne!(text(&one, "alice"), text(&one, "alicf"));
        assert_ne!(text(&one, "alice"), text(&two, "alice"));
        assert_eq!(text(&one, "alice").len(), "hmac:".len() + 8 + 1 + 32);
        assert!(text(&one, "alice").starts_with(&format!("hmac:{}:", one.id())));
    }

    /// RFC 4231, test case 1.
    #[test]
    fn is_hmac_sha_256() {
        let key = HashKey::new(&[0x0b; 20]).unwrap();
        assert!(text(&key, "Hi There").ends_with(":b0344c61d8db38535ca8afceaf0bf12b"));
    }

    #[test]
    fn a_file_may_end_its_line() {
        let id = |bytes: &[u8]| HashKey::from_file(bytes).unwrap().id().to_owned();
        assert_eq!(id(b"0123456789abcdef"), id(b"0123456789abcdef\n"));
        assert_eq!(id(b"0123456789abcdef"), id(b"0123456789abcdef\r\n"));
        assert_ne!(id(b"0123456789abcdef"), id(b"0123456789abcdef\n\n"));
        assert_ne!(HashKey::random().unwrap().id(), HashKey::random().unwrap().id());
    }

    #[test]
    fn short_keys_are_refused_and_debug_shows_none() {
        assert_eq!(HashKey::new(b"short").unwrap_err(), HashKeyError::TooShort(5));
        let shown = format!("{:?}", HashKey::new(b"0123456789abcdef").unwrap());
        assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
    }
}
