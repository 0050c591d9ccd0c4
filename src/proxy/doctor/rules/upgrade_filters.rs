//! Filters of their own for upgrades.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::{Envoy, cluster_of};

pub static RULE: Rule = Rule {
    id: "upgrade-filters",
    severity: Severity::Error,
    title: "upgraded calls have filters of their own, without Portcullis",
    what: "`upgrade_configs` with `filters` among which none asks Portcullis.",
    why: "A call with `upgrade: websocket` takes those filters in place of the usual ones, and reaches \
          the upstream unasked. Whether a request is an upgrade is up to the caller.",
    demonstrated: "Envoy 1.40.0: an anonymous request for a WebSocket reached the upstream past the list of \
          filters that upgrades had for themselves. With the usual filters it was refused with 401.",
    test: Some("upgrade_filters"),
    fix: "Leave `filters` out, so that the usual ones run; or put the filter of Portcullis among them.",
    example: "upgrade_configs:\n  - upgrade_type: websocket\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in &envoy.managers {
        let asked: Vec<_> = manager.asking().filter_map(|filter| cluster_of(&filter.service())).collect();
        for upgrade in manager.at.get("upgrade_configs").items() {
            let filters = upgrade.get("filters");
            let asks = |entry: At<'_>| {
                let filter = entry.get("typed_config").typed().1;
                cluster_of(&filter.get("grpc_service")).is_some_and(|cluster| asked.contains(&cluster))
            };
            if filters.items().is_empty() || filters.items().into_iter().any(asks) {
                continue;
            }
            let kind = upgrade.get("upgrade_type").text().unwrap_or_default();
            let message = format!("calls that ask for an upgrade to `{kind}` pass without asking Portcullis");
            report.find(&RULE, &filters, message, "remove `filters`, or add Portcullis to them");
        }
    }
}
