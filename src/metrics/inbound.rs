//! Connections to the ports that serve HTTP.

use ::metrics::{Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter};

const NAME: &str = "portcullis_connections_gave_way_total";

/// A port that serves HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InboundListener {
    Admin,
    Metrics,
}

impl InboundListener {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }
}

impl Metrics {
    /// A connection that showed no credential was closed, because another one came.
    pub fn connection_gave_way(&self, listener: InboundListener) {
        counter(&self.0.recorder, NAME, &[("listener", listener.as_str())]).increment(1);
    }
}

pub(super) fn describe(recorder: &PrometheusRecorder) {
    recorder.describe_counter(
        NAME.into(),
        Some(Unit::Count),
        "Connections without a credential that were closed because more came than there are places".into(),
    );
}
