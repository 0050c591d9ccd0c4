//! Answers that Envoy ignores.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "observability-mode",
    severity: Severity::Error,
    title: "Envoy asks Portcullis and ignores the answer",
    what: "`observability_mode` of ext_proc, `shadow_mode` of ext_authz.",
    why: "Nothing is denied, held or masked, although every record says so.",
    demonstrated: "Envoy 1.40.0: with `observability_mode` an anonymous call came back with 200 and card \
          numbers in clear. Without it the call was refused with 401.",
    test: Some("observability_mode"),
    fix: "Remove the field. To try policies without enforcing them, use `enforce: false` or a \
          candidate.",
    example: "observability_mode: false\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        for name in ["observability_mode", "shadow_mode"] {
            let mode = filter.config.get(name);
            if mode.is_true() {
                let message = "Envoy ignores what Portcullis answers";
                report.find(&RULE, &mode, message, format!("remove `{name}`"));
            }
        }
    }
}
