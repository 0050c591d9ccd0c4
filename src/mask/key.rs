//! The key of masked hashes, and what `hash` writes: `hmac:<key id>:<hash>`, 8 and 32 hex digits.
//!
//! HMAC-SHA-256: without the key nobody can try candidate values. The key id is a hash under the same key, so it
//! changes with the key and tells nothing about it. The hash keeps 128 bits: equal means equal in practice.

use std::fmt;

use aws_lc_rs::hmac;

/// What the key id is the hash of. No masked value can pass for it: values are hashed behind `value:`.
const KEY_ID_INPUT: &[u8] = b"key id";
const VALUE_PREFIX: &[u8] = b"value:";

/// A key for `hash`. Its `Debug` shows the key id only.
#[derive(Clone)]
pub struct HashKey {
    key: hmac::Key,
    id: String,
}

/// A key that is easier to guess than the hash is to break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash key needs at least {} bytes, not {length}", HashKey::MIN_BYTES)]
pub struct WeakKey {
    length: usize,
}

impl HashKey {
    pub const MIN_BYTES: usize = 32;

    /// The bytes are taken as they are, a trailing line end included.
    pub fn new(bytes: &[u8]) -> Result<Self, WeakKey> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(WeakKey { length: bytes.len() });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let id = first_hex(hmac::sign(&key, KEY_ID_INPUT), 8);
        Ok(Self { key, id })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What takes the place of `value`: a string's decoded text, any other value's bytes as written.
    pub fn hash(&self, value: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(VALUE_PREFIX);
        context.update(value);
        format!("hmac:{}:{}", self.id, first_hex(context.sign(), 32))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn first_hex(tag: hmac::Tag, digits: usize) -> String {
    hex::encode(tag).chars().take(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_key_and_value_alone() {
        let (one, two) = (HashKey::new(&[1; 32]).unwrap(), HashKey::new(&[2; 32]).unwrap());
        assert_eq!(one.hash(b"4111"), HashKey::new(&[1; 32]).unwrap().hash(b"4111"));
        assert_ne!(one.hash(b"4111"), one.hash(b"4112"));
        assert_ne!(one.hash(b"4111"), two.hash(b"4111"));
        assert_ne!(one.id(), two.id());
        let parts: Vec<_> = one.hash(b"4111").split(':').map(str::to_owned).collect();
        assert_eq!((parts[0].as_str(), parts[1].as_str(), parts[2].len()), ("hmac", one.id(), 32));
    }

    #[test]
    fn short_keys_are_refused_and_no_key_is_printed() {
        assert_eq!(
            HashKey::new(&[1; 31]).unwrap_err().to_string(),
            "a hash key needs at least 32 bytes, not 31"
        );
        let shown = format!("{:?}", HashKey::new(b"0123456789abcdef0123456789abcdef").unwrap());
        assert!(!shown.contains("0123456789") && !shown.contains("48, 49"), "{shown}");
    }
}
