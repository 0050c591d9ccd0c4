//! HTTP/1.0.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "http10",
    severity: Severity::Warning,
    title: "HTTP/1.0 calls without a host are accepted",
    what: "`accept_http_10: true` of HTTP connection managers that ask Portcullis.",
    why: "A call without a `host` gets `default_host_for_http_10`: policies that match by host take it \
          for a call to that one. HTTP/1.0 has no chunked bodies, and old parsers disagree on where \
          its messages end.",
    demonstrated: "Envoy 1.40.0: a masked response was blocked in its middle, and to a caller of HTTP/1.0 half \
          an answer looked whole. A call that named no host was served as one for the default host.",
    test: Some("http10"),
    fix: "Remove it.",
    example: "http_protocol_options: {accept_http_10: false}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let set = manager.at.at(&["http_protocol_options", "accept_http_10"]);
        if set.is_true() {
            report.find(&RULE, &set, "calls without a host are accepted", "remove `accept_http_10`");
        }
    }
}
