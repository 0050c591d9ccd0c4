//! Replicas of Portcullis behind one Service: `replicas-unordered` in manifests.

use super::Manifests;
use crate::proxy::doctor::Report;
use crate::proxy::doctor::rules::replicas_unordered::RULE;

pub fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    if !report.needs.holds() || report.needs.server.shared_store {
        return;
    }
    for workload in manifests.mesh.workloads.iter().filter(|workload| workload.is_portcullis()) {
        let replicas = workload.object.spec().get("replicas");
        if let Some(count) = replicas.number().filter(|count| *count > 1) {
            let message = format!(
                "{} has {count} replicas, and policies hold calls: a retry may meet another replica than the approval",
                workload.object.title()
            );
            report.find(&RULE, &replicas, message, "run one replica, `replicas: 1`");
        }
    }
}
