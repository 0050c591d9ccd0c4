//! Portcullis asked for some calls only.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "filter-conditional",
    severity: Severity::Error,
    title: "whether Portcullis is asked depends on the call",
    what: "`filter_enabled` below 100 % and `filter_enabled_metadata` of ext_authz; a filter within \
          `ExtensionWithMatcher` or a composite.",
    why: "What the matcher does not see, or sees otherwise than the upstream, passes unasked; with a \
          fraction, every call passes when it is tried often enough.",
    demonstrated: "Envoy 1.40.0: with the filter on for half of the calls, repeating a refused call was enough. \
          Where metadata made of a header turned it on, a call without that header arrived at once.",
    test: Some("filter_conditional"),
    fix: "Take the condition away: policies say what is allowed, and every decision is recorded.",
    example: "- name: envoy.filters.http.ext_authz\n  typed_config:\n    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        if let Some(condition) = &filter.condition {
            let message = "a matcher decides which calls Portcullis is asked about";
            report.find(&RULE, condition, message, "put the filter into the list by itself");
        }
        let denies = filter.config.at(&["deny_at_disable", "default_value"]).is_true();
        for name in ["filter_enabled", "filter_enabled_metadata"] {
            let enabled = filter.config.get(name);
            // What a runtime says of a key may differ from one moment to the next.
            let switched = enabled.get("runtime_key").exists();
            if enabled.exists() && (switched || !denies && !is_whole(&enabled.get("default_value"))) {
                let message = format!("`{name}` decides which calls Portcullis is asked about");
                report.find(&RULE, &enabled, message, format!("remove `{name}`"));
            }
        }
    }
}

/// Whether a fraction is 1.
fn is_whole(fraction: &At<'_>) -> bool {
    let whole = match fraction.get("denominator").word(&["HUNDRED", "TEN_THOUSAND", "MILLION"]) {
        Some("TEN_THOUSAND") => 10_000,
        Some("MILLION") => 1_000_000,
        _ => 100,
    };
    fraction.get("numerator").number().is_some_and(|part| part >= whole)
}
