//! Who is calling: from what a request presents to an identity, or to a refusal.
//!
//! Each scheme says of a request that nothing of its kind is presented, whom it proves, or why it is refused. They are
//! asked in the configured order, and the first that finds something decides: a credential that was presented and refused
//! never falls through to another one or to anonymous. Knows requests and identities; nothing of policies, Envoy or what
//! the identity may do.

use std::fmt;
use std::sync::Arc;

use crate::challenge::Challenge;
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::reason::Reason;
use crate::request::Request;

mod algorithm;
pub mod api_key;
mod answers;
mod basic;
mod cache;
mod callout;
mod claims;
mod config;
mod fetch;
mod forward;
mod http;
mod introspection;
mod jws;
mod jwt;
mod key_set;
mod key_source;
mod peer;
mod place;
pub mod revocation;
mod signing_key;
#[cfg(test)]
mod tests;
mod token_review;
mod xfcc;

pub use algorithm::{Algorithm, KeyType};
pub use basic::{Basic, hash_password, user_line};
pub use config::{BasicConfig, CacheConfig, CalloutConfig, IntrospectionConfig, TokenReviewConfig};
pub use config::{ClaimNames, Config, IssuerConfig, JwksSource, MAX_LEEWAY, Scheme, is_loopback, issuers};
pub use introspection::Introspection;
pub use jwt::Proven;
pub use place::Removal;
pub use token_review::TokenReview;

use config::PeerConfig;
use forward::Forward;
use jws::Unverified;
use jwt::Issuers;

/// Finds out who is calling. Its background tasks end when it is dropped.
pub struct Authenticator {
    order: Vec<Scheme>,
    jwt: Issuers,
    mtls: Option<PeerConfig>,
    /// What upstreams are told of the caller.
    pub forward: Forward,
    /// What callers without an accepted credential are told.
    pub challenge: Challenge,
}

/// The answer to "who is calling?".
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// No credential was presented.
    Anonymous,
    Authenticated(Proven),
    /// A credential was presented and is not accepted.
    Refused(Reason),
}

impl Authenticator {
    /// Loads key files, and tries each URL once; a URL that does not answer is tried again in the background.
    pub async fn build(config: Config, clock: Clock) -> Result<Arc<Self>, Vec<Diagnostic>> {
        if !key_set::backend_works() {
            let message = "the cryptography that this program was built with fails its self-test";
            return Err(vec![Diagnostic::error("broken-cryptography", message)]);
        }
        let jwt = Issuers::build(config.issuers, config.cache_bytes, &clock).await?;
        let forward = Forward::build(config.forward, &clock)?;
        let (order, mtls, challenge) = (config.order, config.mtls, config.challenge);
        Ok(Arc::new(Self { order, jwt, mtls, forward, challenge }))
    }

    /// Who makes this call.
    pub async fn authenticate(&self, request: &Request, metrics: &Metrics) -> Authentication {
        match self.prove(request, metrics).await {
            Ok(None) => Authentication::Anonymous,
            Ok(Some(proven)) => Authentication::Authenticated(proven),
            Err(reason) => Authentication::Refused(reason),
        }
    }

    async fn prove(&self, request: &Request, metrics: &Metrics) -> Result<Option<Proven>, Reason> {
        // A bad certificate is refused whatever else is presented, and a good one is part of every identity.
        let peer =
            self.mtls.as_ref().map(|config| peer::authenticate(config, request)).transpose()?.flatten();
        let spiffe = peer.as_deref().map_or("", peer::spiffe_of);
        for scheme in &self.order {
            let proven = match scheme {
                Scheme::Jwt => self.token(spiffe, request, metrics).await?,
                Scheme::Mtls => peer.clone().map(|peer| Proven::from(peer::identity(peer))),
            };
            if proven.is_some() {
                return Ok(proven);
            }
        }
        self.refuse_unknown(request)?;
        Ok(None)
    }

    async fn token(
        &self,
        spiffe: &str,
        request: &Request,
        metrics: &Metrics,
    ) -> Result<Option<Proven>, Reason> {
        match self.jwt.presented(request)? {
            Some(token) => self.jwt.authenticate(token, spiffe, request, metrics).await.map(Some),
            None => Ok(None),
        }
    }

    /// An `authorization` header that no scheme knows is a credential that was presented and proves nothing.
    fn refuse_unknown(&self, request: &Request) -> Result<(), Reason> {
        let elsewhere = !self.jwt.is_empty() && !self.jwt.read_authorization();
        if elsewhere || !request.headers.contains("authorization") {
            return Ok(());
        }
        let token = place::authorization(request, "bearer")?.ok_or(Reason::TokenMalformed)?;
        Unverified::parse(token).and(Err(Reason::TokenIssuer))
    }

    /// Whom this token stands for.
    pub async fn verify(&self, token: &str, metrics: &Metrics) -> Result<Arc<Identity>, Reason> {
        self.jwt.identify(token, metrics).await
    }

    /// Whether every issuer has keys.
    pub fn ready(&self) -> bool {
        self.jwt.ready()
    }

    /// Seconds since the keys of each issuer were fetched; infinite before the first time. Files have no age.
    pub fn key_ages(&self) -> Vec<(String, f64)> {
        self.jwt.key_ages()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("jwt", &self.jwt)
            .field("mtls", &self.mtls)
            .finish_non_exhaustive()
    }
}
