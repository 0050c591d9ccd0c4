//! What one decision sees: policies and identity providers, swapped as a whole.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;

use super::candidate::Candidate;
use crate::authn::Authenticator;
use crate::policy::PolicySet;

/// Policies and identity providers that belong together. Immutable.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub policies: Arc<PolicySet>,
    pub authenticator: Arc<Authenticator>,
    /// Policies that are tried beside them.
    pub candidate: Option<Candidate>,
}

/// The snapshot that decides now. A decision borrows it once, so that a reload never splits one.
#[derive(Debug)]
pub(super) struct Snapshots(RwLock<Arc<Snapshot>>);

impl Snapshots {
    pub fn new(mut first: Snapshot, now: Timestamp) -> Self {
        first.begin_comparison(None, now);
        Self(RwLock::new(Arc::new(first)))
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.0.read().clone()
    }

    /// Puts what `change` makes of the current snapshot in force, and returns it. Changes do not overlap. A
    /// comparison of the same two revisions goes on; any other begins at `now`.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot), now: Timestamp) -> Arc<Snapshot> {
        let mut current = self.0.write();
        let mut next = Snapshot::clone(&current);
        change(&mut next);
        next.begin_comparison(current.candidate.as_ref().map(|tried| (&*current.policies, tried)), now);
        *current = Arc::new(next);
        current.clone()
    }
}
