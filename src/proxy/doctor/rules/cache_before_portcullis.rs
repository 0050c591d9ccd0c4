//! A cache that answers before Portcullis is asked.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "cache-before-portcullis",
    severity: Severity::Error,
    title: "a cache answers before Portcullis is asked",
    what: "The cache filter before Portcullis in the list.",
    why: "What one caller was allowed to get is served to the next one without a decision, and what \
          was masked for one is served as it was to another.",
    demonstrated: "Envoy 1.40.0: a call that policies deny was answered from the cache with what another caller \
          had been allowed to see. Without the cache it was refused with 403.",
    test: Some("cache_before_portcullis"),
    fix: "Put the cache after Portcullis, next to the router.",
    example: "http_filters:\n  - name: envoy.filters.http.ext_proc      # Portcullis\n  - name: envoy.filters.http.cache\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in &envoy.managers {
        for filter in manager.before() {
            if matches!(filter.kind.short(), "cache" | "cache_v2") {
                let message = "answers from the cache are given without asking Portcullis";
                report.find(&RULE, &filter.entry, message, "put it after Portcullis");
            }
        }
    }
}
