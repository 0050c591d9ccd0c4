//! Room for held calls.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "circuit-breakers",
    severity: Severity::Error,
    title: "Envoy refuses held calls above its circuit breaker",
    what: "`max_requests` of the circuit breakers of Portcullis's cluster (1,024 unless set), where \
          policies hold calls, against `holds.total`.",
    why: "Each held call is an open request to Portcullis. When the breaker is full, every further \
          call is refused, held or not.",
    demonstrated: "Envoy 1.40.0: with as many calls held as the breaker allows, every other call was refused \
          with 503, also those that no rule holds.",
    test: Some("circuit_breakers"),
    fix: "Set the limits of this cluster above `holds.total`.",
    example: "circuit_breakers:\n  thresholds:\n    - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}\n",
    envoy: Some(envoy),
};

/// What Envoy takes when nothing is set.
const DEFAULT: u64 = 1024;

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.holds() {
        return;
    }
    let held = u64::try_from(report.needs.server.held).unwrap_or(u64::MAX);
    for (_, filter) in envoy.asking() {
        let Some(cluster) = envoy.cluster(&filter.service()) else { continue };
        let (at, limit) = cluster.breaker();
        if limit.unwrap_or(DEFAULT) < held {
            let is = limit.map_or_else(|| "not set, which is 1024".to_owned(), |limit| limit.to_string());
            let message = format!(
                "`max_requests` of the cluster `{}` is {is}, and Portcullis may hold {held} calls",
                cluster.name
            );
            report.find(&RULE, &at, message, format!("set `max_requests` to more than {held}"));
        }
    }
}
