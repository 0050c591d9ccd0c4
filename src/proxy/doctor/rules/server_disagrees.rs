//! `listen.request_body` of Portcullis against the filter.

use crate::diagnostic::Severity;
use crate::proxy::BodySource;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, Filter, Kind, Spot};

pub static RULE: Rule = Rule {
    id: "server-disagrees",
    severity: Severity::Error,
    title: "Portcullis expects bodies otherwise than Envoy shows them",
    what: "`listen.request_body` of Portcullis against `with_request_body` of ext_authz, on every route; with \
          `by_route`, against the mark in the route's `context_extensions`.",
    why: "Where Portcullis is told that bodies are shown, it takes one that is not there for an empty one. Where \
          Envoy does not buffer, the real body slips by, and rules and approvals are about nothing. Told \
          otherwise, it denies calls without a length although their body was shown.",
    demonstrated: "Envoy 1.40.0 without `with_request_body`, Portcullis with `buffered`: one correction was \
          approved for an hour, and another one with quite another body passed on that approval, in \
          chunks. Where the body is shown, the second was held as well.",
    test: Some("server_disagrees"),
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
                BodySource::ByRoute => by_route(&spot, filter, shown, report),
                _ => {}
            }
        }
    }
}

/// Of a route that buffers, or doesn't, as its mark says or not.
fn by_route<'a>(spot: &Spot<'_, 'a>, filter: &Filter<'a>, shown: bool, report: &mut Report<'_>) {
    let (key, value) = BodySource::MARK;
    let marks =
        spot.settings(filter).map(|setting| setting.config.at(&["check_settings", "context_extensions"]));
    // Envoy merges these of all levels, the most specific last.
    let mark = marks.map(|extensions| extensions.get(key)).find(At::exists);
    let marked = mark.as_ref().and_then(At::text) == Some(value);
    if let Some(mark) = mark.filter(|_| marked && !shown) {
        let message = "the route says that it shows bodies, and doesn't: they are taken for empty";
        report.find(&RULE, &mark, message, "set `with_request_body` in its `check_settings`, or remove this");
    } else if shown && !marked && spot.example().is_some() {
        let message = format!("bodies are shown, and no `context_extensions` says so by `{key}: {value}`");
        // Envoy Gateway has no field for the mark.
        let fix = match report.is_of_manifests() {
            true => "set `listen.request_body: buffered` in Portcullis",
            false => "add it to `check_settings`, or set `listen.request_body: buffered` in Portcullis",
        };
        report.warn(&RULE, &spot.buffer(filter), message, fix);
    }
}
