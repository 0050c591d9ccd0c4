//! Durable approvals, policy revisions, keys, revocations and notices of them: what was acknowledged survives a crash.
//!
//! Callers hand changes to one writer task, which applies everything that is queued in one transaction and
//! acknowledges it after the commit. The rules of the state machine are [`crate::approval`]'s; this module loads,
//! applies and writes. It knows nothing of Envoy, of HTTP and of who may see what.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::approval::{Approval, CallSummary, Caller, Choice, Requirement, State};
use crate::clock::{self, Clock};
use crate::effect::{Class, Grant};
use crate::identity::Identity;
use crate::metrics::Metrics;

mod announce;
mod bundles;
mod config;
mod credentials;
mod database;
mod error;
mod lookups;
mod outbox;
#[cfg(test)]
mod replicas;
mod retention;
mod statements;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[allow(clippy::duplicate_mod, reason = "one suite, on both databases")]
#[path = "store/tests.rs"]
mod tests_on_postgres;
mod writer;

pub use crate::actor::Actor;
pub use announce::{Change, Changes};
pub use bundles::{
    Activate, BundleChange, BundleEvent, BundleState, Content, EventKind, KEPT_BUNDLES, KEPT_EVENTS,
    KeptBundle, NewBundle, NewestVersion, RecordedEvent, StateChange,
};
pub use config::{Config, Postgres, UrlProblem, UrlSource};
pub use credentials::{
    Changed, CredentialChange, CredentialChanges, MAX_CREDENTIALS, MAX_LOGOUTS, NewApiKey, NewRevocation,
    RevokedKey,
};
pub use error::{StoreError, VoteError};
pub use retention::{DEFAULT_BODY_RETENTION, DEFAULT_RETENTION, Retention};

use announce::Announcements;
use lookups::Lookups;
pub use outbox::{Outgoing, Settled, Standing};
use writer::{Ballot, Command, Task, Use};

/// Changes that wait for the writer; a caller beyond that waits for its turn.
const QUEUE: usize = 4_096;

/// How long a caller waits for a commit. What is slower may still be written: that can use up an approval, and
/// never uses one twice.
const PATIENCE: Duration = Duration::from_secs(8);

/// The most that one listing returns.
const MAX_LISTED: u32 = 500;

/// Among how many of a caller's calls similar ones are looked for.
const SIMILAR_AMONG: u32 = 200;

/// Where approvals, policy revisions, keys and revocations live. Clones share one writer.
#[derive(Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    reader: statements::Reader,
    lookups: Lookups,
    told: Announcements,
    clock: Clock,
    /// Whether the writer has a connection.
    up: Arc<AtomicBool>,
    /// Hears what other servers commit; ends with the last clone.
    listener: Option<Arc<AbortOnDropHandle<()>>>,
    ids: Arc<statements::Ids>,
    /// Who is told how long changes took.
    metrics: Option<Metrics>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// A held call that asks for approval.
#[derive(Clone, Debug)]
pub struct NewApproval {
    /// Of [`Store::new_id`].
    pub id: String,
    pub digest: String,
    /// That of the very call, where `digest` is of a class of calls.
    pub exact: Option<String>,
    pub idempotency_key: String,
    pub caller: Caller,
    pub call: CallSummary,
    pub rules: Vec<String>,
    pub revision: String,
    pub requires: Vec<Requirement>,
    pub grant: Grant,
    pub same: Option<Class>,
    pub remind_after: Option<Duration>,
    /// The rules that approve by themselves, each with its reason.
    pub auto_approved: Vec<(String, String)>,
    /// How long it stays open.
    pub expires_in: Duration,
    /// How long after a use the same call counts as a retry of the one that was released. With an `idempotency_key` it
    /// does as long as that approval would have been open.
    pub retry_window: Duration,
}

/// The ids of the requests that wait for a decision, one space between two.
#[derive(Debug)]
pub struct PendingIds(String);

impl PendingIds {
    pub fn set(&self) -> HashSet<&str> {
        self.0.split_ascii_whitespace().collect()
    }
}

/// How many pending requests there may be; see [`Opened::TooManyPending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingLimits {
    /// A principal is an issuer, a subject and a SPIFFE id.
    pub per_principal: u32,
    pub per_rule: u32,
    /// Requests that one principal opens within an hour, whatever becomes of them; see [`Opened::TooManyOpened`].
    pub opened_per_principal: u32,
}

impl Default for PendingLimits {
    fn default() -> Self {
        Self { per_principal: 20, per_rule: 1_000, opened_per_principal: 1_000 }
    }
}

/// What became of a request for approval. Approvals come without the bodies of their calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    Created(Approval),
    /// The same call waits already, or was approved and not used yet.
    Attached(Approval),
    /// This call is a retry of one that was released already.
    AlreadyUsed(Approval),
    TooManyPending,
    TooManyOpened,
}

/// Which approvals to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    /// At most this many; 500 at most.
    pub limit: u32,
    /// Only those older than the one with this id.
    pub before: Option<String>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// May be fewer than asked for, or none, though there are more: what has just expired is pending no more.
    pub approvals: Vec<Approval>,
    /// The `before` of the next page; `None` on the last.
    pub before: Option<String>,
}

impl Store {
    /// Opens the file, or creates it, readable by its owner only.
    pub async fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_keeping(path, DEFAULT_RETENTION, clock).await
    }

    /// As `open`; finished requests are deleted when they are older than `retention`.
    pub async fn open_keeping(path: &Path, retention: Duration, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(&Config::Sqlite(path.to_owned()), retention, clock).await
    }

    /// Opens the file, or connects to the database, and brings its schema up to date.
    pub async fn connect(
        config: &Config,
        retention: impl Into<Retention>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let retention = retention.into();
        let (writing, pool) = match config {
            Config::Sqlite(path) => database::sqlite::open(path).await?,
            Config::Postgres(postgres) => database::postgres::open(postgres).await?,
        };
        let reader = statements::Reader::new(pool);
        let (commands, queue) = mpsc::channel(QUEUE);
        let (told, up) = (Announcements::new(QUEUE), Arc::new(AtomicBool::new(true)));
        let listener = match config {
            Config::Sqlite(_) => None,
            Config::Postgres(postgres) => {
                let listener = database::postgres::listener(postgres).await?;
                let hearing = database::postgres::listen(listener, postgres.clone(), told.clone());
                Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(hearing))))
            }
        };
        let database =
            writer::Database { connection: writing, config: config.clone(), reader: reader.clone() };
        let ids = Arc::<statements::Ids>::default();
        let writer =
            writer::Writer::new(database, clock.clone(), retention, told.clone(), up.clone(), ids.clone());
        tokio::spawn(writer.run(queue));
        let lookups = Lookups::new(reader.clone());
        Ok(Self { commands, reader, lookups, told, clock, up, listener, ids, metrics: None })
    }

    /// The same store; changes that come by it, or by its clones, are measured from their caller's hand to the commit.
    #[must_use]
    pub fn measured_by(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// An id for what is created next; ids sort by age.
    pub fn new_id(&self) -> String {
        self.ids.next(self.clock.now())
    }

    /// The ids of the requests that wait for a decision.
    pub async fn pending(&self) -> Result<PendingIds, StoreError> {
        self.reader.pending().await
    }

    /// How many requests wait for a decision.
    pub async fn count_pending(&self) -> Result<i64, StoreError> {
        self.reader.count_pending().await
    }

    /// Attaches to the open approval (pending, or approved and unused) of the same digest and idempotency key,
    /// or creates one.
    pub async fn open_approval(&self, new: NewApproval, limits: PendingLimits) -> Result<Opened, StoreError> {
        self.write(|reply| Command::Open(Box::new(Task::new((new, limits), reply)))).await
    }

    /// One approval, with the state it has now.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        let found = self.reader.approval(id).await?;
        Ok(found.map(|approval| self.as_of_now(approval)))
    }

    /// As `approval`, without the body of the call, and together with all who ask meanwhile.
    pub async fn approval_without_body(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        let found = self.lookups.approval(id).await?;
        Ok(found.map(|approval| self.as_of_now(approval)))
    }

    /// The newest first, each without the body of its call.
    pub async fn approvals(&self, filter: Filter) -> Result<Listed, StoreError> {
        let limit = filter.limit.min(MAX_LISTED);
        let found = self.reader.approvals(filter.state, filter.before.as_deref(), limit).await?;
        let full = u32::try_from(found.len()).is_ok_and(|count| count == limit);
        let before = found.last().filter(|_| full).map(|last| last.id.clone());
        let listed = found.into_iter().map(|approval| self.as_of_now(approval));
        let fits = |approval: &Approval| filter.state.is_none_or(|state| approval.state == state);
        Ok(Listed { approvals: listed.filter(fits).collect(), before })
    }

    /// Records one person's decision; it is durable when this returns. The approval comes without the body of its call.
    pub async fn vote(
        &self,
        id: &str,
        who: &Identity,
        choice: Choice,
        reason: &str,
    ) -> Result<Approval, VoteError> {
        self.decide(id, who, false, choice, reason).await
    }

    /// As `vote`; `admin` says whether `who` is a member of the admin groups, who may take back what others asked for
    /// and approved.
    pub async fn decide(
        &self,
        id: &str,
        who: &Identity,
        admin: bool,
        choice: Choice,
        reason: &str,
    ) -> Result<Approval, VoteError> {
        let ballot = Ballot { id: id.to_owned(), who: who.clone(), admin, choice, reason: reason.to_owned() };
        self.write(|reply| Command::Vote(Box::new(Task::new(ballot, reply)))).await?
    }

    /// Uses an approval for the call of one decision. `true` for exactly one caller of a grant of `once`, and committed
    /// before this returns; on an error it may or may not have been used, and the call must not be released.
    pub async fn consume(&self, id: &str, decision: &str) -> Result<bool, StoreError> {
        let used = Use { id: id.to_owned(), decision: decision.to_owned() };
        self.write(|reply| Command::Consume(Task::new(used, reply))).await
    }

    /// Notes that the answer of the decision that used the approval has left. `false`: another one used it, or too long
    /// ago.
    pub async fn confirm(&self, id: &str, decision: &str) -> Result<bool, StoreError> {
        let used = Use { id: id.to_owned(), decision: decision.to_owned() };
        self.write(|reply| Command::Confirm(Task::new(used, reply))).await
    }

    /// What was decided on the caller's earlier calls that the same rules held, the newest first, without bodies; at
    /// most `limit`, of the last 200 calls.
    pub async fn similar(&self, approval: &Approval, limit: usize) -> Result<Vec<Approval>, StoreError> {
        let earlier = self.reader.before(approval, SIMILAR_AMONG).await?;
        let earlier = earlier.into_iter().map(|earlier| self.as_of_now(earlier));
        let alike = |other: &Approval| {
            other.digest == approval.digest || other.rules.iter().any(|rule| approval.rules.contains(rule))
        };
        Ok(earlier.filter(|other| other.state != State::Pending && alike(other)).take(limit).collect())
    }

    /// The approvals that changed, after the commit. A receiver that
    /// lagged behind has missed some and must read again what it waits for.
    pub fn changes(&self) -> Changes {
        self.told.approvals()
    }

    /// Whether the store can read and its writer works.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.commands.is_closed() {
            return Err(StoreError::Closed);
        }
        if !self.up.load(Ordering::Relaxed) {
            return Err(StoreError::Away);
        }
        self.reader.ping().await
    }

    /// Finishes what is queued and closes the file. Later calls fail with `Closed`. A disk that hangs is not waited for
    /// longer than other callers wait: what was acknowledged is on it.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let closing = async {
            if self.commands.send(Command::Close(done)).await.is_ok() {
                // Either way the writer has ended.
                let _ = closed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, closing).await.is_err() {
            tracing::warn!("the store did not close in time");
        }
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        if tokio::time::timeout(PATIENCE, self.reader.close()).await.is_err() {
            tracing::warn!("the store's readers did not close in time");
        }
    }

    async fn write<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let begun = clock::instant();
        let (reply, outcome) = oneshot::channel();
        let written = async {
            self.commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
            outcome.await.map_err(|_| StoreError::Closed)?
        };
        let written = tokio::time::timeout(PATIENCE, written).await.unwrap_or(Err(StoreError::Slow));
        if let Some(metrics) = &self.metrics {
            metrics.store_wrote(written.is_ok(), begun.elapsed());
        }
        written
    }

    /// What is past its expiry reads as expired, also before the sweep has come by.
    fn as_of_now(&self, mut approval: Approval) -> Approval {
        approval.state = approval.state_at(self.clock.now());
        approval
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Decode(reason) | sqlx::Error::ColumnDecode { source: reason, .. } => {
                Self::Unreadable(reason.to_string().into())
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Slow,
            error => Self::Failed(Arc::new(error)),
        }
    }
}
