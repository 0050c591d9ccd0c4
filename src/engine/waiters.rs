//! Who waits for which approval, in this process, and how many may.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many calls may be held open at once; beyond it a call is refused with `too_many_held`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLimits {
    pub per_principal: usize,
    pub per_rule: usize,
    pub total: usize,
}

impl Default for HeldLimits {
    fn default() -> Self {
        Self { per_principal: 20, per_rule: 1_000, total: 10_000 }
    }
}

/// The held calls of this process. Locked for a few instructions at a time, never across an await.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By approval id.
    waiting: HashMap<String, Arc<Notify>>,
    /// By principal and by rule.
    held: HashMap<String, usize>,
    total: usize,
}

/// One held call's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiters: &'a Waiters,
    keys: Vec<String>,
}

impl Waiters {
    /// Takes a place for one call, or `None` when the caller, a rule or the server holds as many as it may.
    pub fn admit<'a>(&'a self, principal: &str, rules: &[String], limits: &HeldLimits) -> Option<Place<'a>> {
        let principal = format!("principal:{principal}");
        let rules: Vec<_> = rules.iter().map(|rule| format!("rule:{rule}")).collect();
        let mut table = self.0.lock();
        let held = |key: &String| table.held.get(key).copied().unwrap_or(0);
        let full = table.total >= limits.total
            || held(&principal) >= limits.per_principal
            || rules.iter().any(|rule| held(rule) >= limits.per_rule);
        if full {
            return None;
        }
        let keys: Vec<_> = std::iter::once(principal).chain(rules).collect();
        for key in &keys {
            *table.held.entry(key.clone()).or_default() += 1;
        }
        table.total += 1;
        drop(table);
        Some(Place { waiters: self, keys })
    }

    /// What is notified when the approval changes. Register before reading its state.
    pub fn of(&self, approval: &str) -> Arc<Notify> {
        self.0.lock().waiting.entry(approval.to_owned()).or_default().clone()
    }

    /// Wakes the calls that wait for `approval`.
    pub fn wake(&self, approval: &str) {
        if let Some(waiting) = self.0.lock().waiting.get(approval) {
            waiting.notify_waiters();
        }
    }

    /// Wakes every call: some change was missed, so each reads its approval again.
    pub fn wake_all(&self) {
        for waiting in self.0.lock().waiting.values() {
            waiting.notify_waiters();
        }
    }

    /// Forgets approvals that nobody waits for any more.
    pub fn forget(&self, approval: &str, notify: Arc<Notify>) {
        let mut table = self.0.lock();
        drop(notify);
        if table.waiting.get(approval).is_some_and(|waiting| Arc::strong_count(waiting) == 1) {
            table.waiting.remove(approval);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.waiters.0.lock();
        for key in &self.keys {
            if let Some(count) = table.held.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    table.held.remove(key);
                }
            }
        }
        table.total -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let limits = HeldLimits { per_principal: 2, per_rule: 3, total: 4 };
        let waiters = Waiters::default();
        let admit = |principal: &str, rule: &str| waiters.admit(principal, &[rule.to_owned()], &limits);
        let first = admit("ana", "r");
        let second = admit("ana", "r");
        assert!(first.is_some() && second.is_some());
        assert!(admit("ana", "other").is_none(), "per principal");
        let third = admit("bob", "r");
        assert!(admit("carl", "r").is_none(), "per rule");
        let fourth = admit("carl", "other");
        assert!(admit("dana", "another").is_none(), "total");
        drop((first, second, third, fourth));
        assert!(waiters.0.lock().held.is_empty());
        assert!(admit("ana", "r").is_some());
    }

    #[tokio::test]
    async fn waiters_are_woken_and_forgotten() {
        let waiters = Waiters::default();
        let notify = waiters.of("a");
        {
            let woken = notify.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            waiters.wake("b");
            waiters.wake("a");
            woken.await;
        }
        let other = waiters.of("a");
        waiters.forget("a", notify);
        assert_eq!(waiters.0.lock().waiting.len(), 1);
        waiters.forget("a", other);
        assert!(waiters.0.lock().waiting.is_empty());
    }
}
