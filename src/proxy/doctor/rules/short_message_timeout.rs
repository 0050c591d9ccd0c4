//! The time for one answer of ext_proc.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::{seconds, span};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};
use std::time::Duration;

pub static RULE: Rule = Rule {
    id: "short-message-timeout",
    severity: Severity::Warning,
    title: "Envoy gives up on ext_proc before Portcullis can answer",
    what: "`message_timeout` of ext_proc against `limits.decision_timeout`.",
    why: "Unset, it is 200 ms: a decision that takes longer, for example because keys are fetched, \
          ends as 504 instead of an answer with its reason.",
    demonstrated: "Envoy 1.40.0: deciding took a second, because a key had to be fetched first. With the \
          default Envoy answered 504 in Portcullis's place, with 5 s the call passed.",
    test: Some("short_message_timeout"),
    fix: "Set it to the decision timeout or more. It does not bound holds: `max_message_timeout` does.",
    example: "message_timeout: 5s\n",
    envoy: Some(envoy),
};

/// What Envoy takes when nothing is set.
const DEFAULT: Duration = Duration::from_millis(200);

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let wanted = report.needs.server.decision_timeout;
    for (_, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        let timeout = filter.config.get("message_timeout");
        let set = timeout.duration();
        // One that can't be read is told by `not-checked`.
        let unread = timeout.exists() && set.is_none();
        if !unread && set.unwrap_or(DEFAULT) < wanted {
            let is = set.map_or_else(|| "not set, which is 200ms".to_owned(), span);
            let message = format!("`message_timeout` is {is}; a decision may take {}", span(wanted));
            report.find(
                &RULE,
                &timeout,
                message,
                format!("set `message_timeout: {}s` or more", seconds(wanted)),
            );
        }
    }
}
