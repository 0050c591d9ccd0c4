//! Response bodies that Portcullis may not ask for.

use crate::diagnostic::Severity;
use crate::policy::MaskedParts;
use crate::proxy::doctor::text::BODY_MODES;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "mode-override-off",
    severity: Severity::Error,
    title: "Portcullis may not ask for the bodies that it must mask",
    what: "`allow_mode_override`, `allowed_override_modes`, \
          `send_body_without_waiting_for_header_response` and a body mode `FULL_DUPLEX_STREAMED` of ext_proc, \
          where policies mask responses and the processing mode does not show their bodies.",
    why: "Portcullis asks for a response's body when a mask may apply. Envoy ignores it, and the \
          response passes in clear.",
    demonstrated: "Envoy 1.40.0: orders came back with card numbers in clear, whether overrides were off or the \
          mode was not on the list. With `allow_mode_override` they were masked.",
    test: Some("mode_override_off"),
    fix: "Set `allow_mode_override: true`, leave `allowed_override_modes` out, and have Portcullis ask for \
          `FULL_DUPLEX_STREAMED` by its own `mask.response_body`.",
    example: "allow_mode_override: true\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.masks() {
        return;
    }
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter) && !shows(&spot.mode(filter))) {
            let message = "policies mask responses, and Envoy ignores that Portcullis asks for them";
            let allowed = filter.config.get("allow_mode_override");
            if !allowed.is_true() {
                report.find(&RULE, &allowed, message, "set `allow_mode_override: true`");
            }
            let early = filter.config.get("send_body_without_waiting_for_header_response");
            if early.is_true() {
                report.find(&RULE, &early, message, "remove it");
            }
            for half in ["request_body_mode", "response_body_mode"] {
                let own = filter.config.get("processing_mode").get(half);
                if own.word(&BODY_MODES) == Some("FULL_DUPLEX_STREAMED") {
                    report.find(
                        &RULE,
                        &own,
                        message,
                        "set another mode: with this one Envoy ignores every wish",
                    );
                }
            }
            let modes = filter.config.get("allowed_override_modes");
            let full_duplex = report.needs.server.full_duplex;
            let lacks = |parts: &MaskedParts| {
                !modes.items().iter().any(|mode| is_ours(mode, &spot.mode(filter), *parts, full_duplex))
            };
            if modes.exists() && report.needs.masked_parts.iter().any(lacks) {
                let fix = "remove the list, or add the modes with what policies mask of responses: headers, body, trailers";
                report.find(&RULE, &modes, message, fix);
            }
        }
    }
}

/// Whether a mode shows whole responses without being overridden. What is beyond the buffer of `BUFFERED_PARTIAL` passes
/// unseen, and in `GRPC` mode all that is no gRPC does.
fn shows(mode: &At<'_>) -> bool {
    let body = mode.get("response_body_mode").word(&BODY_MODES).unwrap_or("NONE");
    ["BUFFERED", "STREAMED", "FULL_DUPLEX_STREAMED"].contains(&body)
        && header(mode, "response_header_mode") != "SKIP"
}

/// Whether this is the mode that Portcullis asks for where the other is in force, and policies mask these parts. Envoy
/// compares all fields but `request_header_mode`.
fn is_ours(mode: &At<'_>, now: &At<'_>, parts: MaskedParts, full_duplex: bool) -> bool {
    let body = |at: &At<'_>, name: &str| at.get(name).word(&BODY_MODES).unwrap_or("NONE").to_owned();
    // As `Modes` of ext_proc has it.
    let asked = match body(now, "response_body_mode").as_str() {
        _ if !parts.body => "NONE".to_owned(),
        own @ ("BUFFERED" | "STREAMED" | "FULL_DUPLEX_STREAMED") => own.to_owned(),
        _ if full_duplex => "FULL_DUPLEX_STREAMED".to_owned(),
        _ => "STREAMED".to_owned(),
    };
    let trailers = if parts.body || parts.trailers { "SEND" } else { "DEFAULT" };
    header(mode, "response_header_mode") == "SEND"
        && header(mode, "response_trailer_mode") == trailers
        && header(mode, "request_trailer_mode") == "DEFAULT"
        && body(mode, "response_body_mode") == asked
        && body(mode, "request_body_mode") == body(now, "request_body_mode")
}

fn header<'a>(mode: &At<'a>, name: &str) -> &'a str {
    mode.get(name).word(&["DEFAULT", "SEND", "SKIP"]).unwrap_or("DEFAULT")
}
