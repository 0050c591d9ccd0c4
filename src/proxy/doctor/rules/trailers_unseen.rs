//! Trailers that bypass ext_proc.

use crate::diagnostic::Severity;
use crate::proxy::doctor::text::BODY_MODES;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "trailers-unseen",
    severity: Severity::Warning,
    title: "trailers pass Portcullis by",
    what: "`request_trailer_mode` of ext_proc where request bodies are buffered, and \
          `response_trailer_mode` where the configuration, not Portcullis, asks for response bodies \
          that policies mask.",
    why: "Trailers that are not asked for go on unseen: secrets in the response's, and in the \
          request's place of the body's end.",
    demonstrated: "Envoy 1.40.0: response trailers bypassed the processor unless asked for. A request with \
          trailers in the body's place was denied with the mistake and without: Portcullis asks for \
          them itself where the mode may be overridden.",
    test: Some("trailers_unseen"),
    fix: "Set the trailer mode to `SEND` beside each body mode.",
    example: "processing_mode: {request_body_mode: BUFFERED, request_trailer_mode: SEND}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtProc)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let mode = spot.mode(filter);
            for (half, wanted) in [("request", true), ("response", report.needs.masks())] {
                let body = mode.get(&format!("{half}_body_mode")).word(&BODY_MODES).unwrap_or("NONE");
                let trailers = mode.get(&format!("{half}_trailer_mode"));
                let sent = trailers.word(&["DEFAULT", "SEND", "SKIP"]) == Some("SEND");
                if wanted && body != "NONE" && !sent {
                    let message = format!("trailers of the {half} pass unseen, while its body is shown");
                    report.find(&RULE, &trailers, message, format!("set `{half}_trailer_mode: SEND`"));
                }
            }
        }
    }
}
