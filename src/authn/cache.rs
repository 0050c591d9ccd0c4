//! Tokens that were judged before: verifying a signature takes ten times as long as finding one of these.
//!
//! Refused tokens are kept apart, so that garbage can't evict good ones.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use moka::Expiry;
use moka::sync::Cache;

use crate::identity::Identity;
use crate::reason::Reason;

use super::key_set::Revision;

/// SHA-256 of a token and of the peer that it came from: the cache holds no token.
pub type Key = [u8; 32];

/// For how long a refusal is remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How many refusals are remembered.
const MOST_REFUSED: u64 = 10_000;
/// What an entry takes besides what its token says: the identity itself, and moka's own bookkeeping.
const ENTRY_BYTES: usize = 1_000;

/// What was found out about a token.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Whose it is, by its place in the configuration.
    pub issuer: usize,
    /// The keys that it was judged with.
    pub keys: Revision,
    pub answer: Result<Arc<Identity>, Reason>,
}

/// The judged tokens of one authenticator.
pub struct Tokens(Option<Caches>);

struct Caches {
    accepted: Cache<Key, Arc<Entry>>,
    refused: Cache<Key, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    lasts: Duration,
    bytes: u32,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |caches| caches.accepted.entry_count());
        f.debug_struct("Tokens").field("accepted", &count).finish_non_exhaustive()
    }
}

/// Ends entries with their tokens.
struct WithTheToken;

/// The key of a token that was presented by the peer of this SPIFFE id, which is part of the identity.
pub fn key(token: &str, spiffe: &str) -> Key {
    let mut context = Context::new(&SHA256);
    // With its length before it, no pair is taken for another.
    context.update(&spiffe.len().to_be_bytes());
    context.update(spiffe.as_bytes());
    context.update(token.as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(context.finish().as_ref());
    key
}

impl Tokens {
    /// Caches of at most so many bytes of accepted tokens; 0 keeps none.
    pub fn new(bytes: u64) -> Self {
        Self((bytes > 0).then(|| {
            Caches {
                accepted: Cache::builder()
                    .max_capacity(bytes)
                    .weigher(|_, entry: &Arc<Entry>| entry.bytes)
                    .expire_after(WithTheToken)
                    .build(),
                refused: Cache::builder().max_capacity(MOST_REFUSED).time_to_live(REFUSED_FOR).build(),
            }
        }))
    }

    /// The last word on a token. The caller asks whether it still counts.
    pub fn get(&self, key: &Key) -> Option<Kept> {
        let caches = self.0.as_ref()?;
        let entry = caches.accepted.get(key).or_else(|| caches.refused.get(key))?;
        Some(entry.kept.clone())
    }

    /// Remembers what was found out about a token of so many bytes.
    pub fn keep(&self, key: Key, token_len: usize, kept: Kept, leeway: Duration, now: Timestamp) {
        let Some(caches) = &self.0 else { return };
        let ends = kept.answer.as_ref().ok().and_then(|identity| identity.expires);
        let left = ends.and_then(|ends| Duration::try_from(ends.duration_since(now)).ok());
        let cache = if kept.answer.is_ok() { &caches.accepted } else { &caches.refused };
        // The claims as values take about three times what they take in base64.
        let bytes = u32::try_from(ENTRY_BYTES + token_len.saturating_mul(3)).unwrap_or(u32::MAX);
        let lasts = left.unwrap_or_default().saturating_add(leeway);
        cache.insert(key, Arc::new(Entry { kept, lasts, bytes }));
    }
}

#[cfg(test)]
impl Tokens {
    /// Does what the caches put off, so that evictions are seen.
    pub fn settle(&self) {
        if let Some(caches) = &self.0 {
            caches.accepted.run_pending_tasks();
            caches.refused.run_pending_tasks();
        }
    }
}

impl Expiry<Key, Arc<Entry>> for WithTheToken {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.lasts)
    }
}
