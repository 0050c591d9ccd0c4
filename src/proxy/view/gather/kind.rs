//! Which of Envoy's messages a document is: the one place that tells.

use crate::diagnostic::Diagnostic;
use crate::document::Value;
use crate::proxy::tree::{At, Source};

/// What a document is. Kubernetes' manifests are told apart before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DocumentKind {
    Bootstrap,
    /// What `/config_dump` answers.
    ConfigDump,
    /// What `/server_info` answers.
    ServerInfo,
    /// `resources`, as the files of file-based discovery have it.
    DiscoveryResponse,
    /// One message with its `@type`.
    Typed,
    Listener,
    Cluster,
    RouteConfiguration,
    ScopedRouteConfiguration,
    ClusterLoadAssignment,
    Secret,
    Runtime,
}

/// Fields of a message without `@type`, any of which tells what it is. The first that fits counts.
const TOLD_BY: [(DocumentKind, &[&str]); 11] = [
    (DocumentKind::ConfigDump, &["configs"]),
    (DocumentKind::ServerInfo, &["command_line_options"]),
    (DocumentKind::Bootstrap, &["static_resources", "dynamic_resources", "layered_runtime"]),
    (DocumentKind::RouteConfiguration, &["virtual_hosts", "vhds"]),
    (DocumentKind::ScopedRouteConfiguration, &["route_configuration_name", "route_configuration"]),
    (DocumentKind::Listener, &["filter_chains", "default_filter_chain", "listener_filters", "api_listener"]),
    (DocumentKind::ClusterLoadAssignment, &["cluster_name"]),
    (DocumentKind::Cluster, &["load_assignment", "eds_cluster_config", "connect_timeout", "lb_policy"]),
    (
        DocumentKind::Secret,
        &["tls_certificate", "validation_context", "session_ticket_keys", "generic_secret"],
    ),
    (DocumentKind::Runtime, &["layer"]),
    (DocumentKind::DiscoveryResponse, &["resources"]),
];

impl DocumentKind {
    /// `None` for what is nothing of Envoy's.
    pub fn of(at: &At<'_>) -> Option<Self> {
        if at.get("@type").exists() {
            return Some(Self::Typed);
        }
        let has = |name: &&str| at.get(name).exists();
        let (kind, _) = TOLD_BY.into_iter().find(|(_, fields)| fields.iter().any(has))?;
        let is_list =
            |name: &str| at.get(name).node().is_some_and(|node| matches!(node.value, Value::Seq(_)));
        (kind != Self::DiscoveryResponse || is_list("resources")).then_some(kind)
    }
}

/// The error for a document or a resource of no known kind.
pub(super) fn unknown(at: &At<'_>) -> Diagnostic {
    let name = &at.source().name;
    let here = if at.path().is_empty() { format!("`{name}`") } else { format!("`{name}`: `{}`", at.path()) };
    let message = match at.typed().0 {
        kind if kind.is_empty() => format!("{here} is no configuration of Envoy, and no resource of one"),
        kind => format!("{here} is a `{kind}`, which is no resource of Envoy's that is known here"),
    };
    let finding = Diagnostic::error("not-a-proxy", message).help(
        "give a bootstrap, a `config_dump`, the resources that a bootstrap refers to, each with its `@type`, or Kubernetes \
         manifests; take everything else out of the file",
    );
    match at.place() {
        Some(place) => finding.at(place),
        None => finding,
    }
}

/// The error for a file without a document.
pub(super) fn nothing(source: &Source) -> Diagnostic {
    Diagnostic::error("not-a-proxy", format!("`{}` is empty, and so no configuration of Envoy", source.name))
        .help("give a bootstrap, a `config_dump`, or the files that a bootstrap refers to")
}
