//! API keys and revocations, and the sequence of their changes that every server follows.
//!
//! The store keeps what it is told; what a key or a revocation means is `crate::authn`'s business.

use jiff::Timestamp;
use tokio::sync::watch;

use super::writer::{Command, Task};
use super::{MAX_LISTED, Store, StoreError};
use crate::actor::Actor;
use crate::credential::{ApiKey, Revocation, RevocationKind};

/// Every server keeps all of them in memory, so there is an end to them: of revocations, and of keys.
pub const MAX_CREDENTIALS: u32 = 100_000;

/// Log-outs of the console that are kept at once, each until its session would have ended anyway.
pub const MAX_LOGOUTS: u32 = 100_000;

/// A key to keep.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Sorts by age.
    pub id: String,
    pub name: String,
    pub owner: String,
    pub person: String,
    pub groups: Vec<String>,
    pub hash: String,
    pub created_by: Actor,
    pub expires: Option<Timestamp>,
}

/// A revocation to keep.
#[derive(Clone, Debug)]
pub struct NewRevocation {
    pub kind: RevocationKind,
    pub value: String,
    pub issuer: String,
    pub issued_before: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub created_by: Actor,
    pub reason: String,
}

/// A key to take back for good.
#[derive(Clone, Debug)]
pub struct RevokedKey {
    pub id: String,
    pub by: Actor,
    pub reason: String,
}

/// One change of a key or revocation.
#[derive(Clone, Debug)]
pub enum CredentialChange {
    CreateKey(NewApiKey),
    RevokeKey(RevokedKey),
    Revoke(NewRevocation),
    /// Ends a revocation, and forgets it.
    Undo(String),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// The key as it is now; also when it was revoked before.
    Key(ApiKey),
    /// The revocation as it was made, or as it was when it was undone.
    Revocation(Revocation),
    /// There are [`MAX_CREDENTIALS`], or [`MAX_LOGOUTS`], already; nothing was written.
    Full,
    /// Nothing has this id; nothing was written.
    Unknown,
}

/// What changed since a follower looked last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CredentialChanges {
    /// The number of the newest change; 0 before the first.
    pub newest: i64,
    /// Whether this is all there is, in place of all that was known; otherwise it is what changed.
    pub whole: bool,
    /// By id; `None` for those that are gone.
    pub api_keys: Vec<(String, Option<ApiKey>)>,
    /// By id; `None` for those that are gone.
    pub revocations: Vec<(String, Option<Revocation>)>,
}

impl Store {
    /// Writes one change; it is durable when this returns.
    pub async fn change_credential(&self, change: CredentialChange) -> Result<Changed, StoreError> {
        self.write(|reply| Command::Credential(Box::new(Task::new(change, reply)))).await
    }

    /// At most `limit` keys, 500 at most, the newest first; only those older than the one with the id `before`.
    pub async fn api_keys(&self, limit: u32, before: Option<&str>) -> Result<Vec<ApiKey>, StoreError> {
        self.reader.api_keys(limit.min(MAX_LISTED), before).await
    }

    /// As [`Store::api_keys`], for revocations; those that ended are listed until they are forgotten, log-outs of the console
    /// never.
    pub async fn revocations(&self, limit: u32, before: Option<&str>) -> Result<Vec<Revocation>, StoreError> {
        self.reader.revocations(limit.min(MAX_LISTED), before).await
    }

    /// What changed after the change with the number `seen`; `None` asks for everything.
    pub async fn credential_changes(&self, seen: Option<i64>) -> Result<CredentialChanges, StoreError> {
        self.reader.credential_changes(seen).await
    }

    /// Is told after each commit that changed a credential. On SQLite, those of other processes are found by asking.
    pub fn credentials_changed(&self) -> watch::Receiver<()> {
        self.told.credentials()
    }
}
