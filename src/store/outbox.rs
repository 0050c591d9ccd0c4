//! What is to be told to whom: written in the transaction of the change that it tells of, taken by one sender at a time.
//!
//! The store keeps texts; what they say and how they are sent is `crate::notify`'s business.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::writer::{Command, Task};
use super::{Store, StoreError};
use crate::approval::Approval;
use crate::notice::{Event, Notice, Subscription};

/// One text on its way to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Stays the same over all attempts.
    pub id: String,
    pub target: String,
    /// A [`crate::notice::Notice`] in JSON.
    pub notice: String,
    pub created: Timestamp,
    /// How often it was taken to be sent, this time included.
    pub attempts: u32,
    /// Who took it; only they say what became of it.
    pub lease: String,
}

/// A notice that is written with the change that it tells of.
pub(super) struct NewNotice {
    pub(super) id: String,
    pub(super) target: String,
    pub(super) notice: Notice,
}

/// How much one target is still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub target: String,
    pub waiting: u64,
    /// When the first of it is due.
    pub due: Timestamp,
}

/// What became of one that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Sent,
    /// To be tried again, not before then.
    Later(Timestamp),
    /// Given up.
    Dead,
    /// Given up, and forgotten at once: too many wait.
    Dropped,
}

#[derive(Debug)]
pub(super) enum OutboxChange {
    Claim {
        target: String,
        most: u32,
        lease: String,
        lease_for: Duration,
    },
    /// As `Claim`, of the oldest that nobody has taken, due or not.
    ClaimOldest {
        target: String,
        most: u32,
        lease: String,
        lease_for: Duration,
    },
    Settle {
        id: String,
        lease: String,
        settled: Settled,
    },
}

#[derive(Debug)]
pub(super) enum OutboxChanged {
    Claimed(Vec<Outgoing>),
    /// Whether the lease was still the caller's.
    Settled(bool),
}

/// Who wants to hear of what, and that there is something to tell. Shared by the store and its writer.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    subscriptions: Arc<RwLock<Arc<[Subscription]>>>,
    pub(super) news: watch::Sender<()>,
}

impl Outbox {
    pub(super) fn subscriptions(&self) -> Arc<[Subscription]> {
        self.subscriptions.read().clone()
    }
}

impl Store {
    /// From now on, changes are written down for these targets too.
    pub fn subscribe(&self, subscriptions: Vec<Subscription>) {
        *self.told.outbox.subscriptions.write() = subscriptions.into();
    }

    /// The targets of this server that hear of such an event.
    pub fn listeners(&self, event: Event, approval: &Approval) -> Vec<String> {
        let all = self.told.outbox.subscriptions();
        all.iter().filter(|one| one.wants(event, approval)).map(|one| one.target.clone()).collect()
    }

    /// Changes when something new is to be told by this server; what other servers wrote, and what is due again, is
    /// found by looking.
    pub fn outbox_news(&self) -> watch::Receiver<()> {
        self.told.outbox.news.subscribe()
    }

    /// The targets that are still to be told something.
    pub async fn outbox(&self) -> Result<Vec<Standing>, StoreError> {
        self.reader.outbox().await
    }

    /// Takes up to `most` that are due, the oldest first. For `lease_for` no other server is given them; what is not
    /// settled until then is due again.
    pub async fn claim(
        &self,
        target: &str,
        most: u32,
        lease: &str,
        lease_for: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let (target, lease) = (target.to_owned(), lease.to_owned());
        match self.change_outbox(OutboxChange::Claim { target, most, lease, lease_for }).await? {
            OutboxChanged::Claimed(claimed) => Ok(claimed),
            OutboxChanged::Settled(_) => Err(StoreError::Closed),
        }
    }

    /// As `claim`, of the oldest, whether due or not: to drop them.
    pub async fn claim_oldest(
        &self,
        target: &str,
        most: u32,
        lease: &str,
        lease_for: Duration,
    ) -> Result<Vec<Outgoing>, StoreError> {
        let (target, lease) = (target.to_owned(), lease.to_owned());
        match self.change_outbox(OutboxChange::ClaimOldest { target, most, lease, lease_for }).await? {
            OutboxChanged::Claimed(claimed) => Ok(claimed),
            OutboxChanged::Settled(_) => Err(StoreError::Closed),
        }
    }

    /// Says what became of one that was taken. `false`: the lease had ended and somebody else has taken it, or it is gone;
    /// nothing was written.
    pub async fn settle(&self, outgoing: &Outgoing, settled: Settled) -> Result<bool, StoreError> {
        let (id, lease) = (outgoing.id.clone(), outgoing.lease.clone());
        match self.change_outbox(OutboxChange::Settle { id, lease, settled }).await? {
            OutboxChanged::Settled(was_ours) => Ok(was_ours),
            OutboxChanged::Claimed(_) => Err(StoreError::Closed),
        }
    }

    async fn change_outbox(&self, change: OutboxChange) -> Result<OutboxChanged, StoreError> {
        self.write(|reply| Command::Outbox(Box::new(Task::new(change, reply)))).await
    }
}
