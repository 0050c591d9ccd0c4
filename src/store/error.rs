//! What can go wrong with the store, in words that name the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::MigrateError;

use crate::approval::VoteRefused;

/// The store could not do what it was asked to. Nothing was acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("can't open the store `{path}`: {why}")]
    Open { path: PathBuf, why: String },
    #[error("the store `{path}` is damaged, or not an SQLite database; restore it from a backup")]
    Corrupt { path: PathBuf },
    #[error("the store `{path}` was written by a newer version of Portcullis (schema {version})")]
    NewerSchema { path: PathBuf, version: i64 },
    #[error("can't bring the schema of the store `{path}` up to date: {source}")]
    Schema { path: PathBuf, source: Arc<MigrateError> },
    #[error("the store `{path}` can't be written: {why}")]
    Unwritable { path: PathBuf, why: String },
    #[error("the store `{path}` failed: {source}")]
    Database { path: PathBuf, source: Arc<sqlx::Error> },
    #[error("the approval `{id}` in the store can't be read: {why}")]
    Unreadable { id: String, why: String },
    #[error("the store is closed")]
    Closed,
}

/// Why a decision was not recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VoteError {
    #[error("no request for approval has this id")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] VoteRefused),
    #[error(transparent)]
    Store(#[from] StoreError),
}

// SQLite's primary result codes.
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

impl StoreError {
    /// Names the usual causes; `path` is the store's file.
    pub(super) fn database(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match primary_code(&error) {
            Some(CORRUPT | NOT_A_DATABASE) => Self::Corrupt { path },
            Some(READONLY) => Self::Unwritable { path, why: "it is read-only".to_owned() },
            Some(FULL) => Self::Unwritable { path, why: "the disk is full".to_owned() },
            Some(CANT_OPEN) => Self::Open { path, why: "no such directory, or no permission".to_owned() },
            _ => Self::Database { path, source: Arc::new(error) },
        }
    }

    pub(super) fn migration(path: &Path, error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::NewerSchema { path: path.to_owned(), version },
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                Self::database(path, error)
            }
            other => Self::Schema { path: path.to_owned(), source: Arc::new(other) },
        }
    }
}

/// SQLite's result code without its extension.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
