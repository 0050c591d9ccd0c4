//! Two filters for one call.

use crate::diagnostic::Severity;
use crate::proxy::doctor::handover::{self, Missing};
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "both-filters",
    severity: Severity::Error,
    title: "one call is decided twice",
    what: "Routes on which more than one filter asks Portcullis: ext_authz and ext_proc, or one of them \
          twice, unless ext_authz hands its decision over to an ext_proc that expects it.",
    why: "Each asks by itself. The call is evaluated and recorded twice, and an approval that is good \
          for one call is used up by the first: the second refuses it as `already_used`.",
    demonstrated: "Envoy 1.40.0: a held refund was approved, and then refused by the second filter as `already_used`. With \
          ext_proc alone one approval was enough.",
    test: Some("both_filters"),
    fix: "Use ext_proc alone where responses are masked, else ext_authz alone; or have ext_authz hand over, as \
          `portcullis envoy config --service both` writes it. Where both are in one list, switch one off per route.",
    example: "typed_per_filter_config:\n  envoy.filters.http.ext_authz:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute\n    disabled: true               # here ext_proc decides\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().count() > 1) {
        for spot in envoy.spots(manager) {
            let mut filters = manager.asking().filter(|filter| spot.asks(filter));
            if let (Some(first), Some(second)) = (filters.next(), filters.next()) {
                // Half of a handover is a mistake of its own.
                let complete = handover::is_complete(&spot, first, second, &report.needs.server);
                if !matches!(complete, Err(Missing::Everything)) {
                    continue;
                }
                let message =
                    format!("`{}` has asked already: {} decided on twice", first.name, spot.calls_are());
                let fix = "keep one of the two filters, switch one off for these routes, or have the first hand over as \
                           `portcullis envoy config --service both` writes it";
                report.find(&RULE, &second.entry, message, fix);
            }
        }
    }
}
