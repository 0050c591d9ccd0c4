//! A compressor between Portcullis and the router.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "compressed-responses",
    severity: Severity::Warning,
    title: "masked responses are never compressed",
    what: "The compressor filter between Portcullis and the router, where policies mask responses.",
    why: "Responses pass the filters from the router up, and a compressed body can't be masked. So \
          Portcullis asks for an answer that isn't compressed, and the compressor does nothing; what \
          it compresses all the same is blocked.",
    demonstrated: "Envoy 1.40.0: a compressor after Portcullis compressed no masked response, although the \
          caller took gzip. Before it, the masked response left compressed. Neither let a card number \
          through.",
    test: Some("compressed_responses"),
    fix: "Put the compressor before Portcullis in the list: responses then come to it after they were \
          masked.",
    example: "http_filters:\n  - name: envoy.filters.http.compressor\n  - name: envoy.filters.http.ext_proc      # Portcullis\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.masks() {
        return;
    }
    for manager in &envoy.managers {
        for filter in manager.after().iter().filter(|filter| filter.kind.short() == "compressor") {
            let common = filter.config.at(&["response_direction_config", "common_config"]);
            if common.at(&["enabled", "default_value"]).flag() != Some(false) {
                let message =
                    "responses come to Portcullis after it, and those that are masked can't be compressed";
                report.find(&RULE, &filter.entry, message, "put it before Portcullis");
            }
        }
    }
}
