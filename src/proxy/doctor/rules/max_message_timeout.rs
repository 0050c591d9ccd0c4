//! The bound of a hold by ext_proc.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::{seconds, span};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "max-message-timeout",
    severity: Severity::Error,
    title: "Envoy doesn't let Portcullis wait as long as it will",
    what: "`max_message_timeout` of ext_proc against `holds.max_message_timeout` of Portcullis.",
    why: "Portcullis asks for the time of a hold. What is above `max_message_timeout` Envoy ignores, \
          and the held call ends with 504 after the plain `message_timeout`. Unset, every hold ends \
          so.",
    demonstrated: "Envoy 1.40.0 without it ignored the wish for more time, and ended a held refund with 504. \
          With 900 s it waited, was approved, and passed.",
    test: Some("max_message_timeout"),
    fix: "Make both equal.",
    example: "max_message_timeout: 900s        # holds.max_message_timeout: 900s\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let (holds, server) = (report.needs.holds(), &report.needs.server);
    for (_, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        let timeout = filter.config.get("max_message_timeout");
        let set = timeout.duration().unwrap_or_default();
        if set == server.max_message_timeout {
            continue;
        }
        let ours = seconds(server.max_message_timeout);
        let is = if set.is_zero() { "not set".to_owned() } else { span(set) };
        let message = format!("`max_message_timeout` is {is}, and `holds.max_message_timeout` {ours}s");
        let fix = format!("set `max_message_timeout: {ours}s`");
        if holds {
            report.find(&RULE, &timeout, format!("{message}: held calls end with 504"), fix);
        } else if server.known && !set.is_zero() {
            report.warn(&RULE, &timeout, message, fix);
        }
    }
}
