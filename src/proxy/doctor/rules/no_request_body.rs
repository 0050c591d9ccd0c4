//! Bodies that are not shown.

use crate::diagnostic::Severity;
use crate::proxy::BodySource;
use crate::proxy::doctor::text::BODY_MODES;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "no-request-body",
    severity: Severity::Error,
    title: "Portcullis isn't shown a body that policies need",
    what: "Routes that calls whose body a rule reads, or an approval covers, can take: \
          `with_request_body` of ext_authz, `request_body_mode` of ext_proc, as in force there.",
    why: "Portcullis denies such calls with `body_unavailable`: a body that was not shown satisfies no \
          rule.",
    demonstrated: "Envoy 1.40.0: the body of refunds was not shown, and each was denied with \
          `body_unavailable`. With `BUFFERED` a small one passed.",
    test: Some("no_request_body"),
    fix: "Have the body buffered on this route. For ext_proc restate the whole mode.",
    example: "typed_per_filter_config:\n  envoy.filters.http.ext_proc:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute\n    overrides:\n      processing_mode: {request_header_mode: SEND, request_body_mode: BUFFERED, request_trailer_mode: SEND}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking() {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let Some(example) = spot.example() else { continue };
            if filter.is(&Kind::ExtAuthz) {
                let buffer = spot.buffer(filter);
                // Of a server that is told to expect bodies, `server-disagrees` says worse.
                let expected = report.needs.server.known && report.needs.server.body == BodySource::Buffered;
                if !buffer.get("max_request_bytes").exists() && !expected {
                    let message =
                        format!("policies need the body of calls, and Envoy does not show it ({example})");
                    let fix = "set `with_request_body`, in the filter or in `check_settings` of the route";
                    report.find(&RULE, &buffer, message, fix);
                }
                continue;
            }
            let mode = spot.mode(filter).get("request_body_mode");
            let word = mode.word(&BODY_MODES).unwrap_or("NONE");
            if !matches!(word, "BUFFERED" | "BUFFERED_PARTIAL") {
                let message = format!("policies need the body of calls, and its mode is {word} ({example})");
                report.find(&RULE, &mode, message, "set `request_body_mode: BUFFERED`");
            }
        }
    }
}
