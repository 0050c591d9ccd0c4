//! What was revoked, in memory: asked for every call, whatever cache its identity came from.
//!
//! Knows nothing of where revocations are kept. A follower brings them, and says each time that they are current;
//! when it has not for too long, the configured answer to that counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::clock::{self, Clock};
use crate::credential::{Revocation, RevocationKind};
use crate::identity::{Identity, Method};
use crate::reason::Reason;

mod config;

/// What happens to calls while nobody knows what was revoked lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// Calls with a credential are denied.
    Deny,
    /// What was known last counts.
    Continue,
}

/// How old what is known may be, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    pub on_stale: OnStale,
    pub max_age: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { on_stale: OnStale::Deny, max_age: Duration::from_secs(30) }
    }
}

/// Everything that is revoked. Clones share it.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    index: RwLock<Index>,
    /// Counts the changes.
    changed: watch::Sender<u64>,
    started: Instant,
    /// Milliseconds from `started` until it was last known to be current, plus one; 0 before the first time.
    current: AtomicU64,
    freshness: Freshness,
    clock: Clock,
}

/// Looked up by what is revoked; `ids` says what an id stands for, to take it out again.
#[derive(Debug, Default)]
struct Index {
    subjects: Values,
    token_ids: Values,
    sessions: Values,
    keys: Values,
    console_sessions: Values,
    ids: HashMap<String, (RevocationKind, String)>,
    /// Keys that were revoked as keys are, for good.
    revoked_keys: HashSet<String>,
}

type Values = HashMap<String, Vec<Revocation>>;

impl Revocations {
    /// Nothing is revoked yet, and that is not known to be current.
    pub fn new(freshness: Freshness, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            index: RwLock::default(),
            changed: watch::Sender::new(0),
            started: clock::instant(),
            current: AtomicU64::new(0),
            freshness,
            clock,
        }))
    }

    /// Whether a call may be made as this identity: `Revoked`, or `RevocationsStale` where nobody knows.
    /// Who presented no credential has none that could be revoked. `vouchers` are the verified names of those who brought
    /// the call, empty ones apart: whoever they speak for, none of them may be revoked.
    pub fn check<'v>(
        &self,
        identity: &Identity,
        vouchers: impl IntoIterator<Item = &'v str>,
    ) -> Result<(), Reason> {
        self.check_at(identity, vouchers, clock::instant())
    }

    fn check_at<'v>(
        &self,
        identity: &Identity,
        vouchers: impl IntoIterator<Item = &'v str>,
        now: Instant,
    ) -> Result<(), Reason> {
        if self.revokes(identity, vouchers) {
            return Err(Reason::Revoked);
        }
        if identity.is_anonymous() {
            return Ok(());
        }
        let Freshness { on_stale, max_age } = self.0.freshness;
        let current = self.age_at(now).is_some_and(|age| age <= max_age);
        if current || on_stale == OnStale::Continue { Ok(()) } else { Err(Reason::RevocationsStale) }
    }

    /// Whether this session of the console was logged out of, as far as is known: `check` of its identity says whether that
    /// is current.
    pub fn is_logged_out(&self, session: &str) -> bool {
        let index = self.0.index.read();
        let now = self.0.clock.now();
        // Earlier versions kept a log-out as the revocation of a token with this id.
        let hit = |values| any_covers(values, session, "", None, now);
        hit(&index.console_sessions) || hit(&index.token_ids)
    }

    /// Whether something that is known refuses this identity, or somebody who vouches for it.
    fn revokes<'v>(&self, identity: &Identity, vouchers: impl IntoIterator<Item = &'v str>) -> bool {
        let index = self.0.index.read();
        if index.is_empty() {
            return false;
        }
        let now = self.0.clock.now();
        index.refuses(identity, now) || vouchers.into_iter().any(|name| index.refuses_name(name, now))
    }

    /// Completes when this identity is revoked, or somebody who vouches for it; at once when it is.
    pub async fn revoked<'v>(
        &self,
        identity: &Identity,
        vouchers: impl IntoIterator<Item = &'v str> + Clone,
    ) {
        let mut changed = self.0.changed.subscribe();
        while !self.revokes(identity, vouchers.clone()) {
            // The sender lives as long as `self`.
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How long ago what is known was known to be current; `None` before the first time.
    pub fn age(&self) -> Option<Duration> {
        self.age_at(clock::instant())
    }

    fn age_at(&self, now: Instant) -> Option<Duration> {
        let current = self.0.current.load(Ordering::Acquire).checked_sub(1)?;
        Some(now.saturating_duration_since(self.0.started + Duration::from_millis(current)))
    }

    /// What is known was current at `at`.
    pub fn was_current(&self, at: Instant) {
        let since_start = at.saturating_duration_since(self.0.started).as_millis();
        let current = u64::try_from(since_start).unwrap_or(u64::MAX - 1).saturating_add(1);
        self.0.current.fetch_max(current, Ordering::AcqRel);
    }

    /// Takes in changes, all at once: `None` for a revocation that is gone, and for each key whether it is revoked.
    /// With `whole` they are all there is.
    pub fn change(
        &self,
        whole: bool,
        revocations: impl IntoIterator<Item = (String, Option<Revocation>)>,
        keys: impl IntoIterator<Item = (String, bool)>,
    ) {
        let mut index = self.0.index.write();
        if whole {
            *index = Index::default();
        }
        for (id, revocation) in revocations {
            index.remove(&id);
            if let Some(revocation) = revocation {
                index.insert(id, revocation);
            }
        }
        for (id, revoked) in keys {
            if revoked {
                index.revoked_keys.insert(id);
            } else {
                index.revoked_keys.remove(&id);
            }
        }
        drop(index);
        self.0.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Index {
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.revoked_keys.is_empty()
    }

    fn values(&mut self, kind: RevocationKind) -> &mut Values {
        match kind {
            RevocationKind::Subject => &mut self.subjects,
            RevocationKind::TokenId => &mut self.token_ids,
            RevocationKind::Session => &mut self.sessions,
            RevocationKind::Key => &mut self.keys,
            RevocationKind::ConsoleSession => &mut self.console_sessions,
        }
    }

    fn insert(&mut self, id: String, revocation: Revocation) {
        self.ids.insert(id, (revocation.kind, revocation.value.clone()));
        self.values(revocation.kind).entry(revocation.value.clone()).or_default().push(revocation);
    }

    fn remove(&mut self, id: &str) {
        let Some((kind, value)) = self.ids.remove(id) else { return };
        let values = self.values(kind);
        if let Some(of_value) = values.get_mut(&value) {
            of_value.retain(|revocation| revocation.id != id);
            if of_value.is_empty() {
                values.remove(&value);
            }
        }
    }

    fn refuses(&self, identity: &Identity, now: Timestamp) -> bool {
        let (issuer, issued) = (identity.issuer.as_str(), identity.issued);
        let hit = |values, value: &str| any_covers(values, value, issuer, issued, now);
        let key = identity.method == Method::ApiKey;
        hit(&self.subjects, &identity.subject)
            || hit(&self.subjects, &identity.spiffe)
            || hit(&self.token_ids, &identity.token_id)
            || hit(&self.sessions, &identity.session)
            || key && (hit(&self.keys, &identity.token_id) || self.revoked_keys.contains(&identity.token_id))
    }

    /// Whether the bearer of a certificate with this name is refused. It is of no issuer, and does not say since when.
    fn refuses_name(&self, name: &str, now: Timestamp) -> bool {
        any_covers(&self.subjects, name, "", None, now)
    }
}

/// Whether a revocation of this value, where there is one, holds now for a credential of this issuer and age.
fn any_covers(values: &Values, value: &str, issuer: &str, issued: Option<Timestamp>, now: Timestamp) -> bool {
    let found = if value.is_empty() { None } else { values.get(value) };
    found.is_some_and(|found| found.iter().any(|revocation| covers(revocation, issuer, issued, now)))
}

/// Whether a revocation holds now for a credential of this issuer. One that does not say when it was issued may have been
/// issued before.
fn covers(revocation: &Revocation, issuer: &str, issued: Option<Timestamp>, now: Timestamp) -> bool {
    let of_issuer = revocation.issuer.is_empty() || revocation.issuer == issuer;
    let is_before = |before| issued.is_none_or(|issued| issued < before);
    of_issuer && revocation.issued_before.is_none_or(is_before) && revocation.is_active_at(now)
}

#[cfg(test)]
mod tests;
