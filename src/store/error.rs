//! How the store fails its callers.

use std::sync::Arc;

use crate::approval::VoteRefused;

/// The store could not do what it was asked. `Display` is for the operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("can't open the store `{place}`: {reason}")]
    Open { place: String, reason: String },
    #[error("the store `{0}` was written by a newer version of portcullis")]
    NewerSchema(String),
    #[error("the store `{0}` is damaged, or not a portcullis store")]
    Corrupt(String),
    #[error("the store failed: {0}")]
    Failed(Arc<sqlx::Error>),
    #[error("the store holds something that can't be read: {0}")]
    Unreadable(Arc<str>),
    #[error("the store did not answer in time; whether it wrote is not known")]
    Slow,
    #[error("another server changed which policies decide meanwhile; look at them again")]
    Conflict,
    #[error("the store's database can't be reached")]
    Away,
    #[error("the store is closed")]
    Closed,
}

/// Why a decision was not recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VoteError {
    #[error("there is no such request for approval")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] VoteRefused),
    #[error(transparent)]
    Store(#[from] StoreError),
}
