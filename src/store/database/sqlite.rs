//! A store in one SQLite file, for one server.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Connection, MIGRATIONS, Pool};
use crate::store::StoreError;

const READERS: u32 = 4;

/// Opens the file, brings its schema up to date, and returns the writer's connection and the readers'.
pub(in crate::store) async fn open(path: &Path) -> Result<(Connection, Pool), StoreError> {
    let open_failed = |reason: String| StoreError::Open { place: path.display().to_string(), reason };
    create_private(path).map_err(|error| open_failed(error.to_string()))?;
    let options = options(path);
    let mut writing = options.clone().connect().await.map_err(|error| open_error(path, error))?;
    MIGRATIONS.run(&mut writing).await.map_err(|error| match error {
        MigrateError::VersionMissing(_)
        | MigrateError::VersionMismatch(_)
        | MigrateError::VersionTooNew(..) => StoreError::NewerSchema(path.display().to_string()),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => open_error(path, error),
        error => open_failed(error.to_string()),
    })?;
    let mut writing = Connection::Sqlite(writing);
    // A file that can only be read is found out now, and not by the first call that waits.
    drop(writing.begin().await.map_err(|error| match error {
        StoreError::Failed(error) => open_failed(error.to_string()),
        error => error,
    })?);
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.read_only(true))
        .await
        .map_err(|error| open_error(path, error))?;
    Ok((writing, Pool::Sqlite(pool)))
}

/// A new connection for the writer of a file that was opened before.
pub(in crate::store) async fn connect(path: &Path) -> Result<Connection, StoreError> {
    Ok(Connection::Sqlite(options(path).connect().await?))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
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
        Some(code) if DAMAGED.contains(&code.as_ref()) => StoreError::Corrupt(path.display().to_string()),
        _ => StoreError::Open { place: path.display().to_string(), reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;

    #[tokio::test]
    async fn unusable_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let open = async |path: &Path| Store::open(path, Clock::system()).await.err().unwrap().to_string();

        let garbage = directory.path().join("garbage.db");
        std::fs::write(&garbage, "not a database, but long enough to look like one".repeat(100)).unwrap();
        let message = open(&garbage).await;
        assert!(message.contains("is damaged") && message.contains("garbage.db"), "{message}");

        let missing = directory.path().join("missing/store.db");
        let message = open(&missing).await;
        assert!(message.contains("missing/store.db") && message.contains("can't open"), "{message}");

        let newer = directory.path().join("newer.db");
        Store::open(&newer, Clock::system()).await.unwrap().close().await;
        let mut connection =
            <sqlx::SqliteConnection as sqlx::Connection>::connect(newer.to_str().unwrap()).await.unwrap();
        let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'later', true, x'00', 0)";
        sqlx::query(later).execute(&mut connection).await.unwrap();
        let message = open(&newer).await;
        assert!(message.contains("newer version"), "{message}");
    }

    #[tokio::test]
    async fn the_file_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        Store::open(&path, Clock::system()).await.unwrap().close().await;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
