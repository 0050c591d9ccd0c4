//! The timeout of a Check.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::{seconds, span};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind};
use std::time::Duration;

pub static RULE: Rule = Rule {
    id: "short-timeout",
    severity: Severity::Error,
    title: "the Check ends before Portcullis can answer",
    what: "`grpc_service.timeout` of ext_authz, in the filter and in `check_settings` of routes, \
          against the longest hold of the policies and `limits.decision_timeout`.",
    why: "Unset, it is 200 ms. It bounds a hold: a call that waits for an approval gets a ticket when \
          it ends, so that nobody has time to approve; and slow decisions fail.",
    demonstrated: "Envoy 1.40.0 without a timeout: a refund that a rule holds for five minutes ended at once \
          with 403. With 330 s it waited, was approved, and passed.",
    test: Some("short_timeout"),
    fix: "Set it above the longest `wait` of your rules, with room for deciding before and after it.",
    example: "grpc_service: {envoy_grpc: {cluster_name: portcullis}, timeout: 330s}\n",
    envoy: Some(envoy),
};

/// What Envoy takes when nothing is set.
const DEFAULT: Duration = Duration::from_millis(200);

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            check(&spot.service(filter).get("timeout"), report);
        }
    }
}

fn check(timeout: &At<'_>, report: &mut Report<'_>) {
    let needs = report.needs;
    let wanted = if needs.holds() { needs.longest_answer() } else { needs.server.decision_timeout };
    let set = timeout.duration();
    // One that can't be read is told by `not-checked`.
    if timeout.exists() && set.is_none() {
        return;
    }
    // 0 is no timeout at all.
    if set.is_some_and(|set| set.is_zero()) || set.unwrap_or(DEFAULT) >= wanted {
        return;
    }
    let is = match set {
        Some(set) => format!("is {}", span(set)),
        None => "is not set, which is 200ms".to_owned(),
    };
    let fix = format!("set `timeout: {}s` or more", seconds(wanted));
    if needs.holds() {
        let message = format!("the timeout of a Check {is}: calls can't be held for as long as policies say");
        report.find(&RULE, timeout, message, fix);
    } else {
        let message = format!("the timeout of a Check {is}: slow decisions fail without a reason");
        report.warn(&RULE, timeout, message, fix);
    }
}
