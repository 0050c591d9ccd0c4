//! `sidecar-bypassed`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::istio::{Class, Excluded};

pub static RULE: Rule = Rule {
    id: "sidecar-bypassed",
    severity: Severity::Error,
    title: "calls reach a protected workload without its sidecar",
    what: "Istio: workloads that a CUSTOM AuthorizationPolicy, or an EnvoyFilter with Portcullis, selects: \
          `sidecar.istio.io/inject: \"false\"`, a namespace with `istio-injection: disabled`, `hostNetwork: true`, \
          `interceptionMode: NONE`, and the annotations that exclude inbound ports. Gateways are proxies themselves, and \
          not meant.",
    why: "The policy lives in the sidecar. Without one, or on a port that goes around it, every call reaches the workload \
          unasked, and nothing complains: the policy is accepted, and selects the pods. An excluded port that no Service \
          or container names is a warning: it may be one for probes or metrics.",
    demonstrated: "Known from Istio's documentation (resource annotations, sidecar injection); not run in a mesh.",
    test: None,
    fix: "Let the pods have their sidecar, and all ports go through it. For a port that must stay out (probes, metrics), serve \
          nothing else there, and say so with `--ignore sidecar-bypassed@PATH`.",
    example: "template:\n  metadata:\n    labels: {app: orders, sidecar.istio.io/inject: \"true\"}\n  spec: {hostNetwork: false}\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let mesh = &manifests.mesh;
    let sidecars =
        mesh.workloads.iter().filter(|workload| workload.serves() && workload.class() == Class::Sidecar);
    for workload in sidecars {
        let Some(by) = mesh.asked_by(workload) else { continue };
        let title = workload.object.title();
        let disabled = mesh.injection(workload.object.namespace).filter(|at| at.text() == Some("disabled"));
        let disabled =
            disabled.map(|at| (at, "has no sidecar: its namespace has `istio-injection: disabled`"));
        if let Some((at, why)) = workload.without_sidecar().or(disabled) {
            let message = format!("{} is for {title}, which {why}: its calls pass unasked", by.title());
            report.find(&RULE, &at, message, "let its pods have a sidecar");
        } else if let Some((at, excluded)) = workload.excluding() {
            let ports = shown(&excluded);
            let message =
                format!("{} is for {title}, and {ports} go around its sidecar, unasked", by.title());
            let fix = "remove the annotation, or serve nothing but probes and metrics there";
            let served = manifests.mesh.served(workload);
            if served.is_empty() || served.iter().any(|port| excluded.has(*port)) {
                report.find(&RULE, &at, message, fix);
            } else {
                report.warn(&RULE, &at, message, fix);
            }
        }
    }
}

fn shown(excluded: &Excluded) -> String {
    let list = |ports: &[u64]| ports.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match excluded {
        Excluded::Only(ports) => format!("the ports {}", list(ports)),
        Excluded::AllBut(ports) if ports.is_empty() => "all ports".to_owned(),
        Excluded::AllBut(ports) => format!("all ports but {}", list(ports)),
    }
}
