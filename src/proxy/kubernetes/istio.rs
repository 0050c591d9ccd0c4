//! An Istio mesh, as its manifests show it.
//!
//! What is known of Istio was read from the sources of istio/istio (pilot's authz builder, its listener builder, its EnvoyFilter
//! patches) and of istio/api, as they were in 2025.

use super::Object;
use crate::proxy::tree::At;

mod patch;
mod target;
mod translate;
mod workload;

pub use patch::{Context, Patch};
pub use target::Target;
pub use translate::Proxy;
pub use workload::{Class, Excluded, Workload};

/// `rootNamespace` of a mesh configuration that says nothing else.
const ROOT_NAMESPACE: &str = "istio-system";

/// Several documents and files together are one mesh.
#[derive(Debug, Default)]
pub struct Mesh<'a> {
    /// Mesh configurations, in every form that they come in.
    pub configs: Vec<At<'a>>,
    /// Those that are asked by gRPC.
    pub providers: Vec<Provider<'a>>,
    /// Those of Portcullis that are asked by HTTP, which it doesn't speak.
    pub http_providers: Vec<Provider<'a>>,
    /// AuthorizationPolicies with `action: CUSTOM`.
    pub policies: Vec<Policy<'a>>,
    /// AuthorizationPolicies that name a provider, and another action.
    pub powerless: Vec<Policy<'a>>,
    pub patches: Vec<Patch<'a>>,
    pub destination_rules: Vec<Object<'a>>,
    pub services: Vec<Object<'a>>,
    /// What runs, where any of it is shown.
    pub workloads: Vec<Workload<'a>>,
    pub namespaces: Vec<Object<'a>>,
    /// Gateways of the Gateway API.
    pub gateways: Vec<Object<'a>>,
}

/// One `extensionProviders` entry with `envoyExtAuthzGrpc`, or `envoyExtAuthzHttp`.
#[derive(Clone, Debug)]
pub struct Provider<'a> {
    pub name: &'a str,
    pub at: At<'a>,
}

/// One AuthorizationPolicy with a provider.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    pub object: Object<'a>,
    pub provider: &'a str,
    pub target: Target<'a>,
}

impl<'a> Mesh<'a> {
    /// What documents and objects say of a mesh.
    pub fn of(documents: &[At<'a>], objects: &[Object<'a>]) -> Self {
        let mut mesh = Self { configs: documents.iter().flat_map(mesh_configs).collect(), ..Self::default() };
        let of = |field| mesh.configs.iter().flat_map(move |config| providers(config, field)).collect();
        (mesh.providers, mesh.http_providers) = (of("envoy_ext_authz_grpc"), of("envoy_ext_authz_http"));
        mesh.http_providers.retain(Provider::is_ours);
        // A mesh may have other authorizers: where one is named so, it is meant.
        if !mesh.http_providers.is_empty() || mesh.providers.iter().any(Provider::is_ours) {
            mesh.providers.retain(Provider::is_ours);
        }
        for object in objects {
            mesh.add(object);
        }
        mesh
    }

    fn add(&mut self, object: &Object<'a>) {
        match (object.group, object.kind) {
            ("security.istio.io", "AuthorizationPolicy") => {
                let policy = policy(object);
                match object.spec().get("action").text() {
                    Some("CUSTOM") => self.policies.push(policy),
                    _ if !policy.provider.is_empty() => self.powerless.push(policy),
                    _ => {}
                }
            }
            ("networking.istio.io", "EnvoyFilter") => self.patches.extend(patch::patches(object)),
            ("networking.istio.io", "DestinationRule") => self.destination_rules.push(object.clone()),
            ("gateway.networking.k8s.io", "Gateway") => self.gateways.push(object.clone()),
            ("", "Namespace") => self.namespaces.push(object.clone()),
            ("", "Service") => self.services.push(object.clone()),
            _ => self.workloads.extend(Workload::of(object)),
        }
    }

    /// Whether anything makes a proxy ask, or is meant to.
    pub fn asks(&self) -> bool {
        let meant = |policy: &Policy<'_>| self.is_meant(policy.provider);
        self.asking().next().is_some()
            || self.patches.iter().any(Patch::adds_service)
            || self.policies.iter().chain(&self.powerless).any(meant)
    }

    /// Whether the provider of this name is, or would be, Portcullis.
    pub fn is_meant(&self, name: &str) -> bool {
        let known = self.providers.iter().chain(&self.http_providers).any(|provider| provider.name == name);
        known || (!self.has_provider(name) && name.contains("portcullis"))
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

/// The entries with this field.
fn providers<'a>(config: &At<'a>, field: &'static str) -> Vec<Provider<'a>> {
    let entries = config.get("extension_providers").items();
    entries
        .into_iter()
        .map(|entry| Provider { name: entry.get("name").text().unwrap_or_default(), at: entry.get(field) })
        .filter(|provider| provider.at.exists())
        .collect()
}

fn policy<'a>(object: &Object<'a>) -> Policy<'a> {
    let spec = object.spec();
    Policy {
        provider: spec.at(&["provider", "name"]).text().unwrap_or_default(),
        target: Target::of(object, &spec.at(&["selector", "match_labels"])),
        object: object.clone(),
    }
}

#[cfg(test)]
mod tests;
