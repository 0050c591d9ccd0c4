//! How the store is doing, and how much waits in it.

use std::time::Duration;

use ::metrics::{Gauge, Histogram, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, gauge, histogram};

const WRITES: &str = "portcullis_store_write_duration_seconds";
const PENDING: &str = "portcullis_pending_approvals";

pub(super) struct Instruments {
    committed: Histogram,
    failed: Histogram,
    pending: Gauge,
}

impl Instruments {
    pub(super) fn register(recorder: &PrometheusRecorder) -> Self {
        Self {
            committed: histogram(recorder, WRITES, &[("result", "committed")]),
            failed: histogram(recorder, WRITES, &[("result", "failed")]),
            pending: gauge(recorder, PENDING, &[]),
        }
    }
}

impl Metrics {
    /// A change took so long from its caller's hand to the commit, or to its failure.
    pub fn store_wrote(&self, committed: bool, took: Duration) {
        let store = &self.0.store;
        let histogram = if committed { &store.committed } else { &store.failed };
        histogram.record(took.as_secs_f64());
    }

    /// So many requests for approval wait for a decision.
    pub fn pending_approvals(&self, count: i64) {
        // Exact up to 2^53.
        #[expect(clippy::cast_precision_loss, reason = "there are never that many")]
        self.0.store.pending.set(count as f64);
    }

    /// Whether the store answered when it was asked last.
    pub fn store_up(&self, up: bool) {
        gauge(&self.0.recorder, "portcullis_store_up", &[]).set(f64::from(u8::from(up)));
    }
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_histogram(
        WRITES.into(),
        Some(Unit::Seconds),
        "Time until a change was committed".into(),
    );
    recorder.describe_gauge(PENDING.into(), None, "Requests for approval that wait for a decision".into());
    recorder.describe_gauge(
        "portcullis_store_up".into(),
        None,
        "Whether the store answered when it was asked last".into(),
    );
}
