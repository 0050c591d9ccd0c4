//! The seal: nobody but a server with the key could have written what it is on.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of HMAC-SHA-256.
const TAG: usize = 32;

/// The most that a sealed text may have, in bytes: Envoy copies it with the call.
pub const LONGEST: usize = 8 << 10;

/// The keys of the seal. Never shown.
#[derive(Clone)]
pub struct HandoverKeys {
    current: hmac::Key,
    /// What replicas may still use while the current one is brought to them.
    previous: Option<hmac::Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverKeyError {
    #[error("it has {0} bytes and needs at least {min}", min = HandoverKeys::LEAST)]
    TooShort(usize),
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl HandoverKeys {
    pub const LEAST: usize = 32;

    /// The keys in two files' bytes; one line end after each is not part of it.
    pub fn from_files(current: &[u8], previous: Option<&[u8]>) -> Result<Self, HandoverKeyError> {
        Ok(Self { current: key(current)?, previous: previous.map(key).transpose()? })
    }

    /// A key of this process's own: no other replica knows it.
    pub fn random() -> Result<Self, HandoverKeyError> {
        let mut bytes = [0; HandoverKeys::LEAST];
        SystemRandom::new().fill(&mut bytes).map_err(|_| HandoverKeyError::NoRandomness)?;
        Ok(Self { current: hmac::Key::new(hmac::HMAC_SHA256, &bytes), previous: None })
    }

    /// `None` when the text would be too long.
    pub fn seal(&self, content: &[u8]) -> Option<String> {
        let tag = hmac::sign(&self.current, content);
        let text = URL_SAFE_NO_PAD.encode([content, tag.as_ref()].concat());
        (text.len() <= LONGEST).then_some(text)
    }

    /// The content of a sealed text; `None` when neither key made the seal. Takes the same time wherever a seal differs.
    pub fn open(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > LONGEST {
            return None;
        }
        let mut content = URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = content.split_off(content.len().checked_sub(TAG)?);
        let keys = std::iter::once(&self.current).chain(&self.previous);
        let sealed = keys.map(|key| hmac::verify(key, &content, &tag)).any(|verified| verified.is_ok());
        sealed.then_some(content)
    }
}

fn key(file: &[u8]) -> Result<hmac::Key, HandoverKeyError> {
    let bytes = file.strip_suffix(b"\n").unwrap_or(file);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.len() < HandoverKeys::LEAST {
        return Err(HandoverKeyError::TooShort(bytes.len()));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
}

impl fmt::Debug for HandoverKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverKeys").field("rotating", &self.previous.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_key_sealed_is_opened() {
        let (old, new) = ([1; 32], [2; 32]);
        let keys =
            |current: &[u8], previous: Option<&[u8]>| HandoverKeys::from_files(current, previous).unwrap();
        let sealed = keys(&old, None).seal(b"content").unwrap();
        assert_eq!(keys(&old, None).open(&sealed).as_deref(), Some(&b"content"[..]));
        // While keys are changed, both open; afterwards the old one does not.
        assert_eq!(keys(&new, Some(&old)).open(&sealed).as_deref(), Some(&b"content"[..]));
        assert_eq!(keys(&new, None).open(&sealed), None);
        assert_eq!(HandoverKeys::random().unwrap().open(&sealed), None);
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 0x80;
            assert_eq!(keys(&old, None).open(&URL_SAFE_NO_PAD.encode(forged)), None, "{place}");
        }
        for other in ["", "AA", "no base64 !", &"A".repeat(LONGEST + 4)] {
            assert_eq!(keys(&old, None).open(other), None);
        }
    }

    #[test]
    fn what_is_too_long_is_not_sealed() {
        let keys = HandoverKeys::random().unwrap();
        assert!(keys.seal(&vec![0; LONGEST * 3 / 4 - TAG]).is_some());
        assert!(keys.seal(&vec![0; LONGEST * 3 / 4 - TAG + 1]).is_none());
    }

    #[test]
    fn a_key_is_long_enough_and_never_shown() {
        let short = HandoverKeys::from_files(b"short\r\n", None).unwrap_err();
        assert_eq!(short, HandoverKeyError::TooShort(5));
        let keys = HandoverKeys::from_files(&[b'k'; 32], None).unwrap();
        assert!(!format!("{keys:?}").contains("107") && !format!("{keys:?}").contains("kkk"));
    }
}
