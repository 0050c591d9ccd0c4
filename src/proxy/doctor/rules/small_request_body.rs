//! How large a body may be.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind, Manager, Route, Spot};

pub static RULE: Rule = Rule {
    id: "small-request-body",
    severity: Severity::Warning,
    title: "Envoy and Portcullis disagree on how large a body may be",
    what: "`max_request_bytes` of ext_authz against `limits.body` of Portcullis; for ext_proc the \
          buffer limit of the route or the listener, where it is smaller.",
    why: "Calls with bodies between the two limits fail: Envoy refuses with 413 what Portcullis would \
          take, or Portcullis what Envoy buffered in vain.",
    demonstrated: "Envoy 1.40.0: a refund of 20 KB, which policies allow, was refused with 413. With a limit as \
          large as the server's it passed.",
    test: Some("small_request_body"),
    fix: "Make both equal.",
    example: "with_request_body: {max_request_bytes: 1048576}    # limits.body: 1048576\n",
    envoy: Some(envoy),
};

/// What a listener buffers of a call when nothing is set.
const DEFAULT: u64 = 1024 * 1024;

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let ours = u64::try_from(report.needs.server.body_limit).unwrap_or(u64::MAX);
    for (manager, filter) in envoy.asking() {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter) && spot.example().is_some()) {
            if filter.is(&Kind::ExtAuthz) {
                let limit = spot.buffer(filter).get("max_request_bytes");
                if let Some(theirs) = limit.number().filter(|theirs| *theirs != ours) {
                    let message =
                        format!("Envoy shows bodies up to {theirs} bytes, and `limits.body` is {ours}");
                    report.find(&RULE, &limit, message, format!("set `max_request_bytes: {ours}`"));
                }
                continue;
            }
            let limit = buffer_limit(manager, &spot);
            if limit.number().unwrap_or(DEFAULT) < ours {
                let message = format!("Envoy refuses larger bodies than this, and `limits.body` is {ours}");
                report.find(&RULE, &limit, message, format!("set {ours}"));
            }
        }
    }
}

/// How much of a body is buffered.
fn buffer_limit<'a>(manager: &Manager<'a>, spot: &Spot<'_, 'a>) -> At<'a> {
    let names = ["request_body_buffer_limit", "per_request_buffer_limit_bytes"];
    let own = |route: &Route<'a>| names.iter().map(|name| route.at.get(name)).find(At::exists);
    spot.route.and_then(own).unwrap_or_else(|| manager.listener.get("per_connection_buffer_limit_bytes"))
}
