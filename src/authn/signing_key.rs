//! A private key of ours: signs tokens (RFC 7515), and says what verifies them (RFC 7517).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::sha256::sha256;

/// Ed25519 (RFC 8037) or P-256 (RFC 7518 section 3.4).
pub struct SigningKey(Kind);

enum Kind {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// A key in PKCS #8; `None` when it is none of the two.
    pub fn read(der: &[u8]) -> Option<Self> {
        // OpenSSL leaves the public key out, which is version 1 of PKCS #8.
        let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Kind::Ed25519).ok();
        let p256 = || EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Kind::P256).ok();
        ed25519.or_else(p256).map(Self)
    }

    /// The public key, with its thumbprint (RFC 7638) as its id.
    pub fn published(&self) -> Value {
        let mut jwk = self.members();
        if let Value::Object(members) = &mut jwk {
            members.insert("kid".to_owned(), self.id().into());
            members.insert("use".to_owned(), "sig".into());
            members.insert("alg".to_owned(), self.algorithm().into());
        }
        jwk
    }

    /// A token of these claims; `None` when the key can't sign.
    pub fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"alg": self.algorithm(), "kid": self.id(), "typ": "JWT"});
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = match &self.0 {
            Kind::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Kind::P256(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?.as_ref().to_vec(),
        };
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn algorithm(&self) -> &'static str {
        match &self.0 {
            Kind::Ed25519(_) => "EdDSA",
            Kind::P256(_) => "ES256",
        }
    }

    fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.members().to_string().as_bytes()))
    }

    /// The members that a thumbprint covers, in the order of their names.
    fn members(&self) -> Value {
        match &self.0 {
            Kind::Ed25519(pair) => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(pair.public_key())})
            }
            Kind::P256(pair) => {
                // One byte says that the point is not compressed.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at_checked(32).unwrap_or_default();
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"crv": "P-256", "kty": "EC", "x": x, "y": y})
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.1 and A.3, as OpenSSL would write the key.
    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let der =
            [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &seed].concat();
        let key = SigningKey::read(&der).unwrap();
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.published()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    }

    #[test]
    fn other_keys_are_none() {
        assert!(SigningKey::read(&[]).is_none());
        let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        assert!(SigningKey::read(p384.to_pkcs8v1().unwrap().as_ref()).is_none());
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        assert!(SigningKey::read(p256.to_pkcs8v1().unwrap().as_ref()).is_some());
    }
}
