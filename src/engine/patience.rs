//! How long a proxy waits for an answer.

use std::time::{Duration, Instant};

use crate::clock;

/// How long the caller's proxy will wait, and how to tell it that it must.
pub struct Patience {
    /// When the proxy gives up; `None` when it did not say.
    pub until: Option<Instant>,
    /// Called once, before the first wait, with the time that the wait may take.
    pub announce: Option<Box<dyn FnOnce(Duration) + Send>>,
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").field("until", &self.until).finish_non_exhaustive()
    }
}

/// What is left until `until`.
pub(super) fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(clock::instant())
}
