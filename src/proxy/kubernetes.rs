//! Istio's and Envoy Gateway's manifests: read, and drawn up as the Envoy configuration that those control planes make of
//! them, so that one set of checks serves every form.
//!
//! What is known of the two control planes stands in `istio` and `gateway`, with the versions that it was read from. It is
//! their documented translation and their sources, not a running mesh.

use super::tree::{At, Source};
use crate::diagnostic::Diagnostic;

pub mod draft;
mod envoy;
pub mod gateway;
pub mod istio;

/// One object of a manifest.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// `security.istio.io` of `security.istio.io/v1`; empty for Kubernetes' own.
    pub group: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub namespace: &'a str,
    pub at: At<'a>,
}

impl<'a> Object<'a> {
    fn of(at: At<'a>) -> Option<Self> {
        let kind = at.get("kind").text()?;
        let version = at.get("apiVersion").text()?;
        let metadata = at.get("metadata");
        Some(Self {
            group: version.rsplit_once('/').map_or("", |(group, _)| group),
            kind,
            name: metadata.get("name").text().unwrap_or_default(),
            namespace: metadata.get("namespace").text().unwrap_or("default"),
            at,
        })
    }

    pub fn spec(&self) -> At<'a> {
        self.at.get("spec")
    }

    /// Of this group and kind?
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// `EnvoyFilter shop/portcullis`, as people say it.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The objects of all sources, those in lists too.
pub fn objects<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Vec<Object<'a>> {
    let documents = sources.into_iter().flat_map(Source::documents);
    documents
        .flat_map(|document| match document.get("kind").text() {
            Some(kind) if kind.ends_with("List") => document.get("items").items(),
            _ => vec![document],
        })
        .filter_map(Object::of)
        .collect()
}

/// Whether any document of a source is a Kubernetes object, or a mesh configuration.
pub fn is_manifest(source: &Source) -> bool {
    source.documents().any(|document| {
        (document.get("apiVersion").exists() && document.get("kind").exists())
            || !istio::mesh_configs(&document).is_empty()
    })
}

/// The mesh configurations that ConfigMaps hold as text, as sources of their own. Their lines say nothing: they count from
/// within the text.
///
/// # Errors
/// A text that is no YAML.
pub fn embedded<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Result<Vec<Source>, Diagnostic> {
    let texts = objects(sources).into_iter().filter(|object| object.is("", "ConfigMap"));
    let texts = texts.filter_map(|object| {
        Some((object.at.source().name.clone(), object.at.at(&["data", "mesh"]).text()?))
    });
    texts.map(|(name, text)| Ok(Source { has_lines: false, ..Source::parse(&name, text)? })).collect()
}

/// The labels of a map of texts.
fn labels<'a>(at: &At<'a>) -> Vec<(&'a str, &'a str)> {
    let mut labels: Vec<_> =
        at.fields().into_iter().filter_map(|(name, value)| Some((name, value.text()?))).collect();
    labels.sort_unstable();
    labels
}

/// Whether every label that is asked for is there.
fn selects(asked: &[(&str, &str)], has: &[(&str, &str)]) -> bool {
    asked.iter().all(|label| has.contains(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_in_documents_and_lists() {
        let text = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: a.b/v1, kind: X, metadata: {name: one}}\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: {name: two, namespace: shop}\n---\nnot: one\n";
        let source = Source::parse("m.yaml", text).unwrap();
        let found: Vec<_> = objects([&source]).iter().map(Object::title).collect();
        assert_eq!(found, ["X default/one", "Service shop/two"]);
        assert!(is_manifest(&source));
    }

    #[test]
    fn a_mesh_configuration_inside_a_config_map_is_a_source_of_its_own() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n    extensionProviders: []\n";
        let sources = [Source::parse("m.yaml", text).unwrap()];
        let inner = embedded(&sources).unwrap();
        assert!(inner[0].documents().next().unwrap().get("extensionProviders").exists());
        assert!(!inner[0].has_lines);
        assert_eq!(&*inner[0].name, "m.yaml");
    }

    #[test]
    fn a_broken_mesh_configuration_is_an_error() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: \"a: [\"}\n";
        assert!(embedded(&[Source::parse("m.yaml", text).unwrap()]).is_err());
    }

    #[test]
    fn an_envoy_bootstrap_is_no_manifest() {
        assert!(!is_manifest(&Source::parse("e.yaml", "static_resources: {listeners: []}\n").unwrap()));
    }
}
