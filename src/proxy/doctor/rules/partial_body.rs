//! Bodies that are shown in part.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::BODY_MODES;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "partial-body",
    severity: Severity::Error,
    title: "Portcullis is shown part of a body",
    what: "`allow_partial_message` of ext_authz and `BUFFERED_PARTIAL` of ext_proc, where policies need \
          bodies.",
    why: "A part of a body satisfies no rule that reads it: large calls are denied. To a server that \
          trusts the part, the rest would slip by.",
    demonstrated: "Envoy 1.40.0: a body above the limit was shown in part, and its refund denied with \
          `body_unavailable`. Without partial messages Envoy refused it with 413.",
    test: Some("partial_body"),
    fix: "Set `allow_partial_message: false`: Envoy refuses larger bodies with 413.",
    example: "with_request_body: {max_request_bytes: 1048576, allow_partial_message: false, pack_as_bytes: true}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking() {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter) && spot.example().is_some()) {
            let message = "of a large body only a part is shown, which satisfies no rule";
            if filter.is(&Kind::ExtAuthz) {
                let partial = spot.buffer(filter).get("allow_partial_message");
                if partial.is_true() {
                    report.find(&RULE, &partial, message, "set `allow_partial_message: false`");
                }
                continue;
            }
            let mode = spot.mode(filter).get("request_body_mode");
            if mode.word(&BODY_MODES) == Some("BUFFERED_PARTIAL") {
                report.find(&RULE, &mode, message, "set `request_body_mode: BUFFERED`");
            }
        }
    }
}
