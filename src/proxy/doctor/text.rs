//! Words and figures that several rules write.

use std::time::Duration;

/// The values of ext_proc's `BodySendMode`, by their numbers.
pub(super) const BODY_MODES: [&str; 6] =
    ["NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED", "GRPC"];

/// Whole seconds, rounded up.
pub(super) fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// `200ms`, `2.5s`, `300s`
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{}ms", span.as_millis()),
        _ => format!("{}s", span.as_secs_f64()),
    }
}
