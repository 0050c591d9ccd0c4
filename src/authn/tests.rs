//! What the tests share: keys that sign, tokens, and an authenticator over a key file.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::place::Place;
use super::*;

mod cache;
mod claims;
mod config;
mod credentials;
mod discovery;
mod peers;
mod places;
mod remote;
mod signatures;
mod vectors;

const ISSUER: &str = "https://idp.example.com";
const NOW: i64 = 1_800_000_000;

/// A private key of each type.
enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn new(key_type: KeyType) -> Self {
        match key_type {
            KeyType::Rsa => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            KeyType::P256 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256")
            }
            KeyType::P384 => {
                Self::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384")
            }
            KeyType::Ed25519 => Self::Ed(Ed25519KeyPair::generate().unwrap()),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let modulus = pair.public_key().modulus();
                let n = modulus.big_endian_without_leading_zero();
                json!({"kty": "RSA", "kid": kid, "n": base64(n), "e": "AQAB"})
            }
            Self::Ec(pair, curve) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({"kty": "EC", "kid": kid, "crv": curve, "x": base64(x), "y": base64(y)})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(pair.public_key().as_ref())})
            }
        }
    }

    /// Signs with this key, as `algorithm` says where the key leaves a choice.
    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of these texts, signed whatever they say.
    fn token(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.sign(algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key_set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": "api", "sub": "ana", "exp": NOW + 300, "iat": NOW, "jti": "t1",
        "groups": ["staff"], "email": "ana@example.com", "human": "p-17", "realm_access": {"roles": ["r"]}})
}

fn issuer(jwks: JwksSource) -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.into(),
        audiences: vec!["api".into(), "web".into()],
        algorithms: Algorithm::ALL.to_vec(),
        jwks,
        places: vec![Place::Authorization],
        forward_token: true,
        claims: ClaimNames { person: Some("human".into()), ..ClaimNames::default() },
        leeway: Duration::from_secs(30),
        max_stale: Duration::from_secs(3_600),
        refresh: Duration::from_secs(300),
    }
}

fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().unwrap());
    &METRICS
}

/// Certificates of any name count, after tokens.
fn with_certificates(config: &mut Config) {
    config.order = vec![Scheme::Jwt, Scheme::Mtls];
    config.mtls = Some(PeerConfig::default());
}

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_second(NOW).unwrap())
}

/// An authenticator over a file that holds `text`, or what is wrong with it.
async fn over_file(
    text: &str,
    edit: impl FnOnce(&mut Config),
) -> Result<Arc<Authenticator>, Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, text).unwrap();
    let mut config = Config::of_issuers(vec![issuer(JwksSource::File(path))]);
    edit(&mut config);
    Authenticator::build(config, clock()).await
}

/// The same as [`simple`], and the clock that it goes by.
async fn simple_with_clock() -> (Signer, Arc<Authenticator>, Clock) {
    let (signer, clock) = (Signer::new(KeyType::P256), clock());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, key_set(&[signer.jwk("k")])).unwrap();
    let config = Config::of_issuers(vec![issuer(JwksSource::File(path))]);
    (signer, Authenticator::build(config, clock.clone()).await.unwrap(), clock)
}

/// A P-256 key with id `k`, and an authenticator that trusts it.
async fn simple(edit: impl FnOnce(&mut Config)) -> (Signer, Arc<Authenticator>) {
    let signer = Signer::new(KeyType::P256);
    let authenticator = over_file(&key_set(&[signer.jwk("k")]), edit).await.unwrap();
    (signer, authenticator)
}

const HEADER: &str = r#"{"alg":"ES256","kid":"k"}"#;

impl Signer {
    fn simple_token(&self, claims: &Value) -> String {
        self.token(Algorithm::Es256, HEADER, &claims.to_string())
    }
}
