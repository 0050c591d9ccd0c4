//! A caller who hangs up while the call is held.

use std::sync::Arc;
use std::time::Instant;

use super::super::record::Facts;
use super::super::{Call, Engine, Evaluated};
use crate::reason::Reason;

/// Notes in the record that the caller hung up, if this is dropped while the call waits.
pub(super) struct CallerWaits<'a> {
    engine: &'a Engine,
    call: &'a Call,
    evaluated: &'a Evaluated,
    since: Instant,
    pub approval: Option<Arc<str>>,
    pub gone: bool,
}

impl<'a> CallerWaits<'a> {
    pub fn new(engine: &'a Engine, call: &'a Call, evaluated: &'a Evaluated, since: Instant) -> Self {
        Self { engine, call, evaluated, since, approval: None, gone: true }
    }
}

impl Drop for CallerWaits<'_> {
    fn drop(&mut self) {
        if !self.gone || std::thread::panicking() {
            return;
        }
        let facts = Facts {
            held: Some(self.since.elapsed()),
            approval: self.approval.as_deref(),
            ..Facts::of(self.evaluated, Reason::CallerGone)
        };
        self.engine.note_decision(self.call, &facts);
    }
}
