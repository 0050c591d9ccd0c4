//! Who is calling: from what a request presents to an identity, or to a refusal.
//!
//! Each scheme says of a request that nothing of its kind is presented, whom it proves, or why it is refused. They are
//! asked in the configured order, and the first that finds something decides: a credential that was presented and refused
//! never falls through to another one or to anonymous. Knows requests and identities; nothing of policies, Envoy or what
//! the identity may do.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::challenge::Challenge;
use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::reason::Reason;
use crate::request::Request;

mod algorithm;
mod answers;
pub mod api_key;
mod basic;
mod cache;
mod callout;
mod claims;
mod config;
mod fetch;
mod forward;
mod introspection;
mod jws;
mod jwt;
mod key_set;
mod key_source;
mod peer;
mod place;
mod redaction;
pub mod revocation;
mod sha256;
mod signing_key;
#[cfg(test)]
mod tests;
mod token_review;
mod xfcc;

pub use algorithm::{Algorithm, KeyType};
pub use basic::{Basic, hash_password, user_line};
pub use config::{BasicConfig, CacheConfig, CalloutConfig, IntrospectionConfig, TokenReviewConfig};
pub use config::{ClaimNames, Config, IssuerConfig, JwksSource, MAX_LEEWAY, Scheme, issuers};
pub use introspection::Introspection;
pub use jwt::Proven;
pub use place::{Place, Removal};
pub use redaction::{Redaction, SHOWN as SHOWN_FOR_TOKENS};
pub use token_review::TokenReview;

use api_key::ApiKeys;
use config::PeerConfig;
use forward::Forward;
use jws::Unverified;
use jwt::{Form, Issuers};

/// Finds out who is calling. Its background tasks end when it is dropped.
pub struct Authenticator {
    order: Vec<Scheme>,
    jwt: Issuers,
    introspection: Option<Introspection>,
    kubernetes: Option<TokenReview>,
    /// The header that keys stand in.
    api_keys: Option<String>,
    basic: Option<Basic>,
    mtls: Option<PeerConfig>,
    /// Headers that hold a credential and nothing else, in lower case.
    pub credentials: Vec<String>,
    /// What hides the tokens in queries and cookies from people.
    pub redaction: Redaction,
    /// What upstreams are told of the caller.
    pub forward: Forward,
    /// What callers without an accepted credential are told.
    pub challenge: Challenge,
}

/// A request whose peer was looked at.
struct Call<'r> {
    request: &'r Request,
    /// The verified peer's SPIFFE id; empty without one.
    spiffe: &'r str,
    metrics: &'r Metrics,
    /// What the token in `authorization` is, once somebody asked.
    form: OnceLock<Form>,
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
        let mut credentials = config.credential_headers();
        // Other cookies may be what a rule reads.
        credentials.retain(|name| name != "cookie");
        let jwt = Issuers::build(config.issuers, config.cache_bytes, &clock).await;
        let asked = |config| Introspection::new(config, clock.clone());
        let introspection = config.introspection.map(asked).transpose();
        let reviewed = |config| TokenReview::new(config, clock.clone());
        let kubernetes = config.kubernetes.map(reviewed).transpose();
        let basic = match config.basic {
            Some(config) => Basic::build(config, clock.clone()).await.map(Some),
            None => Ok(None),
        };
        let forward = Forward::build(config.forward, &clock);
        let mut findings = Vec::new();
        let (jwt, introspection) = (kept(jwt, &mut findings), kept(introspection, &mut findings));
        let (kubernetes, basic) = (kept(kubernetes, &mut findings), kept(basic, &mut findings));
        let forward = kept(forward, &mut findings);
        let (Some(jwt), Some(introspection), Some(kubernetes), Some(basic), Some(forward)) =
            (jwt, introspection, kubernetes, basic, forward)
        else {
            return Err(findings);
        };
        let redaction = jwt.redaction();
        let bearer = !jwt.is_empty() || introspection.is_some() || kubernetes.is_some() || basic.is_none();
        let realm = basic.as_ref().map(|basic| basic.realm().to_owned());
        Ok(Arc::new(Self {
            order: config.order,
            jwt,
            introspection,
            kubernetes,
            api_keys: config.api_keys.map(|keys| keys.header),
            basic,
            mtls: config.mtls,
            credentials,
            redaction,
            forward,
            challenge: Challenge { bearer, basic: realm, ..config.challenge },
        }))
    }

    /// Who makes this call. `api_keys` are those that were handed out, and outlive this authenticator.
    pub async fn authenticate(
        &self,
        request: &Request,
        api_keys: Option<&ApiKeys>,
        metrics: &Metrics,
    ) -> Authentication {
        match self.prove(request, api_keys, metrics).await {
            Ok(None) => Authentication::Anonymous,
            Ok(Some(proven)) => Authentication::Authenticated(proven),
            Err(reason) => Authentication::Refused(reason),
        }
    }

    async fn prove(
        &self,
        request: &Request,
        api_keys: Option<&ApiKeys>,
        metrics: &Metrics,
    ) -> Result<Option<Proven>, Reason> {
        // A bad certificate is refused whatever else is presented, and a good one is part of every identity.
        let peer =
            self.mtls.as_ref().map(|config| peer::authenticate(config, request)).transpose()?.flatten();
        let spiffe = peer.as_deref().map_or("", peer::spiffe_of);
        let call = Call { request, spiffe, metrics, form: OnceLock::new() };
        for scheme in &self.order {
            let proven = match scheme {
                Scheme::Jwt => self.token(&call).await?,
                // What other servers or slow hashes are asked for is put aside: every call would carry its room.
                Scheme::Introspection | Scheme::Kubernetes => Box::pin(self.asked(*scheme, &call)).await?,
                Scheme::ApiKeys => self.api_key(&call, api_keys)?,
                Scheme::Basic => Box::pin(self.password(&call)).await?,
                Scheme::Mtls => peer.clone().map(|peer| Proven::from(peer::identity(peer))),
            };
            if proven.is_some() {
                return Ok(proven);
            }
        }
        self.refuse_unknown(request)?;
        Ok(None)
    }

    async fn token(&self, call: &Call<'_>) -> Result<Option<Proven>, Reason> {
        let Some(presented) = self.jwt.presented(call.request)? else { return Ok(None) };
        // Other schemes read `authorization` alone: what stands elsewhere is nobody else's.
        let elsewhere = !self.jwt.in_authorization(&presented);
        if elsewhere || self.takes(Scheme::Jwt, || self.form(call, &presented.token)) {
            return self.jwt.authenticate(presented, call.spiffe, call.request, call.metrics).await.map(Some);
        }
        Ok(None)
    }

    /// A bearer token that another service is asked about.
    async fn asked(&self, scheme: Scheme, call: &Call<'_>) -> Result<Option<Proven>, Reason> {
        let token = Place::Authorization.token(call.request)?;
        let token = token.filter(|token| self.takes(scheme, || self.form(call, token)));
        let Some(token) = token else { return Ok(None) };
        let identity = self.ask(scheme, &token, call.metrics).await?;
        Ok(Some(Proven::beside(identity, call.spiffe)))
    }

    async fn ask(&self, scheme: Scheme, token: &str, metrics: &Metrics) -> Result<Arc<Identity>, Reason> {
        match (scheme, &self.introspection, &self.kubernetes) {
            (Scheme::Introspection, Some(introspection), _) => {
                introspection.count_in(metrics);
                introspection.identify(token).await
            }
            (Scheme::Kubernetes, _, Some(kubernetes)) => {
                kubernetes.count_in(metrics);
                kubernetes.identify(token).await
            }
            _ => self.jwt.identify(token, metrics).await,
        }
    }

    /// Whether a bearer token is for this scheme, by what it says of itself: one of a configured issuer is for nobody else,
    /// and the tokens of a cluster are JWTs. What nobody else takes is judged as a JWT.
    fn takes(&self, scheme: Scheme, form: impl FnOnce() -> Form) -> bool {
        let others = self.introspection.is_some() || self.kubernetes.is_some();
        match scheme {
            Scheme::Jwt => !others || form() == Form::Issued,
            Scheme::Kubernetes => match form() {
                Form::Issued => false,
                Form::Foreign => true,
                Form::Opaque => self.introspection.is_none(),
            },
            Scheme::Introspection => form() != Form::Issued,
            _ => false,
        }
    }

    /// What the token in `authorization` is, found out once for a call.
    fn form(&self, call: &Call<'_>, token: &str) -> Form {
        *call.form.get_or_init(|| self.jwt.form(token, call.spiffe))
    }

    fn api_key(&self, call: &Call<'_>, keys: Option<&ApiKeys>) -> Result<Option<Proven>, Reason> {
        let Some(header) = &self.api_keys else { return Ok(None) };
        match keys {
            Some(keys) => keys.prove(header, call.spiffe, call.request),
            // Configured since the start: nobody can know this key.
            None if call.request.headers.contains(header) => Err(Reason::ApiKeyInvalid),
            None => Ok(None),
        }
    }

    async fn password(&self, call: &Call<'_>) -> Result<Option<Proven>, Reason> {
        let Some(basic) = &self.basic else { return Ok(None) };
        let Some(credentials) = place::authorization(call.request, "basic")? else { return Ok(None) };
        basic.count_in(call.metrics);
        let identity = basic.identify(credentials).await?;
        Ok(Some(Proven::beside(identity, call.spiffe)))
    }

    /// An `authorization` header that no scheme knows is a credential that was presented and proves nothing.
    fn refuse_unknown(&self, request: &Request) -> Result<(), Reason> {
        let asked = self.introspection.is_some() || self.kubernetes.is_some() || self.basic.is_some();
        let elsewhere = !asked && !self.jwt.is_empty() && !self.jwt.read_authorization();
        if elsewhere || !request.headers.contains("authorization") {
            return Ok(());
        }
        let token = place::authorization(request, "bearer")?.ok_or(Reason::TokenMalformed)?;
        Unverified::parse(token).and(Err(Reason::TokenIssuer))
    }

    /// Whom this token stands for, as in the header `authorization`.
    pub async fn verify(&self, token: &str, metrics: &Metrics) -> Result<Arc<Identity>, Reason> {
        let known = OnceLock::new();
        let form = || *known.get_or_init(|| self.jwt.form(token, ""));
        let bearer = self.order.iter().copied().find(|scheme| self.takes(*scheme, form));
        self.ask(bearer.unwrap_or(Scheme::Jwt), token, metrics).await
    }

    /// Headers of the request that the upstream must not see, whoever was proven by what.
    pub fn withheld(&self, request: &Request) -> Vec<&str> {
        let forged = self.mtls.as_ref().is_some_and(|peers| peer::is_forged(peers, request));
        let certificate = forged.then_some("x-forwarded-client-cert");
        self.api_keys.as_deref().into_iter().chain(certificate).collect()
    }

    /// The proxies between the connection's peer and the caller, where the configuration trusts them to speak for it.
    pub fn proxies(&self, request: &Request) -> Result<Vec<String>, Reason> {
        self.mtls.as_ref().map_or(Ok(Vec::new()), |peers| peer::proxies(peers, request))
    }

    /// Where to send a caller who would see a page, to prove who they are; the way back has no token in its query.
    pub fn login(&self, request: &Request) -> Option<String> {
        self.challenge.login(request, || self.redaction.path_without_tokens(request))
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

/// What was built; its findings go with those of the others.
fn kept<T>(built: Result<T, Vec<Diagnostic>>, findings: &mut Vec<Diagnostic>) -> Option<T> {
    built.map_err(|found| findings.extend(found)).ok()
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("jwt", &self.jwt)
            .field("mtls", &self.mtls)
            .finish_non_exhaustive()
    }
}
