//! The audit trail: one JSON line per decision, on disk before the answer where `required` asks for it.
//!
//! Knows nothing of how a decision came about: records in, lines out. A record never holds a token, a header's
//! value, a query or a masked value.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::metrics::Metrics;
use crate::visible::visible_json;
use queue::Queue;

mod queue;
mod tail;
mod writer;

pub use tail::newest;

/// When a call may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only after its record is on disk (fsync, shared by the records that wait); without, it is denied.
    Required,
    /// At once; records that can't be written are counted, and a `gap` record says how many are missing.
    BestEffort,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// The file that lines are appended to; created with mode 0600.
    pub path: PathBuf,
    pub mode: Mode,
}

/// One line of the trail.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record<'a> {
    /// A call was answered.
    Decision(Decision<'a>),
    /// The response of an allowed call was masked, or blocked because it could not be.
    Response(Response<'a>),
    /// A person decided on a held call.
    Vote(Vote<'a>),
    /// A person released a held call alone, whatever the rules ask for.
    BrokenGlass(BrokenGlass<'a>),
    /// Something happened to a request for approval that no decision of a person is.
    Approval(Approval<'a>),
    /// Which policies decide, or whether they may be replaced, changed.
    Policies(Policies<'a>),
    /// A key or revocation was made or taken back.
    Credential(Credential<'a>),
    /// Somebody came into the console, or left it.
    Session(Session<'a>),
    /// A notification that nobody will get.
    Notification(Notification<'a>),
    /// An example of a call on which the candidate disagrees with the active policies.
    Candidate(Candidate<'a>),
}

#[derive(Debug, Serialize)]
pub struct Decision<'a> {
    pub time: Timestamp,
    pub decision_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub request_id: &'a str,
    pub service: &'static str,
    pub outcome: &'static str,
    pub reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    pub revision: &'a str,
    pub identity: Principal<'a>,
    pub method: &'a str,
    pub host: &'a str,
    /// Without the query, which may carry secrets.
    pub path: &'a str,
    /// How many bytes of `request_id`, `method`, `host` and `path` are left out: refused calls must not fill the disk.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut_bytes: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source: &'a str,
    /// The HTTP status of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub latency_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub approvers: &'a [String],
    /// Rules that could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<&'a str>,
    /// What rules in shadow mode would have said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<(&'a str, &'static str)>,
}

/// Who called, and how that was proven.
#[derive(Debug, Serialize)]
pub struct Principal<'a> {
    pub method: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub issuer: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub spiffe: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Response<'a> {
    pub time: Timestamp,
    pub decision_id: &'a str,
    /// `masked` or `blocked`.
    pub outcome: &'static str,
    pub masked_fields: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Vote<'a> {
    pub time: Timestamp,
    pub approval: &'a str,
    pub choice: &'static str,
    pub state: &'static str,
    pub identity: Principal<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub comment: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Session<'a> {
    pub time: Timestamp,
    /// `logged_in`, `logged_in_by_one_time_token` or `logged_out`.
    pub change: &'static str,
    pub identity: Principal<'a>,
}

#[derive(Debug, Serialize)]
pub struct BrokenGlass<'a> {
    pub time: Timestamp,
    pub approval: &'a str,
    pub identity: Principal<'a>,
    pub comment: &'a str,
    /// Whose call it is: the person, else the subject, else the SPIFFE id.
    pub caller: &'a str,
    pub method: &'a str,
    pub host: &'a str,
    /// Without the query, which may carry secrets.
    pub path: &'a str,
    pub rules: &'a [String],
}

#[derive(Debug, Serialize)]
pub struct Approval<'a> {
    pub time: Timestamp,
    pub approval: &'a str,
    /// `opened`, `auto_approved`, `reminder_due`, `escalated`, `expired`, `caller_revoked`, `approver_revoked`, `vote_voided` or
    /// `released_unconfirmed`.
    pub change: &'static str,
    pub state: &'static str,
    /// The rules that held the call, or approved it by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Policies<'a> {
    pub time: Timestamp,
    /// `activated`, `rolled_back`, `pinned` or `unpinned`.
    pub change: &'static str,
    pub revision: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version: &'a str,
    pub source: &'a str,
    /// Who asked for it; absent where the server took what its source held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Principal<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub comment: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Credential<'a> {
    pub time: Timestamp,
    /// `key_created`, `key_revoked`, `revoked` or `revocation_undone`.
    pub change: &'static str,
    /// Of the key or revocation.
    pub id: &'a str,
    /// What a revocation names: `subject`, `token_id`, `session` or `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revokes: Option<&'static str>,
    /// The value that a revocation names, or the owner of a key.
    pub value: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<Timestamp>,
    /// When the key or revocation ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The groups of a key.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: &'a [String],
    pub identity: Principal<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub comment: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Notification<'a> {
    pub time: Timestamp,
    pub id: &'a str,
    /// The receiver's name in the configuration.
    pub target: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub approval: &'a str,
    /// `dead`: it was given up; `dropped`: because too many waited.
    pub outcome: &'static str,
    pub attempts: u32,
    pub error: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Candidate<'a> {
    pub time: Timestamp,
    /// The decision that the caller got.
    pub decision_id: &'a str,
    pub service: &'static str,
    /// At least one.
    pub disagreements: Vec<&'static str>,
    /// `active` or `candidate`.
    pub decided_by: &'static str,
    pub identity: Principal<'a>,
    pub method: &'a str,
    pub host: &'a str,
    /// Without the query, which may carry secrets.
    pub path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source: &'a str,
    pub active: Said<'a>,
    pub candidate: Said<'a>,
}

/// What one set of policies says about a call.
#[derive(Debug, Serialize)]
pub struct Said<'a> {
    pub revision: &'a str,
    pub outcome: &'static str,
    pub reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// Rules that could not be evaluated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<&'a str>,
}

/// The record could not be made durable, and the mode is `required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct NotRecorded;

/// The way into the trail. Cheap to clone; the writer ends when `close` is called.
#[derive(Clone, Debug)]
pub struct Audit {
    mode: Mode,
    queue: Arc<Queue>,
    lost: Arc<AtomicU64>,
    metrics: Metrics,
    written: watch::Sender<()>,
}

impl Audit {
    /// Opens the trail for appending and starts its writer thread. Fails when the file can't be opened.
    pub fn open(config: &Config, metrics: Metrics) -> Result<Self, OpenError> {
        let (file, torn) =
            writer::open(&config.path).map_err(|source| OpenError { path: config.path.clone(), source })?;
        Ok(Self::start(file, torn, config.mode, metrics))
    }

    fn start(file: impl writer::Sink + 'static, torn: bool, mode: Mode, metrics: Metrics) -> Self {
        let (queue, lost) = (Arc::<Queue>::default(), Arc::<AtomicU64>::default());
        let written = watch::Sender::new(());
        writer::start(file, torn, mode, queue.clone(), lost.clone(), metrics.clone(), written.clone());
        Self { mode, queue, lost, metrics, written }
    }

    /// Changes when records were written.
    pub fn written(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }

    /// Records one event. In `required` mode it returns when the record is on disk, or says that it is not; in
    /// `best_effort` mode it never fails and never waits.
    pub async fn record(&self, record: &Record<'_>) -> Result<(), NotRecorded> {
        if self.mode == Mode::BestEffort {
            self.note(record);
            return Ok(());
        }
        let (done, durable) = oneshot::channel();
        if !with_line(record, |line| self.queue.push(line, Some(done))) {
            return Err(NotRecorded);
        }
        durable.await.map_err(|_| NotRecorded)?
    }

    /// Records one event without waiting, whatever the mode: for what has no answer to hold back.
    pub fn note(&self, record: &Record<'_>) {
        if !with_line(record, |line| self.queue.push(line, None)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.metrics.audit_lost(1);
        }
    }

    /// Writes out what is queued and syncs it. Records that come later are lost.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.queue.close(done);
        closed.await.ok();
    }
}

/// The audit file can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't open the audit file `{}`", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: std::io::Error,
}

impl OpenError {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Hands the record's line to `take`. The buffer is the thread's own and used again.
fn with_line<T>(record: &Record<'_>, take: impl FnOnce(&[u8]) -> T) -> T {
    thread_local! {
        static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    LINE.with_borrow_mut(|line| {
        line.clear();
        // Serialising these types can't fail: string keys, no maps of other keys, no custom errors.
        if serde_json::to_writer(&mut *line, record).is_err() {
            line.clear();
            line.extend_from_slice(br#"{"kind":"unserialisable"}"#);
        }
        take(&one_line(line))
    })
}

/// The line with what terminals obey, and what some readers take for a line's end, escaped.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    // Nearly every line is of printable ASCII.
    if line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(line);
    }
    match std::str::from_utf8(line).map(visible_json) {
        Ok(Cow::Owned(escaped)) => Cow::Owned(escaped.into_bytes()),
        _ => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests;
