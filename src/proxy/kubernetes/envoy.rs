//! What every drawn-up Envoy configuration has: one listener, one connection manager, clusters that any Envoy accepts.

use serde_json::{Value as Json, json};

use super::draft::{Draft, find, set};
use crate::document::{Node, Value};
use crate::proxy::tree::At;

/// Limits that never bite.
pub(super) const UNLIMITED: u32 = u32::MAX;
pub(super) const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
pub(super) const EXT_AUTHZ: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
pub(super) const EXT_PROC: &str =
    "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor";

/// A bootstrap around a connection manager. `listener` may have more fields of the listener.
pub(super) fn bootstrap<'a>(
    draft: &mut Draft<'a>,
    at: &At<'a>,
    mut listener: Node,
    manager: Node,
    clusters: Node,
) -> Node {
    let mut filter = draft.write(at, json!({"name": "envoy.filters.network.http_connection_manager"}));
    set(&mut filter, "typed_config", manager);
    let mut chain = draft.write(at, json!({}));
    set(&mut chain, "filters", list(draft, at, [filter]));
    set(&mut listener, "name", draft.write(at, json!("listener")));
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 10080}});
    set(&mut listener, "address", draft.write(at, address));
    set(&mut listener, "filter_chains", list(draft, at, [chain]));
    let mut resources = draft.write(at, json!({}));
    set(&mut resources, "listeners", list(draft, at, [listener]));
    set(&mut resources, "clusters", clusters);
    let mut root = draft.write(at, json!({}));
    set(&mut root, "static_resources", resources);
    root
}

/// The route table whose one route stands for all.
pub(super) fn routes() -> Json {
    json!({"name": "routes", "virtual_hosts": [{
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
    }]})
}

/// The cluster that is protected.
pub(super) fn upstream() -> Json {
    cluster_at("upstream", false, 8080)
}

/// A cluster that is asked.
pub(super) fn cluster(name: &str, http2: bool) -> Json {
    cluster_at(name, http2, 9191)
}

fn cluster_at(name: &str, http2: bool, port: u16) -> Json {
    let protocol = if http2 { "http2_protocol_options" } else { "http_protocol_options" };
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {protocol: {}},
        }},
        "circuit_breakers": {"thresholds": [
            {"max_connections": UNLIMITED, "max_pending_requests": UNLIMITED, "max_requests": UNLIMITED},
        ]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}},
        ]}]},
    })
}

pub(super) fn router() -> Json {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

/// `circuit_breakers` with these limits, where they are there, and `otherwise` for the rest.
pub(super) fn breakers<'a>(
    draft: &mut Draft<'a>,
    at: &At<'a>,
    otherwise: u32,
    limits: [(&str, At<'a>); 3],
) -> Node {
    let mut threshold = draft.write(at, json!({}));
    for (field, limit) in limits {
        set(&mut threshold, field, draft.write(at, json!(otherwise)));
        // Protobuf takes 0 for absent.
        if limit.number().is_some_and(|number| number > 0) {
            set(&mut threshold, field, draft.copy(&limit));
        }
    }
    let mut breakers = draft.write(at, json!({}));
    set(&mut breakers, "thresholds", list(draft, at, [threshold]));
    breakers
}

/// A list that stands at this place.
pub(super) fn list<'a>(draft: &mut Draft<'a>, at: &At<'a>, items: impl IntoIterator<Item = Node>) -> Node {
    let mut list = draft.write(at, json!([]));
    items.into_iter().for_each(|item| push(&mut list, item));
    list
}

pub(super) fn push(list: &mut Node, item: Node) {
    if let Value::Seq(items) = &mut list.value {
        items.push(item);
    }
}

/// The first element of a list.
pub(super) fn first(list: &mut Node) -> Option<&mut Node> {
    match &mut list.value {
        Value::Seq(items) => items.first_mut(),
        _ => None,
    }
}

/// The clusters of a bootstrap that was drawn up.
pub(super) fn clusters(root: &mut Node) -> Option<&mut Node> {
    find(find(root, "static_resources")?, "clusters")
}

/// The listener of a bootstrap that was drawn up.
pub(super) fn listener(root: &mut Node) -> Option<&mut Node> {
    first(find(find(root, "static_resources")?, "listeners")?)
}

/// The connection manager of a bootstrap that was drawn up.
pub(super) fn manager(root: &mut Node) -> Option<&mut Node> {
    let chain = first(find(listener(root)?, "filter_chains")?)?;
    find(first(find(chain, "filters")?)?, "typed_config")
}
