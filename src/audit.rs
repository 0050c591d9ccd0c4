//! The audit trail: one JSON line per decision, on disk before the answer where `required` asks for it.
//!
//! Knows nothing of how a decision came about: records in, lines out. A record never holds a token, a header's
//! value, a query or a masked value.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;

mod writer;

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
#[expect(clippy::large_enum_variant, reason = "built on the stack, borrowed once, never stored")]
pub enum Record<'a> {
    /// A call was answered.
    Decision(Decision<'a>),
    /// The response of an allowed call was masked, or blocked because it could not be.
    Response(Response<'a>),
    /// A person decided on a held call.
    Vote(Vote<'a>),
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

/// The record could not be made durable, and the mode is `required`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct NotRecorded;

/// The way into the trail. Cheap to clone; the writer ends when `close` is called.
#[derive(Clone, Debug)]
pub struct Audit {
    mode: Mode,
    queue: mpsc::Sender<Entry>,
    lost: Arc<AtomicU64>,
    metrics: Metrics,
}

/// What the writer receives: a line without its sequence number, and whom to tell when it is durable.
#[derive(Debug)]
enum Entry {
    Line(Vec<u8>, Option<oneshot::Sender<Result<(), NotRecorded>>>),
    Close(oneshot::Sender<()>),
}

/// Records that may wait for the writer. Beyond it `best_effort` loses records and `required` waits.
const QUEUE: usize = 8_192;

impl Audit {
    /// Opens the trail for appending and starts its writer thread. Fails when the file can't be opened.
    pub fn open(config: &Config, metrics: Metrics) -> Result<Self, OpenError> {
        let (file, torn) =
            writer::open(&config.path).map_err(|source| OpenError { path: config.path.clone(), source })?;
        let (queue, entries) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        writer::start(file, torn, config.mode, entries, lost.clone(), metrics.clone());
        Ok(Self { mode: config.mode, queue, lost, metrics })
    }

    /// Records one event. In `required` mode it returns when the record is on disk, or says that it is not; in
    /// `best_effort` mode it never fails and never waits.
    pub async fn record(&self, record: &Record<'_>) -> Result<(), NotRecorded> {
        if self.mode == Mode::BestEffort {
            self.note(record);
            return Ok(());
        }
        let (done, durable) = oneshot::channel();
        self.queue.send(Entry::Line(line(record), Some(done))).await.map_err(|_| NotRecorded)?;
        durable.await.map_err(|_| NotRecorded)?
    }

    /// Records one event without waiting, whatever the mode: for what has no answer to hold back.
    pub fn note(&self, record: &Record<'_>) {
        if self.queue.try_send(Entry::Line(line(record), None)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.metrics.audit_lost(1);
        }
    }

    /// Writes out what is queued and syncs it. Records that come later are lost.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Entry::Close(done)).await.is_ok() {
            closed.await.ok();
        }
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

fn line(record: &Record<'_>) -> Vec<u8> {
    // Serialising these types can't fail: string keys, no maps of other keys, no custom errors.
    serde_json::to_vec(record).unwrap_or_else(|_| br#"{"kind":"unserialisable"}"#.to_vec())
}

#[cfg(test)]
mod tests;
