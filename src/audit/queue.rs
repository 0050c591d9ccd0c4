//! Lines on their way to the writer: one buffer that callers append to and the writer takes as a whole. No
//! allocation and no wake-up for each record, which would cost callers more than all the rest of the trail.

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::NotRecorded;

/// Bytes that may wait for the writer. Beyond it `best_effort` loses records and `required` denies.
const LIMIT: usize = 8 << 20;

/// Whom to tell when a line is durable.
pub(super) type Done = oneshot::Sender<Result<(), NotRecorded>>;

/// The lines of one turn of the writer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    pub waiting: Vec<Done>,
    /// The last batch: whom to tell once it is written.
    pub closing: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    /// The writer waits for `filled`.
    asleep: bool,
    closed: bool,
}

impl Batch {
    /// The lines, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes the lines have.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Empty again, with the memory that it had.
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.waiting.clear();
        self.closing = None;
    }
}

impl Queue {
    /// Appends a line. `false`: there is no room, or the trail is closed.
    pub fn push(&self, line: &[u8], done: Option<Done>) -> bool {
        let mut state = self.state.lock();
        if state.closed || state.batch.size() + line.len() > LIMIT {
            return false;
        }
        state.batch.bytes.extend_from_slice(line);
        let end = state.batch.bytes.len();
        state.batch.ends.push(end);
        state.batch.waiting.extend(done);
        self.wake(state);
        true
    }

    /// No line comes after this; `done` hears when all are written.
    pub fn close(&self, done: oneshot::Sender<()>) {
        let mut state = self.state.lock();
        if !state.closed {
            state.closed = true;
            state.batch.closing = Some(done);
            self.wake(state);
        }
    }

    /// Waits for lines or the end, and takes them in exchange for `spent`.
    pub fn take(&self, spent: &mut Batch) {
        spent.clear();
        let mut state = self.state.lock();
        while state.batch.is_empty() && state.batch.closing.is_none() {
            state.asleep = true;
            self.filled.wait(&mut state);
        }
        std::mem::swap(&mut state.batch, spent);
    }

    fn wake(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.filled.notify_one();
        }
    }
}
