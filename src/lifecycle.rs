//! The order in which a server starts and stops: not ready -> ready -> draining -> cut off -> stopped.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tells every part that the server is draining, and waits for the calls in flight.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    cut_off: CancellationToken,
    calls: TaskTracker,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the drain: readiness fails, held calls are answered with tickets, listeners stop accepting.
    pub fn drain(&self) {
        self.draining.cancel();
        self.calls.close();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Completes when the drain begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Runs `call` as a task that the drain waits for, until it ends or is cut off.
    pub fn spawn(&self, call: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        self.calls.spawn(async move {
            tokio::select! {
                () = call => {}
                () = cut_off.cancelled() => {}
            }
        });
    }

    /// Drops the calls that outlived the drain, so that each ends as its own drop says and not with the process.
    pub fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Waits until every spawned call has ended, at most `limit`. `false`: some were still running.
    pub async fn drained(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.calls.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_drain_waits_for_calls_but_not_for_ever() {
        let lifecycle = Lifecycle::new();
        let call = lifecycle.clone();
        lifecycle.spawn(async move { call.draining().await });
        assert!(!lifecycle.drained(Duration::from_millis(20)).await);
        lifecycle.drain();
        assert!(lifecycle.drained(Duration::from_secs(5)).await);

        let stuck = Lifecycle::new();
        stuck.spawn(std::future::pending::<()>());
        stuck.drain();
        assert!(!stuck.drained(Duration::from_millis(20)).await);
        stuck.cut_off();
        assert!(stuck.drained(Duration::from_secs(5)).await);
    }
}
