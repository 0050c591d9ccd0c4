//! Envoy Gateway, as its manifests show it.
//!
//! What is known of Envoy Gateway was read from its API types and its xDS translator, as they were in 2025 (1.4 to 1.6).

use super::{Object, labels, selects};
use crate::proxy::tree::At;

mod backend;
mod patch;
mod translate;

pub use translate::Proxy;

pub const GROUP: &str = "gateway.envoyproxy.io";
pub const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// Several documents and files together are one cluster.
#[derive(Debug, Default)]
pub struct Gateways<'a> {
    /// SecurityPolicies and EnvoyExtensionPolicies, whether they ask Portcullis or not.
    pub policies: Vec<Policy<'a>>,
    pub client_policies: Vec<Object<'a>>,
    pub backend_policies: Vec<Object<'a>>,
    pub patches: Vec<Object<'a>>,
    pub gateways: Vec<Object<'a>>,
    /// HTTPRoutes and GRPCRoutes.
    pub routes: Vec<Object<'a>>,
    pub grants: Vec<Object<'a>>,
}

/// One SecurityPolicy or EnvoyExtensionPolicy.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    pub object: Object<'a>,
    pub targets: Vec<Target<'a>>,
    /// What asks Portcullis.
    pub asks: Vec<Ask<'a>>,
}

/// What a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub namespace: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub section: Option<&'a str>,
}

/// `extAuth`, or one entry of `extProc`.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub kind: AskKind,
    pub at: At<'a>,
    /// `backendRefs`
    pub backends: Vec<At<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskKind {
    ExtAuth,
    /// With its place in the list.
    ExtProc(usize),
}

impl<'a> Gateways<'a> {
    pub fn of(objects: &[Object<'a>]) -> Self {
        let mut gateways = Self::default();
        for object in objects {
            match (object.group, object.kind) {
                (GROUP, "ClientTrafficPolicy") => gateways.client_policies.push(object.clone()),
                (GROUP, "BackendTrafficPolicy") => gateways.backend_policies.push(object.clone()),
                (GROUP, "EnvoyPatchPolicy") => gateways.patches.push(object.clone()),
                (GATEWAY_API, "Gateway") => gateways.gateways.push(object.clone()),
                (GATEWAY_API, "HTTPRoute" | "GRPCRoute") => gateways.routes.push(object.clone()),
                (GATEWAY_API, "ReferenceGrant") => gateways.grants.push(object.clone()),
                _ => {}
            }
        }
        let policies = objects
            .iter()
            .filter(|object| object.is(GROUP, "SecurityPolicy") || object.is(GROUP, "EnvoyExtensionPolicy"));
        gateways.policies = policies
            .map(|object| Policy {
                targets: gateways.targets(object),
                asks: asks(object),
                object: object.clone(),
            })
            .collect();
        gateways
    }

    /// Whether anything makes a proxy ask.
    pub fn asks(&self) -> bool {
        self.policies.iter().any(|policy| !policy.asks.is_empty())
    }

    /// What a policy is attached to: by name, or by labels of what is shown.
    fn targets(&self, object: &Object<'a>) -> Vec<Target<'a>> {
        let spec = object.spec();
        let mut references = spec.get("target_refs").items();
        references.extend(Some(spec.get("target_ref")).filter(At::exists));
        let named = references.iter().map(|reference| Target {
            namespace: object.namespace,
            kind: reference.get("kind").text().unwrap_or_default(),
            name: reference.get("name").text().unwrap_or_default(),
            section: reference.get("section_name").text(),
        });
        let selectors = spec.get("target_selectors").items();
        let selected = selectors.iter().flat_map(|selector| self.selected(object.namespace, selector));
        named.chain(selected).collect()
    }

    fn selected(&self, namespace: &'a str, selector: &At<'a>) -> Vec<Target<'a>> {
        let kind = selector.get("kind").text().unwrap_or_default();
        let asked = labels(&selector.get("match_labels"));
        let has = |object: &&Object<'a>| {
            object.kind == kind
                && object.namespace == namespace
                && selects(&asked, &labels(&object.at.at(&["metadata", "labels"])))
        };
        let shown = self.gateways.iter().chain(&self.routes);
        shown.filter(has).map(|object| Target { namespace, kind, name: object.name, section: None }).collect()
    }

    /// What a target names, where it is shown.
    pub fn find(&self, target: &Target<'_>) -> Option<&Object<'a>> {
        self.gateways.iter().chain(&self.routes).find(|object| {
            object.kind == target.kind && object.name == target.name && object.namespace == target.namespace
        })
    }

    /// Whether anything of the kind of a target is shown, so that a missing one is a mistake.
    pub fn shows(&self, kind: &str) -> bool {
        self.gateways.iter().chain(&self.routes).any(|object| object.kind == kind)
    }

    /// The gateways that a target's calls come through; empty when nothing tells.
    pub fn gateways_of(&self, target: &Target<'a>) -> Vec<Target<'a>> {
        match (target.kind, self.find(target)) {
            ("Gateway", _) => vec![Target { section: None, ..target.clone() }],
            (_, Some(route)) => {
                let parents = route.spec().get("parent_refs").items();
                let gateways = parents
                    .iter()
                    .filter(|parent| parent.get("kind").text().is_none_or(|kind| kind == "Gateway"));
                let of = |parent: &At<'a>| {
                    Some(Target {
                        namespace: parent.get("namespace").text().unwrap_or(route.namespace),
                        kind: "Gateway",
                        name: parent.get("name").text()?,
                        section: None,
                    })
                };
                gateways.filter_map(of).collect()
            }
            (_, None) => vec![],
        }
    }
}

impl Target<'_> {
    /// `Gateway eg`, as people say it.
    pub fn title(&self) -> String {
        match self.section {
            Some(section) => format!("{} {}, section {section}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Whether another target is this object, or a section of it.
    pub fn is_named_by(&self, other: &Target<'_>) -> bool {
        (self.namespace, self.kind, self.name) == (other.namespace, other.kind, other.name)
    }
}

fn asks<'a>(object: &Object<'a>) -> Vec<Ask<'a>> {
    let spec = object.spec();
    let auth = spec.get("ext_auth");
    let grpc = auth.get("grpc");
    let auth =
        Some(Ask { kind: AskKind::ExtAuth, backends: backends(&grpc), at: auth }).filter(|_| grpc.exists());
    let processors = spec.get("ext_proc").items().into_iter().enumerate();
    let processors =
        processors.map(|(index, at)| Ask { kind: AskKind::ExtProc(index), backends: backends(&at), at });
    let all: Vec<_> = auth.into_iter().chain(processors).collect();
    // Where several are asked, the one that is named so is meant.
    let ours: Vec<_> = all.iter().filter(|ask| is_ours(ask)).cloned().collect();
    if ours.is_empty() { all } else { ours }
}

fn is_ours(ask: &Ask<'_>) -> bool {
    ask.backends
        .iter()
        .any(|backend| backend.get("name").text().is_some_and(|name| name.contains("portcullis")))
}

fn backends<'a>(at: &At<'a>) -> Vec<At<'a>> {
    let mut backends = at.get("backend_refs").items();
    backends.extend(Some(at.get("backend_ref")).filter(At::exists));
    backends
}

#[cfg(test)]
mod tests;
