//! The seal: nobody but a server with the key could have written what it is on.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;

use crate::clock;

/// Bytes of HMAC-SHA-256.
const TAG: usize = 32;

/// The most that a sealed text may have, in bytes: Envoy copies it with the call.
pub const LONGEST: usize = 8 << 10;

/// For so long a key that was replaced is still accepted: until the last replica has its file.
const OVERLAP: Duration = Duration::from_secs(600);

/// The keys of the seal. Never shown. Clones share them.
#[derive(Clone)]
pub struct HandoverKeys(Arc<RwLock<Ring>>);

struct Ring {
    current: hmac::Key,
    /// What replicas may still use while the current one is brought to them.
    previous: Option<hmac::Key>,
    /// The one that was current before, and until when it is accepted.
    replaced: Option<(hmac::Key, Instant)>,
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
        Ok(Self::of(key(current)?, previous.map(key).transpose()?))
    }

    /// A key of this process's own: no other replica knows it.
    pub fn random() -> Result<Self, HandoverKeyError> {
        let mut bytes = [0; HandoverKeys::LEAST];
        SystemRandom::new().fill(&mut bytes).map_err(|_| HandoverKeyError::NoRandomness)?;
        Ok(Self::of(hmac::Key::new(hmac::HMAC_SHA256, &bytes), None))
    }

    fn of(current: hmac::Key, previous: Option<hmac::Key>) -> Self {
        Self(Arc::new(RwLock::new(Ring { current, previous, replaced: None })))
    }

    /// Seals with the keys of `other` from now on, here and in every clone. `false`: they are the same.
    pub fn replace(&self, other: &Self) -> bool {
        self.replace_at(other, clock::instant())
    }

    fn replace_at(&self, other: &Self, now: Instant) -> bool {
        let (current, previous) = {
            let other = other.0.read();
            (other.current.clone(), other.previous.clone())
        };
        let mut ring = self.0.write();
        let known = |key: &Option<hmac::Key>| key.as_ref().map(fingerprint);
        let new = fingerprint(&ring.current) != fingerprint(&current);
        if !new && known(&ring.previous) == known(&previous) {
            return false;
        }
        ring.previous = previous;
        if new {
            let before = std::mem::replace(&mut ring.current, current);
            ring.replaced = Some((before, now + OVERLAP));
        }
        true
    }

    /// `None` when the text would be too long.
    pub fn seal(&self, content: &[u8]) -> Option<String> {
        let tag = hmac::sign(&self.0.read().current, content);
        let text = URL_SAFE_NO_PAD.encode([content, tag.as_ref()].concat());
        (text.len() <= LONGEST).then_some(text)
    }

    /// The content of a sealed text; `None` when neither key made the seal. Takes the same time wherever a seal differs.
    pub fn open(&self, text: &str) -> Option<Vec<u8>> {
        self.open_at(text, clock::instant())
    }

    fn open_at(&self, text: &str, now: Instant) -> Option<Vec<u8>> {
        if text.len() > LONGEST {
            return None;
        }
        let mut content = URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = content.split_off(content.len().checked_sub(TAG)?);
        let ring = self.0.read();
        let replaced = ring.replaced.iter().filter(|(_, until)| now < *until).map(|(key, _)| key);
        let keys = std::iter::once(&ring.current).chain(&ring.previous).chain(replaced);
        let sealed = keys.map(|key| hmac::verify(key, &content, &tag)).any(|verified| verified.is_ok());
        sealed.then_some(content)
    }
}

/// Tells two keys apart, and says nothing of them.
fn fingerprint(key: &hmac::Key) -> [u8; TAG] {
    let mut tag = [0; TAG];
    for (to, from) in tag.iter_mut().zip(hmac::sign(key, b"which key is this").as_ref()) {
        *to = *from;
    }
    tag
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
        f.debug_struct("HandoverKeys")
            .field("rotating", &self.0.read().previous.is_some())
            .finish_non_exhaustive()
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
    fn a_key_that_was_replaced_is_accepted_for_a_while() {
        let now = clock::instant();
        let of = |byte: u8| HandoverKeys::from_files(&[byte; 32], None).unwrap();
        let used = of(1);
        let clone = used.clone();
        let before = used.seal(b"content").unwrap();
        assert!(!used.replace_at(&of(1), now), "the same");
        assert!(used.replace_at(&of(2), now));
        assert_eq!(clone.seal(b"content"), of(2).seal(b"content"), "every clone has the new one");
        let opens = |text: &str, after: Duration| clone.open_at(text, now + after).is_some();
        assert!(opens(&before, Duration::ZERO) && opens(&before, OVERLAP - Duration::from_millis(1)));
        assert!(!opens(&before, OVERLAP));
        assert!(opens(&of(2).seal(b"content").unwrap(), OVERLAP));
        // The files say which other one counts.
        let third = HandoverKeys::from_files(&[2; 32], Some(&[3; 32])).unwrap();
        assert!(used.replace_at(&third, now));
        assert!(opens(&of(3).seal(b"content").unwrap(), OVERLAP));
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
