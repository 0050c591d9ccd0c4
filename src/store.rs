//! Where requests for approval live: one SQLite file, written by one task.
//!
//! Acknowledged means durable: callers queue operations, the writer applies what is queued in one transaction
//! and answers only after its commit (WAL, `synchronous=FULL`). The rules of an approval are `crate::approval`'s;
//! the writer loads, applies them and writes, so that concurrent decisions meet in one place. Knows nothing of
//! policies, Envoy or HTTP.

mod error;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{broadcast, mpsc, oneshot};

pub use self::error::{StoreError, VoteError};
use self::writer::{Answer, Operation, Writer};
use crate::approval::{Approval, CallSummary, Caller, Choice, State};
use crate::clock::Clock;
use crate::effect::{Approvers, Grant};
use crate::identity::Identity;

/// How long finished requests are kept, unless the configuration says otherwise.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Operations that may wait for the writer; more wait in their callers.
const QUEUE: usize = 1_024;

/// Changes that a slow listener may be behind before it is told that it missed some.
const CHANGES: usize = 8_192;

const READERS: u32 = 4;

/// The requests for approval. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    clock: Clock,
    readers: SqlitePool,
    queue: mpsc::Sender<Operation>,
    changes: broadcast::Sender<Change>,
}

/// A request for approval before the store has given it an id and a time.
#[derive(Clone, Debug)]
pub struct NewApproval {
    pub digest: String,
    pub idempotency_key: String,
    pub caller: Caller,
    pub call: CallSummary,
    pub rules: Vec<String>,
    pub revision: String,
    pub requires: Vec<Approvers>,
    pub grant: Grant,
    pub expires_in: Duration,
}

/// How many requests may be pending at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingLimits {
    /// Of one caller (issuer, subject and SPIFFE id).
    pub per_principal: u32,
    /// Held by one rule.
    pub per_rule: u32,
}

/// What came of asking for an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Created(Approval),
    /// The same call waits already, or was approved and not used yet.
    Attached(Approval),
    TooManyPending,
}

/// Which requests to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    /// At most this many; 0 is none.
    pub limit: u32,
    /// Only those older than the one with this id.
    pub before: Option<String>,
}

/// A request was opened, voted on, decided, used or expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: String,
    pub state: State,
}

impl Default for PendingLimits {
    fn default() -> Self {
        Self { per_principal: 20, per_rule: 1_000 }
    }
}

impl Store {
    /// Opens the store, creating the file if there is none, and brings its schema up to date. Keeps finished
    /// requests for `DEFAULT_RETENTION`.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with_retention(path, clock, DEFAULT_RETENTION).await
    }

    /// Like `open`; forgets finished requests when they are older than `retention`.
    pub async fn open_with_retention(
        path: &Path,
        clock: Clock,
        retention: Duration,
    ) -> Result<Self, StoreError> {
        create_private(path)?;
        let failed = |error| StoreError::database(path, error);
        let options = options(path);
        let (changes, _) = broadcast::channel(CHANGES);
        let (queue, operations) = mpsc::channel(QUEUE);
        // The writer first: it creates what readers need.
        let writer = Writer::connect(path, &options, clock.clone(), changes.clone(), retention).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS);
        let readers = readers.connect_with(options.pragma("query_only", "ON")).await.map_err(failed)?;
        tokio::spawn(writer.run(operations));
        Ok(Self(Arc::new(Shared { path: path.to_owned(), clock, readers, queue, changes })))
    }

    /// Attaches to the open (pending, or approved and unused) approval with this digest and idempotency key, or
    /// creates one.
    pub async fn open_approval(&self, new: NewApproval, limits: PendingLimits) -> Result<Opened, StoreError> {
        self.write(|answer| Operation::Open { new: Box::new(new), limits, answer }).await
    }

    /// The approval as it stands now: past its expiry it is `Expired`, swept or not.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        let row = rows::by_id(&self.0.readers, id).await.map_err(|error| self.failed(error))?;
        let Some(row) = row else { return Ok(None) };
        let mut approval = row.decode()?;
        approval.state = approval.state_at(self.0.clock.now());
        Ok(Some(approval))
    }

    /// Newest first, and without their bodies (`call.body` is empty): a list of bodies has no bounded size.
    pub async fn approvals(&self, filter: Filter) -> Result<Vec<Approval>, StoreError> {
        let rows = rows::list(&self.0.readers, &filter).await.map_err(|error| self.failed(error))?;
        let now = self.0.clock.now();
        let mut approvals = Vec::with_capacity(rows.len());
        for row in rows {
            let mut approval = row.decode()?;
            approval.state = approval.state_at(now);
            approvals.push(approval);
        }
        // What expired less than a sweep ago is still filed under its old state.
        approvals.retain(|approval| filter.state.is_none_or(|state| approval.state == state));
        Ok(approvals)
    }

    /// Records one person's decision; answers with the approval as it then stands.
    pub async fn vote(
        &self,
        id: &str,
        who: &Identity,
        choice: Choice,
        reason: &str,
    ) -> Result<Approval, VoteError> {
        let (id, who, reason) = (id.to_owned(), Box::new(who.clone()), reason.to_owned());
        self.write(|answer| Operation::Vote { id, who, choice, reason, answer }).await?
    }

    /// Uses an approval for one call. At most once: `true` for exactly one caller of a `once` grant, and
    /// committed before it returns.
    pub async fn consume(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(|answer| Operation::Consume { id, answer }).await
    }

    /// Every change, after its commit; expiry at most a second late. A receiver that lags has missed some: it
    /// must read again whatever it waits for.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Whether the store can be read and its writer runs, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.0.queue.is_closed() {
            return Err(StoreError::Closed);
        }
        rows::ping(&self.0.readers).await.map_err(|error| self.failed(error))
    }

    /// Commits what is queued and closes the file. Later writes answer `StoreError::Closed`.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.0.queue.send(Operation::Close { answer }).await.is_ok() {
            let _ = closed.await;
        }
        self.0.readers.close().await;
    }

    async fn write<T>(&self, operation: impl FnOnce(Answer<T>) -> Operation) -> Result<T, StoreError> {
        let (answer, outcome) = Answer::channel();
        self.0.queue.send(operation(answer)).await.map_err(|_| StoreError::Closed)?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolClosed => StoreError::Closed,
            error => StoreError::database(&self.0.path, error),
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
}

/// The file holds request bodies: only its owner may read it. SQLite gives its companions the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let open = |error: std::io::Error| StoreError::Open { path: path.to_owned(), why: error.to_string() };
    options.open(path).map(drop).map_err(open)
}
