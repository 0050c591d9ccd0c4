//! A store on a PostgreSQL server, which several servers share.
//!
//! One of them writes at a time: each transaction that writes takes the same advisory lock, so that the rules hold
//! here as they do on one file. The lock ends with the transaction, and the database ends a transaction whose server
//! says nothing any more, so no server can keep the others out for longer than that.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Postgres, Row as _, SqlSafeStr};

use super::{Connection, MIGRATIONS, Query, query};
use crate::store::config::{self, Config};
use crate::store::{StoreError, announce};

mod listener;
mod pool;

pub(in crate::store) use listener::{connect as listener, listen};
pub(in crate::store) use pool::{Lease, Pool};

/// How long connecting, a statement, or a commit may take; then the connection is given up. With the time that a
/// call needs besides, it ends within a second.
const LIMIT: Duration = Duration::from_millis(700);

/// What the server is told, in milliseconds: it gives up before this side does.
const LOCK_TIMEOUT: &str = "500";
const STATEMENT_TIMEOUT: &str = "650";

/// How long a transaction may wait for its server's next statement: a server that stands still holds the lock no longer.
const IDLE_TIMEOUT: &str = "400";

/// How long a first connection may take, and a migration that another server is making.
const START: Duration = Duration::from_secs(5);
const MIGRATION_TIMEOUT: &str = "60000";

/// The lock of those who write: `portcull` in ASCII.
const WRITERS: i64 = 0x706f_7274_6375_6c6c;

/// As long as is allowed.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Slow),
    }
}

/// Brings the schema up to date, and returns the writer's connection and the readers'. `place` is for errors.
pub(in crate::store) async fn open(
    config: &config::Postgres,
) -> Result<(Connection, super::Pool), StoreError> {
    let place = Config::Postgres(config.clone()).to_string();
    let failed = |reason: String| StoreError::Open { place: place.clone(), reason };
    let options = config.options().map_err(failed)?;
    let patient = options.options([("lock_timeout", MIGRATION_TIMEOUT), ("statement_timeout", "0")]);
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
    let writing = connect(config).await?;
    Ok((writing, super::Pool::Postgres(Pool::new(config.clone()))))
}

/// The writer's connection, opened again.
pub(in crate::store) async fn connect(config: &config::Postgres) -> Result<Connection, StoreError> {
    let mut connection = Connection::Postgres(connection(config).await?);
    // A standby answers, and takes no change.
    connection.begin().await?.commit().await?;
    let row = query("SHOW transaction_read_only").fetch_one(&mut connection).await?;
    match row.try_get::<String, _>(0)?.as_str() {
        "on" => Err(StoreError::Away),
        _ => Ok(connection),
    }
}

/// A connection with the limits that all work is under.
async fn connection(config: &config::Postgres) -> Result<PgConnection, StoreError> {
    let options = limited(config.options().map_err(|reason| StoreError::Unreadable(reason.into()))?);
    in_time(options.connect()).await
}

fn limited(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("lock_timeout", LOCK_TIMEOUT),
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
        // Acknowledged is durable, whatever the database's default.
        ("synchronous_commit", "on"),
    ])
}

/// Begins a transaction that writes: alone, and seeing all that was committed before it had the lock.
pub(super) async fn begin(
    connection: &mut PgConnection,
) -> Result<sqlx::Transaction<'_, Postgres>, StoreError> {
    let mut transaction = in_time(connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")).await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS);
    in_time(lock.execute(&mut *transaction)).await?;
    Ok(transaction)
}

pub(super) async fn snapshot(
    connection: &mut PgConnection,
) -> Result<sqlx::Transaction<'_, Postgres>, StoreError> {
    in_time(connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")).await
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
fn migrations() -> Migrator {
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
mod tests {
    use super::*;

    #[test]
    fn types_are_translated_and_nothing_else() {
        let sql = "CREATE TABLE t (id TEXT NOT NULL, content BLOB, at INTEGER, TEXTUAL BIGINT);";
        let expected =
            "CREATE TABLE t (id TEXT COLLATE \"C\" NOT NULL, content BYTEA, at BIGINT, TEXTUAL BIGINT);";
        assert_eq!(in_postgres(sql), expected);
    }
}
