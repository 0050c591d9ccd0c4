//! Bodies that are changed on the way.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "lossy-body",
    severity: Severity::Error,
    title: "bytes of a body are replaced before Portcullis sees them",
    what: "`with_request_body` of ext_authz without `pack_as_bytes`, where policies need bodies.",
    why: "Envoy replaces each byte that is not UTF-8 by `!`: another body than the upstream gets. \
          Portcullis denies a body with `!` in it, because it may be another one.",
    demonstrated: "Envoy 1.40.0: a small refund with an exclamation mark in its note was denied with \
          `body_unavailable`. With `pack_as_bytes` it passed.",
    test: Some("lossy_body"),
    fix: "Set `pack_as_bytes: true`.",
    example: "with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter) && spot.example().is_some()) {
            let buffer = spot.buffer(filter);
            let packed = buffer.get("pack_as_bytes");
            if buffer.get("max_request_bytes").exists() && !packed.is_true() {
                let message = "bytes of a body that are not UTF-8 are replaced before Portcullis sees them";
                report.find(&RULE, &packed, message, "set `pack_as_bytes: true`");
            }
        }
    }
}
