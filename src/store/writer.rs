//! The one task that changes the store: group commit, expiry, retention.
//!
//! Every batch is one transaction at one moment: the queued changes apply in order, then the commit, then the answers
//! and the announcements. What is past its expiry counts as expired at once, and is marked by the next sweep.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

use super::announce::{Announcements, Change, Committed};
use super::bundles::{BundleChange, BundleState};
use super::config::Config;
use super::database::{self, Connection};
use super::outbox::NewNotice;
use super::statements::{self, Reader, Transaction};
use super::{PATIENCE, Retention, StoreError};
use crate::approval::{Event, State};
use crate::clock::{self, Clock};
use crate::credential::Revocation;
use crate::notice::Subscription;

mod approvals;
mod command;
mod credentials;
mod outbox;
mod rows;

pub(super) use command::{Ballot, Command, Task, Use};
use rows::{About, Rows};

/// The most changes in one transaction.
const BATCH: usize = 256;

/// How often expiry looks around; nothing is announced later than this.
const SWEEP: Duration = Duration::from_millis(500);

/// The most requests that one transaction of a sweep expires or forgets.
const SWEPT: u32 = 500;

/// The most bodies that one transaction of a sweep forgets: each may have megabytes.
const SWEPT_BODIES: u32 = 50;

/// What one caller opens within this counts together.
const OPENED_WITHIN: Duration = Duration::from_secs(3_600);

/// After this a transaction is committed, and what is left has the next one: on a shared database others wait.
const LONGEST_TRANSACTION: Duration = Duration::from_millis(100);

/// How many sweeps pass between two deletions of old history: an hour of them.
const SWEEPS_PER_RETENTION: u32 = 7_200;

/// An opened database.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) config: Config,
    pub(super) reader: Reader,
}

pub(super) struct Writer {
    /// `None` while the database is away.
    connection: Option<Connection>,
    database: Config,
    /// What it read before the database went away is not to be relied on.
    reader: Reader,
    clock: Clock,
    retention: Retention,
    sweeps_until_history: u32,
    told: Announcements,
    ids: Arc<statements::Ids>,
    /// Whether there is a connection, for those who ask.
    up: Arc<AtomicBool>,
    /// Why the last try to reach the database failed; empty when it is there.
    away_because: String,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        clock: Clock,
        retention: Retention,
        told: Announcements,
        up: Arc<AtomicBool>,
        ids: Arc<statements::Ids>,
    ) -> Self {
        let Database { connection, config, reader } = database;
        Self {
            connection: Some(connection),
            database: config,
            reader,
            clock,
            retention,
            sweeps_until_history: 0,
            told,
            ids,
            up,
            away_because: String::new(),
        }
    }

    /// Runs until it is told to close or every `Store` is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                _ = sweep.tick() => self.sweep(&mut sweep).await,
            }
        }
        queue.close();
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the store failed");
        }
        drop(closing);
    }

    /// One transaction for all, or several where that would keep others out for long; if one fails, one for each, so that
    /// one bad change spoils no other.
    async fn write(&mut self, mut batch: Vec<Command>) {
        let begun = clock::instant();
        while !batch.is_empty() {
            match self.commit(&mut batch).await {
                Ok(done) => batch.drain(..done).for_each(|command| command.answer(Ok(()))),
                // Others write. Those who wait here are still there.
                Err(error) if database::is_lock_timeout(&error) && begun.elapsed() < PATIENCE => {}
                Err(error) if batch.len() == 1 || !self.may_be_of_one(&error) => {
                    batch.drain(..).for_each(|command| command.answer(Err(error.clone())));
                }
                Err(error) => {
                    tracing::warn!(%error, changes = batch.len(), "a batch failed; its changes are tried one by one");
                    for command in batch.drain(..) {
                        let mut alone = [command];
                        let result = self.commit(&mut alone).await.map(drop);
                        alone.into_iter().for_each(|command| command.answer(result.clone()));
                    }
                }
            }
        }
    }

    /// Whether the other changes of a batch deserve another try. Where the database is away or busy, that would keep all
    /// who wait much longer.
    fn may_be_of_one(&self, error: &StoreError) -> bool {
        matches!(self.database, Config::Sqlite(_)) || database::is_of_one_change(error)
    }

    /// Commits the first of `commands`, and says how many: at least one.
    async fn commit(&mut self, commands: &mut [Command]) -> Result<usize, StoreError> {
        let mut done = 0;
        let committed = self.try_commit(commands, &mut done).await;
        self.conclude(committed)?;
        Ok(done)
    }

    async fn try_commit(
        &mut self,
        commands: &mut [Command],
        done: &mut usize,
    ) -> Result<Committed, StoreError> {
        let told = self.told.clone();
        let mut batch = self.begin().await?;
        let begun = clock::instant();
        batch.know(About::of(commands)).await?;
        for command in commands {
            *done += 1;
            match command {
                Command::Open(task) => task.outcome = Some(batch.open(&task.input.0, task.input.1).await?),
                Command::Vote(task) => task.outcome = Some(batch.vote(&task.input).await?),
                // Whoever gave up waiting is not released: its approval stays for the next try.
                Command::Consume(task) if task.reply.is_closed() => {}
                Command::Consume(task) => task.outcome = Some(batch.consume(&task.input).await?),
                Command::Confirm(task) => task.outcome = Some(batch.confirm(&task.input).await?),
                Command::Bundles(task) => task.outcome = Some(batch.change_bundles(&task.input).await?),
                Command::Credential(task) => task.outcome = Some(batch.change_credential(&task.input).await?),
                Command::Outbox(task) => task.outcome = Some(batch.change_outbox(&task.input).await?),
                Command::Close(_) => {}
            }
            if begun.elapsed() > LONGEST_TRANSACTION {
                break;
            }
        }
        batch.commit(&told).await
    }

    /// What is due with time, a part of it: where there is more, the next sweep comes at once, but for what is queued.
    async fn sweep(&mut self, ticks: &mut Interval) {
        if self.connection.is_none() {
            self.connect_again().await;
            return;
        }
        let history_too = self.sweeps_until_history == 0;
        let swept = self.try_sweep(history_too).await;
        let more = swept.as_ref().is_ok_and(|(_, more)| *more);
        match self.conclude(swept.map(|(committed, _)| committed)) {
            Ok(()) if more => ticks.reset_immediately(),
            Ok(()) if history_too => self.sweeps_until_history = SWEEPS_PER_RETENTION,
            Ok(()) => self.sweeps_until_history -= 1,
            Err(error) => {
                tracing::warn!(%error, "the store could not expire what is due; it tries again");
            }
        }
    }

    /// Returns whether there is more to do than one transaction may.
    async fn try_sweep(&mut self, history_too: bool) -> Result<(Committed, bool), StoreError> {
        let (retention, told) = (self.retention, self.told.clone());
        let mut batch = self.begin().await?;
        let now = batch.now;
        let mut more = batch.expire().await? == u64::from(SWEPT);
        batch.attend().await?;
        if history_too {
            let since = |kept: Duration| now.checked_sub(kept).unwrap_or(Timestamp::MIN);
            let kept_since = since(retention.requests);
            let bodies = batch.transaction.forget_bodies(since(retention.bodies), SWEPT_BODIES).await?;
            more |= bodies == u64::from(SWEPT_BODIES);
            more |= batch.transaction.forget(kept_since, SWEPT).await? == u64::from(SWEPT);
            batch.transaction.forget_notices(kept_since).await?;
            batch.committed.credentials = batch.transaction.forget_credentials(kept_since, now).await?;
        }
        Ok((batch.commit(&told).await?, more))
    }

    /// Tells of what was committed, or gives up a connection that is of no use any more.
    fn conclude(&mut self, committed: Result<Committed, StoreError>) -> Result<(), StoreError> {
        match committed {
            Ok(committed) => {
                self.told.announce(committed);
                Ok(())
            }
            Err(error) => {
                // Of SQLite too: after a commit that failed nobody knows whether the connection is in a transaction still.
                let lost = database::is_lost(&error);
                if lost && self.connection.take().is_some() {
                    self.up.store(false, Ordering::Relaxed);
                    tracing::error!(%error, database = %self.database, "the store's database is away");
                }
                Err(error)
            }
        }
    }

    async fn connect_again(&mut self) {
        let connected = match &self.database {
            Config::Sqlite(path) => database::sqlite::connect(path).await,
            Config::Postgres(postgres) => database::postgres::connect(postgres).await,
        };
        match connected {
            Ok(connection) => {
                tracing::info!(database = %self.database, "the store's database is back");
                self.reader.renew();
                self.connection = Some(connection);
                self.up.store(true, Ordering::Relaxed);
                self.away_because.clear();
            }
            Err(error) => self.still_away(&error),
        }
    }

    /// Says why, where it is for another reason than said before: this is tried every second.
    fn still_away(&mut self, error: &StoreError) {
        let why = error.to_string();
        if self.away_because != why {
            tracing::error!(error = why, database = %self.database, "the store's database is still away");
            self.away_because = why;
        }
    }

    /// A transaction at the moment from which nobody else writes.
    async fn begin(&mut self) -> Result<Batch<'_>, StoreError> {
        // A file is opened anew at once: there is no server to wait for.
        if self.connection.is_none() && matches!(self.database, Config::Sqlite(_)) {
            self.connect_again().await;
        }
        let transaction = Transaction::begin(self.connection.as_mut().ok_or(StoreError::Away)?).await?;
        let now = moment(&self.clock);
        Ok(Batch {
            transaction,
            now,
            ids: &self.ids,
            subscriptions: self.told.outbox.subscriptions(),
            rows: Rows::new(now.checked_sub(OPENED_WITHIN).unwrap_or(Timestamp::MIN)),
            revocations: HashMap::new(),
            notices: Vec::new(),
            committed: Committed::default(),
        })
    }
}

/// As precise as what is stored, so that what is answered equals what is read back.
fn moment(clock: &Clock) -> Timestamp {
    let now = clock.now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
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
    ids: &'c statements::Ids,
    subscriptions: Arc<[Subscription]>,
    rows: Rows,
    /// What is revoked of the values that `Vote::revocable` gives.
    revocations: HashMap<[String; 4], Vec<Revocation>>,
    /// What is to be written to the outbox.
    notices: Vec<NewNotice>,
    /// What is committed once this is.
    committed: Committed,
}

impl Batch<'_> {
    /// Tells the other servers with the commit; this process is told by whoever has the answer.
    async fn commit(mut self, told: &Announcements) -> Result<Committed, StoreError> {
        self.rows.write(&mut self.transaction).await?;
        self.transaction.insert_notices(&self.notices, self.now).await?;
        self.committed.news |= !self.notices.is_empty();
        let lines = told.lines(&self.committed);
        if !lines.is_empty() {
            self.transaction.notify(&lines).await?;
        }
        self.transaction.commit().await?;
        Ok(self.committed)
    }

    /// Expires what is due, as much as one transaction may, and returns how many.
    async fn expire(&mut self) -> Result<u64, StoreError> {
        self.rows.write(&mut self.transaction).await?;
        self.rows.forget();
        let due = self.transaction.expire(self.now, SWEPT).await?;
        self.notify_expired(&due).await?;
        let count = due.len() as u64;
        for id in due {
            let change = Change { id, state: State::Expired, event: Event::Expired, here: true };
            self.committed.approvals.push(change);
        }
        Ok(count)
    }

    /// With the number of the state that it was decided by, if that matters.
    async fn change_bundles(
        &mut self,
        (number, change): &(Option<i64>, BundleChange),
    ) -> Result<Result<BundleState, StoreError>, StoreError> {
        if let Some(state) = &change.state {
            let before = self.transaction.bundle_state().await?;
            if number.is_some_and(|number| number != before.number) {
                return Ok(Err(StoreError::Conflict));
            }
            self.transaction.change_bundles(state, before, self.ids.next(self.now), self.now).await?;
            self.committed.bundles = true;
        }
        self.transaction.record_event(&change.event, self.ids.next(self.now), self.now).await?;
        Ok(Ok(self.transaction.bundle_state().await?))
    }
}
