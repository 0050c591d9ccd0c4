//! A JSON Web Key Set: what it holds, what of it is usable, and which key a token asks for.
//!
//! Knows nothing of where the set came from.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, KeyType};
use super::sha256::sha256;
use crate::strict_json;

/// The most keys that a set may hold.
const MAX_KEYS: usize = 100;
const MIN_RSA_BITS: usize = 2_048;
const MAX_RSA_BITS: usize = 8_192;

/// An issuer's public keys; never empty.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    revision: Revision,
}

/// SHA-256 of a key set as published: the same keys have the same revision however often they are fetched.
pub type Revision = [u8; 32];

#[derive(Debug)]
pub struct Key {
    kid: Option<String>,
    key_type: KeyType,
    /// The one algorithm that the key is meant for, if its publisher says so.
    algorithm: Option<Algorithm>,
    public: DecodingKey,
}

/// What became of looking for a key.
#[derive(Debug)]
pub enum Found<'k> {
    Key(&'k Key),
    /// There is a key of that id, and it is not for that algorithm.
    WrongAlgorithm,
    /// No key, or no telling which.
    Unknown,
}

/// Why a text is no usable key set.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it is not strict JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it lacks a list `keys`")]
    NoKeys,
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
    #[error("it holds no key that could verify a signature")]
    Empty(Vec<String>),
}

impl KeySet {
    /// The usable keys of `text`, and what is wrong with each of the others that are meant for signatures.
    pub fn parse(text: &[u8]) -> Result<(Self, Vec<String>), Unusable> {
        let object = strict_json::object(text)?;
        let revision: Revision = sha256(text);
        let Some(Value::Array(items)) = object.get("keys") else { return Err(Unusable::NoKeys) };
        if items.len() > MAX_KEYS {
            return Err(Unusable::TooMany);
        }
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        for (position, item) in items.iter().enumerate() {
            match item.as_object().ok_or("it is not an object").and_then(Key::read) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(problem) => problems.push(format!("key {}: {problem}", position + 1)),
            }
        }
        if keys.is_empty() { Err(Unusable::Empty(problems)) } else { Ok((Self { keys, revision }, problems)) }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The key of this id for this algorithm; without an id, the only key for it. Two that fit are none.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let mut fitting = named().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(key),
            (None, _) if kid.is_some() && named().next().is_some() => Found::WrongAlgorithm,
            _ => Found::Unknown,
        }
    }
}

impl Key {
    /// Whether `signature` (in base64url) is this key's over `signed`.
    pub fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.public, algorithm.backend())
                .unwrap_or(false)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.key_type == algorithm.key_type() && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// One member of `keys`; `None` when it is sound and meant for something else than signatures.
    fn read(jwk: &Map<String, Value>) -> Result<Option<Self>, &'static str> {
        if optional(jwk, "use", "`use` must be a string")?.is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|op| op == "verify") => {}
            Some(Value::Array(_)) => return Ok(None),
            Some(_) => return Err("`key_ops` must be a list"),
        }
        let kty = optional(jwk, "kty", "`kty` must be a string")?.ok_or("it lacks `kty`")?;
        if kty == "oct" {
            return Err("it is symmetric: whoever verifies with it could sign");
        }
        if jwk.contains_key("d") {
            return Err("it is a private key, which must not be published");
        }
        let (key_type, public) = match kty {
            "RSA" => (KeyType::Rsa, rsa(jwk)?),
            "EC" => ec(jwk)?,
            "OKP" => (KeyType::Ed25519, ed25519(jwk)?),
            _ => return Err("its `kty` is none of `RSA`, `EC` and `OKP`"),
        };
        let algorithm = optional(jwk, "alg", "`alg` must be a string")?
            .map(|name| Algorithm::from_name(name).ok_or("its `alg` is not a supported signature algorithm"))
            .transpose()?;
        if algorithm.is_some_and(|algorithm| algorithm.key_type() != key_type) {
            return Err("its `alg` does not fit its type");
        }
        let kid = optional(jwk, "kid", "`kid` must be a string")?.map(str::to_owned);
        Ok(Some(Self { kid, key_type, algorithm, public }))
    }
}

fn optional<'j>(
    jwk: &'j Map<String, Value>,
    name: &str,
    problem: &'static str,
) -> Result<Option<&'j str>, &'static str> {
    jwk.get(name).map(|value| value.as_str().ok_or(problem)).transpose()
}

fn bytes(jwk: &Map<String, Value>, name: &str, problem: &'static str) -> Result<Vec<u8>, &'static str> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or(problem)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| problem)
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let (n, e) = (bytes(jwk, "n", "`n` must be base64url")?, bytes(jwk, "e", "`e` must be base64url")?);
    let leading = n.iter().take_while(|byte| **byte == 0).count();
    let n = n.get(leading..).unwrap_or_default();
    let zeros = n.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (n.len() * 8).saturating_sub(zeros as usize);
    if bits < MIN_RSA_BITS {
        return Err("its modulus is shorter than 2048 bits");
    }
    if bits > MAX_RSA_BITS {
        return Err("its modulus is longer than 8192 bits");
    }
    // Exponents of 1 make every message its own signature; even ones are no RSA.
    let odd = e.last().is_some_and(|byte| byte % 2 == 1);
    let above_one = e.iter().any(|byte| *byte > 1) || e.iter().filter(|byte| **byte == 1).count() > 1;
    if !odd || !above_one || e.len() > 8 {
        return Err("its exponent is not sound");
    }
    Ok(DecodingKey::from_rsa_raw_components(n, &e))
}

fn ec(jwk: &Map<String, Value>) -> Result<(KeyType, DecodingKey), &'static str> {
    let (key_type, algorithm, size) = match jwk.get("crv").and_then(Value::as_str) {
        Some("P-256") => (KeyType::P256, &ECDSA_P256_SHA256_FIXED, 32),
        Some("P-384") => (KeyType::P384, &ECDSA_P384_SHA384_FIXED, 48),
        _ => return Err("its `crv` is neither `P-256` nor `P-384`"),
    };
    let (x, y) = (bytes(jwk, "x", "`x` must be base64url")?, bytes(jwk, "y", "`y` must be base64url")?);
    if x.len() != size || y.len() != size {
        return Err("its coordinates have the wrong length for its curve");
    }
    let point = [&[4][..], &x, &y].concat();
    ParsedPublicKey::new(algorithm, &point).map_err(|_| "its point is not on its curve")?;
    Ok((key_type, DecodingKey::from_ec_der(&point)))
}

fn ed25519(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    if jwk.get("crv").and_then(Value::as_str) != Some("Ed25519") {
        return Err("its `crv` is not `Ed25519`");
    }
    let x = bytes(jwk, "x", "`x` must be base64url")?;
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| "its point is not on its curve")?;
    Ok(DecodingKey::from_ed_der(&x))
}

/// Whether the cryptography that was linked in verifies a known signature and refuses a changed one: the example
/// of RFC 8037, appendix A.4.
pub fn backend_works() -> bool {
    const SET: &[u8] =
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let Ok((keys, _)) = KeySet::parse(SET) else { return false };
    let Found::Key(key) = keys.find(None, Algorithm::EdDsa) else { return false };
    key.verifies(Algorithm::EdDsa, SIGNED, SIGNATURE) && !key.verifies(Algorithm::EdDsa, "another", SIGNATURE)
}
