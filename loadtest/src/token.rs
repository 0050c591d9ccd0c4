//! The identity provider of a run: one RSA key, its JWKS, and a signed token for each user. It knows the shape of a
//! JWT and nothing of who checks it.

use anyhow::{Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock;

/// Who issues the tokens. Nothing listens there: the keys come from a file.
pub const ISSUER: &str = "http://127.0.0.1:1";
/// Whom the tokens are for.
pub const AUDIENCE: &str = "portcullis";

pub const KEY_ID: &str = "load";
/// Longer than the longest run.
const LIFETIME_SECONDS: u64 = 6 * 3_600;

/// Issues tokens under a key of its own.
pub struct Issuer(KeyPair);

impl Issuer {
    /// An issuer with a fresh key.
    pub fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("cannot generate an RSA key"))?))
    }

    /// The public key, as the file that the server reads.
    pub fn jwks(&self) -> String {
        let key = self.0.public_key();
        let encode = |number: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(number);
        json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": encode(key.modulus().big_endian_without_leading_zero()),
            "e": encode(key.exponent().big_endian_without_leading_zero()),
        }]})
        .to_string()
    }

    /// A token for each of `count` users.
    pub fn tokens(&self, count: usize) -> Result<Vec<String>> {
        (0..count).map(|user| self.token(ISSUER, KEY_ID, &format!("user-{user}"))).collect()
    }

    /// A token that says it is of `issuer` and signed with its key `kid`.
    pub fn token(&self, issuer: &str, kid: &str, subject: &str) -> Result<String> {
        self.sign(kid, claims(issuer, AUDIENCE, subject, &["staff", "support"]))
    }

    /// A token for another audience, with these groups.
    pub fn token_for(&self, audience: &str, subject: &str, groups: &[&str]) -> Result<String> {
        self.sign(KEY_ID, claims(ISSUER, audience, subject, groups))
    }

    fn sign(&self, kid: &str, claims: Value) -> Result<String> {
        let encode = |part: Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let header = encode(json!({"alg": "RS256", "typ": "JWT", "kid": kid}));
        let signed = format!("{header}.{}", encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| anyhow!("cannot sign a token"))?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn claims(issuer: &str, audience: &str, subject: &str, groups: &[&str]) -> Value {
    let now = clock::unix_seconds();
    json!({
        "iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + LIFETIME_SECONDS,
        "email": format!("{subject}@example.com"), "groups": groups, "scope": "read write",
    })
}

/// A token that nobody signed: with another one's signature.
pub fn unsigned(issuer: &str, kid: &str, signature: &str) -> String {
    let encode = |part: Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let header = encode(json!({"alg": "RS256", "typ": "JWT", "kid": kid}));
    format!("{header}.{}.{signature}", encode(json!({"iss": issuer, "aud": AUDIENCE, "sub": "mallory"})))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    fn decode(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn the_jwks_verifies_the_tokens() {
        let issuer = Issuer::new().unwrap();
        let jwks: Value = serde_json::from_str(&issuer.jwks()).unwrap();
        let number = |name: &str| decode(jwks["keys"][0][name].as_str().unwrap());
        let key = RsaPublicKeyComponents { n: number("n"), e: number("e") };
        let tokens = issuer.tokens(3).unwrap();
        for (user, token) in tokens.iter().enumerate() {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decode(signature)).unwrap();
            let claims: Value = serde_json::from_slice(&decode(signed.split_once('.').unwrap().1)).unwrap();
            assert_eq!(claims["sub"], format!("user-{user}"));
            assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(ISSUER), Some(AUDIENCE)));
            assert!(claims["exp"].as_u64().unwrap() > clock::unix_seconds() + 600);
        }
    }
}
