//! Who is calling: from a bearer token or the verified peer certificate to an identity, or to a refusal.
//!
//! A credential that was presented and refused is final: it never falls through to another one or to anonymous.
//! Knows requests and identities; nothing of policies, Envoy or what the identity may do.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::{Identity, Method};
use crate::reason::Reason;
use crate::request::Request;

mod algorithm;
mod claims;
mod config;
mod fetch;
mod jws;
mod key_set;
mod key_source;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, KeyType};
pub use config::{ClaimNames, Config, IssuerConfig, JwksSource, MAX_LEEWAY, is_loopback};

use fetch::Fetcher;
use jws::Unverified;
use key_set::{Found, KeySet};
use key_source::{KeySource, Pace};

/// Finds out who is calling. Its background tasks end when it is dropped.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    mtls: bool,
    clock: Clock,
}

/// The answer to "who is calling?".
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// No credential was presented.
    Anonymous,
    Authenticated(Arc<Identity>),
    /// A credential was presented and is not accepted.
    Refused(Reason),
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    keys: KeySource,
}

impl Authenticator {
    /// Loads key files, and tries each URL once; a URL that does not answer is tried again in the background.
    pub async fn build(config: Config, clock: Clock) -> Result<Arc<Self>, Vec<Diagnostic>> {
        if !key_set::backend_works() {
            let message = "the cryptography that this program was built with fails its self-test";
            return Err(vec![Diagnostic::error("broken-cryptography", message)]);
        }
        let built = join_all(config.issuers.into_iter().map(|issuer| Issuer::build(issuer, &clock))).await;
        let mut issuers = Vec::new();
        let mut findings = Vec::new();
        for issuer in built {
            match issuer {
                Ok(issuer) => issuers.push(issuer),
                Err(mistakes) => findings.extend(mistakes),
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        Ok(Arc::new(Self { issuers, mtls: config.mtls, clock }))
    }

    /// Who makes this call.
    pub async fn authenticate(&self, request: &Request) -> Authentication {
        let peer = match self.peer(request) {
            Ok(peer) => peer,
            Err(reason) => return Authentication::Refused(reason),
        };
        let token = match bearer(request) {
            Ok(token) => token,
            Err(reason) => return Authentication::Refused(reason),
        };
        match (token, peer) {
            (Some(token), peer) => match self.check(token).await {
                Ok(identity) => {
                    let spiffe = peer.map(spiffe).unwrap_or_default();
                    Authentication::Authenticated(Arc::new(Identity { spiffe, ..identity }))
                }
                Err(reason) => Authentication::Refused(reason),
            },
            (None, Some(principal)) => Authentication::Authenticated(Arc::new(by_certificate(principal))),
            (None, None) => Authentication::Anonymous,
        }
    }

    /// Whom this token stands for.
    pub async fn verify(&self, token: &str) -> Result<Arc<Identity>, Reason> {
        self.check(token).await.map(Arc::new)
    }

    /// Whether every issuer has keys.
    pub fn ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.keys.keys().is_ok())
    }

    /// Whether this identity would still be accepted by this clock and configuration: asked again when a held
    /// call is released.
    pub fn still_valid(&self, identity: &Identity) -> bool {
        match identity.method {
            Method::Anonymous => true,
            Method::Mtls => self.mtls,
            Method::Jwt => self.issuer(&identity.issuer).is_some_and(|issuer| {
                identity
                    .expires
                    .is_some_and(|end| claims::in_time(end, issuer.config.leeway, self.clock.now()))
            }),
        }
    }

    /// Seconds since the keys of each issuer were fetched; infinite before the first time. Files have no age.
    pub fn key_ages(&self) -> Vec<(String, f64)> {
        let age = |issuer: &Issuer| Some((issuer.config.issuer.clone(), issuer.keys.age()?));
        self.issuers.iter().filter_map(age).collect()
    }

    fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.config.issuer == name)
    }

    /// Until the signature holds, the token's own words choose nothing but the issuer and the key.
    async fn check(&self, token: &str) -> Result<Identity, Reason> {
        let token = Unverified::parse(token)?;
        let issuer = match token.claims.get("iss") {
            None => return Err(Reason::TokenIssuer),
            Some(name) => name.as_str().ok_or(Reason::TokenClaim)?,
        };
        let issuer = self.issuer(issuer).ok_or(Reason::TokenIssuer)?;
        issuer.check_signature(&token).await?;
        claims::identify(token.claims, &issuer.config, self.clock.now())
    }

    /// The principal of the verified peer certificate, where it counts as an identity.
    fn peer<'r>(&self, request: &'r Request) -> Result<Option<&'r str>, Reason> {
        let principal = request.source.principal.as_str();
        if !self.mtls || principal.is_empty() {
            return Ok(None);
        }
        // A comma would be two names to whoever splits lists; the rest is what parsers disagree about.
        let unsound = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        if principal.contains(unsound) { Err(Reason::PeerInvalid) } else { Ok(Some(principal)) }
    }
}

impl Issuer {
    async fn build(config: IssuerConfig, clock: &Clock) -> Result<Self, Vec<Diagnostic>> {
        let keys = match &config.jwks {
            JwksSource::File(path) => key_source::load(path).map_err(|mistakes| {
                let path = path.display();
                let finding = |mistake| {
                    Diagnostic::error("invalid-key-set", format!("the key set `{path}`: {mistake}"))
                };
                mistakes.into_iter().map(finding).collect::<Vec<_>>()
            })?,
            JwksSource::Url(url) => {
                let fetcher = Fetcher::new(url.clone()).map_err(|error| {
                    vec![Diagnostic::error("http-client", format!("can't fetch `{url}`: {error}"))]
                })?;
                let pace = Pace { refresh: config.refresh, max_stale: config.max_stale };
                KeySource::follow(fetcher, pace, clock.clone()).await
            }
        };
        Ok(Self { config, keys })
    }

    async fn check_signature(&self, token: &Unverified<'_>) -> Result<(), Reason> {
        if !self.config.algorithms.contains(&token.algorithm) {
            return Err(Reason::TokenAlgorithm);
        }
        match check_with(&*self.keys.keys()?, token) {
            Err(Reason::TokenKeyUnknown) => match self.keys.newer_keys().await {
                Some(keys) => check_with(&keys, token),
                None => Err(Reason::TokenKeyUnknown),
            },
            checked => checked,
        }
    }
}

fn check_with(keys: &KeySet, token: &Unverified<'_>) -> Result<(), Reason> {
    match keys.find(token.kid.as_deref(), token.algorithm) {
        Found::Key(key) if key.verifies(token.algorithm, token.signed, token.signature) => Ok(()),
        Found::Key(_) => Err(Reason::TokenSignature),
        Found::WrongAlgorithm => Err(Reason::TokenAlgorithm),
        Found::Unknown => Err(Reason::TokenKeyUnknown),
    }
}

/// The token of the one `authorization` header; other schemes are credentials that nobody here accepts.
fn bearer(request: &Request) -> Result<Option<&str>, Reason> {
    let mut values = request.headers.all("authorization");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Reason::HeaderDuplicate);
    }
    let value = std::str::from_utf8(value).map_err(|_| Reason::TokenMalformed)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim_matches(' '))),
        _ => Err(Reason::TokenMalformed),
    }
}

fn spiffe(principal: &str) -> String {
    if principal.starts_with("spiffe://") { principal.to_owned() } else { String::new() }
}

fn by_certificate(principal: &str) -> Identity {
    Identity {
        method: Method::Mtls,
        subject: principal.to_owned(),
        spiffe: spiffe(principal),
        ..Identity::clone(&Identity::anonymous())
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.issuers).field("mtls", &self.mtls).finish()
    }
}
