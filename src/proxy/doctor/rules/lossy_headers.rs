//! Headers that are joined on the way.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "lossy-headers",
    severity: Severity::Error,
    title: "repeated headers are joined before Portcullis sees them",
    what: "ext_authz without `encode_raw_headers`.",
    why: "Two `authorization` headers arrive as one, `Bearer a,Bearer b`, and bytes that are not UTF-8 \
          as `!`: what is decided on differs from what the upstream reads. Portcullis refuses a comma \
          in headers that come once, so calls fail that should pass.",
    demonstrated: "Envoy 1.40.0: a header with a byte that is not UTF-8 at its end was shown as `acme!`, which \
          is not the value that a rule denies, and the call arrived. With raw headers it was denied.",
    test: Some("lossy_headers"),
    fix: "Set `encode_raw_headers: true`.",
    example: "encode_raw_headers: true\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        let raw = filter.config.get("encode_raw_headers");
        if !raw.is_true() {
            let message = "repeated headers are joined, and odd bytes replaced, before Portcullis sees them";
            report.find(&RULE, &raw, message, "set `encode_raw_headers: true`");
        }
    }
}
