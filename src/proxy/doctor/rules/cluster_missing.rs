//! A filter that asks a cluster that does not exist.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "cluster-missing",
    severity: Severity::Error,
    title: "Portcullis is asked by way of a cluster that isn't there",
    what: "`envoy_grpc.cluster_name` of ext_authz and ext_proc, in a bootstrap that has no clusters fetched, and in a dump.",
    why: "Envoy takes the configuration without a word. Every call fails, or passes unasked with `failure_mode_allow`.",
    demonstrated: "Envoy 1.40.0: the cluster's name was misspelt in the filter. Envoy took it, and every call was answered \
          with 503, also those that policies allow. With the right name they passed.",
    test: Some("cluster_missing"),
    fix: "Add the cluster, or write the name that it has.",
    example: "clusters:\n  - name: portcullis      # as `cluster_name` in the filter\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !envoy.clusters_known {
        return;
    }
    // Where none asks Portcullis, one with a misspelt name may be meant to. Other services are no matter here.
    let filters = envoy.managers.iter().flat_map(|manager| {
        let silent = manager.asking().next().is_none();
        manager.filters.iter().filter(move |filter| filter.asks || (silent && filter.is_service()))
    });
    for filter in filters {
        let name = filter.service().at(&["envoy_grpc", "cluster_name"]);
        let Some(text) = name.text().filter(|text| !envoy.clusters.contains_key(text)) else { continue };
        let message =
            format!("`{}` asks the cluster `{text}`, which doesn't exist: every call fails", filter.name);
        let fix = match envoy.clusters.keys().find(|name| name.to_ascii_lowercase().contains("portcullis")) {
            Some(likely) => format!("write `cluster_name: {likely}`, or add the cluster `{text}`"),
            None => format!("add the cluster `{text}`, with the address of Portcullis"),
        };
        report.find(&RULE, &name, message, fix);
    }
}
