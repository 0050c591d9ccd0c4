//! Texts that come from policies and options, written so that YAML reads them as what they are.

use std::time::Duration;

/// A JSON string, which is a YAML string too.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `330s`, `2.5s`: protobuf's durations.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.subsec_millis();
    match millis {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}.{millis:03}s", time.as_secs()),
    }
}
