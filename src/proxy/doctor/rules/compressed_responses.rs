//! A compressor that masking can not see through.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "compressed-responses",
    severity: Severity::Error,
    title: "responses that must be masked are compressed first",
    what: "The compressor filter between Portcullis and the router, where policies mask responses.",
    why: "Responses pass the filters from the router up: Portcullis gets compressed bodies, can't mask \
          them and blocks them. Whoever sends `accept-encoding` gets 502.",
    demonstrated: "Envoy 1.40.0: compressed answers reach an external processor as they are; Portcullis answers \
          `unmaskable` with the reason `encoded`.",
    test: None,
    fix: "Put the compressor before Portcullis in the list: responses then come to it after they were \
          masked.",
    example: "http_filters:\n  - name: envoy.filters.http.compressor\n  - name: envoy.filters.http.ext_proc      # Portcullis\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.masks {
        return;
    }
    for manager in &envoy.managers {
        for filter in manager.after().iter().filter(|filter| filter.kind.short() == "compressor") {
            let common = filter.config.at(&["response_direction_config", "common_config"]);
            if common.at(&["enabled", "default_value"]).flag() != Some(false) {
                let message =
                    "responses are compressed before they come to Portcullis, which then blocks them";
                report.find(&RULE, &filter.entry, message, "put it before Portcullis");
            }
        }
    }
}
