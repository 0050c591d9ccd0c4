//! An Istio mesh, as its manifests show it.
//!
//! What is known of Istio was read from the sources of istio/istio (pilot's authz builder, its listener builder, its EnvoyFilter
//! patches) and of istio/api, as they were in 2025.

use super::{Object, labels, selects};
use crate::proxy::tree::At;

mod patch;
mod translate;

pub use patch::{Context, Patch};
pub use translate::Proxy;

/// `rootNamespace` of a mesh configuration that says nothing else.
const ROOT_NAMESPACE: &str = "istio-system";

/// Several documents and files together are one mesh.
#[derive(Debug, Default)]
pub struct Mesh<'a> {
    /// Mesh configurations, in every form that they come in.
    pub configs: Vec<At<'a>>,
    pub providers: Vec<Provider<'a>>,
    /// AuthorizationPolicies with `action: CUSTOM`.
    pub policies: Vec<Policy<'a>>,
    pub patches: Vec<Patch<'a>>,
    pub destination_rules: Vec<Object<'a>>,
    pub services: Vec<Object<'a>>,
    /// What runs, where any of it is shown.
    pub workloads: Vec<Workload<'a>>,
    /// Gateways of the Gateway API.
    pub gateways: Vec<Object<'a>>,
}

/// One `extensionProviders` entry with `envoyExtAuthzGrpc`.
#[derive(Clone, Debug)]
pub struct Provider<'a> {
    pub name: &'a str,
    pub at: At<'a>,
}

/// One AuthorizationPolicy with `action: CUSTOM`.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    pub object: Object<'a>,
    pub provider: &'a str,
    pub target: Target<'a>,
}

/// The proxies that something is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    pub namespace: &'a str,
    /// Sorted; empty: every workload of the namespace.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The name of a Gateway, by `targetRefs`.
    pub gateway: Option<&'a str>,
}

/// What a proxy runs beside.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    pub namespace: &'a str,
    pub labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Mesh<'a> {
    /// What documents and objects say of a mesh.
    pub fn of(documents: &[At<'a>], objects: &[Object<'a>]) -> Self {
        let mut mesh = Self { configs: documents.iter().flat_map(mesh_configs).collect(), ..Self::default() };
        mesh.providers = mesh.configs.iter().flat_map(providers).collect();
        // A mesh may have other authorizers: where one is named so, it is meant.
        if mesh.providers.iter().any(Provider::is_ours) {
            mesh.providers.retain(Provider::is_ours);
        }
        for object in objects {
            mesh.add(object);
        }
        mesh
    }

    fn add(&mut self, object: &Object<'a>) {
        match (object.group, object.kind) {
            ("security.istio.io", "AuthorizationPolicy") => self.policies.extend(policy(object)),
            ("networking.istio.io", "EnvoyFilter") => self.patches.extend(patch::patches(object)),
            ("networking.istio.io", "DestinationRule") => self.destination_rules.push(object.clone()),
            ("gateway.networking.k8s.io", "Gateway") => self.gateways.push(object.clone()),
            ("", "Service") => self.services.push(object.clone()),
            ("", "Pod") => self.workloads.push(workload(object, &object.at)),
            ("apps" | "batch", _) => {
                self.workloads.push(workload(object, &object.spec().get("template")));
            }
            _ => {}
        }
    }

    /// Whether anything makes a proxy ask.
    pub fn asks(&self) -> bool {
        self.asking().next().is_some() || self.patches.iter().any(Patch::adds_service)
    }

    pub fn root_namespace(&self) -> &'a str {
        self.configs.iter().find_map(|config| config.get("root_namespace").text()).unwrap_or(ROOT_NAMESPACE)
    }

    /// The policies that may ask Portcullis: those whose provider is asked by gRPC, or is not shown.
    pub fn asking(&self) -> impl Iterator<Item = &Policy<'a>> {
        self.policies
            .iter()
            .filter(|policy| self.provider(policy.provider).is_some() || !self.has_provider(policy.provider))
    }

    /// Whether the mesh has a provider of this name, of any kind.
    pub fn has_provider(&self, name: &str) -> bool {
        let entries = self.configs.iter().flat_map(|config| config.get("extension_providers").items());
        entries.into_iter().any(|entry| entry.get("name").text() == Some(name))
    }

    pub fn provider(&self, name: &str) -> Option<&Provider<'a>> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Whether what is about `target` is also about every proxy of `proxy`.
    fn covers(&self, target: &Target<'a>, proxy: &Target<'a>) -> bool {
        let namespace = target.namespace == proxy.namespace || target.namespace == self.root_namespace();
        let gateway = target.gateway.is_none() || target.gateway == proxy.gateway;
        namespace && gateway && selects(&target.labels, &proxy.labels)
    }

    /// Whether a target selects any workload, or names a gateway, of those that are shown.
    pub fn selects_any(&self, target: &Target<'a>) -> bool {
        match target.gateway {
            Some(name) => self
                .gateways
                .iter()
                .any(|gateway| gateway.name == name && gateway.namespace == target.namespace),
            None => self.workloads.iter().any(|workload| {
                let namespace =
                    target.namespace == workload.namespace || target.namespace == self.root_namespace();
                namespace && selects(&target.labels, &workload.labels)
            }),
        }
    }
}

impl Provider<'_> {
    fn is_ours(&self) -> bool {
        [Some(self.name), self.at.get("service").text()]
            .into_iter()
            .flatten()
            .any(|name| name.contains("portcullis"))
    }
}

/// The mesh configurations in a document: of an IstioOperator or an Istio, of Helm's values, or the document itself.
pub fn mesh_configs<'a>(document: &At<'a>) -> Vec<At<'a>> {
    let found = match document.get("kind").text() {
        Some("IstioOperator" | "Istio") => {
            vec![document.at(&["spec", "meshConfig"]), document.at(&["spec", "values", "meshConfig"])]
        }
        Some(_) => vec![],
        None if ["extension_providers", "path_normalization", "root_namespace"]
            .iter()
            .any(|field| document.get(field).exists()) =>
        {
            vec![document.clone()]
        }
        None => vec![document.get("meshConfig")],
    };
    found.into_iter().filter(At::exists).collect()
}

fn providers<'a>(config: &At<'a>) -> Vec<Provider<'a>> {
    let entries = config.get("extension_providers").items();
    entries
        .into_iter()
        .map(|entry| Provider {
            name: entry.get("name").text().unwrap_or_default(),
            at: entry.get("envoy_ext_authz_grpc"),
        })
        .filter(|provider| provider.at.exists())
        .collect()
}

fn policy<'a>(object: &Object<'a>) -> Option<Policy<'a>> {
    let spec = object.spec();
    (spec.get("action").text() == Some("CUSTOM")).then(|| Policy {
        provider: spec.at(&["provider", "name"]).text().unwrap_or_default(),
        target: target(object, &spec.at(&["selector", "match_labels"])),
        object: object.clone(),
    })
}

/// What an object of a namespace is about: the workloads with these labels, or the gateway that `targetRefs` names.
fn target<'a>(object: &Object<'a>, selector: &At<'a>) -> Target<'a> {
    let spec = object.spec();
    let reference =
        spec.get("target_refs").items().into_iter().next().unwrap_or_else(|| spec.get("target_ref"));
    let is_gateway = reference.get("kind").text() == Some("Gateway");
    Target {
        namespace: object.namespace,
        labels: labels(selector),
        gateway: reference.get("name").text().filter(|_| is_gateway),
    }
}

fn workload<'a>(object: &Object<'a>, pod: &At<'a>) -> Workload<'a> {
    Workload { namespace: object.namespace, labels: labels(&pod.at(&["metadata", "labels"])) }
}

#[cfg(test)]
mod tests;
