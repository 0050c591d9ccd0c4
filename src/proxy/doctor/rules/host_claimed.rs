//! `host-claimed`

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Manifests, Report, Rule};
use crate::proxy::kubernetes::istio::Class;

pub static RULE: Rule = Rule {
    id: "host-claimed",
    severity: Severity::Warning,
    title: "Portcullis believes hosts, and the callers of sidecars choose them",
    what: "Istio: `listen.gateway: true` of Portcullis, where sidecars ask it.",
    why: "A gateway serves the hosts that it is configured for. A sidecar serves its workload under whatever host the \
          caller claims. A policy that matches by host alone can be avoided by naming another host, and one that allows by \
          host can be had by naming that one.",
    demonstrated: "Known from Istio's inbound routes, which have the domain `*`; not run in a mesh.",
    test: None,
    fix: "Set `listen.gateway: false`, and match `destinations` or `ports`. If gateways ask too, let them ask a \
          Portcullis of their own.",
    example: "listen: {gateway: false}        # in Portcullis\n",
    envoy: None,
};

pub(in crate::proxy::doctor) fn manifests(manifests: &Manifests<'_>, report: &mut Report<'_>) {
    let server = &report.needs.server;
    if !server.known || !server.gateway {
        return;
    }
    let mesh = &manifests.mesh;
    for (object, _) in mesh.askers().filter(|(_, target)| mesh.classes(target).contains(&Class::Sidecar)) {
        let message = format!(
            "{} lets sidecars ask, and `listen.gateway` is true: callers choose their host",
            object.title()
        );
        report.find(&RULE, &object.spec(), message, "set `listen.gateway: false` in Portcullis");
    }
}
