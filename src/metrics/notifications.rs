//! Notifications: what was told, and what still waits to be.

use ::metrics::{Key, Label, Recorder as _, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{META, Metrics};

/// What came of an attempt to tell somebody something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotificationResult {
    Sent,
    /// It is tried again.
    Failed,
    /// It was given up.
    Dead,
    /// It was given up because too many waited.
    Dropped,
}

impl NotificationResult {
    pub const ALL: [Self; 4] = [Self::Sent, Self::Failed, Self::Dead, Self::Dropped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

const TOTAL: &str = "portcullis_notifications_total";
const PENDING: &str = "portcullis_notifications_pending";

pub(super) fn describe(recorder: &PrometheusRecorder) {
    let text = "Attempts to send a notification, by target and result";
    recorder.describe_counter(TOTAL.into(), Some(Unit::Count), text.into());
    recorder.describe_gauge(PENDING.into(), None, "Notifications that wait to be sent, by target".into());
}

impl Metrics {
    /// `target` is a name of the configuration.
    pub fn notification(&self, target: &str, result: NotificationResult) {
        let labels = vec![
            Label::new("target", target.to_owned()),
            Label::from_static_parts("result", result.as_str()),
        ];
        self.0.recorder.register_counter(&Key::from_parts(TOTAL, labels), &META).increment(1);
    }

    /// `target` is a name of the configuration. Several servers with one store show the same.
    pub fn notifications_pending(&self, target: &str, waiting: u64) {
        let labels = vec![Label::new("target", target.to_owned())];
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        self.0.recorder.register_gauge(&Key::from_parts(PENDING, labels), &META).set(f64::from(waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_counts_under_its_own_name() {
        let metrics = Metrics::new().unwrap();
        for result in NotificationResult::ALL {
            metrics.notification("ops", result);
        }
        metrics.notifications_pending("ops", 7);
        let text = metrics.render();
        for result in NotificationResult::ALL.map(NotificationResult::as_str) {
            let line = format!("portcullis_notifications_total{{target=\"ops\",result=\"{result}\"}} 1");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(text.contains("portcullis_notifications_pending{target=\"ops\"} 7"), "{text}");
    }
}
