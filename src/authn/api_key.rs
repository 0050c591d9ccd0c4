//! API keys: `pck_<id>_<secret><checksum>`, verified against keyed hashes in memory.
//!
//! The id is public and finds the hash; the secret is 32 random bytes in base64url; the checksum is CRC-32 of all before
//! it in hex, so that scanners tell a key from text that looks like one. Knows nothing of where hashes are kept.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;

use super::jwt::Proven;
use super::place::{self, Removal};
use crate::clock::Clock;
use crate::credential::{ApiKey, KeyState};
use crate::effect::named_person;
use crate::identity::{Identity, Method};
use crate::reason::Reason;
use crate::request::Request;
use crate::secret::Secret;

mod config;

pub use config::Config;

/// How every key begins.
pub const PREFIX: &str = "pck_";

const SECRET_BYTES: usize = 32;
/// A UUID without hyphens.
const ID_CHARS: usize = 32;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 8;
const KEY_CHARS: usize = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;

/// The key of the keyed hashes. Shows nothing of itself.
#[derive(Clone)]
pub struct HashKey(hmac::Key);

/// Why a file can't be the key of the hashes.
#[derive(Debug, thiserror::Error)]
pub enum HashKeyError {
    #[error("can't read `{path}`: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, std::io::Error),
    #[error("`{path}` has {1} bytes; it needs at least {least}", path = .0.display(), least = HashKey::MIN_BYTES)]
    TooShort(PathBuf, usize),
    #[error("the system gave no random bytes")]
    NoRandomness,
}

impl HashKey {
    pub const MIN_BYTES: usize = 32;

    /// The key that a file holds, all its bytes but one line end after them.
    pub fn load(path: &std::path::Path) -> Result<Self, HashKeyError> {
        let bytes = std::fs::read(path).map_err(|error| HashKeyError::Read(path.to_owned(), error))?;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Self::new(bytes).ok_or_else(|| HashKeyError::TooShort(path.to_owned(), bytes.len()))
    }

    fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

/// A key that was just made. The secret leaves the server once, in the answer to whoever asked for it.
#[derive(Debug)]
pub struct Minted {
    pub id: String,
    pub key: Secret<String>,
    /// What is kept of it.
    pub hash: String,
}

/// All keys that were handed out. Clones share them.
#[derive(Clone)]
pub struct ApiKeys(Arc<Shared>);

struct Shared {
    hash_key: HashKey,
    /// Stands in for the hash of a key that there is not.
    nobody: [u8; 32],
    known: RwLock<HashMap<String, Arc<Known>>>,
    clock: Clock,
    #[cfg(test)]
    hashed: std::sync::atomic::AtomicU64,
}

struct Known {
    hash: Vec<u8>,
    key: ApiKey,
}

impl ApiKeys {
    /// Knows no key yet. Fails when the system gives no random bytes.
    pub fn new(hash_key: HashKey, clock: Clock) -> Result<Self, HashKeyError> {
        let mut nobody = [0; 32];
        SystemRandom::new().fill(&mut nobody).map_err(|_| HashKeyError::NoRandomness)?;
        Ok(Self(Arc::new(Shared {
            hash_key,
            nobody,
            known: RwLock::default(),
            clock,
            #[cfg(test)]
            hashed: std::sync::atomic::AtomicU64::new(0),
        })))
    }

    /// A new key. It verifies once a follower brought it back from the store.
    pub fn mint(&self) -> Result<Minted, HashKeyError> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| HashKeyError::NoRandomness)?;
        let id = uuid::Uuid::now_v7().simple().to_string();
        let mut key = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        key.push_str(&checksum(&key));
        let hash = hex::encode(hmac::sign(&self.0.hash_key.0, key.as_bytes()));
        Ok(Minted { id, key: Secret::new(key), hash })
    }

    /// Whom this key stands for. A key that can't be one is refused by its form alone; any other costs one hash and one
    /// comparison in constant time, whether its id is known or not.
    pub fn verify(&self, key: &str) -> Result<Identity, Reason> {
        let id = id_of(key).ok_or(Reason::ApiKeyInvalid)?;
        let known = self.0.known.read().get(id).cloned();
        let expected = known.as_ref().map_or(self.0.nobody.as_slice(), |known| &known.hash);
        #[cfg(test)]
        self.0.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let matches = hmac::verify(&self.0.hash_key.0, key.as_bytes(), expected).is_ok();
        let known = known.filter(|_| matches).ok_or(Reason::ApiKeyInvalid)?;
        self.judge(&known.key)
    }

    fn judge(&self, key: &ApiKey) -> Result<Identity, Reason> {
        match key.state_at(self.0.clock.now()) {
            KeyState::Active => Ok(identity(key)),
            KeyState::Expired => Err(Reason::ApiKeyExpired),
            KeyState::Revoked => Err(Reason::ApiKeyRevoked),
        }
    }

    /// Whom the key in this header proves, and that it is kept from the upstream; `None` when there is none. `spiffe` is
    /// the verified peer's.
    pub fn prove(&self, header: &str, spiffe: &str, request: &Request) -> Result<Option<Proven>, Reason> {
        let Some(key) = place::header(request, header)? else { return Ok(None) };
        let identity = Identity { spiffe: spiffe.to_owned(), ..self.verify(key)? };
        let removal = Some(Removal::Header(header.to_owned()));
        let by_authorization = header == "authorization";
        Ok(Some(Proven { identity: Arc::new(identity), removal, by_authorization }))
    }

    /// Takes in changes, all at once: `None` for a key that is gone. With `whole` they are all there is. A key whose
    /// hash can't be read verifies nothing.
    pub fn change(&self, whole: bool, keys: impl IntoIterator<Item = (String, Option<ApiKey>)>) {
        let mut known = self.0.known.write();
        if whole {
            known.clear();
        }
        for (id, key) in keys {
            let decoded = key.and_then(|key| Some(Known { hash: hex::decode(&key.hash).ok()?, key }));
            match decoded {
                Some(key) => known.insert(id, Arc::new(key)),
                None => known.remove(&id),
            };
        }
    }
}

/// The id in a text that has the form of a key, checksum and all.
fn id_of(key: &str) -> Option<&str> {
    if key.len() != KEY_CHARS || !key.is_ascii() {
        return None;
    }
    let (checked, sum) = key.split_at_checked(KEY_CHARS - CHECKSUM_CHARS)?;
    let (id, secret) = checked.strip_prefix(PREFIX)?.split_once('_')?;
    let hexadecimal = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    let sound = id.len() == ID_CHARS && id.bytes().all(hexadecimal);
    let decodes = URL_SAFE_NO_PAD.decode(secret).is_ok_and(|secret| secret.len() == SECRET_BYTES);
    (sound && decodes && checksum(checked) == sum).then_some(id)
}

/// It protects nothing: whoever makes up a key can make up its checksum.
fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

fn identity(key: &ApiKey) -> Identity {
    Identity {
        method: Method::ApiKey,
        subject: key.owner.clone(),
        groups: key.groups.clone(),
        issued: Some(key.created),
        person: named_person(key.person.clone()),
        expires: key.expires,
        token_id: key.id.clone(),
        ..Identity::clone(&Identity::anonymous())
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("known", &self.0.known.read().len()).finish()
    }
}

#[cfg(test)]
mod tests;
