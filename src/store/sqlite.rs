//! The statements, on SQLite: how an approval becomes a row and a row an approval.
//!
//! Parameters are `$1`, so that the statements read the same on PostgreSQL.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, Sqlite, SqliteConnection};

use super::StoreError;
use crate::approval::{Approval, CallSummary, Caller, State};
use crate::effect::{Approvers, Grant};

mod bundles;
mod credentials;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const READERS: u32 = 4;

/// Opens the file, brings its schema up to date, and returns the writer's connection and the readers'.
pub(super) async fn open(path: &Path) -> Result<(SqliteConnection, Reader), StoreError> {
    create_private(path)
        .map_err(|error| StoreError::Open { path: path.to_owned(), reason: error.to_string() })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let mut writing = options.clone().connect().await.map_err(|error| open_error(path, error))?;
    MIGRATIONS.run(&mut writing).await.map_err(|error| match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooNew(..) => StoreError::NewerSchema(path.to_owned()),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => open_error(path, error),
        error => StoreError::Open { path: path.to_owned(), reason: error.to_string() },
    })?;
    // A file that can only be read is found out now, and not by the first call that waits.
    let probe = Transaction::begin(&mut writing).await.map_err(|error| open_error(path, error))?;
    drop(probe);
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.read_only(true))
        .await
        .map_err(|error| open_error(path, error))?;
    Ok((writing, Reader(pool)))
}

/// The bodies of held calls are nobody else's business.
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn open_error(path: &Path, error: sqlx::Error) -> StoreError {
    /// SQLITE_CORRUPT and SQLITE_NOTADB.
    const DAMAGED: [&str; 2] = ["11", "26"];
    let code = error.as_database_error().and_then(|error| error.code());
    match code {
        Some(code) if DAMAGED.contains(&code.as_ref()) => StoreError::Corrupt(path.to_owned()),
        _ => StoreError::Open { path: path.to_owned(), reason: error.to_string() },
    }
}

/// Ids that sort by age, also within one millisecond.
#[derive(Default)]
pub(super) struct Ids(Mutex<uuid::ContextV7>);

impl Ids {
    pub(super) fn next(&self, now: Timestamp) -> String {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(&self.0, seconds, nanoseconds)).to_string()
    }
}

/// The connections that read.
#[derive(Clone)]
pub(super) struct Reader(SqlitePool);

impl Reader {
    pub(super) async fn approval(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM approvals WHERE id = $1").bind(id).fetch_optional(&self.0).await?;
        row.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn approvals(
        &self,
        state: Option<State>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        // Sorts after every id.
        let before = before.unwrap_or("~");
        let query = match state {
            Some(state) => sqlx::query(
                "SELECT id, digest, idempotency_key, state, created_at, expires_at, terms, votes, '' AS body \
                 FROM approvals WHERE state = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            )
            .bind(state.as_str()),
            None => sqlx::query(
                "SELECT id, digest, idempotency_key, state, created_at, expires_at, terms, votes, '' AS body \
                 FROM approvals WHERE id < $1 ORDER BY id DESC LIMIT $2",
            ),
        };
        let rows = query.bind(before).bind(i64::from(limit)).fetch_all(&self.0).await?;
        rows.iter().map(decode).collect()
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT count(*) FROM pending_rules WHERE rule = ''").fetch_one(&self.0).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

/// The writer's transaction.
pub(super) struct Transaction<'c>(sqlx::Transaction<'c, Sqlite>);

impl<'c> Transaction<'c> {
    pub(super) async fn begin(connection: &'c mut SqliteConnection) -> Result<Self, sqlx::Error> {
        Ok(Self(connection.begin_with("BEGIN IMMEDIATE").await?))
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }

    pub(super) async fn approval(&mut self, id: &str) -> Result<Option<Approval>, StoreError> {
        let query = sqlx::query("SELECT * FROM approvals WHERE id = $1").bind(id);
        query.fetch_optional(&mut *self.0).await?.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn open_approval(
        &mut self,
        digest: &str,
        idempotency_key: &str,
    ) -> Result<Option<Approval>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM approvals \
             WHERE digest = $1 AND idempotency_key = $2 AND state IN ('pending', 'approved')",
        );
        let row = query.bind(digest).bind(idempotency_key).fetch_optional(&mut *self.0).await?;
        row.map(|row| decode(&row)).transpose()
    }

    pub(super) async fn pending_of(&mut self, caller: &Caller) -> Result<i64, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT count(*) FROM approvals \
             WHERE issuer = $1 AND subject = $2 AND spiffe = $3 AND state = 'pending'",
        );
        let query = query.bind(&caller.issuer).bind(&caller.subject).bind(&caller.spiffe);
        Ok(query.fetch_one(&mut *self.0).await?)
    }

    pub(super) async fn pending_by(&mut self, rule: &str) -> Result<i64, StoreError> {
        let query = sqlx::query_scalar("SELECT count(*) FROM pending_rules WHERE rule = $1").bind(rule);
        Ok(query.fetch_one(&mut *self.0).await?)
    }

    pub(super) async fn insert(&mut self, approval: &Approval) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO approvals (id, digest, idempotency_key, state, created_at, expires_at, \
             issuer, subject, spiffe, terms, votes, body) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        );
        query
            .bind(&approval.id)
            .bind(&approval.digest)
            .bind(&approval.idempotency_key)
            .bind(approval.state.as_str())
            .bind(approval.created.as_microsecond())
            .bind(approval.expires.as_microsecond())
            .bind(&approval.caller.issuer)
            .bind(&approval.caller.subject)
            .bind(&approval.caller.spiffe)
            .bind(to_json(&Terms::of(approval))?)
            .bind(to_json(&approval.votes)?)
            .bind(&approval.call.body)
            .execute(&mut *self.0)
            .await?;
        for rule in &approval.rules {
            let query = sqlx::query(
                "INSERT INTO pending_rules (rule, approval) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            );
            query.bind(rule).bind(&approval.id).execute(&mut *self.0).await?;
        }
        Ok(())
    }

    /// Writes what a decision or a use changed.
    pub(super) async fn update(&mut self, approval: &Approval) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE approvals SET state = $2, expires_at = $3, votes = $4 WHERE id = $1")
            .bind(&approval.id)
            .bind(approval.state.as_str())
            .bind(approval.expires.as_microsecond())
            .bind(to_json(&approval.votes)?);
        query.execute(&mut *self.0).await?;
        if approval.state != State::Pending {
            self.not_pending(&approval.id).await?;
        }
        Ok(())
    }

    /// Marks as expired what is due at `now`, and returns the ids.
    pub(super) async fn expire(&mut self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar(
            "UPDATE approvals SET state = 'expired' \
             WHERE state IN ('pending', 'approved') AND expires_at <= $1 RETURNING id",
        );
        let expired: Vec<String> = query.bind(now.as_microsecond()).fetch_all(&mut *self.0).await?;
        for id in &expired {
            self.not_pending(id).await?;
        }
        Ok(expired)
    }

    /// Deletes the finished requests made before `kept_since`.
    pub(super) async fn forget(&mut self, kept_since: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(
            "DELETE FROM approvals WHERE created_at < $1 AND state IN ('rejected', 'expired', 'used')",
        );
        query.bind(kept_since.as_microsecond()).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn not_pending(&mut self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM pending_rules WHERE approval = $1").bind(id).execute(&mut *self.0).await?;
        Ok(())
    }
}

/// What never changes after a request was made, but for the body of the call, which has its own column.
#[derive(Serialize, Deserialize)]
struct Terms {
    caller: Caller,
    call: CallSummary,
    rules: Vec<String>,
    revision: String,
    requires: Vec<Approvers>,
    grant: Grant,
}

impl Terms {
    fn of(approval: &Approval) -> Self {
        let call = CallSummary { body: String::new(), ..approval.call.clone() };
        Self {
            caller: approval.caller.clone(),
            call,
            rules: approval.rules.clone(),
            revision: approval.revision.clone(),
            requires: approval.requires.clone(),
            grant: approval.grant,
        }
    }
}

fn decode(row: &SqliteRow) -> Result<Approval, StoreError> {
    let mut terms: Terms = from_json(row.try_get("terms")?)?;
    terms.call.body = row.try_get("body")?;
    Ok(Approval {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        idempotency_key: row.try_get("idempotency_key")?,
        state: State::from_str(row.try_get("state")?).map_err(unreadable)?,
        created: Timestamp::from_microsecond(row.try_get("created_at")?).map_err(unreadable)?,
        expires: Timestamp::from_microsecond(row.try_get("expires_at")?).map_err(unreadable)?,
        caller: terms.caller,
        call: terms.call,
        rules: terms.rules,
        revision: terms.revision,
        requires: terms.requires,
        grant: terms.grant,
        votes: from_json(row.try_get("votes")?)?,
    })
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unreadable)
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(Arc::from(error.to_string()))
}
