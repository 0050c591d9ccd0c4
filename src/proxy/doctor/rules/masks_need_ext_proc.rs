//! Masks without ext_proc.

use crate::diagnostic::Severity;
use crate::proxy::doctor::handover;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::{Envoy, Kind};

pub static RULE: Rule = Rule {
    id: "masks-need-ext-proc",
    severity: Severity::Error,
    title: "responses can't be masked through ext_authz",
    what: "Routes on which only ext_authz asks Portcullis, where policies mask responses, or where it hands calls over to an \
          ext_proc that is not there.",
    why: "ext_authz can't touch bodies. Portcullis denies calls whose response would have to be \
          masked, with `mask_unavailable`. An ext_authz that hands over leaves the masking to ext_proc: without it responses \
          pass as they are.",
    demonstrated: "Envoy 1.40.0: by ext_authz every call whose response rules mask was refused with 403 and \
          `mask_unavailable`. By ext_proc it came back masked.",
    test: Some("masks_need_ext_proc"),
    fix: "Use ext_proc in its place. If the routes are never those whose responses are masked, ignore \
          it.",
    example: "- name: envoy.filters.http.ext_proc\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in &envoy.managers {
        for spot in envoy.spots(manager) {
            let asking = || manager.asking().filter(|filter| spot.asks(filter));
            let Some(filter) = asking().next().filter(|_| !asking().any(|filter| filter.is(&Kind::ExtProc)))
            else {
                continue;
            };
            if handover::is_given(&spot, filter, &report.needs.server) {
                let message = "it hands calls over to ext_proc, which is not there: responses pass unmasked";
                report.find(&RULE, &filter.entry, message, "add ext_proc behind it, or remove the mark");
            } else if report.needs.masks() {
                let message = "policies mask responses, and ext_authz can't: such calls are denied";
                report.find(&RULE, &filter.entry, message, "use ext_proc");
            }
        }
    }
}
