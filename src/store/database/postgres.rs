//! A store on a PostgreSQL server, which several servers share.
//!
//! One of them writes at a time: each transaction that writes takes the same advisory lock, so that the rules hold
//! here as they do on one file. The lock ends with the transaction, and the database ends a transaction whose server
//! says nothing any more, so no server can keep the others out for longer than that.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Postgres, Row as _, SqlSafeStr};

use super::{Connection, MIGRATIONS, On, Query, query};
use crate::store::config::{self, Config};
use crate::store::{StoreError, announce};

mod listener;
mod pool;

pub(in crate::store) use listener::{connect as listener, listen};
pub(in crate::store) use pool::{Lease, Pool};

/// How long a statement may take that moves much: all revocations, or a revision's content.
pub(super) const LONG: Duration = Duration::from_secs(5);

/// How long a first connection may take, and a migration that another server is making.
const START: Duration = Duration::from_secs(5);
const MIGRATION_TIMEOUT: &str = "60000";

/// The lock of those who write: `portcull` in ASCII.
const WRITERS: i64 = 0x706f_7274_6375_6c6c;

/// A connection with how long anything may take on it.
pub(in crate::store) struct Link {
    connection: PgConnection,
    limit: Duration,
}

/// A transaction on it.
pub(in crate::store) struct Open<'c> {
    transaction: sqlx::Transaction<'c, Postgres>,
    limit: Duration,
}

/// An answer, if it comes within the limit. After `Slow` the connection is of no use.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Slow),
    }
}

impl Link {
    /// Begins a transaction that writes: alone, and seeing all that was committed before it had the lock.
    pub(super) async fn begin(&mut self) -> Result<Open<'_>, StoreError> {
        let limit = self.limit;
        let begun = self.connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED");
        let mut transaction = in_time(limit, begun).await?;
        let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS);
        in_time(limit, lock.execute(&mut *transaction)).await?;
        Ok(Open { transaction, limit })
    }

    /// Begins a transaction that sees one moment throughout.
    pub(super) async fn snapshot(&mut self) -> Result<Open<'_>, StoreError> {
        let limit = self.limit;
        let begun = self.connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        Ok(Open { transaction: in_time(limit, begun).await?, limit })
    }

    pub(super) fn on(&mut self) -> On<'_> {
        On::Postgres(&mut self.connection, self.limit)
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        in_time(self.limit, self.connection.close()).await
    }
}

impl Open<'_> {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        in_time(self.limit, self.transaction.commit()).await
    }

    pub(super) async fn allow_long(&mut self) -> Result<(), StoreError> {
        let limit = milliseconds(LONG);
        for what in ["statement_timeout", "idle_in_transaction_session_timeout"] {
            let set = sqlx::query("SELECT set_config($1, $2, true)").bind(what).bind(&limit);
            in_time(self.limit, set.execute(&mut *self.transaction)).await?;
        }
        Ok(())
    }

    pub(super) fn on(&mut self) -> On<'_> {
        On::Postgres(&mut self.transaction, self.limit)
    }
}

/// Brings the schema up to date, and returns the writer's connection and the readers'. `place` is for errors.
pub(in crate::store) async fn open(
    config: &config::Postgres,
) -> Result<(Connection, super::Pool), StoreError> {
    let place = Config::Postgres(config.clone()).to_string();
    let failed = |reason: String| StoreError::Open { place: place.clone(), reason };
    let options = config.options().map_err(failed)?;
    let patient = options.options([
        ("lock_timeout", MIGRATION_TIMEOUT),
        ("statement_timeout", "0"),
        // A migration asks for what may be there already: nothing that anybody has to be told.
        ("client_min_messages", "warning"),
    ]);
    let first = tokio::time::timeout(START, patient.connect()).await;
    let first = first.map_err(|_| failed("it does not answer".to_owned()))?;
    let mut first = first.map_err(|error| failed(error.to_string()))?;
    migrate(&mut first, &place).await?;
    let read_only = sqlx::query("SHOW transaction_read_only").fetch_one(&mut first).await;
    let read_only = read_only.and_then(|row| row.try_get::<String, _>(0));
    if read_only.map_err(|error| failed(error.to_string()))? == "on" {
        return Err(failed("it is read-only, as a standby is".to_owned()));
    }
    first.close().await.map_err(|error| failed(error.to_string()))?;
    let writing = connect(config).await.map_err(|error| failed(error.to_string()))?;
    Ok((writing, super::Pool::Postgres(Pool::new(config.clone()))))
}

/// The writer's connection, opened again.
pub(in crate::store) async fn connect(config: &config::Postgres) -> Result<Connection, StoreError> {
    let connected = async {
        let mut connection = Connection::Postgres(link(config, Use::Writing).await?);
        let row = query("SHOW transaction_read_only").fetch_one(&mut connection).await?;
        match row.try_get::<String, _>(0)?.as_str() {
            // A standby answers, and takes no change.
            "on" => Err(StoreError::Away),
            _ => Ok(connection),
        }
    };
    tokio::time::timeout(config.patience, connected).await.unwrap_or(Err(StoreError::Slow))
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Writing,
    Reading,
}

async fn link(config: &config::Postgres, purpose: Use) -> Result<Link, StoreError> {
    let options = limited(config, purpose)?;
    let connection = in_time(config.patience, options.connect()).await?;
    Ok(Link { connection, limit: config.patience })
}

/// The server gives up a little before this side does. One that stands still holds the lock for less than others wait
/// for it.
fn limited(config: &config::Postgres, purpose: Use) -> Result<PgConnectOptions, StoreError> {
    let options = config.options().map_err(|reason| StoreError::Unreadable(reason.into()))?;
    let part = |parts: u32| milliseconds(config.patience * parts / 14);
    let statement = if purpose == Use::Writing { part(13) } else { milliseconds(LONG) };
    Ok(options.options([
        ("lock_timeout", part(10).as_str()),
        ("statement_timeout", statement.as_str()),
        ("idle_in_transaction_session_timeout", part(8).as_str()),
        // Acknowledged is durable, whatever the database's default.
        ("synchronous_commit", "on"),
    ]))
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Each line is sent after the commit.
pub(super) fn notify(lines: &str) -> Query {
    let sql = "SELECT pg_notify($1, line) FROM unnest(string_to_array($2, chr(10))) AS line";
    query(sql).bind(announce::CHANNEL).bind(lines)
}

/// Several servers that start at once take turns: the migrator has a lock of its own.
async fn migrate(connection: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let failed = |reason: String| StoreError::Open { place: place.to_owned(), reason };
    let migrator = migrations();
    // Where nothing is to be done, a role that may not change the schema is enough.
    if is_current(connection, &migrator).await {
        return Ok(());
    }
    migrator.run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooNew(..) => StoreError::NewerSchema(place.to_owned()),
        error => failed(error.to_string()),
    })
}

async fn is_current(connection: &mut PgConnection, migrator: &Migrator) -> bool {
    let Ok(applied) = connection.list_applied_migrations("_sqlx_migrations").await else { return false };
    let is_applied = |migration: &Migration| {
        applied.iter().any(|one| one.version == migration.version && one.checksum == migration.checksum)
    };
    applied.len() == migrator.iter().count() && migrator.iter().all(is_applied)
}

/// The one set of migrations, in PostgreSQL's words.
pub(super) fn migrations() -> Migrator {
    let translated = MIGRATIONS.iter().map(|migration| Migration {
        sql: AssertSqlSafe(in_postgres(migration.sql.as_str())).into_sql_str(),
        ..migration.clone()
    });
    Migrator::with_migrations(translated.collect())
}

/// Types have other names, and texts must sort by their bytes here too, whatever the database's language.
fn in_postgres(sql: &str) -> String {
    let mut words = String::with_capacity(sql.len() * 2);
    for piece in sql.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let word = piece.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.push_str(match word {
            "TEXT" => "TEXT COLLATE \"C\"",
            "BLOB" => "BYTEA",
            "INTEGER" => "BIGINT",
            other => other,
        });
        words.push_str(piece.strip_prefix(word).unwrap_or_default());
    }
    words
}

#[cfg(test)]
mod tests;
