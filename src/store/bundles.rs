//! The revisions of the policies that were active, what became of them, and which one is active: kept, so that a
//! rollback and a restart need no source.
//!
//! The store keeps what it is told; which change is allowed is `crate::bundle`'s business.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::writer::{Command, Task};
use super::{Store, StoreError};
use crate::actor::Actor;

/// So many revisions are kept, the last ones that were active.
pub const KEPT_BUNDLES: u32 = 50;

/// So many events are kept.
pub const KEPT_EVENTS: u32 = 1_000;

/// A revision that is kept, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBundle {
    pub id: String,
    /// The policies' own revision, as records and metrics name it.
    pub revision: String,
    /// Empty for plain files, as `version` and `signer`.
    pub name: String,
    pub version: String,
    /// SHA-256 of the content, in hex.
    pub digest: String,
    /// The id of the key whose signature was verified; empty for none.
    pub signer: String,
    /// Where it came from: a path, a URL, or `admin`.
    pub source: String,
    pub kept: Timestamp,
    /// When it became active last.
    pub activated: Timestamp,
    /// The id of the revision that it took the place of.
    pub previous: Option<String>,
}

/// A revision to keep.
#[derive(Clone, Debug)]
pub struct NewBundle {
    pub revision: String,
    pub name: String,
    pub version: String,
    pub digest: String,
    pub signer: String,
    pub source: String,
    pub content: Content,
}

/// What a revision consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The archive as it came, signatures included.
    Archive(Vec<u8>),
    /// Plain files, encoded by `crate::bundle`.
    Files(Vec<u8>),
}

/// Which revision decides, and what holds others off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleState {
    pub active: Option<KeptBundle>,
    /// Whether only an explicit change may replace it.
    pub pinned: bool,
    /// Whether a rollback stands: nothing newer was taken since, and nobody went forward again.
    pub rolled_back: bool,
    /// The content of the source that a person chose not to run, in the words of `crate::bundle`.
    pub passed_over: Option<String>,
    /// The newest version of each bundle that was ever active.
    pub newest: Vec<NewestVersion>,
    /// Counts the changes of it; 0 before the first.
    pub number: i64,
}

/// The newest version of a bundle that was ever active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewestVersion {
    pub name: String,
    pub version: String,
    pub digest: String,
}

/// A change of the state, with the event that tells of it; written as one.
#[derive(Clone, Debug)]
pub struct BundleChange {
    /// `None` leaves the state as it is.
    pub state: Option<StateChange>,
    pub event: BundleEvent,
}

#[derive(Clone, Debug)]
pub struct StateChange {
    pub active: Activate,
    pub pinned: bool,
    pub rolled_back: bool,
    pub passed_over: Option<String>,
    /// Replaces the one of the same name.
    pub newest: Option<NewestVersion>,
}

/// Which revision becomes active.
#[derive(Clone, Debug)]
pub enum Activate {
    /// The one that is.
    Same,
    /// This one; it is kept, and remembers which one it took the place of.
    New(Box<NewBundle>),
    /// One that is kept already, by its id.
    Kept(String),
}

/// What happened to the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Activated,
    RolledBack,
    Pinned,
    Unpinned,
    Refused,
    /// The candidate decides for a share of the callers from now on.
    CandidateBegan,
    /// It decides for nobody any more.
    CandidateEnded,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::RolledBack => "rolled_back",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Refused => "refused",
            Self::CandidateBegan => "candidate_began",
            Self::CandidateEnded => "candidate_ended",
        }
    }
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleEvent {
    pub kind: EventKind,
    /// Of the revision that it is about; empty where nothing compiled.
    pub revision: String,
    pub name: String,
    pub version: String,
    pub digest: String,
    pub source: String,
    /// Who asked for it; `None` for what the server did by itself.
    pub who: Option<Actor>,
    pub comment: String,
    /// Why it was refused: the code, and every finding on a line of its own.
    pub refusal: Option<(String, Vec<String>)>,
}

/// An event with its place in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    pub id: String,
    pub at: Timestamp,
    pub event: BundleEvent,
}

impl Store {
    /// Which revision is active, and what holds others off.
    pub async fn bundle_state(&self) -> Result<BundleState, StoreError> {
        self.reader.bundle_state().await
    }

    /// Every revision that is kept, the last active one first.
    pub async fn bundles(&self) -> Result<Vec<KeptBundle>, StoreError> {
        self.reader.bundles().await
    }

    /// What the revision with this id consists of.
    pub async fn bundle_content(&self, id: &str) -> Result<Option<Content>, StoreError> {
        self.reader.bundle_content(id).await
    }

    /// At most `limit` events, 500 at most, the newest first; only those older than the one with the id `before`.
    pub async fn bundle_events(
        &self,
        limit: u32,
        before: Option<&str>,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.reader.bundle_events(limit.min(super::MAX_LISTED), before).await
    }

    /// Writes one change; it is durable when this returns. Returns the state after it.
    pub async fn change_bundles(&self, change: BundleChange) -> Result<BundleState, StoreError> {
        self.write(|reply| Command::Bundles(Box::new(Task::new((None, change), reply)))).await?
    }

    /// As [`Store::change_bundles`], for a change that was decided by the state with this number: where it is another
    /// one by now, the change of it is a `Conflict`, and nothing is written.
    pub async fn change_bundles_after(
        &self,
        number: i64,
        change: BundleChange,
    ) -> Result<BundleState, StoreError> {
        self.write(|reply| Command::Bundles(Box::new(Task::new((Some(number), change), reply)))).await?
    }

    /// Is told after each commit that changed the state. On SQLite, those of other processes are found by asking.
    pub fn bundles_changed(&self) -> watch::Receiver<()> {
        self.told.bundles()
    }
}
