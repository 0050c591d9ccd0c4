//! An issuer that signs whatever it is told to. Its published keys do not say which algorithm they are for, and a
//! symmetric one is among them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature};
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const NAME: &str = "https://issuer.example.com";
/// A symmetric key that the issuer publishes.
const SYMMETRIC: &[u8] = b"0123456789abcdef0123456789abcdef";

pub struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    /// The same key; its signatures are in DER, as certificates have them and tokens must not.
    ec_der: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    pub async fn start() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = |algorithm: &'static signature::EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fetches = Arc::new(AtomicUsize::new(0));
        let issuer = Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            ec_der: ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
            ed: Ed25519KeyPair::generate().unwrap(),
            address: listener.local_addr().unwrap(),
            fetches: fetches.clone(),
        };
        let keys = issuer.key_set().to_string();
        let keys = move || {
            fetches.fetch_add(1, Ordering::SeqCst);
            let keys = keys.clone();
            async move { keys }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(keys))).await });
        issuer
    }

    pub fn jwks_url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// How often the keys were asked for.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn key_set(&self) -> Value {
        let mut keys: Vec<_> = ["rsa", "ec", "ed"].iter().map(|kid| self.jwk(kid)).collect();
        keys.push(json!({"kty": "oct", "kid": "oct", "k": base64(SYMMETRIC)}));
        json!({ "keys": keys })
    }

    /// The public half of a key, without its algorithm.
    pub fn jwk(&self, kid: &str) -> Value {
        match kid {
            "rsa" => {
                let n = self.rsa.public_key().modulus();
                json!({"kty": "RSA", "kid": kid, "n": base64(n.big_endian_without_leading_zero()), "e": "AQAB"})
            }
            "ec" => {
                let (x, y) = self.ec.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            _ => {
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64(self.ed.public_key().as_ref())})
            }
        }
    }

    /// Every form of what is public that a confused verifier could take for a secret: the key's id, which form, and it.
    pub fn public_bytes(&self) -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let spki = |der: PublicKeyX509Der<'_>| der.as_ref().to_vec();
        let mut forms = Vec::new();
        for (kid, der, raw) in [
            ("rsa", spki(self.rsa.public_key().as_der().unwrap()), self.rsa.public_key().as_ref().to_vec()),
            ("ec", spki(self.ec.public_key().as_der().unwrap()), self.ec.public_key().as_ref().to_vec()),
            ("ed", spki(self.ed.public_key().as_der().unwrap()), self.ed.public_key().as_ref().to_vec()),
        ] {
            let pem = pem("PUBLIC KEY", &der);
            forms.push((kid, "PEM", pem.clone().into_bytes()));
            forms.push((kid, "PEM without its last line break", pem.trim_end().into()));
            forms.push((kid, "PEM without lines", STANDARD.encode(&der).into_bytes()));
            forms.push((kid, "DER", der));
            forms.push((kid, "the key's own encoding", raw));
            forms.push((kid, "JWK", self.jwk(kid).to_string().into_bytes()));
        }
        let rsa = self.rsa.public_key();
        forms.push(("rsa", "PKCS#1 in PEM", pem("RSA PUBLIC KEY", rsa.as_ref()).into_bytes()));
        forms.push(("rsa", "modulus", rsa.modulus().big_endian_without_leading_zero().to_vec()));
        forms.push(("oct", "a published secret", SYMMETRIC.to_vec()));
        forms
    }

    /// What a good token says.
    pub fn claims(&self) -> Value {
        let now = portcullis::clock::Clock::system().now().as_second();
        json!({"iss": NAME, "aud": "portcullis", "sub": "ana", "exp": now + 3600, "iat": now, "nbf": now,
            "groups": ["staff"], "email": "ana@example.com", "person": "p-17", "jti": "t-1", "sid": "s-1",
            "scope": "read write", "org": {"id": "shop"}})
    }

    /// One token for each algorithm.
    pub fn good_tokens(&self) -> Vec<String> {
        let claims = self.claims().to_string();
        [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")]
            .map(|(alg, kid)| self.sign(alg, &json!({"alg": alg, "kid": kid}).to_string(), &claims))
            .to_vec()
    }

    /// An honest signature over these claims, whatever they are.
    pub fn token(&self, claims: &str) -> String {
        self.sign("RS256", r#"{"alg":"RS256","kid":"rsa"}"#, claims)
    }

    /// A signature by this algorithm, whatever the header says.
    pub fn sign(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.signature(algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let rsa = |encoding: &'static dyn signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &random, message, &mut signature).unwrap();
            signature
        };
        match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            "ES256 in DER" => self.ec_der.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            other => panic!("{other}"),
        }
    }
}

/// A token that is "signed" with a secret.
pub fn hmac_token(algorithm: hmac::Algorithm, secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", base64(header), base64(claims));
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", base64(signature))
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
