//! Several replicas of one preference, where calls are held.

use std::collections::BTreeMap;

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "replicas-unordered",
    severity: Severity::Warning,
    title: "a held call and its retry may meet different replicas",
    what: "Endpoints of one `priority` in `load_assignment` of Portcullis's cluster, where policies hold calls and the \
          server has no `store.postgres`. In Kubernetes: `replicas` of a Deployment or StatefulSet of Portcullis.",
    why: "Without a store that all share, replicas don't see each other's approvals. Envoy chooses an endpoint for each Check \
          or stream by itself, so a call that was approved on one replica is held again on the other.",
    demonstrated: "Known from Envoy's documentation of load balancing, and from the store of Portcullis, a file of each replica.",
    test: None,
    fix: "Write the replicas as priorities: all calls go to the first while it is healthy, then to the next. \
          A Service of Kubernetes has no priorities: run one replica behind it. Or give all one database, `store.postgres`.",
    example: "load_assignment:\n  cluster_name: portcullis\n  endpoints:\n    - priority: 0\n      lb_endpoints: [{endpoint: {address: {socket_address: {address: portcullis-0, port_value: 9191}}}}]\n    - priority: 1\n      lb_endpoints: [{endpoint: {address: {socket_address: {address: portcullis-1, port_value: 9191}}}}]\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    if !report.needs.holds() || report.needs.server.shared_store {
        return;
    }
    for (_, filter) in envoy.asking() {
        let Some(cluster) = envoy.cluster(&filter.service()) else { continue };
        let mut counts: BTreeMap<u64, (usize, At<'_>)> = BTreeMap::new();
        for group in cluster.at.at(&["load_assignment", "endpoints"]).items() {
            let priority = group.get("priority").number().unwrap_or_default();
            let endpoints = group.get("lb_endpoints");
            let (count, _) = counts.entry(priority).or_insert((0, endpoints.clone()));
            *count += endpoints.items().len();
        }
        for (priority, (count, at)) in counts.into_iter().filter(|(_, (count, _))| *count > 1) {
            let message = format!(
                "{count} replicas of Portcullis have the priority {priority}, and policies hold calls: a retry may meet \
                 another replica than the approval"
            );
            report.find(&RULE, &at, message, "give each replica a `priority` of its own");
        }
    }
}
