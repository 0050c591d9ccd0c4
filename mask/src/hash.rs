//! Keyed pseudonyms: equal values get equal texts, and nobody without the key can try values against them.
//!
//! A text is `hmac:<key id>:<digest>`. The key's id is the one it was given, or the first 8 hexadecimal digits of
//! HMAC-SHA-256 over a fixed label; the digest is 32 more of HMAC-SHA-256 over the value, cut to 128 bits. It covers
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
    fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashKeyError {
    #[error("the id `{0}` of a hash key is empty, longer than {most} bytes, or has other signs than letters, digits, `-` and `_`", most = HashKey::MAX_ID_BYTES)]
    InvalidId(String),
    #[error("the hash key has {0} bytes; it needs at least {min}", min = HashKey::MIN_BYTES)]
    TooShort(usize),
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl HashKey {
    pub const MIN_BYTES: usize = 16;
    pub const MAX_ID_BYTES: usize = 32;

    pub fn new(bytes: &[u8]) -> Result<Self, HashKeyError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(HashKeyError::TooShort(bytes.len()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let label = hmac::sign(&key, ID_LABEL);
        Ok(Self { id: hex_prefix(&label, ID_BYTES), key, fingerprint: hex::encode(label) })
    }

    /// The key of these bytes by a name of its own.
    pub fn named(id: &str, bytes: &[u8]) -> Result<Self, HashKeyError> {
        Ok(Self { id: Self::check_id(id)?.to_owned(), ..Self::new(bytes)? })
    }

    /// An id that keys can have: it stands between colons.
    pub fn check_id(id: &str) -> Result<&str, HashKeyError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=Self::MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(known);
        if fits { Ok(id) } else { Err(HashKeyError::InvalidId(id.to_owned())) }
    }

    /// Whether the bytes are the same, whatever the ids.
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// The key in a file's bytes; one line end after it is not part of it, because editors and shells add it.
    pub fn from_file(bytes: &[u8]) -> Result<Self, HashKeyError> {
        Self::new(without_line_end(bytes))
    }

    /// The same, by a name of its own.
    pub fn named_from_file(id: &str, bytes: &[u8]) -> Result<Self, HashKeyError> {
        Self::named(id, without_line_end(bytes))
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

impl PartialEq for HashKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.same_bytes(other)
    }
}

impl Eq for HashKey {}

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

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
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
    fn a_named_key_makes_the_same_digests_under_its_own_name() {
        let (plain, named) = (HashKey::new(&[1; 32]).unwrap(), HashKey::named("2026-11", &[1; 32]).unwrap());
        let digest = |text: String| text.rsplit(':').next().unwrap().to_owned();
        assert!(text(&named, "alice").starts_with("hmac:2026-11:"));
        assert_eq!(digest(text(&named, "alice")), digest(text(&plain, "alice")));
        assert!(named.same_bytes(&plain) && named != plain);
        assert!(!named.same_bytes(&HashKey::named("2026-11", &[2; 32]).unwrap()));
        assert_eq!(named, HashKey::named_from_file("2026-11", &[&[1; 32][..], b"\n"].concat()).unwrap());
        for id in ["", "a:b", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(HashKey::named(id, &[1; 32]), Err(HashKeyError::InvalidId(id.to_owned())));
        }
    }

    #[test]
    fn short_keys_are_refused_and_debug_shows_none() {
        assert_eq!(HashKey::new(b"short").unwrap_err(), HashKeyError::TooShort(5));
        let shown = format!("{:?}", HashKey::new(b"0123456789abcdef").unwrap());
        assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
    }
}
