//! Bodies that are changed on the way.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "lossy-body",
    severity: Severity::Error,
    title: "bytes of a body are replaced before Portcullis sees them",
    what: "`with_request_body` of the filter ext_authz without `pack_as_bytes`, where policies need bodies. \
          What routes say of it does not count.",
    why: "Envoy replaces each byte that is not UTF-8 by `!`: another body than the upstream gets. \
          Portcullis denies a body with `!` in it, because it may be another one. Envoy takes `pack_as_bytes` from the \
          filter alone, also where a route has a `with_request_body` of its own.",
    demonstrated: "Envoy 1.40.0: a small refund with an exclamation mark in its note was denied with \
          `body_unavailable`, also where only the route said `pack_as_bytes`. With `pack_as_bytes` in the filter \
          it passed.",
    test: Some("lossy_body"),
    fix: "Set it in the `with_request_body` of the filter. Routes that need no body then say \
          `check_settings: {disable_request_body_buffering: true}`.",
    example: "with_request_body: {max_request_bytes: 1048576, pack_as_bytes: true}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (manager, filter) in envoy.asking().filter(|(_, filter)| filter.is(&Kind::ExtAuthz)) {
        for spot in envoy.spots(manager).filter(|spot| spot.asks(filter) && spot.example().is_some()) {
            let own = filter.config.get("with_request_body");
            let packed = own.get("pack_as_bytes");
            if spot.buffer(filter).get("max_request_bytes").exists() && !packed.is_true() {
                let message = "bytes of a body that are not UTF-8 are replaced before Portcullis sees them";
                let fix = match own.exists() {
                    true => "set `pack_as_bytes: true`",
                    false => {
                        "set `with_request_body` with `pack_as_bytes: true` in the filter: what routes say of it does not count"
                    }
                };
                report.find(&RULE, &packed, message, fix);
            }
        }
    }
}
