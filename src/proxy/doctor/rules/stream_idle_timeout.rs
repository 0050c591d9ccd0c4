//! The idle timeout of calls that wait.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::{seconds, span};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;
use std::time::Duration;

pub static RULE: Rule = Rule {
    id: "stream-idle-timeout",
    severity: Severity::Error,
    title: "held calls are cut off as idle",
    what: "`stream_idle_timeout` of HTTP connection managers (5 minutes unless set) and `idle_timeout` \
          of routes that calls which are held can take, against the longest hold.",
    why: "The timer runs while a call is held: the caller gets 504, and the approval comes too late.",
    demonstrated: "Envoy 1.40.0 ended a held refund with 504 when the idle timeout of the connection manager, \
          or of the route, was over. With 1000 s it waited, was approved, and passed.",
    test: Some("stream_idle_timeout"),
    fix: "Set `stream_idle_timeout` above the longest hold.",
    example: "stream_idle_timeout: 1000s\n",
    envoy: Some(envoy),
};

/// What Envoy takes when nothing is set.
const DEFAULT: Duration = Duration::from_secs(300);

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.holds() {
        return;
    }
    let wanted = report.needs.longest_answer();
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let general = manager.at.get("stream_idle_timeout");
        for spot in envoy.spots(manager) {
            let Some(example) = spot.example() else { continue };
            let own = spot.route.map(|route| route.action.get("idle_timeout")).filter(At::exists);
            let timeout = own.unwrap_or_else(|| general.clone());
            let set = timeout.duration().unwrap_or(DEFAULT);
            // 0 is none.
            if !set.is_zero() && set < wanted {
                let message = format!("held calls end with 504 after {} ({example})", span(set));
                let name =
                    if timeout.path() == general.path() { "stream_idle_timeout" } else { "idle_timeout" };
                report.find(&RULE, &timeout, message, format!("set `{name}: {}s` or more", seconds(wanted)));
            }
        }
    }
}
