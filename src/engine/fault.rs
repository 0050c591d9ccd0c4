//! Faults that tests set, to show that no failure of ours ever ends in allow. A server has none set, and no
//! configuration can set one.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::reason::Reason;

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Authenticate,
    Evaluate,
    /// In the thread that compares a candidate with the active policies.
    EvaluateCandidate,
    OpenApproval,
    /// Where what was revoked is read from the store.
    ReadCredentials,
    Release,
    Record,
    /// At the head of a response that must be masked.
    MaskHead,
    /// At the n-th chunk (from 0) of a response body that must be masked.
    MaskChunk(u32),
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Panic,
    /// The step reports that it failed.
    Fail,
    /// The step never returns.
    Hang,
}

/// The faults of one engine. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Mutex<Slot>>>);

/// The fault that is set, if any.
type Slot = Option<(Point, Fault)>;

impl Faults {
    /// Faults that can be set, for tests.
    pub fn settable() -> Self {
        Self(Some(Arc::default()))
    }

    /// Sets the one fault that strikes from now on, or none.
    pub fn set(&self, fault: Option<(Point, Fault)>) {
        if let Some(slot) = &self.0 {
            *slot.lock() = fault;
        }
    }

    fn at(&self, point: Point) -> Option<Fault> {
        let (set, fault) = (*self.0.as_ref()?.lock())?;
        (set == point).then_some(fault)
    }

    /// Passes `point`, unless a fault is set there.
    pub async fn pass(&self, point: Point) -> Result<(), Reason> {
        if self.0.is_none() {
            return Ok(());
        }
        if self.at(point) == Some(Fault::Hang) {
            std::future::pending::<()>().await;
        }
        self.pass_sync(point)
    }

    /// Passes `point` on a thread that may block: a hang lasts until the fault is taken back, a failure is passed.
    pub fn block(&self, point: Point) {
        while self.at(point) == Some(Fault::Hang) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        if self.at(point) == Some(Fault::Panic) {
            let _ = self.pass_sync(point);
        }
    }

    /// [`Faults::pass`] where nothing waits; a hang counts as a failure.
    #[expect(clippy::panic, reason = "a test asked for it")]
    pub fn pass_sync(&self, point: Point) -> Result<(), Reason> {
        match self.at(point) {
            None => Ok(()),
            Some(Fault::Panic) => panic!("a fault set by a test at {point:?}"),
            Some(Fault::Fail | Fault::Hang) => Err(Reason::InternalError),
        }
    }
}
