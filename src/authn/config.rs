//! What the `identity:` section of the configuration says: whose credentials are accepted, and how they are read.
//!
//! Knows the shape of the section and what is never acceptable in it; opens no file and no connection.

use std::path::Path;
use std::time::Duration;

use crate::challenge::Challenge;
use crate::document::{Node, Reader};

use super::api_key;
use super::place::Place;
use super::revocation::Freshness;

mod basic;
mod callout;
mod challenge;
mod forward;
mod introspection;
mod jwt;
mod peer;
mod token_review;

pub use basic::BasicConfig;
pub use callout::{CacheConfig, CalloutConfig};
pub use forward::{Field, ForwardConfig, ForwardToken};
pub use introspection::IntrospectionConfig;
pub use jwt::{ClaimNames, IssuerConfig, JwksSource, Remote, issuers, key_set_url};
pub use peer::{Forwarded, PeerConfig};
pub use token_review::TokenReviewConfig;

/// A clock of ours and one of an issuer may differ by this much at most, whatever is configured.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// How much memory verified tokens may take unless it is configured.
const CACHE_BYTES: i64 = 64 << 20;

/// Who may prove an identity, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is asked first, and what then. Everything that is configured, each once.
    pub order: Vec<Scheme>,
    pub issuers: Vec<IssuerConfig>,
    pub introspection: Option<IntrospectionConfig>,
    pub kubernetes: Option<TokenReviewConfig>,
    pub api_keys: Option<api_key::Config>,
    pub basic: Option<BasicConfig>,
    /// How the peer certificate that the proxy verified is an identity; `None` when it is none.
    pub mtls: Option<PeerConfig>,
    /// How much memory verified tokens may take; 0 keeps none.
    pub cache_bytes: u64,
    /// How old what is known of revocations may be.
    pub revocation: Freshness,
    /// What upstreams are told of the caller.
    pub forward: ForwardConfig,
    /// What callers without an accepted credential are told.
    pub challenge: Challenge,
}

/// One way to prove an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Jwt,
    Introspection,
    Kubernetes,
    ApiKeys,
    Basic,
    Mtls,
}

impl Scheme {
    pub const ALL: [Self; 6] =
        [Self::Jwt, Self::Introspection, Self::Kubernetes, Self::ApiKeys, Self::Basic, Self::Mtls];

    /// The name of its section, and in `order`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Introspection => "introspection",
            Self::Kubernetes => "kubernetes",
            Self::ApiKeys => "api_keys",
            Self::Basic => "basic",
            Self::Mtls => "mtls",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::of_issuers(Vec::new())
    }
}

impl Config {
    /// Tokens of these issuers and nothing else.
    pub fn of_issuers(issuers: Vec<IssuerConfig>) -> Self {
        Self {
            order: vec![Scheme::Jwt],
            issuers,
            introspection: None,
            kubernetes: None,
            api_keys: None,
            basic: None,
            mtls: None,
            cache_bytes: CACHE_BYTES.unsigned_abs(),
            revocation: Freshness::default(),
            forward: ForwardConfig::default(),
            challenge: Challenge::default(),
        }
    }

    /// The headers that credentials stand in, in lower case, each once.
    pub fn credential_headers(&self) -> Vec<String> {
        let mut names = vec!["authorization".to_owned()];
        let places = self.issuers.iter().flat_map(|issuer| &issuer.places);
        names.extend(places.filter_map(Place::header_name).map(str::to_owned));
        let forwarded = self.mtls.as_ref().is_some_and(|peers| peers.forwarded.is_some());
        names.extend(forwarded.then(|| "x-forwarded-client-cert".to_owned()));
        names.extend(self.api_keys.iter().map(|keys| keys.header.clone()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The request headers that are set or removed for the upstream, in lower case.
    pub fn changed_headers(&self) -> Vec<String> {
        let token = self.forward.token.iter().map(|token| token.header.clone());
        let mut names: Vec<_> =
            self.forward.headers.iter().map(|(name, _)| name.clone()).chain(token).collect();
        names.extend(self.withheld().filter_map(Place::header_name).map(str::to_owned));
        // Keys never reach the upstream.
        names.extend(self.api_keys.iter().map(|keys| keys.header.clone()));
        names
    }

    /// Whether tokens are taken out of the query.
    pub fn changes_query(&self) -> bool {
        self.withheld().any(|place| matches!(place, Place::Query(_)))
    }

    /// The places whose tokens the upstream is not to see.
    fn withheld(&self) -> impl Iterator<Item = &Place> {
        self.issuers.iter().filter(|issuer| !issuer.forward_token).flat_map(|issuer| &issuer.places)
    }

    /// Reads the `identity:` section, in which relative paths start from `folder`; every mistake is left with `reader`.
    pub fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`identity`")?;
        let present = |scheme: Scheme| node.get(scheme.as_str()).is_some();
        let order = fields.optional("order");
        let jwt = fields.optional("jwt");
        let mtls = fields.optional("mtls").map_or(Some(None), |node| PeerConfig::read(node, reader));
        let introspection = fields
            .optional("introspection")
            .map_or(Some(None), |node| IntrospectionConfig::read(node, folder, reader).map(Some));
        let kubernetes = fields
            .optional("kubernetes")
            .map_or(Some(None), |node| TokenReviewConfig::read(node, folder, reader).map(Some));
        let api_keys = fields
            .optional("api_keys")
            .map_or(Some(None), |node| api_key::Config::read(node, folder, reader).map(Some));
        let basic = fields
            .optional("basic")
            .map_or(Some(None), |node| BasicConfig::read(node, folder, reader).map(Some));
        let revocation = fields
            .optional("revocation")
            .map_or(Some(Freshness::default()), |node| Freshness::read(node, reader));
        let cache = fields
            .optional("token_cache_bytes")
            .map_or(Some(CACHE_BYTES), |node| reader.integer(node, "`token_cache_bytes`", 0..=(64 << 30)));
        let forward = fields
            .optional("forward")
            .map_or(Some(ForwardConfig::default()), |node| ForwardConfig::read(node, folder, reader));
        let challenge = fields
            .optional("challenge")
            .map_or(Some(Challenge::default()), |node| challenge::read(node, reader));
        fields.close(reader);
        let configured: Vec<_> = Scheme::ALL.into_iter().filter(|scheme| present(*scheme)).collect();
        let order = order.map_or(Some(configured.clone()), |node| read_order(node, &configured, reader));
        let issuers = jwt.map_or(Some(Vec::new()), |node| jwt::issuers(node, folder, reader));
        Some(Self {
            order: order?,
            issuers: issuers?,
            introspection: introspection?,
            kubernetes: kubernetes?,
            api_keys: api_keys?,
            basic: basic?,
            mtls: mtls?,
            revocation: revocation?,
            cache_bytes: cache?.unsigned_abs(),
            forward: forward?,
            challenge: challenge?,
        })
    }
}

/// A scheme that is configured and never asked, or asked and not configured, is a mistake that somebody else would find.
fn read_order(node: &Node, configured: &[Scheme], reader: &mut Reader) -> Option<Vec<Scheme>> {
    let words = Scheme::ALL.map(|scheme| (scheme.as_str(), scheme));
    let mut order: Vec<Scheme> = Vec::new();
    let mut sound = true;
    for item in reader.list(node, "`order`")? {
        let Some(scheme) = reader.word(item, "scheme", &words) else {
            sound = false;
            continue;
        };
        let name = scheme.as_str();
        if order.contains(&scheme) {
            reader.error(item.span, "duplicate-scheme", format!("`{name}` is named twice"));
        } else if !configured.contains(&scheme) {
            let message = format!("`{name}` is not configured");
            reader.error_with_help(
                item.span,
                "unused-scheme",
                message,
                format!("write `identity: {{{name}: ...}}`"),
            );
        }
        order.push(scheme);
    }
    for scheme in configured.iter().filter(|scheme| !order.contains(scheme)) {
        let message = format!("`{}` is configured and not in `order`: nobody would ask it", scheme.as_str());
        reader.error(node.span, "unused-scheme", message);
    }
    (sound && order.len() == configured.len()).then_some(order)
}

fn names(node: &Node, what: &str, reader: &mut Reader) -> Option<Vec<String>> {
    let items = reader.list(node, what)?;
    if items.is_empty() {
        reader.error(node.span, "empty-list", format!("{what} must not be empty"));
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| non_empty(item, what, reader).map(str::to_owned)).collect();
    read.into_iter().collect()
}

fn non_empty<'n>(node: &'n Node, what: &str, reader: &mut Reader) -> Option<&'n str> {
    let text = reader.string(node, what)?;
    if text.is_empty() {
        reader.error(node.span, "empty-string", format!("{what} must not be empty"));
        return None;
    }
    Some(text)
}
