//! A way to an upstream without Portcullis.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "filter-missing",
    severity: Severity::Error,
    title: "calls reach an upstream without asking Portcullis",
    what: "HTTP connection managers with routes to a cluster and without a filter that asks Portcullis.",
    why: "Who finds that listener, or that filter chain, is not asked who they are.",
    demonstrated: "Envoy 1.40.0: an anonymous call was refused on the listener with the filter, and answered \
          with 200 and card numbers on the one without.",
    test: Some("filter_missing"),
    fix: "Put the filter into this list too, before the router. If these calls are to pass unasked, \
          say so with `--ignore filter-missing@PATH`.",
    example: "http_filters:\n  - name: envoy.filters.http.ext_authz\n    typed_config: {}   # as in the other listeners\n  - name: envoy.filters.http.router\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_none()) {
        if envoy.spots(manager).next().is_some() {
            let name = manager.listener.get("name").text().unwrap_or("without a name");
            let message =
                format!("calls of the listener `{name}` reach an upstream without asking Portcullis");
            let fix = "add the filter to this list, before the router; or name the cluster of Portcullis with `--cluster`";
            report.find(&RULE, &manager.at.get("http_filters"), message, fix);
        }
    }
}
