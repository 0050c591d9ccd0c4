//! The changes that are queued for the writer, and who waits for what comes of them.

use tokio::sync::oneshot;

use crate::approval::{Approval, Choice};
use crate::identity::Identity;
use crate::store::bundles::{BundleChange, BundleState};
use crate::store::credentials::{Changed, CredentialChange};
use crate::store::outbox::{OutboxChange, OutboxChanged};
use crate::store::{NewApproval, Opened, PendingLimits, StoreError, VoteError};

/// What a change of bundles came to, once the transaction is through.
type BundlesChanged = Result<BundleState, StoreError>;

pub(in crate::store) enum Command {
    Open(Box<Task<(NewApproval, PendingLimits), Opened>>),
    Vote(Box<Task<Ballot, Result<Approval, VoteError>>>),
    Consume(Task<Use, bool>),
    Confirm(Task<Use, bool>),
    Bundles(Box<Task<(Option<i64>, BundleChange), BundlesChanged>>),
    Credential(Box<Task<CredentialChange, Changed>>),
    Outbox(Box<Task<OutboxChange, OutboxChanged>>),
    Close(oneshot::Sender<()>),
}

/// One person's decision on its way to the store.
pub(in crate::store) struct Ballot {
    pub(in crate::store) id: String,
    pub(in crate::store) who: Identity,
    pub(in crate::store) admin: bool,
    pub(in crate::store) choice: Choice,
    pub(in crate::store) reason: String,
}

/// The use of an approval by the call of one decision.
pub(in crate::store) struct Use {
    pub(in crate::store) id: String,
    pub(in crate::store) decision: String,
}

/// A change, what came of it inside the transaction, and who is told after the commit.
pub(in crate::store) struct Task<I, O> {
    pub(super) input: I,
    pub(super) outcome: Option<O>,
    pub(super) reply: oneshot::Sender<Result<O, StoreError>>,
}

impl<I, O> Task<I, O> {
    pub(in crate::store) fn new(input: I, reply: oneshot::Sender<Result<O, StoreError>>) -> Self {
        Self { input, outcome: None, reply }
    }

    /// Nobody may be waiting any more; what was committed stays committed.
    fn answer(self, result: Result<(), StoreError>) {
        let answer = result.and_then(|()| self.outcome.ok_or(StoreError::Closed));
        let _ = self.reply.send(answer);
    }
}

impl Command {
    pub(super) fn answer(self, result: Result<(), StoreError>) {
        match self {
            Self::Open(task) => task.answer(result),
            Self::Vote(task) => task.answer(result),
            Self::Consume(task) | Self::Confirm(task) => task.answer(result),
            Self::Bundles(task) => task.answer(result),
            Self::Credential(task) => task.answer(result),
            Self::Outbox(task) => task.answer(result),
            Self::Close(done) => drop(done),
        }
    }
}
