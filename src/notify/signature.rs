//! Signatures of webhooks, as the Standard Webhooks specification has them (`v1`: HMAC-SHA-256).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shorter keys can be guessed, longer ones gain nothing.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key shared with the receiver. `Debug` shows nothing of it.
pub(super) struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads `whsec_` and 24 to 64 bytes in base64. The error says nothing of the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let shape = || "it is not `whsec_` with 24 to 64 random bytes in base64".to_owned();
        let encoded = text.trim().strip_prefix("whsec_").ok_or_else(shape)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| shape())?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(shape());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    #[cfg(test)]
    fn of(base64: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(base64).unwrap()))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The header `webhook-signature`: one signature for each key, so that keys can be changed without a gap. `timestamp` is
/// in seconds since 1970.
pub(super) fn header(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published examples of Svix and of the libraries of Standard Webhooks.
    const VECTORS: [(&str, &str, i64, &str, &str); 2] = [
        (
            "plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1_731_705_121,
            r#"{"event_type":"ping","data":{"success":true}}"#,
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
        (
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        for (key, id, timestamp, body, signature) in VECTORS {
            assert_eq!(header(&[Key::of(key)], id, timestamp, body.as_bytes()), signature);
        }
    }

    #[test]
    fn each_key_signs_and_every_part_counts() {
        let keys = VECTORS.map(|vector| Key::of(vector.0));
        let both = header(&keys, "id", 1, b"{}");
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(first, header(&keys[..1], "id", 1, b"{}"));
        assert_eq!(second, header(&keys[1..], "id", 1, b"{}"));
        for other in
            [header(&keys, "ie", 1, b"{}"), header(&keys, "id", 2, b"{}"), header(&keys, "id", 1, b"{ }")]
        {
            assert_ne!(both, other);
        }
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused() {
        for text in ["", "plJ3nmyCDGBKInavdOK15jsl", "whsec_", "whsec_????", "whsec_c2hvcnQ="] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(Key::parse(&long).is_err());
        let good = Key::parse(&format!("whsec_{}\n", VECTORS[1].0)).unwrap();
        assert_eq!(header(&[good], VECTORS[1].1, VECTORS[1].2, VECTORS[1].3.as_bytes()), VECTORS[1].4);
        assert_eq!(format!("{:?}", Key::of(VECTORS[1].0)), "Key");
    }
}
