//! The two databases behind one set of statements.
//!
//! Statements use what SQLite and PostgreSQL have in common: `$1` for parameters, texts, 64-bit integers and bytes.
//! This module hands them to whichever database is there; it knows nothing of what they mean.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{ColumnIndex, Connection as _, Decode, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, Type};

use super::StoreError;

#[cfg(test)]
pub(super) mod old;
pub(super) mod postgres;
pub(super) mod sqlite;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// One connection, for the writer.
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(postgres::Link),
}

/// A transaction; without `commit` it is rolled back.
pub(super) enum Transaction<'c> {
    Sqlite(sqlx::Transaction<'c, Sqlite>),
    Postgres(postgres::Open<'c>),
}

/// The connections that read.
#[derive(Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(postgres::Pool),
}

/// A connection out of the pool.
pub(super) enum Lease {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(postgres::Lease),
}

/// Where a statement runs.
pub(super) enum On<'c> {
    Sqlite(&'c mut SqliteConnection),
    /// With how long it may take.
    Postgres(&'c mut PgConnection, Duration),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A parameter.
pub(super) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Vec<u8>),
}

/// A statement with its parameters, `$1` first.
pub(super) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
    /// Whether it moves more than a few rows.
    is_long: bool,
}

/// What a column may hold, on both databases.
pub(super) trait Column<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}

impl<'r, T> Column<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{}

/// How a column is named: by its name, or by its place from 0.
pub(super) trait Name: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}

impl<T: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Name for T {}

pub(super) fn query(sql: impl SqlSafeStr) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new(), is_long: false }
}

impl Query {
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// It moves much, and may take longer than others.
    pub(super) fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    fn limit(&self, limit: Duration) -> Duration {
        if self.is_long { limit.max(postgres::LONG) } else { limit }
    }

    pub(super) async fn fetch_all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<Row>, StoreError> {
        match on.into() {
            On::Sqlite(connection) => {
                let rows = self.on_sqlite().fetch_all(connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            On::Postgres(connection, limit) => {
                let rows =
                    postgres::in_time(self.limit(limit), self.on_postgres().fetch_all(connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    pub(super) async fn fetch_optional<'c>(self, on: impl Into<On<'c>>) -> Result<Option<Row>, StoreError> {
        match on.into() {
            On::Sqlite(connection) => Ok(self.on_sqlite().fetch_optional(connection).await?.map(Row::Sqlite)),
            On::Postgres(connection, limit) => {
                let row = postgres::in_time(self.limit(limit), self.on_postgres().fetch_optional(connection))
                    .await?;
                Ok(row.map(Row::Postgres))
            }
        }
    }

    pub(super) async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, StoreError> {
        self.fetch_optional(on).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// The first column of the only row.
    pub(super) async fn fetch_value<'c, T>(self, on: impl Into<On<'c>>) -> Result<T, StoreError>
    where
        T: for<'r> Column<'r>,
    {
        Ok(self.fetch_one(on).await?.try_get(0)?)
    }

    /// The first column of every row.
    pub(super) async fn fetch_values<'c, T>(self, on: impl Into<On<'c>>) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> Column<'r>,
    {
        let rows = self.fetch_all(on).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Returns how many rows it changed.
    pub(super) async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<u64, StoreError> {
        match on.into() {
            On::Sqlite(connection) => Ok(self.on_sqlite().execute(connection).await?.rows_affected()),
            On::Postgres(connection, limit) => {
                let done = postgres::in_time(self.limit(limit), self.on_postgres().execute(connection));
                Ok(done.await?.rows_affected())
            }
        }
    }

    fn on_sqlite(self) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    }

    fn on_postgres(self) -> sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments> {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Integer(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    }
}

impl Row {
    pub(super) fn try_get<'r, T: Column<'r>, N: Name>(&'r self, name: N) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
    }
}

/// Whether the connection is of no use after this error: what it was asked last may be still under way, or it is to a
/// server that ends or takes no changes.
pub(super) fn is_lost(error: &StoreError) -> bool {
    /// Classes of errors after which the same connection works on: data, constraints, conflicts, limits, locks.
    const OF_THE_STATEMENT: [&str; 5] = ["22", "23", "40", "54", "55"];
    match error {
        StoreError::Failed(_) => !has_class(error, &OF_THE_STATEMENT),
        StoreError::Slow | StoreError::Away => true,
        _ => false,
    }
}

/// Whether one change is wrong, and others of its transaction may be good: not, where the database fails or is busy.
pub(super) fn is_of_one_change(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreadable(_)) || has_class(error, &["22", "23", "54"])
}

/// Whether others held the writers' lock too long: nothing was done, and the next try may have it.
pub(super) fn is_lock_timeout(error: &StoreError) -> bool {
    has_class(error, &["55P03"])
}

fn has_class(error: &StoreError, classes: &[&str]) -> bool {
    let StoreError::Failed(error) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

impl Connection {
    /// Begins a transaction that writes; no other one writes until it ends.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                Ok(Transaction::Sqlite(connection.begin_with("BEGIN IMMEDIATE").await?))
            }
            Self::Postgres(link) => Ok(Transaction::Postgres(link.begin().await?)),
        }
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => Ok(connection.close().await?),
            Self::Postgres(link) => link.close().await,
        }
    }
}

impl Transaction<'_> {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => Ok(transaction.commit().await?),
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

impl Transaction<'_> {
    /// Lets the statements that follow take longer than others.
    pub(super) async fn allow_long(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(transaction) => transaction.allow_long().await,
        }
    }

    /// Where others share the database, they are told these lines after the commit.
    pub(super) async fn notify(&mut self, lines: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(_) => postgres::notify(lines).execute(self).await.map(drop),
        }
    }
}

impl Pool {
    /// Closes the connections that are not in use.
    pub(super) fn renew(&self) {
        match self {
            Self::Sqlite(_) => {}
            Self::Postgres(pool) => pool.renew(),
        }
    }

    /// A connection, which goes back by `Lease::give_back` and else, on PostgreSQL, is closed.
    pub(super) async fn lease(&self) -> Result<Lease, StoreError> {
        match self {
            Self::Sqlite(pool) => Ok(Lease::Sqlite(pool.acquire().await?)),
            Self::Postgres(pool) => Ok(Lease::Postgres(pool.lease().await?)),
        }
    }

    /// Boxed, because a call that waits between two reads would carry the room of a read all the time.
    pub(super) fn fetch_all(&self, query: Query) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let rows = query.fetch_all(&mut lease).await?;
            lease.give_back();
            Ok(rows)
        })
    }

    /// Boxed like `fetch_all`.
    pub(super) fn fetch_optional(&self, query: Query) -> BoxFuture<'_, Result<Option<Row>, StoreError>> {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let row = query.fetch_optional(&mut lease).await?;
            lease.give_back();
            Ok(row)
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close(),
        }
    }
}

impl Lease {
    /// Begins a transaction that sees one moment throughout, and writes nothing.
    pub(super) async fn snapshot(&mut self) -> Result<Transaction<'_>, StoreError> {
        match self {
            Self::Sqlite(connection) => Ok(Transaction::Sqlite(connection.begin().await?)),
            Self::Postgres(lease) => Ok(Transaction::Postgres(lease.link().snapshot().await?)),
        }
    }

    /// The connection is in order, and may serve the next one.
    pub(super) fn give_back(self) {
        match self {
            Self::Sqlite(connection) => drop(connection),
            Self::Postgres(lease) => lease.give_back(),
        }
    }
}

impl<'c> From<&'c mut Connection> for On<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        match connection {
            Connection::Sqlite(connection) => Self::Sqlite(connection),
            Connection::Postgres(link) => link.on(),
        }
    }
}

impl<'c> From<&'c mut Transaction<'_>> for On<'c> {
    fn from(transaction: &'c mut Transaction<'_>) -> Self {
        match transaction {
            Transaction::Sqlite(transaction) => Self::Sqlite(transaction),
            Transaction::Postgres(transaction) => transaction.on(),
        }
    }
}

impl<'c> From<&'c mut Lease> for On<'c> {
    fn from(lease: &'c mut Lease) -> Self {
        match lease {
            Lease::Sqlite(connection) => Self::Sqlite(connection),
            Lease::Postgres(lease) => lease.link().on(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::Bytes(bytes.clone())
    }
}
