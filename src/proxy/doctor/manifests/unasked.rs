//! Workloads of a mesh whose proxies don't ask: `filter-missing` in manifests.

use super::Manifests;
use crate::proxy::doctor::Report;
use crate::proxy::doctor::rules::filter_missing::RULE;
use crate::proxy::kubernetes::istio::{Class, Mesh, Target, Workload};

pub fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let mesh = &manifests.mesh;
    for policy in mesh.powerless.iter().filter(|policy| mesh.is_meant(policy.provider)) {
        let action = policy.object.spec().get("action");
        let word = action.text().unwrap_or("ALLOW");
        let message = format!(
            "{} names the provider `{}`, and its action is {word}: Portcullis is not asked",
            policy.object.title(),
            policy.provider
        );
        report.find(&RULE, &action, message, "write `action: CUSTOM`");
    }
    let asked: Vec<Class> = mesh
        .workloads
        .iter()
        .filter(|workload| mesh.asked_by(workload).is_some())
        .map(Workload::class)
        .collect();
    let forgotten = mesh.workloads.iter().filter(|workload| {
        // Sidecars alone, or gateways alone, may be meant to ask.
        asked.contains(&workload.class()) && serves_callers(mesh, workload) && !is_spoken_of(mesh, workload)
    });
    for workload in forgotten {
        let title = workload.object.title();
        let message =
            format!("nothing makes the proxies of {title} ask Portcullis: their calls pass unasked");
        let fix =
            "select it by a policy with `action: CUSTOM`; if its calls are to pass unasked, ignore this";
        report.warn(&RULE, &workload.pod.at(&["metadata", "labels"]), message, fix);
    }
}

/// Whether it takes calls that could be asked about: not what runs to its end, Portcullis, or Istio itself.
fn serves_callers(mesh: &Mesh<'_>, workload: &Workload<'_>) -> bool {
    let of_istio = workload.object.namespace == mesh.root_namespace() && workload.class() == Class::Sidecar;
    workload.serves() && !workload.is_portcullis() && !of_istio
}

/// Whether something asks for it, or is meant to and has a finding of its own.
fn is_spoken_of<'a>(mesh: &Mesh<'a>, workload: &Workload<'a>) -> bool {
    let misses = |target: &Target<'a>| {
        target.namespace == workload.object.namespace && target.gateway.is_none() && !mesh.selects_any(target)
    };
    let policies = mesh.policies.iter().chain(&mesh.powerless);
    let meant = policies
        .filter(|policy| mesh.is_meant(policy.provider))
        .any(|policy| mesh.selects(&policy.target, workload));
    meant || mesh.asked_by(workload).is_some() || mesh.askers().any(|(_, target)| misses(target))
}
