//! A sample identity provider: it issues tokens to whoever asks, which is what makes it a sample, and publishes the keys
//! to verify them with. Tests let it issue wrong tokens, rotate its keys, and fail.

mod key;
mod login;
mod people;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::{Value, json};

pub use key::Algorithm;
pub use login::CONSOLE;
pub use people::{PEOPLE, Person};

use crate::clock::unix_seconds;
use crate::serving::Serving;
use key::Key;

/// Whom the tokens for the protected service name as their audience.
pub const AUDIENCE: &str = "portcullis";
/// The audience of tokens for Portcullis itself: its admin API and command line.
pub const ADMIN_AUDIENCE: &str = "portcullis-admin";
/// How long a token is good for when nothing else is asked, in seconds.
const TTL: i64 = 3600;

/// A running identity provider; stops when dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    serving: Serving,
    state: Arc<State>,
}

/// How the identity provider misbehaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Every call gets 503.
    Unavailable,
    /// The keys come only after this time.
    Slow(Duration),
    /// These bytes come instead of the keys, with 200.
    Garbage(String),
}

#[derive(Debug)]
struct State {
    issuer: RwLock<String>,
    keys: RwLock<Keys>,
    fault: RwLock<Fault>,
    fetches: AtomicU64,
    tokens: AtomicU64,
    codes: login::Codes,
}

#[derive(Debug)]
struct Keys {
    rs256: Key,
    es256: Key,
    /// Signs no more, and is still published.
    retired: Vec<Value>,
    generation: u64,
}

impl IdentityProvider {
    /// Its issuer name is its own address as a URL.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let state = Arc::new(State {
            issuer: RwLock::default(),
            keys: RwLock::new(Keys::generate(1)?),
            fault: RwLock::default(),
            fetches: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            codes: login::Codes::default(),
        });
        let serving =
            Serving::start("the sample identity provider", address, router(Arc::clone(&state))).await?;
        *state.issuer.write() = format!("http://{}", serving.address());
        Ok(Self { serving, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    pub fn issuer(&self) -> String {
        self.state.issuer.read().clone()
    }

    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.issuer())
    }

    /// A token for one of `PEOPLE`, good for an hour.
    pub fn token(&self, person: &str, audience: &str) -> Result<String> {
        self.state.token(person, audience, TTL, Algorithm::Rs256)
    }

    /// A token that is good for `ttl`, counted in whole seconds.
    pub fn token_for(&self, person: &str, audience: &str, ttl: Duration) -> Result<String> {
        let ttl = i64::try_from(ttl.as_secs()).context("a token can't be good for that long")?;
        self.state.token(person, audience, ttl, Algorithm::Rs256)
    }

    /// A token that ran out an hour ago.
    pub fn expired_token(&self, person: &str) -> Result<String> {
        self.state.token(person, AUDIENCE, -TTL, Algorithm::Rs256)
    }

    /// The claims that `token` would sign, to be changed before they are given to `sign`.
    pub fn claims(&self, person: &str, audience: &str) -> Result<Value> {
        self.state.claims(person, audience, TTL)
    }

    /// A token of any claims, in the usual header.
    pub fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String> {
        self.state.sign(algorithm, claims)
    }

    /// A token of any header and any payload, also such as no honest provider would sign.
    pub fn sign_raw(&self, algorithm: Algorithm, header: &Value, payload: &[u8]) -> Result<String> {
        self.state.keys.read().of(algorithm).sign(header, payload)
    }

    /// The id of the key that signs.
    pub fn key_id(&self, algorithm: Algorithm) -> String {
        self.state.keys.read().of(algorithm).id().to_owned()
    }

    pub fn public_pem(&self, algorithm: Algorithm) -> Result<String> {
        self.state.keys.read().of(algorithm).public_pem()
    }

    /// Signs with new keys from now on. The old ones stay published if `overlap`, and are gone otherwise.
    pub fn rotate_keys(&self, overlap: bool) -> Result<()> {
        let mut keys = self.state.keys.write();
        let mut next = Keys::generate(keys.generation + 1)?;
        if overlap {
            next.retired.clone_from(&keys.retired);
            next.retired.extend([keys.rs256.jwk(), keys.es256.jwk()]);
        }
        *keys = next;
        Ok(())
    }

    /// Misbehaves from now on; `Fault::None` heals it. `stop` is for a provider that can't be reached at all.
    pub fn set_fault(&self, fault: Fault) {
        *self.state.fault.write() = fault;
    }

    /// How often the keys were asked for.
    pub fn jwks_fetches(&self) -> u64 {
        self.state.fetches.load(Ordering::SeqCst)
    }

    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

impl State {
    fn claims(&self, person: &str, audience: &str, ttl: i64) -> Result<Value> {
        let person = people::find(person).with_context(|| format!("nobody here is called `{person}`"))?;
        let now = unix_seconds();
        let serial = self.tokens.fetch_add(1, Ordering::Relaxed);
        Ok(json!({
            "iss": *self.issuer.read(),
            "sub": person.name,
            "aud": audience,
            "iat": now.min(now + ttl),
            "exp": now + ttl,
            "jti": format!("{now}-{serial}"),
            "email": person.email,
            "person": person.email,
            "groups": person.groups,
        }))
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String> {
        let keys = self.keys.read();
        let key = keys.of(algorithm);
        let header = json!({"typ": "JWT", "alg": algorithm.name(), "kid": key.id()});
        key.sign(&header, claims.to_string().as_bytes())
    }

    fn token(&self, person: &str, audience: &str, ttl: i64, algorithm: Algorithm) -> Result<String> {
        self.sign(algorithm, &self.claims(person, audience, ttl)?)
    }
}

impl Keys {
    fn generate(generation: u64) -> Result<Self> {
        Ok(Self {
            rs256: Key::generate(Algorithm::Rs256, format!("rs256-{generation}"))?,
            es256: Key::generate(Algorithm::Es256, format!("es256-{generation}"))?,
            retired: Vec::new(),
            generation,
        })
    }

    fn of(&self, algorithm: Algorithm) -> &Key {
        match algorithm {
            Algorithm::Rs256 => &self.rs256,
            Algorithm::Es256 => &self.es256,
        }
    }

    fn published(&self) -> Value {
        let mut keys = vec![self.rs256.jwk(), self.es256.jwk()];
        keys.extend(self.retired.iter().cloned());
        json!({ "keys": keys })
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/token", get(token).post(login::redeem))
        .route("/authorize", get(login::authorize))
        .with_state(state)
}

async fn discovery(Extract(state): Extract<Arc<State>>) -> Response {
    if *state.fault.read() == Fault::Unavailable {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let issuer = state.issuer.read().clone();
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "token_endpoint": format!("{issuer}/token"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "authorization_response_iss_parameter_supported": true,
        "code_challenge_methods_supported": ["S256"],
        "id_token_signing_alg_values_supported": [Algorithm::Rs256.name(), Algorithm::Es256.name()],
        "response_types_supported": ["code", "token"],
        "subject_types_supported": ["public"],
    }))
    .into_response()
}

async fn jwks(Extract(state): Extract<Arc<State>>) -> Response {
    state.fetches.fetch_add(1, Ordering::SeqCst);
    let fault = state.fault.read().clone();
    match fault {
        Fault::None => {}
        Fault::Unavailable => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::Garbage(bytes) => return bytes.into_response(),
    }
    let published = state.keys.read().published();
    Json(published).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    person: String,
    #[serde(default = "Wanted::audience")]
    audience: String,
    #[serde(default = "Wanted::ttl")]
    ttl: i64,
}

impl Wanted {
    fn audience() -> String {
        AUDIENCE.to_owned()
    }

    fn ttl() -> i64 {
        TTL
    }
}

/// The token as plain text, so that a shell can take it as it is.
async fn token(Extract(state): Extract<Arc<State>>, Query(wanted): Query<Wanted>) -> Response {
    if *state.fault.read() == Fault::Unavailable {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match state.token(&wanted.person, &wanted.audience, wanted.ttl, Algorithm::Rs256) {
        Ok(token) => token.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
