//! The order in which a server starts and stops: not ready -> ready -> leaving -> draining -> cut off -> stopped.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Tells every part that the server is draining, and waits for the calls in flight.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    leaving: CancellationToken,
    draining: CancellationToken,
    cut_off: CancellationToken,
    calls: TaskTracker,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self::default()
    }

    /// Readiness fails from now on, and calls are still served: who asks here needs time to notice, and to ask elsewhere.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Whether the server is about to stop, or drains already.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Begins the drain: readiness fails, held calls are answered with tickets, listeners stop accepting.
    pub fn drain(&self) {
        self.leave();
        self.draining.cancel();
        self.calls.close();
    }

    /// Completes when the drain begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Takes up a call that the drain waits for, until its guard is dropped.
    pub fn call(&self) -> CallGuard {
        CallGuard { _token: self.calls.token(), cut_off: Box::pin(self.cut_off.clone().cancelled_owned()) }
    }

    /// Tells the calls that outlived the drain to end, so that each ends as it says itself and not with the process.
    pub fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Waits until every call has ended, at most `limit`. `false`: some were still running.
    pub async fn drained(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.calls.wait()).await.is_ok()
    }
}

/// A call under way. The drain waits until it is dropped.
#[derive(Debug)]
pub struct CallGuard {
    _token: TaskTrackerToken,
    cut_off: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CallGuard {
    /// Ready when the call has outlived the drain and must end now.
    pub fn poll_cut_off(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.cut_off.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_drain_waits_for_calls_but_not_for_ever() {
        let lifecycle = Lifecycle::new();
        let call = lifecycle.call();
        assert!(!lifecycle.drained(Duration::from_millis(20)).await);
        lifecycle.drain();
        assert!(!lifecycle.drained(Duration::from_millis(20)).await);
        drop(call);
        assert!(lifecycle.drained(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn leaving_ends_no_call() {
        let lifecycle = Lifecycle::new();
        lifecycle.leave();
        assert!(lifecycle.is_leaving() && !lifecycle.draining.is_cancelled());
        let drained = Lifecycle::new();
        drained.drain();
        assert!(drained.is_leaving(), "who drains is not ready either");
    }

    #[tokio::test]
    async fn calls_that_outlive_the_drain_are_told() {
        let lifecycle = Lifecycle::new();
        let mut call = lifecycle.call();
        assert!(std::future::poll_fn(|context| Poll::Ready(call.poll_cut_off(context))).await.is_pending());
        lifecycle.drain();
        lifecycle.cut_off();
        std::future::poll_fn(|context| call.poll_cut_off(context)).await;
    }
}
