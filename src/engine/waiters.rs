//! Who waits for which approval, in this process, and how many may.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

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

/// The held calls of this process.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Locked for a few instructions at a time, never across an await.
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By approval id.
    waiting: HashMap<Arc<str>, Waiting>,
    /// By principal and by rule.
    held: HashMap<String, usize>,
    total: usize,
}

/// The calls that wait for one approval.
#[derive(Debug, Default)]
struct Waiting {
    changed: Arc<Notify>,
    calls: usize,
}

/// One call that waits for an approval; leaves when it is dropped, also when its caller hung up.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    approval: Arc<str>,
    notify: Arc<Notify>,
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
        let mut table = self.table.lock();
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

    /// A place among those that are woken when the approval changes. Take one before reading its state.
    pub fn of(&self, approval: &str) -> Waiter<'_> {
        let approval: Arc<str> = approval.into();
        let mut table = self.table.lock();
        let waiting = table.waiting.entry(approval.clone()).or_default();
        waiting.calls += 1;
        Waiter { waiters: self, notify: waiting.changed.clone(), approval }
    }

    /// Whether no call waits.
    pub fn is_empty(&self) -> bool {
        self.table.lock().waiting.is_empty()
    }

    /// Wakes the calls that wait for `approval`.
    pub fn wake(&self, approval: &str) {
        if let Some(waiting) = self.table.lock().waiting.get(approval) {
            waiting.changed.notify_waiters();
        }
    }

    /// Wakes the calls that wait for an approval that is not one of these.
    pub fn wake_others(&self, pending: &HashSet<&str>) {
        let table = self.table.lock();
        let others = table.waiting.iter().filter(|(id, _)| !pending.contains(&***id));
        others.for_each(|(_, waiting)| waiting.changed.notify_waiters());
    }

    /// Wakes every call: some change was missed, so each reads its approval again.
    pub fn wake_all(&self) {
        for waiting in self.table.lock().waiting.values() {
            waiting.changed.notify_waiters();
        }
    }
}

impl Waiter<'_> {
    /// The approval's id.
    pub fn id(&self) -> &str {
        &self.approval
    }

    /// The id, to be kept.
    pub fn approval(&self) -> Arc<str> {
        self.approval.clone()
    }

    /// Completes at the next change after this was called.
    pub fn changed(&self) -> Pin<Box<OwnedNotified>> {
        Box::pin(self.notify.clone().notified_owned())
    }
}

impl Drop for Waiter<'_> {
    /// The last to leave takes the approval out of the table.
    fn drop(&mut self) {
        let mut table = self.waiters.table.lock();
        let Some(waiting) = table.waiting.get_mut(&self.approval) else { return };
        waiting.calls -= 1;
        if waiting.calls == 0 {
            table.waiting.remove(&self.approval);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut table = self.waiters.table.lock();
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
        assert!(waiters.table.lock().held.is_empty());
        assert!(admit("ana", "r").is_some());
    }

    #[tokio::test]
    async fn those_whose_approvals_are_not_pending_any_more_are_woken() {
        let waiters = Waiters::default();
        let (stays, goes) = (waiters.of("a"), waiters.of("b"));
        let (stays, goes) = (stays.changed(), goes.changed());
        waiters.wake_others(&["a", "c"].into());
        goes.await;
        assert!(futures_util::poll!(stays).is_pending());
    }

    #[tokio::test]
    async fn waiters_are_woken_and_forgotten() {
        let waiters = Waiters::default();
        let notify = waiters.of("a");
        {
            let woken = notify.changed();
            waiters.wake("b");
            waiters.wake("a");
            woken.await;
        }
        let other = waiters.of("a");
        drop(notify);
        assert_eq!(waiters.table.lock().waiting.len(), 1);
        drop(other);
        assert!(waiters.table.lock().waiting.is_empty());
    }
}
