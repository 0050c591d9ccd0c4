//! Timeouts of whole calls.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::{seconds, span};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "stream-duration",
    severity: Severity::Error,
    title: "held calls are cut off by a timeout of whole calls",
    what: "`max_stream_duration` of HTTP connection managers, and of routes that calls which are held \
          can take, and of the cluster of Portcullis, against the longest hold.",
    why: "These timers run while a call is held, and end it.",
    demonstrated: "Envoy 1.40.0 ended a held refund with 504 when `max_stream_duration` was over. A \
          `request_timeout` ended nothing.",
    test: Some("stream_duration"),
    fix: "Set them above the longest hold plus the time that the upstream may take, or leave them out. \
          `request_timeout`, and the `timeout` of a route, do not run during a hold.",
    example: "common_http_protocol_options: {max_stream_duration: 0s}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.holds() {
        return;
    }
    for (manager, filter) in envoy.asking() {
        let common = manager.at.get("common_http_protocol_options").get("max_stream_duration");
        for spot in envoy.spots(manager).filter(|spot| spot.example().is_some()) {
            let own = spot.route.map(|route| route.action.get("max_stream_duration"));
            let own = own.map(|own| own.get("max_stream_duration")).filter(At::exists);
            check(&own.unwrap_or_else(|| common.clone()), report);
            if let Some(cluster) = envoy.cluster(&spot.service(filter)) {
                let options = [cluster.options(), cluster.at.clone()];
                let options =
                    options.map(|at| at.at(&["common_http_protocol_options", "max_stream_duration"]));
                options.iter().for_each(|at| check(at, report));
            }
        }
    }
}

fn check(timeout: &At<'_>, report: &mut Report<'_>) {
    let wanted = report.needs.longest_answer();
    if let Some(set) = timeout.duration().filter(|set| !set.is_zero() && *set < wanted) {
        let message = format!("held calls end after {}", span(set));
        report.find(&RULE, timeout, message, format!("set {}s or more, or remove it", seconds(wanted)));
    }
}
