//! JSON Web Tokens (RFC 7519) of several issuers: whose, where they stand in a request, and whom they stand for.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::identity::Identity;
use crate::metrics::{IdentityCache, Metrics};
use crate::reason::Reason;
use crate::request::Request;

use super::cache::{self, Kept, Key, Tokens};
use super::claims;
use super::config::{IssuerConfig, JwksSource};
use super::fetch::Fetcher;
use super::jws::Unverified;
use super::key_set::{Found, KeySet};
use super::key_source::{self, KeySource, Pace};
use super::place::{Place, Removal};
use super::redaction::Redaction;

/// Everybody whose tokens are accepted.
#[derive(Debug)]
pub struct Issuers {
    issuers: Vec<Issuer>,
    /// Everywhere that a token may stand, each once.
    places: Vec<Place>,
    pub(super) tokens: Tokens,
    pub(super) clock: Clock,
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    keys: KeySource,
}

/// What a token is, without a look at its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JWT of a configured issuer.
    Issued,
    /// A JWT of somebody else.
    Foreign,
    /// No JWT.
    Opaque,
}

/// A token that a request presents.
#[derive(Debug)]
pub struct Presented<'r> {
    pub token: Cow<'r, str>,
    place: usize,
}

/// A token that holds: whom it stands for, and how it is kept from the upstream where that is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Proven {
    pub identity: Arc<Identity>,
    pub removal: Option<Removal>,
    /// Whether the credential stood in the header `authorization`.
    pub by_authorization: bool,
}

impl From<Identity> for Proven {
    fn from(identity: Identity) -> Self {
        Self { identity: Arc::new(identity), removal: None, by_authorization: false }
    }
}

impl Proven {
    /// Nobody in particular.
    pub fn nobody() -> Self {
        Self { identity: Identity::anonymous(), removal: None, by_authorization: false }
    }

    /// Whom a credential in `authorization` proves that has nothing to do with its peer, of whom it is told nevertheless.
    pub(super) fn beside(mut identity: Arc<Identity>, spiffe: &str) -> Self {
        if !spiffe.is_empty() {
            Arc::make_mut(&mut identity).spiffe = spiffe.to_owned();
        }
        Self { identity, removal: None, by_authorization: true }
    }
}

impl Issuers {
    /// Loads key files, and tries each URL once; a URL that does not answer is tried again in the background.
    pub async fn build(
        configs: Vec<IssuerConfig>,
        cache_bytes: u64,
        clock: &Clock,
    ) -> Result<Self, Vec<Diagnostic>> {
        let built = join_all(configs.into_iter().map(|issuer| Issuer::build(issuer, clock))).await;
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
        let mut places: Vec<Place> = Vec::new();
        for place in issuers.iter().flat_map(|issuer: &Issuer| &issuer.config.places) {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        Ok(Self { issuers, places, tokens: Tokens::new(cache_bytes), clock: clock.clone() })
    }

    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Whether a token in the header `authorization` may be one of these.
    pub fn read_authorization(&self) -> bool {
        self.places.contains(&Place::Authorization)
    }

    /// The one token of a request. RFC 6750 section 2: a client must not present it in more than one way.
    pub fn presented<'r>(&'r self, request: &'r Request) -> Result<Option<Presented<'r>>, Reason> {
        let mut found = None;
        for (place, at) in self.places.iter().enumerate() {
            if let Some(token) = at.token(request)? {
                if found.is_some() {
                    return Err(Reason::TokenRepeated);
                }
                found = Some(Presented { token, place });
            }
        }
        Ok(found)
    }

    /// What hides the tokens that stand inside something else.
    pub fn redaction(&self) -> Redaction {
        Redaction::of(&self.places)
    }

    /// Whether the token stands in the header `authorization`.
    pub fn in_authorization(&self, presented: &Presented<'_>) -> bool {
        self.places.get(presented.place) == Some(&Place::Authorization)
    }

    /// What a token of the peer with this SPIFFE id is, by what was found out before, or else by what it says of itself.
    pub fn form(&self, token: &str, spiffe: &str) -> Form {
        // What is kept is of one of these issuers.
        if self.tokens.get(&cache::key(token, spiffe)).is_some() {
            return Form::Issued;
        }
        match Unverified::parse(token) {
            Ok(token) if self.issuer_of(&token).is_ok() => Form::Issued,
            Ok(_) => Form::Foreign,
            Err(_) => Form::Opaque,
        }
    }

    /// Whom the token that stands there is for; the identity has the peer's SPIFFE id too, if any.
    pub async fn authenticate(
        &self,
        presented: Presented<'_>,
        spiffe: &str,
        request: &Request,
        metrics: &Metrics,
    ) -> Result<Proven, Reason> {
        let (issuer, identity) = self.verify(&presented.token, spiffe, metrics).await?;
        let place = self.places.get(presented.place).ok_or(Reason::InternalError)?;
        if !issuer.config.places.contains(place) {
            // Another issuer's tokens may stand there; this one's must not.
            return Err(Reason::TokenIssuer);
        }
        let removal = (!issuer.config.forward_token).then(|| place.removal(request));
        Ok(Proven { identity, removal, by_authorization: *place == Place::Authorization })
    }

    /// Whom this token stands for, wherever it came from.
    pub async fn identify(&self, token: &str, metrics: &Metrics) -> Result<Arc<Identity>, Reason> {
        self.verify(token, "", metrics).await.map(|(_, identity)| identity)
    }

    /// Whether every issuer has keys.
    pub fn ready(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.keys.keys().is_ok())
    }

    /// Seconds since the keys of each issuer were fetched; infinite before the first time. Files have no age.
    pub fn key_ages(&self) -> Vec<(String, f64)> {
        let age = |issuer: &Issuer| Some((issuer.config.issuer.clone(), issuer.keys.age()?));
        self.issuers.iter().filter_map(age).collect()
    }

    async fn verify(
        &self,
        token: &str,
        spiffe: &str,
        metrics: &Metrics,
    ) -> Result<(&Issuer, Arc<Identity>), Reason> {
        let key = cache::key(token, spiffe);
        let kept = self.kept(&key);
        metrics.identity_cache(IdentityCache::Token, kept.is_some());
        if let Some((issuer, answer)) = kept {
            return answer.map(|identity| (issuer, identity));
        }
        let parsed = Unverified::parse(token)?;
        let (place, issuer) = self.issuer_of(&parsed)?;
        let (keys, answer) = issuer.judge(parsed, self.clock.now()).await;
        let answer = answer.map(|identity| Arc::new(Identity { spiffe: spiffe.to_owned(), ..identity }));
        if let Some(keys) = keys {
            let kept = Kept { issuer: place, keys: keys.revision(), answer: answer.clone() };
            self.tokens.keep(key, token.len(), kept, issuer.config.leeway, self.clock.now());
        }
        answer.map(|identity| (issuer, identity))
    }

    /// What was found out before. That counts only with the keys it was found out by, while these may be used and the
    /// token has not ended.
    fn kept(&self, key: &Key) -> Option<(&Issuer, Result<Arc<Identity>, Reason>)> {
        let kept = self.tokens.get(key)?;
        let issuer = self.issuers.get(kept.issuer)?;
        let keys = issuer.keys.keys().ok()?;
        (keys.revision() == kept.keys).then(|| {
            let ended = |end| !claims::in_time(end, issuer.config.leeway, self.clock.now());
            let answer = match &kept.answer {
                Ok(identity) if identity.expires.is_none_or(ended) => Err(Reason::TokenExpired),
                answer => answer.clone(),
            };
            (issuer, answer)
        })
    }

    /// Until the signature holds, the token's own words choose nothing but the issuer and the key.
    fn issuer_of(&self, token: &Unverified<'_>) -> Result<(usize, &Issuer), Reason> {
        let name = match token.claims.get("iss") {
            None => return Err(Reason::TokenIssuer),
            Some(name) => name.as_str().ok_or(Reason::TokenClaim)?,
        };
        let mut issuers = self.issuers.iter().enumerate();
        issuers.find(|(_, issuer)| issuer.config.issuer == name).ok_or(Reason::TokenIssuer)
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
            JwksSource::Remote(remote) => {
                let fetcher = Fetcher::new(remote.clone()).map_err(|finding| vec![finding])?;
                let pace = Pace { refresh: config.refresh, max_stale: config.max_stale };
                KeySource::follow(fetcher, pace, clock.clone()).await
            }
        };
        Ok(Self { config, keys })
    }

    /// Whom the token stands for, and the keys that this depends on, when the same token need not be judged again.
    async fn judge(
        &self,
        token: Unverified<'_>,
        now: Timestamp,
    ) -> (Option<Arc<KeySet>>, Result<Identity, Reason>) {
        let keys = match self.check_signature(&token).await {
            Ok(keys) => keys,
            Err((keys, reason)) => return (keys, Err(reason)),
        };
        let answer = claims::identify(token.claims, &self.config, now);
        // It will be valid one day.
        let lasts = !matches!(answer, Err(Reason::TokenNotYetValid));
        (lasts.then_some(keys), answer)
    }

    /// The keys by which the signature holds; or why it does not, and with which keys that is the last word.
    async fn check_signature(
        &self,
        token: &Unverified<'_>,
    ) -> Result<Arc<KeySet>, (Option<Arc<KeySet>>, Reason)> {
        if !self.config.algorithms.contains(&token.algorithm) {
            return Err((None, Reason::TokenAlgorithm));
        }
        let keys = self.keys.keys().map_err(|reason| (None, reason))?;
        match check_with(&keys, token) {
            Err(Reason::TokenKeyUnknown) => match self.keys.newer_keys().await {
                Some(newer) => check_with(&newer, token).map(|()| newer).map_err(|reason| (None, reason)),
                None => Err((None, Reason::TokenKeyUnknown)),
            },
            Err(reason) => Err((Some(keys), reason)),
            Ok(()) => Ok(keys),
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
