//! The one task that changes the store: group commit, expiry, retention.
//!
//! Every batch is one transaction at one moment: what is due expires first, then the queued changes apply in
//! order, then the commit, then the answers and the announcements.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::bundles::{BundleChange, BundleState};
use super::credentials::{Changed, CredentialChange};
use super::sqlite::{self, Transaction};
use super::{Change, NewApproval, Opened, PendingLimits, StoreError, VoteError};
use crate::approval::{Approval, Choice, State, VoteRefused, later};
use crate::clock::Clock;
use crate::identity::Identity;

mod credentials;

/// The most changes in one transaction.
const BATCH: usize = 256;

/// How often expiry looks around; nothing is announced later than this.
const SWEEP: Duration = Duration::from_millis(500);

/// How many sweeps pass between two deletions of old history.
const SWEEPS_PER_RETENTION: u32 = 7_200;

pub(super) enum Command {
    Open(Box<Task<(NewApproval, PendingLimits), Opened>>),
    Vote(Box<Task<Ballot, Result<Approval, VoteError>>>),
    Consume(Task<String, bool>),
    Bundles(Box<Task<BundleChange, BundleState>>),
    Credential(Box<Task<CredentialChange, Changed>>),
    Close(oneshot::Sender<()>),
}

/// One person's decision on its way to the store.
pub(super) struct Ballot {
    pub(super) id: String,
    pub(super) who: Identity,
    pub(super) choice: Choice,
    pub(super) reason: String,
}

/// A change, what came of it inside the transaction, and who is told after the commit.
pub(super) struct Task<I, O> {
    input: I,
    outcome: Option<O>,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

impl<I, O> Task<I, O> {
    pub(super) fn new(input: I, reply: oneshot::Sender<Result<O, StoreError>>) -> Self {
        Self { input, outcome: None, reply }
    }

    /// Nobody may be waiting any more; what was committed stays committed.
    fn answer(self, result: Result<(), StoreError>) {
        let answer = result.and_then(|()| self.outcome.ok_or(StoreError::Closed));
        let _ = self.reply.send(answer);
    }
}

impl Command {
    fn answer(self, result: Result<(), StoreError>) {
        match self {
            Self::Open(task) => task.answer(result),
            Self::Vote(task) => task.answer(result),
            Self::Consume(task) => task.answer(result),
            Self::Bundles(task) => task.answer(result),
            Self::Credential(task) => task.answer(result),
            Self::Close(done) => drop(done),
        }
    }
}

/// Who is told of what was committed.
pub(super) struct Announcements {
    pub(super) approvals: broadcast::Sender<Change>,
    pub(super) credentials: watch::Sender<()>,
}

pub(super) struct Writer {
    connection: SqliteConnection,
    clock: Clock,
    retention: Duration,
    told: Announcements,
    ids: Arc<sqlite::Ids>,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        clock: Clock,
        retention: Duration,
        told: Announcements,
    ) -> Self {
        Self { connection, clock, retention, told, ids: Arc::default() }
    }

    /// Runs until it is told to close or every `Store` is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeps = 0_u32;
        let mut batch = Vec::with_capacity(BATCH);
        let mut closing = None;
        while closing.is_none() {
            tokio::select! {
                received = queue.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    closing = take_close(&mut batch);
                    self.write(std::mem::take(&mut batch)).await;
                }
                _ = sweep.tick() => {
                    self.sweep(sweeps.is_multiple_of(SWEEPS_PER_RETENTION)).await;
                    sweeps = sweeps.wrapping_add(1);
                }
            }
        }
        queue.close();
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "closing the store failed");
        }
        drop(closing);
    }

    /// One transaction for all; if that fails, one for each, so that one bad change spoils no other.
    async fn write(&mut self, mut batch: Vec<Command>) {
        match self.commit(&mut batch).await {
            Ok(()) => batch.into_iter().for_each(|command| command.answer(Ok(()))),
            Err(error) if batch.len() == 1 => {
                batch.into_iter().for_each(|command| command.answer(Err(error.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, changes = batch.len(), "a batch failed; its changes are tried one by one");
                for command in batch {
                    let mut alone = [command];
                    let result = self.commit(&mut alone).await;
                    alone.into_iter().for_each(|command| command.answer(result.clone()));
                }
            }
        }
    }

    async fn commit(&mut self, commands: &mut [Command]) -> Result<(), StoreError> {
        let now = self.now();
        let mut batch = Batch {
            transaction: Transaction::begin(&mut self.connection).await?,
            now,
            ids: &self.ids,
            changed: Vec::new(),
            credentials: false,
        };
        batch.changed.extend(expired(batch.transaction.expire(now).await?));
        for command in commands {
            match command {
                Command::Open(task) => task.outcome = Some(batch.open(&task.input.0, task.input.1).await?),
                Command::Vote(task) => task.outcome = Some(batch.vote(&task.input).await?),
                // Whoever gave up waiting is not released: its approval stays for the next try.
                Command::Consume(task) if task.reply.is_closed() => {}
                Command::Consume(task) => task.outcome = Some(batch.consume(&task.input).await?),
                Command::Bundles(task) => task.outcome = Some(batch.change_bundles(&task.input).await?),
                Command::Credential(task) => task.outcome = Some(batch.change_credential(&task.input).await?),
                Command::Close(_) => {}
            }
        }
        let Batch { transaction, changed, credentials, .. } = batch;
        transaction.commit().await?;
        self.told.announce(changed, credentials);
        Ok(())
    }

    async fn sweep(&mut self, history_too: bool) {
        if let Err(error) = self.commit_sweep(history_too).await {
            tracing::warn!(%error, "the store could not expire what is due; it tries again");
        }
    }

    async fn commit_sweep(&mut self, history_too: bool) -> Result<(), StoreError> {
        let now = self.now();
        let mut transaction = Transaction::begin(&mut self.connection).await?;
        let changed = expired(transaction.expire(now).await?).collect();
        let mut credentials = false;
        if history_too {
            let kept_since = now.checked_sub(self.retention).unwrap_or(Timestamp::MIN);
            transaction.forget(kept_since).await?;
            credentials = transaction.forget_credentials(kept_since, now).await?;
        }
        transaction.commit().await?;
        self.told.announce(changed, credentials);
        Ok(())
    }

    /// As precise as what is stored, so that what is answered equals what is read back.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

impl Announcements {
    fn announce(&self, approvals: Vec<Change>, credentials: bool) {
        for change in approvals {
            // Without a receiver nobody waits.
            let _ = self.approvals.send(change);
        }
        if credentials {
            self.credentials.send_replace(());
        }
    }
}

fn expired(ids: Vec<String>) -> impl Iterator<Item = Change> {
    ids.into_iter().map(|id| Change { id, state: State::Expired })
}

fn take_close(batch: &mut Vec<Command>) -> Option<oneshot::Sender<()>> {
    let at = batch.iter().position(|command| matches!(command, Command::Close(_)))?;
    match batch.remove(at) {
        Command::Close(done) => Some(done),
        other => {
            batch.insert(at, other);
            None
        }
    }
}

/// A transaction under way.
struct Batch<'c> {
    transaction: Transaction<'c>,
    now: Timestamp,
    ids: &'c sqlite::Ids,
    changed: Vec<Change>,
    /// Whether a key or revocation changed.
    credentials: bool,
}

impl Batch<'_> {
    async fn open(&mut self, new: &NewApproval, limits: PendingLimits) -> Result<Opened, StoreError> {
        if let Some(open) = self.transaction.open_approval(&new.digest, &new.idempotency_key).await? {
            return Ok(Opened::Attached(open));
        }
        if self.transaction.pending_of(&new.caller).await? >= i64::from(limits.per_principal) {
            return Ok(Opened::TooManyPending);
        }
        for rule in &new.rules {
            if self.transaction.pending_by(rule).await? >= i64::from(limits.per_rule) {
                return Ok(Opened::TooManyPending);
            }
        }
        let approval = Approval {
            id: self.ids.next(self.now),
            digest: new.digest.clone(),
            idempotency_key: new.idempotency_key.clone(),
            state: State::Pending,
            created: self.now,
            expires: later(self.now, new.expires_in),
            caller: new.caller.clone(),
            call: new.call.clone(),
            rules: new.rules.clone(),
            revision: new.revision.clone(),
            requires: new.requires.clone(),
            grant: new.grant,
            votes: Vec::new(),
        };
        self.transaction.insert(&approval).await?;
        self.changed.push(Change { id: approval.id.clone(), state: approval.state });
        Ok(Opened::Created(approval))
    }

    async fn vote(&mut self, ballot: &Ballot) -> Result<Result<Approval, VoteError>, StoreError> {
        let Some(mut approval) = self.transaction.approval(&ballot.id).await? else {
            return Ok(Err(VoteError::NotFound));
        };
        let refused: Result<(), VoteRefused> =
            approval.vote(&ballot.who, ballot.choice, &ballot.reason, self.now);
        if let Err(refused) = refused {
            return Ok(Err(refused.into()));
        }
        self.update(&approval).await?;
        Ok(Ok(approval))
    }

    async fn consume(&mut self, id: &str) -> Result<bool, StoreError> {
        let Some(mut approval) = self.transaction.approval(id).await? else { return Ok(false) };
        let before = approval.state;
        let used = approval.consume(self.now);
        if approval.state != before {
            self.update(&approval).await?;
        }
        Ok(used)
    }

    async fn change_bundles(&mut self, change: &BundleChange) -> Result<BundleState, StoreError> {
        if let Some(state) = &change.state {
            self.transaction.change_bundles(state, self.ids.next(self.now), self.now).await?;
        }
        self.transaction.record_event(&change.event, self.ids.next(self.now), self.now).await?;
        self.transaction.bundle_state().await
    }

    async fn update(&mut self, approval: &Approval) -> Result<(), StoreError> {
        self.transaction.update(approval).await?;
        self.changed.push(Change { id: approval.id.clone(), state: approval.state });
        Ok(())
    }
}
