//! The one task that writes: takes what is queued, applies it in one transaction, commits, then answers.
//!
//! Each transaction first expires what lapsed, so the rules of `crate::approval` see true states. When the
//! database fails, the whole transaction is undone and each of its callers gets the error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use uuid::{ContextV7, Uuid};

use super::error::{StoreError, VoteError};
use super::{Change, NewApproval, Opened, PendingLimits, rows};
use crate::approval::{Approval, Choice, State, later};
use crate::clock::Clock;
use crate::identity::Identity;

/// Operations that share one commit, at most.
const BATCH: usize = 256;

/// How often lapsed requests are looked for when nothing is written: half of what `Store::changes` promises.
const SWEEP: Duration = Duration::from_millis(500);

/// Sweeps between two looks for requests past their retention: a minute's.
const SWEEPS_PER_RETENTION: u32 = 120;

/// One write, and where its outcome goes.
#[derive(Debug)]
pub(super) enum Operation {
    Open {
        new: Box<NewApproval>,
        limits: PendingLimits,
        answer: Answer<Opened>,
    },
    Vote {
        id: String,
        who: Box<Identity>,
        choice: Choice,
        reason: String,
        answer: Answer<Result<Approval, VoteError>>,
    },
    Consume {
        id: String,
        answer: Answer<bool>,
    },
    Close {
        answer: oneshot::Sender<()>,
    },
}

/// An outcome on its way: known once the operation is applied, sent once that is committed.
#[derive(Debug)]
pub(super) struct Answer<T> {
    to: oneshot::Sender<Result<T, StoreError>>,
    outcome: Result<T, StoreError>,
}

impl<T> Answer<T> {
    pub fn channel() -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (to, from) = oneshot::channel();
        (Self { to, outcome: Err(StoreError::Closed) }, from)
    }

    fn send(self, committed: Result<(), StoreError>) {
        // A caller that is gone needs no answer.
        let _ = self.to.send(committed.and(self.outcome));
    }
}

impl Operation {
    fn acknowledge(self, committed: Result<(), StoreError>) {
        match self {
            Self::Open { answer, .. } => answer.send(committed),
            Self::Vote { answer, .. } => answer.send(committed),
            Self::Consume { answer, .. } => answer.send(committed),
            Self::Close { .. } => {}
        }
    }
}

pub(super) struct Writer {
    path: PathBuf,
    database: SqliteConnection,
    clock: Clock,
    changes: broadcast::Sender<Change>,
    retention: Duration,
    ids: ContextV7,
}

impl Writer {
    /// Opens the file for writing and brings its schema up to date.
    pub async fn connect(
        path: &Path,
        options: &SqliteConnectOptions,
        clock: Clock,
        changes: broadcast::Sender<Change>,
        retention: Duration,
    ) -> Result<Self, StoreError> {
        let failed = |error| StoreError::database(path, error);
        let mut database = options.connect().await.map_err(failed)?;
        let migrations = sqlx::migrate!();
        migrations.run(&mut database).await.map_err(|error| StoreError::migration(path, error))?;
        Ok(Self { path: path.to_owned(), database, clock, changes, retention, ids: ContextV7::new() })
    }

    /// Writes until the store is closed, or its last handle is dropped.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Operation>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeps: u32 = 0;
        let mut closing = Vec::new();
        let mut taken = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                count = queue.recv_many(&mut taken, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    let mut batch = Vec::with_capacity(count);
                    for operation in taken.drain(..) {
                        match operation {
                            Operation::Close { answer } => closing.push(answer),
                            write => batch.push(write),
                        }
                    }
                    if !closing.is_empty() {
                        // What is queued is still written; nothing new gets in.
                        queue.close();
                    }
                    self.write(batch).await;
                }
                _ = sweep.tick() => {
                    self.write(Vec::new()).await;
                    if sweeps.is_multiple_of(SWEEPS_PER_RETENTION) {
                        self.forget().await;
                    }
                    sweeps = sweeps.wrapping_add(1);
                }
            }
        }
        if let Err(error) = self.database.close().await {
            tracing::warn!(%error, path = %self.path.display(), "the store did not close cleanly");
        }
        for answer in closing {
            let _ = answer.send(());
        }
    }

    /// Applies, commits, announces, and only then answers.
    async fn write(&mut self, mut batch: Vec<Operation>) {
        let committed = match self.commit(&mut batch).await {
            Ok(changes) => {
                for change in changes {
                    // Nobody may be listening.
                    let _ = self.changes.send(change);
                }
                Ok(())
            }
            Err(error) => {
                let error = StoreError::database(&self.path, error);
                tracing::error!(%error, operations = batch.len(), "the store could not write");
                Err(error)
            }
        };
        for operation in batch {
            operation.acknowledge(committed.clone());
        }
    }

    async fn commit(&mut self, batch: &mut [Operation]) -> Result<Vec<Change>, sqlx::Error> {
        let now = to_microsecond(self.clock.now());
        let mut transaction = self.database.begin_with("BEGIN IMMEDIATE").await?;
        let changes = rows::expire(&mut transaction, now).await?;
        let mut turn = Turn { database: &mut transaction, now, ids: &mut self.ids, changes };
        for operation in batch {
            turn.apply(operation).await?;
        }
        let changes = turn.changes;
        transaction.commit().await?;
        Ok(changes)
    }

    /// Forgets finished requests past their retention, a few at a time so that nobody waits long.
    async fn forget(&mut self) {
        let Ok(then) = self.clock.now().checked_sub(self.retention) else { return };
        if let Err(error) = rows::forget(&mut self.database, then).await {
            tracing::error!(%error, path = %self.path.display(), "old approvals could not be removed");
        }
    }
}

/// Rows hold microseconds; an approval is the same before and after it was stored.
fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// One transaction being filled.
struct Turn<'a> {
    database: &'a mut SqliteConnection,
    now: Timestamp,
    ids: &'a mut ContextV7,
    changes: Vec<Change>,
}

/// The outcome of one operation; the outer error undoes the whole transaction.
type Applied<T> = Result<Result<T, StoreError>, sqlx::Error>;

impl Turn<'_> {
    async fn apply(&mut self, operation: &mut Operation) -> Result<(), sqlx::Error> {
        match operation {
            Operation::Open { new, limits, answer } => answer.outcome = self.open(new, *limits).await?,
            Operation::Vote { id, who, choice, reason, answer } => {
                answer.outcome = self.vote(id, who, *choice, reason).await?;
            }
            Operation::Consume { id, answer } => answer.outcome = self.consume(id).await?,
            Operation::Close { .. } => {}
        }
        Ok(())
    }

    async fn open(&mut self, new: &NewApproval, limits: PendingLimits) -> Applied<Opened> {
        if let Some(row) = rows::open(self.database, &new.digest, &new.idempotency_key).await? {
            return Ok(row.decode().map(Opened::Attached));
        }
        let waiting = rows::count_of_principal(self.database, &rows::principal(&new.caller)).await?;
        if waiting >= i64::from(limits.per_principal) {
            return Ok(Ok(Opened::TooManyPending));
        }
        for rule in &new.rules {
            if rows::count_of_rule(self.database, rule).await? >= i64::from(limits.per_rule) {
                return Ok(Ok(Opened::TooManyPending));
            }
        }
        let approval = Approval {
            id: self.next_id(),
            digest: new.digest.clone(),
            idempotency_key: new.idempotency_key.clone(),
            state: State::Pending,
            created: self.now,
            expires: to_microsecond(later(self.now, new.expires_in)),
            caller: new.caller.clone(),
            call: new.call.clone(),
            rules: new.rules.clone(),
            revision: new.revision.clone(),
            requires: new.requires.clone(),
            grant: new.grant,
            votes: Vec::new(),
        };
        rows::insert(self.database, &approval).await?;
        self.changed(&approval);
        Ok(Ok(Opened::Created(approval)))
    }

    async fn vote(
        &mut self,
        id: &str,
        who: &Identity,
        choice: Choice,
        reason: &str,
    ) -> Applied<Result<Approval, VoteError>> {
        let Some(row) = rows::by_id(&mut *self.database, id).await? else {
            return Ok(Ok(Err(VoteError::NotFound)));
        };
        let mut approval = match row.decode() {
            Ok(approval) => approval,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(refused) = approval.vote(who, choice, reason, self.now) {
            return Ok(Ok(Err(refused.into())));
        }
        approval.expires = to_microsecond(approval.expires);
        rows::update(self.database, &approval).await?;
        self.changed(&approval);
        Ok(Ok(Ok(approval)))
    }

    async fn consume(&mut self, id: &str) -> Applied<bool> {
        let Some(row) = rows::by_id(&mut *self.database, id).await? else { return Ok(Ok(false)) };
        let mut approval = match row.decode() {
            Ok(approval) => approval,
            Err(error) => return Ok(Err(error)),
        };
        let before = approval.state;
        let released = approval.consume(self.now);
        if approval.state != before {
            rows::update(self.database, &approval).await?;
            self.changed(&approval);
        }
        Ok(Ok(released))
    }

    fn changed(&mut self, approval: &Approval) {
        self.changes.push(Change { id: approval.id.clone(), state: approval.state });
    }

    fn next_id(&mut self) -> String {
        let seconds = u64::try_from(self.now.as_second()).unwrap_or_default();
        let nanoseconds = u32::try_from(self.now.subsec_nanosecond()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(&*self.ids, seconds, nanoseconds)).to_string()
    }
}
