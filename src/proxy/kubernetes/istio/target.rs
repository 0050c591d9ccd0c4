//! Which proxies something is about.

use super::workload::{self, Class, GATEWAY_NAME, Workload};
use super::{Context, Mesh, Object};
use crate::proxy::kubernetes::{labels, selects};
use crate::proxy::tree::At;

/// So many groups of proxies are told apart.
const MOST: usize = 200;

/// The proxies that something is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    pub namespace: &'a str,
    /// Sorted; empty: every workload of the namespace.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The name of a Gateway, by `targetRefs`.
    pub gateway: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// What an object of a namespace is about: the workloads with these labels, or the gateway that `targetRefs` names.
    pub(super) fn of(object: &Object<'a>, selector: &At<'a>) -> Self {
        let spec = object.spec();
        let reference =
            spec.get("target_refs").items().into_iter().next().unwrap_or_else(|| spec.get("target_ref"));
        let is_gateway = reference.get("kind").text() == Some("Gateway");
        Self {
            namespace: object.namespace,
            labels: labels(selector),
            gateway: reference.get("name").text().filter(|_| is_gateway),
        }
    }
}

impl<'a> Mesh<'a> {
    /// Whether what is about `target` is also about every proxy of `proxy`.
    pub(super) fn covers(&self, target: &Target<'a>, proxy: &Target<'a>) -> bool {
        let namespace = target.namespace == proxy.namespace || target.namespace == self.root_namespace();
        let gateway = target.gateway.is_none() || target.gateway == proxy.gateway;
        namespace && gateway && selects(&target.labels, &proxy.labels)
    }

    /// The proxies that both are about; `None` where there can be none.
    pub(super) fn both(&self, left: &Target<'a>, right: &Target<'a>) -> Option<Target<'a>> {
        let root = self.root_namespace();
        let namespace = match (left.namespace, right.namespace) {
            (one, other) if one == other || other == root => one,
            (one, other) if one == root => other,
            _ => return None,
        };
        let mut labels = left.labels.clone();
        for (key, value) in &right.labels {
            match labels.iter().find(|(other, _)| other == key) {
                Some((_, other)) if other != value => return None,
                Some(_) => {}
                None => labels.push((key, value)),
            }
        }
        labels.sort_unstable();
        let gateway = match (left.gateway, right.gateway) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        // Labels that are none of a gateway's pods select other pods than those of the gateway.
        let foreign = gateway.is_some() && labels.iter().any(|(key, _)| *key != GATEWAY_NAME);
        (!foreign).then_some(Target { namespace, labels, gateway })
    }

    /// Whether a target selects this workload.
    pub fn selects(&self, target: &Target<'a>, workload: &Workload<'a>) -> bool {
        let home = workload.object.namespace;
        let namespace = target.namespace == home || target.namespace == self.root_namespace();
        let gateway = target.gateway.is_none_or(|name| workload.labels.contains(&(GATEWAY_NAME, name)));
        namespace && gateway && selects(&target.labels, &workload.labels)
    }

    /// Whether a target selects any workload, or names a gateway, of those that are shown.
    pub fn selects_any(&self, target: &Target<'a>) -> bool {
        let named = |name| {
            self.gateways.iter().any(|gateway| gateway.name == name && gateway.namespace == target.namespace)
        };
        match target.gateway {
            Some(name) => named(name),
            None => self.workloads.iter().any(|workload| self.selects(target, workload)),
        }
    }

    /// What makes proxies ask Portcullis, with the proxies that it is about: policies first, then filters that are inserted.
    pub fn askers(&self) -> impl Iterator<Item = (&Object<'a>, &Target<'a>)> {
        let policies = self.asking().map(|policy| (&policy.object, &policy.target));
        let patches = self.patches.iter().filter(|patch| patch.adds_service());
        policies.chain(patches.map(|patch| (&patch.object, &patch.target)))
    }

    /// What makes the proxies of a workload ask Portcullis.
    pub fn asked_by(&self, workload: &Workload<'a>) -> Option<&Object<'a>> {
        let mut askers = self.askers();
        askers.find(|(_, target)| self.selects(target, workload)).map(|(object, _)| object)
    }

    /// The numbers of the ports of a workload that Services lead to; without a Service, of those that its containers name.
    pub fn served(&self, workload: &Workload<'a>) -> Vec<u64> {
        let leads = |service: &&Object<'a>| {
            let asked = labels(&service.spec().get("selector"));
            let home = service.namespace == workload.object.namespace;
            home && !asked.is_empty() && selects(&asked, &workload.labels)
        };
        let ports =
            self.services.iter().filter(leads).flat_map(|service| service.spec().get("ports").items());
        let of_services = ports.filter_map(|port| {
            let target = port.get("target_port");
            workload.port(&if target.exists() { target } else { port.get("port") })
        });
        let of_services: Vec<_> = of_services.collect();
        if of_services.is_empty() { workload.ports() } else { of_services }
    }

    /// What the namespace's label says of sidecars, where the namespace is shown.
    pub fn injection(&self, namespace: &str) -> Option<At<'a>> {
        let shown = self.namespaces.iter().find(|shown| shown.name == namespace)?;
        Some(shown.at.at(&["metadata", "labels", "istio-injection"])).filter(At::exists)
    }

    /// Whether any proxy can be meant by both, as far as is shown.
    pub fn meet(&self, left: &Target<'a>, right: &Target<'a>) -> bool {
        let Some(both) = self.both(left, right) else { return false };
        let shown = |target| self.workloads.iter().any(|workload| self.selects(target, workload));
        shown(&both) || (!shown(left) && !shown(right))
    }

    /// Every group of proxies whose configuration may differ from another's: what policies and filters that ask are about, and
    /// the parts of it that other patches are about. Also whether those are all.
    pub(super) fn targets(&self) -> (Vec<Target<'a>>, bool) {
        let mut targets: Vec<Target<'a>> = Vec::new();
        for (_, target) in self.askers() {
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        let mut place = 0;
        while let Some(whole) = targets.get(place).cloned() {
            place += 1;
            for patch in &self.patches {
                let part = self.both(&whole, &patch.target).filter(|part| *part != whole);
                let Some(part) = part.filter(|part| !targets.contains(part) && self.may_run(part)) else {
                    continue;
                };
                if targets.len() >= MOST {
                    return (targets, false);
                }
                targets.push(part);
            }
        }
        let narrowed = |whole: &Target<'a>| self.is_all_parts(whole, &targets);
        (targets.iter().filter(|target| !narrowed(target)).cloned().collect(), true)
    }

    /// Whether any workload is shown, so that one that isn't is no mere gap. Portcullis itself shows nothing of the rest.
    pub fn shows_workloads(&self) -> bool {
        self.workloads.iter().any(|workload| !workload.is_portcullis())
    }

    /// Whether a part of a group has workloads, as far as any are shown.
    fn may_run(&self, part: &Target<'a>) -> bool {
        !self.shows_workloads() || part.gateway.is_some() || self.selects_any(part)
    }

    /// Whether each workload that is shown of a group is in a smaller one.
    fn is_all_parts(&self, whole: &Target<'a>, targets: &[Target<'a>]) -> bool {
        let parts: Vec<_> =
            targets.iter().filter(|part| *part != whole && self.covers(whole, part)).collect();
        let mut shown = self.workloads.iter().filter(|workload| self.selects(whole, workload)).peekable();
        shown.peek().is_some() && shown.all(|workload| parts.iter().any(|part| self.selects(part, workload)))
    }

    /// The kinds of proxies of a group: as the workloads that are shown tell, else as patches take for granted.
    pub fn classes(&self, target: &Target<'a>) -> Vec<Class> {
        if target.gateway.is_some() || workload::is_gateway(&target.labels) {
            return vec![Class::Gateway];
        }
        let mut shown: Vec<Class> = Vec::new();
        for workload in self.workloads.iter().filter(|workload| self.selects(target, workload)) {
            if !shown.contains(&workload.class()) {
                shown.push(workload.class());
            }
        }
        let patches: Vec<_> =
            self.patches.iter().filter(|patch| self.covers(&patch.target, target)).collect();
        let has = |context| patches.iter().any(|patch| patch.context == context);
        match (shown.is_empty(), has(Context::Gateway), has(Context::SidecarInbound)) {
            (false, _, _) => shown,
            (true, true, false) => vec![Class::Gateway],
            (true, true, true) => vec![Class::Sidecar, Class::Gateway],
            (true, false, _) => vec![Class::Sidecar],
        }
    }
}
