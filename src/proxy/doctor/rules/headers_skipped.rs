//! `request_header_mode: SKIP`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "headers-skipped",
    severity: Severity::Error,
    title: "Portcullis is not shown the request",
    what: "`request_header_mode: SKIP` of ext_proc, in the filter and in the settings of routes.",
    why: "Decisions are made at the request's headers. Envoy does not send them, so calls pass without \
          one.",
    demonstrated: "Envoy 1.40.0: with `SKIP` Portcullis was never asked, and an anonymous call came back with \
          200 and card numbers in clear. With `SEND` it was refused with 401.",
    test: Some("headers_skipped"),
    fix: "Set `request_header_mode: SEND`, which is the default.",
    example: "processing_mode: {request_header_mode: SEND}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let mode = spot.mode(filter).get("request_header_mode");
            if mode.word(&["DEFAULT", "SEND", "SKIP"]) == Some("SKIP") {
                let message = format!("{} without a decision: Envoy does not show the request", spot.calls());
                report.find(&RULE, &mode, message, "set `request_header_mode: SEND`");
            }
        }
    }
}
