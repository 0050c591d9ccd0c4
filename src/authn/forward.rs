//! Who calls, told to the upstream: in headers of the operator's choice, and as a short-lived token of our own that the
//! upstream can verify.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::diagnostic::Diagnostic;
use crate::effect::HeaderChange;
use crate::identity::Identity;

use super::config::{Field, ForwardConfig, ForwardToken};
use super::sha256::sha256;
use super::signing_key::SigningKey;

/// How many callers' tokens are kept for their next calls.
const MOST_KEPT: u64 = 10_000;

/// Tells upstreams who calls.
#[derive(Debug, Default)]
pub struct Forward {
    headers: Vec<(String, Field)>,
    signer: Option<Signer>,
}

/// Signs our own tokens.
struct Signer {
    config: ForwardToken,
    key: SigningKey,
    /// What verifies them, as it is published.
    published: String,
    clock: Clock,
    kept: Cache<[u8; 32], Arc<Signed>>,
}

struct Signed {
    token: String,
    /// From then on another one is signed, so that each has half its life before it.
    until: Timestamp,
}

impl Forward {
    /// Reads the signing key, if one is configured.
    pub fn build(config: ForwardConfig, clock: &Clock) -> Result<Self, Vec<Diagnostic>> {
        let signer = config.token.map(|token| Signer::build(token, clock)).transpose();
        let refused = |message: String| vec![Diagnostic::error("invalid-signing-key", message)];
        Ok(Self { headers: config.headers, signer: signer.map_err(refused)? })
    }

    /// Sets every configured header, and removes those that this caller has no value for: what a caller sends under
    /// such a name never reaches the upstream.
    pub fn changes(&self, identity: &Identity) -> Vec<HeaderChange> {
        let headers = self.headers.iter().map(|(name, field)| (name, value(identity, *field)));
        let token = self.signer.iter().map(|signer| (&signer.config.header, signer.token(identity)));
        let changes = headers.chain(token).map(|(name, value)| {
            let name = name.clone();
            if value.is_empty() { HeaderChange::Remove { name } } else { HeaderChange::Set { name, value } }
        });
        changes.collect()
    }

    /// The key set (RFC 7517) that verifies our tokens, as JSON.
    pub fn key_set(&self) -> Option<&str> {
        self.signer.as_ref().map(|signer| signer.published.as_str())
    }
}

impl Signer {
    fn build(config: ForwardToken, clock: &Clock) -> Result<Self, String> {
        let keys = signing_keys(&config.key_file)?;
        let published: Vec<_> = keys.iter().map(SigningKey::published).collect();
        let published = json!({"keys": published}).to_string();
        let shown = config.key_file.display();
        let key = keys.into_iter().next().ok_or_else(|| format!("`{shown}` holds no private key in PEM"))?;
        let kept = Cache::builder().max_capacity(MOST_KEPT).time_to_live(config.lifetime / 2).build();
        Ok(Self { key, published, clock: clock.clone(), kept, config })
    }

    /// A token for this caller; empty when nobody is known, and when signing fails.
    fn token(&self, identity: &Identity) -> String {
        if identity.is_anonymous() {
            return String::new();
        }
        let now = self.clock.now();
        let claims = self.claims(identity);
        let expires = identity.expires.map_or(0, Timestamp::as_second);
        let key = sha256(format!("{expires} {claims:?}").as_bytes());
        if let Some(kept) = self.kept.get(&key).filter(|kept| now < kept.until) {
            return kept.token.clone();
        }
        match self.sign(claims, identity.expires, now) {
            Ok(signed) => {
                let token = signed.token.clone();
                self.kept.insert(key, Arc::new(signed));
                token
            }
            Err(error) => {
                tracing::error!(%error, "can't sign a token for the upstream");
                String::new()
            }
        }
    }

    fn claims(&self, identity: &Identity) -> Map<String, Value> {
        let optional = [
            ("original_issuer", json!(identity.issuer)),
            ("groups", json!(identity.groups)),
            ("email", json!(identity.email)),
            ("scope", json!(identity.scopes.join(" "))),
            ("tenant", json!(identity.tenant)),
            ("person", json!(identity.person.as_deref().unwrap_or_default())),
            ("spiffe_id", json!(identity.spiffe)),
        ];
        let always = [
            ("iss", json!(self.config.issuer)),
            ("aud", json!(self.config.audience)),
            ("sub", json!(identity.subject)),
            ("authentication_method", json!(identity.method.as_str())),
        ];
        let known = optional.into_iter().filter(|(_, value)| *value != json!("") && *value != json!([]));
        always.into_iter().chain(known).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// No token outlives the credential that it stands for.
    fn sign(
        &self,
        mut claims: Map<String, Value>,
        ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Signed, String> {
        let last = now.checked_add(self.config.lifetime).map_err(|error| error.to_string())?;
        let last = ends.map_or(last, |ends| last.min(ends));
        claims.insert("iat".to_owned(), json!(now.as_second()));
        claims.insert("exp".to_owned(), json!(last.as_second()));
        let token = self.key.sign(&Value::Object(claims)).ok_or("the key signs nothing")?;
        let life = Duration::try_from(last.duration_since(now)).unwrap_or_default();
        let until = now.checked_add(life / 2).map_err(|error| error.to_string())?;
        Ok(Signed { token, until })
    }
}

/// Every private key of the file: Ed25519 or P-256, in PKCS #8.
fn signing_keys(path: &Path) -> Result<Vec<SigningKey>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("can't read `{shown}`: {error}"))?;
    let blocks = pem::parse_many(&text).map_err(|error| format!("`{shown}` is not PEM: {error}"))?;
    let key = |(place, block): (usize, &pem::Pem)| {
        SigningKey::read(block.contents()).ok_or_else(|| {
            format!("`{shown}`: key {} is neither an Ed25519 nor a P-256 key in PKCS #8", place + 1)
        })
    };
    blocks.iter().enumerate().map(key).collect()
}

fn value(identity: &Identity, field: Field) -> String {
    match field {
        Field::Subject => written(&identity.subject),
        Field::Issuer => written(&identity.issuer),
        Field::Groups => list(&identity.groups),
        Field::Scopes => list(&identity.scopes),
        Field::Email => written(&identity.email),
        Field::Tenant => written(&identity.tenant),
        Field::Person => written(identity.person.as_deref().unwrap_or_default()),
        Field::Spiffe => written(&identity.spiffe),
        Field::Method => identity.method.as_str().to_owned(),
        Field::TokenId => written(&identity.token_id),
        Field::Session => written(&identity.session),
    }
}

/// Members between commas; a comma within one is encoded, so that nobody can make two groups of one.
fn list(members: &[String]) -> String {
    let member = |member: &String| written(member).replace(',', "%2C");
    members.iter().map(member).collect::<Vec<_>>().join(",")
}

/// A text as a header's value: what is not printable ASCII, and `%`, is percent-encoded, as is a space at either end, which
/// HTTP would drop.
fn written(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let inner_space = byte == b' ' && place != 0 && place != last;
        if (byte.is_ascii_graphic() && byte != b'%') || inner_space {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("config", &self.config).finish_non_exhaustive()
    }
}
