//! `listen.request_body` of Portcullis against the filter.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::needs::BodySource;
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "server-disagrees",
    severity: Severity::Error,
    title: "Portcullis expects bodies otherwise than Envoy shows them",
    what: "`listen.request_body` of Portcullis against `with_request_body` of ext_authz, on every \
          route.",
    why: "With `buffered`, Portcullis takes a body that is not there for an empty one. Where Envoy \
          does not buffer, the real body slips by, and rules and approvals are about nothing. With \
          `not_buffered`, calls without a length are denied although their body was shown.",
    demonstrated: "Portcullis behind Envoy 1.40.0: a chunked body that the filter did not buffer was taken for \
          an empty one.",
    test: None,
    fix: "Set `with_request_body` in the filter, for all routes, and `listen.request_body: buffered`; \
          or neither.",
    example: "listen: {request_body: buffered}        # in Portcullis\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.server.known {
        return;
    }
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter)) {
            let buffer = spot.buffer(filter);
            let shown = buffer.get("max_request_bytes").exists();
            match report.needs.server.body {
                BodySource::Buffered if !shown => {
                    let message = "`listen.request_body` is `buffered`, and bodies are not shown here: they are \
                                   taken for empty";
                    report.find(&RULE, &buffer, message, "set `with_request_body`");
                }
                BodySource::NotBuffered if shown => {
                    let message = "`listen.request_body` is `not_buffered`, and bodies are shown";
                    report.warn(&RULE, &buffer, message, "set `listen.request_body: buffered` in Portcullis");
                }
                _ => {}
            }
        }
    }
}
