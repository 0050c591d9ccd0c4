//! What was found out about credentials, remembered for a while: the good ones and the refused ones apart.
//!
//! Whoever sends garbage fills the second memory only, so no good credential is forgotten for it. Calls that show the
//! same credential at the same time share one inquiry. What could not be found out is not remembered.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use moka::future::Cache;

use crate::clock::Clock;
use crate::identity::Identity;
use crate::metrics::{IdentityCache, Metrics};
use crate::reason::Reason;

use super::config::CacheConfig;

#[cfg(test)]
mod tests;

/// A digest of the credential, so that no credential lies in memory for the time that its answer does.
pub type Key = [u8; 32];

/// An answer of so many bytes counts as one entry; a larger one as several.
const ENTRY_BYTES: usize = 4 << 10;

/// The memory of one scheme.
pub struct Answers {
    accepted: Cache<Key, Accepted>,
    refused: Cache<Key, Refused>,
    terms: CacheConfig,
    clock: Clock,
    label: IdentityCache,
    metrics: OnceLock<Metrics>,
}

/// A credential is good: for whom, and how long the text was that said so, in bytes.
#[derive(Debug)]
pub struct Answer {
    pub identity: Identity,
    pub bytes: usize,
}

#[derive(Clone)]
struct Accepted {
    identity: Arc<Identity>,
    until: Timestamp,
    weight: u32,
}

#[derive(Clone, Copy)]
struct Refused {
    reason: Reason,
    until: Timestamp,
}

impl Answers {
    pub fn new(label: IdentityCache, terms: CacheConfig, clock: Clock) -> Self {
        // `clock` says when an answer ends. That moka forgets it too frees its memory, and holds when the wall clock
        // is set back.
        let longest = |ttl: Duration| ttl.max(Duration::from_millis(1));
        let accepted = Cache::builder()
            .max_capacity(terms.entries)
            .weigher(|_, accepted: &Accepted| accepted.weight)
            .time_to_live(longest(terms.max_ttl))
            .build();
        let refused =
            Cache::builder().max_capacity(terms.entries).time_to_live(longest(terms.negative_ttl)).build();
        Self { accepted, refused, terms, clock, label, metrics: OnceLock::new() }
    }

    /// Counts from now on. The first call decides where to.
    pub fn count_in(&self, metrics: &Metrics) {
        self.metrics.get_or_init(|| metrics.clone());
    }

    pub fn metrics(&self) -> Option<&Metrics> {
        self.metrics.get()
    }

    /// What is known about `key`, or what `inquiry` finds out. When the caller that inquires hangs up, the next one that
    /// waits inquires anew.
    pub async fn get<F>(&self, key: Key, inquiry: F) -> Result<Arc<Identity>, Reason>
    where
        F: Future<Output = Result<Answer, Reason>>,
    {
        let kept = self.kept(&key).await;
        if let Some(metrics) = self.metrics() {
            metrics.identity_cache(self.label, kept.is_some());
        }
        if let Some(kept) = kept {
            return kept;
        }
        let found = self.accepted.try_get_with(key, self.find_out(&key, inquiry)).await;
        found.map(|accepted| accepted.identity).map_err(|reason| *reason)
    }

    async fn kept(&self, key: &Key) -> Option<Result<Arc<Identity>, Reason>> {
        if let Some(accepted) = self.accepted.get(key).await {
            if self.clock.now() < accepted.until {
                return Some(Ok(accepted.identity));
            }
            self.accepted.invalidate(key).await;
        }
        self.refusal(key).await.map(Err)
    }

    async fn refusal(&self, key: &Key) -> Option<Reason> {
        let refused = self.refused.get(key).await?;
        (self.clock.now() < refused.until).then_some(refused.reason)
    }

    async fn find_out<F>(&self, key: &Key, inquiry: F) -> Result<Accepted, Reason>
    where
        F: Future<Output = Result<Answer, Reason>>,
    {
        // Somebody may have been refused since we looked.
        if let Some(reason) = self.refusal(key).await {
            return Err(reason);
        }
        // The answer is as old as the question.
        let asked = self.clock.now();
        match inquiry.await {
            Ok(Answer { identity, bytes }) => {
                let end = later(asked, self.terms.max_ttl);
                let until = identity.expires.map_or(end, |expires| expires.min(end));
                let weight = u32::try_from(1 + bytes / ENTRY_BYTES).unwrap_or(u32::MAX);
                Ok(Accepted { identity: Arc::new(identity), until, weight })
            }
            Err(reason) => {
                if reason.is_refused_credential() {
                    let until = later(asked, self.terms.negative_ttl);
                    self.refused.insert(*key, Refused { reason, until }).await;
                }
                Err(reason)
            }
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("terms", &self.terms).finish_non_exhaustive()
    }
}
