//! Decisions of the audit trail.

use jiff::Timestamp;
use serde_json::Value;

use super::When;
use crate::admin::console::shown::Shown;

/// A decision of the audit trail.
#[derive(Clone, Debug)]
pub struct Decision {
    pub at: When,
    pub outcome: String,
    pub reason: Shown,
    pub rule: Shown,
    pub who: Shown,
    pub method: Shown,
    pub host: Shown,
    pub path: Shown,
    pub took: String,
    /// The id of the request for approval; empty for none.
    pub approval: String,
    pub id: Shown,
}

impl Decision {
    /// `None` for a record of another kind.
    pub fn of(record: &Value, now: Timestamp) -> Option<Self> {
        if record.get("kind").and_then(Value::as_str) != Some("decision") {
            return None;
        }
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let who = |name: &str| record.pointer(&format!("/identity/{name}")).and_then(Value::as_str);
        let names =
            ["person", "subject", "spiffe"].into_iter().find_map(|name| who(name).filter(|n| !n.is_empty()));
        let at = text("time").parse::<Timestamp>().map(|at| When::at(at, now)).unwrap_or_default();
        let micros = record.get("latency_us").and_then(Value::as_u64).unwrap_or(0);
        Some(Self {
            at,
            outcome: text("outcome").to_owned(),
            reason: Shown::line(text("reason")),
            rule: Shown::line(text("rule")),
            who: Shown::line(names.unwrap_or("anonymous")),
            method: Shown::line(text("method")),
            host: Shown::line(text("host")),
            path: Shown::line(text("path")),
            took: if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1_000) },
            approval: text("approval").to_owned(),
            id: Shown::line(text("decision_id")),
        })
    }
}
