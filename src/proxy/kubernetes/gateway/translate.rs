//! The Envoy configuration that Envoy Gateway makes of its policies, for what they are attached to.

use serde_json::{Value as Json, json};

use super::{Ask, AskKind, Gateways, Object, Policy, Target, patch};
use crate::document::Node;
use crate::proxy::kubernetes::draft::{Draft, find, set};
use crate::proxy::kubernetes::envoy::{
    self, EXT_AUTHZ, EXT_PROC, MANAGER, breakers, list, push, router, routes,
};
use crate::proxy::tree::At;

/// Envoy Gateway's default of `connection.bufferLimit`, in bytes.
const BUFFER: usize = 32 * 1024;
/// Its default of a call to an external service.
const SERVICE_TIMEOUT: &str = "10s";
/// Its default of every circuit breaker.
const BREAKER: u32 = 1024;

/// What one target's calls meet, as one listener of an Envoy.
#[derive(Debug)]
pub struct Proxy<'a> {
    pub target: Target<'a>,
    pub draft: Draft<'a>,
    /// A whole bootstrap.
    pub root: Node,
    /// What can't be told from the manifests alone: where, and what.
    pub unread: Vec<(At<'a>, String)>,
}

impl<'a> Gateways<'a> {
    /// Every target that some policy makes ask Portcullis, and routes with settings of their own below it.
    pub fn proxies(&self) -> Vec<Proxy<'a>> {
        let mut targets: Vec<Target<'a>> = Vec::new();
        let asking = self.policies.iter().filter(|policy| !policy.asks.is_empty());
        // A route with settings of its own may differ from what its gateway's policy makes of the others.
        for target in asking.flat_map(|policy| policy.targets.clone()).chain(self.tuned()) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets.into_iter().filter_map(|target| self.proxy(target)).collect()
    }

    /// The policy of a kind that decides for a target: its own, else that of its gateway.
    pub fn policy_for(&self, kind: &str, target: &Target<'a>) -> Option<&Policy<'a>> {
        let own =
            self.policies.iter().find(|policy| policy.object.kind == kind && policy.targets.contains(target));
        let gateways = self.gateways_of(target);
        own.or_else(|| {
            self.policies.iter().find(|policy| {
                policy.object.kind == kind
                    && policy
                        .targets
                        .iter()
                        .any(|other| gateways.iter().any(|gateway| gateway.is_named_by(other)))
            })
        })
    }

    fn proxy(&self, target: Target<'a>) -> Option<Proxy<'a>> {
        let mut draft = Draft::default();
        let policies: Vec<_> = ["SecurityPolicy", "EnvoyExtensionPolicy"]
            .iter()
            .filter_map(|kind| self.policy_for(kind, &target))
            .filter(|policy| !policy.asks.is_empty())
            .collect();
        let at = policies.first()?.object.spec();
        let gateways = self.gateways_of(&target);
        // Where nothing tells the gateway, it is taken for one of the same namespace.
        let unknown = |object: &Object<'a>| gateways.is_empty() && object.namespace == target.namespace;
        let clients = self.client_policies.iter().filter(|client| {
            let named = |other: &Target<'a>| gateways.iter().any(|gateway| gateway.is_named_by(other));
            unknown(client) || self.targets(client).iter().any(named)
        });
        let clients: Vec<At<'a>> = clients.map(Object::spec).collect();
        let mut manager = manager(&mut draft, &at, &clients);
        let mut filters = list(&mut draft, &at, []);
        let upstream = draft.write(&at, envoy::upstream());
        let mut clusters = list(&mut draft, &at, [upstream]);
        for (policy, ask) in
            policies.iter().flat_map(|policy| policy.asks.iter().map(move |ask| (policy, ask)))
        {
            let name = cluster_name(&policy.object.title(), ask);
            push(&mut filters, filter(&mut draft, policy, ask, &name));
            push(&mut clusters, service_cluster(&mut draft, ask, &name));
        }
        push(&mut filters, draft.write(&at, router()));
        set(&mut manager, "http_filters", filters);
        let listener = listener(&mut draft, &at, &clients);
        let mut root = envoy::bootstrap(&mut draft, &at, listener, manager, clusters);
        let mut unread = self.apply_backend(&mut draft, &target, &mut root);
        for patches in &self.patches {
            let named = self
                .targets(patches)
                .iter()
                .any(|other| gateways.iter().any(|gateway| gateway.is_named_by(other)));
            if named || unknown(patches) {
                unread.extend(patch::apply(&mut draft, patches, &mut root));
            }
        }
        Some(Proxy { target, draft, root, unread })
    }
}

/// The connection manager of a listener.
fn manager<'a>(draft: &mut Draft<'a>, at: &At<'a>, clients: &[At<'a>]) -> Node {
    let base = clients.first().unwrap_or(at).clone();
    let mut manager = draft.write(
        &base,
        json!({
            "@type": MANAGER,
            "stat_prefix": "http",
            "use_remote_address": true,
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
            "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
            "forward_client_cert_details": "SANITIZE",
            "route_config": routes(),
        }),
    );
    for client in clients {
        client_settings(draft, &mut manager, client);
    }
    manager
}

/// What a ClientTrafficPolicy changes.
fn client_settings<'a>(draft: &mut Draft<'a>, manager: &mut Node, client: &At<'a>) {
    let path = client.get("path");
    let unmerged = path.get("disable_merge_slashes");
    if let Some(flag) = unmerged.flag() {
        set(manager, "merge_slashes", draft.write(&unmerged, json!(!flag)));
    }
    word(draft, manager, "path_with_escaped_slashes_action", &path.get("escaped_slashes_action"), |word| {
        match word {
            "KeepUnchanged" => "KEEP_UNCHANGED",
            "RejectRequest" => "REJECT_REQUEST",
            "UnescapeForward" => "UNESCAPE_AND_FORWARD",
            _ => "UNESCAPE_AND_REDIRECT",
        }
    });
    let headers = client.get("headers");
    if let Some(common) = find(manager, "common_http_protocol_options") {
        word(
            draft,
            common,
            "headers_with_underscores_action",
            &headers.get("with_underscores_action"),
            |word| match word {
                "Allow" => "ALLOW",
                "DropHeader" => "DROP_HEADER",
                _ => "REJECT_REQUEST",
            },
        );
    }
    let certificate = headers.at(&["x_forwarded_client_cert", "mode"]);
    word(draft, manager, "forward_client_cert_details", &certificate, |word| match word {
        "ForwardOnly" => "FORWARD_ONLY",
        "AppendForward" => "APPEND_FORWARD",
        "SanitizeSet" => "SANITIZE_SET",
        "AlwaysForwardOnly" => "ALWAYS_FORWARD_ONLY",
        _ => "SANITIZE",
    });
    let hops = client.at(&["clientIPDetection", "xForwardedFor", "numTrustedHops"]);
    set(manager, "xff_num_trusted_hops", draft.copy(&hops));
    let timeout = client.at(&["timeout", "http"]);
    set(manager, "stream_idle_timeout", seconds(draft, &timeout.get("stream_idle_timeout")));
    set(manager, "request_timeout", seconds(draft, &timeout.get("request_received_timeout")));
    let old = client.at(&["http1", "http10"]);
    if old.exists() {
        let options =
            draft.write(&old, json!({"accept_http_10": true, "default_host_for_http_10": "default"}));
        set(manager, "http_protocol_options", options);
    }
}

fn word<'a>(
    draft: &mut Draft<'a>,
    map: &mut Node,
    field: &str,
    at: &At<'a>,
    meaning: impl Fn(&str) -> &'static str,
) {
    if let Some(text) = at.text() {
        set(map, field, draft.write(at, json!(meaning(text))));
    }
}

/// A duration of Kubernetes (`5m`) as protobuf writes it (`300s`); null when it is absent.
pub(super) fn seconds<'a>(draft: &mut Draft<'a>, at: &At<'a>) -> Node {
    let text = at.duration().map(|time| json!(format!("{}s", time.as_secs_f64())));
    draft.write(at, text.unwrap_or(Json::Null))
}

/// The filter that a policy makes.
fn filter<'a>(draft: &mut Draft<'a>, policy: &Policy<'a>, ask: &Ask<'a>, cluster: &str) -> Node {
    let object = &policy.object;
    let (name, config) = match ask.kind {
        AskKind::ExtAuth => (
            format!("envoy.filters.http.ext_authz/securitypolicy/{}/{}", object.namespace, object.name),
            ext_authz(draft, &ask.at, cluster),
        ),
        AskKind::ExtProc(index) => (
            format!(
                "envoy.filters.http.ext_proc/envoyextensionpolicy/{}/{}/extproc/{index}",
                object.namespace, object.name
            ),
            ext_proc(draft, &ask.at, cluster),
        ),
    };
    let mut filter = draft.write(&ask.at, json!({"name": name}));
    set(&mut filter, "typed_config", config);
    filter
}

fn ext_authz<'a>(draft: &mut Draft<'a>, at: &At<'a>, cluster: &str) -> Node {
    let mut config = draft.write(
        at,
        json!({
            "@type": EXT_AUTHZ,
            "transport_api_version": "V3",
        }),
    );
    let mut service =
        draft.write(at, json!({"envoy_grpc": {"cluster_name": cluster, "authority": "portcullis"}, "timeout": SERVICE_TIMEOUT}));
    set(&mut service, "timeout", seconds(draft, &at.get("timeout")));
    set(&mut config, "grpc_service", service);
    set(&mut config, "failure_mode_allow", draft.copy(&at.get("fail_open")));
    set(&mut config, "clear_route_cache", draft.copy(&at.get("recompute_route")));
    let status = at.get("status_on_error");
    if status.exists() {
        let mut code = draft.write(&status, json!({}));
        set(&mut code, "code", draft.copy(&status));
        set(&mut config, "status_on_error", code);
    }
    set(&mut config, "with_request_body", draft.copy(&at.get("body_to_ext_auth")));
    let headers = at.get("headers_to_ext_auth");
    if !headers.items().is_empty() {
        let exact = |name: &str| json!({"exact": name, "ignore_case": true});
        let patterns: Vec<_> = headers.items().iter().filter_map(At::text).map(exact).collect();
        set(&mut config, "allowed_headers", draft.write(&headers, json!({"patterns": patterns})));
    }
    config
}

fn ext_proc<'a>(draft: &mut Draft<'a>, at: &At<'a>, cluster: &str) -> Node {
    let mut config = draft.write(
        at,
        json!({
            "@type": EXT_PROC,
            "grpc_service": {"envoy_grpc": {"cluster_name": cluster, "authority": "portcullis"}, "timeout": SERVICE_TIMEOUT},
        }),
    );
    set(&mut config, "failure_mode_allow", draft.copy(&at.get("fail_open")));
    set(&mut config, "message_timeout", seconds(draft, &at.get("message_timeout")));
    let modes = at.get("processing_mode");
    set(&mut config, "allow_mode_override", draft.copy(&modes.get("allow_mode_override")));
    let mut mode = draft.write(&modes, json!({}));
    for name in ["request", "response"] {
        let asked = modes.get(name);
        let header = if asked.exists() { "SEND" } else { "SKIP" };
        let body = asked.get("body");
        let (word, trailer) = match body.text() {
            Some("Buffered") => ("BUFFERED", "SKIP"),
            Some("BufferedPartial") => ("BUFFERED_PARTIAL", "SKIP"),
            Some("Streamed") => ("STREAMED", "SKIP"),
            Some("FullDuplexStreamed") => ("FULL_DUPLEX_STREAMED", "SEND"),
            _ => ("NONE", "SKIP"),
        };
        set(&mut mode, &format!("{name}_header_mode"), draft.write(&asked, json!(header)));
        set(&mut mode, &format!("{name}_body_mode"), draft.write(&body, json!(word)));
        set(&mut mode, &format!("{name}_trailer_mode"), draft.write(&body, json!(trailer)));
        set(&mut config, &format!("{name}_attributes"), draft.copy(&asked.get("attributes")));
    }
    set(&mut config, "processing_mode", mode);
    let namespaces = at.at(&["metadata", "accessible_namespaces"]);
    if namespaces.exists() {
        let mut untyped = draft.write(&namespaces, json!({}));
        set(&mut untyped, "untyped", draft.copy(&namespaces));
        let mut options = draft.write(&namespaces, json!({}));
        set(&mut options, "forwarding_namespaces", untyped);
        set(&mut config, "metadata_options", options);
    }
    config
}

fn cluster_name(title: &str, ask: &Ask<'_>) -> String {
    match ask.kind {
        AskKind::ExtAuth => format!("{title}/extauth"),
        AskKind::ExtProc(index) => format!("{title}/extproc/{index}"),
    }
}

/// The cluster of a policy's backend: HTTP/2, with the policy's own circuit breakers.
fn service_cluster<'a>(draft: &mut Draft<'a>, ask: &Ask<'a>, name: &str) -> Node {
    let holder = if ask.kind == AskKind::ExtAuth { ask.at.get("grpc") } else { ask.at.clone() };
    let breaker = holder.at(&["backend_settings", "circuit_breaker"]);
    let mut made = draft.write(&holder, envoy::cluster(name, true));
    let limits = [
        ("max_connections", breaker.get("max_connections")),
        ("max_pending_requests", breaker.get("max_pending_requests")),
        ("max_requests", breaker.get("max_parallel_requests")),
    ];
    set(&mut made, "circuit_breakers", breakers(draft, &breaker, BREAKER, limits));
    let longest = holder.at(&["backend_settings", "timeout", "http", "max_stream_duration"]);
    if longest.exists() {
        let mut options = draft.write(&longest, json!({}));
        set(&mut options, "max_stream_duration", seconds(draft, &longest));
        set(&mut made, "common_http_protocol_options", options);
    }
    made
}

/// The listener's own settings.
fn listener<'a>(draft: &mut Draft<'a>, at: &At<'a>, clients: &[At<'a>]) -> Node {
    let limit = clients.iter().map(|client| client.at(&["connection", "buffer_limit"])).find(At::exists);
    let bytes = limit.as_ref().and_then(quantity).unwrap_or(BUFFER);
    let place = limit.as_ref().or(clients.first()).unwrap_or(at);
    let mut listener = draft.write(place, json!({}));
    set(&mut listener, "per_connection_buffer_limit_bytes", draft.write(place, json!(bytes)));
    listener
}

/// A quantity of Kubernetes, in whole bytes: `32768`, `1Mi`, `64k`.
fn quantity(at: &At<'_>) -> Option<usize> {
    if let Some(bytes) = at.number() {
        return usize::try_from(bytes).ok();
    }
    let text = at.text()?;
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let factor: usize = match unit {
        "k" => 1000,
        "Ki" => 1 << 10,
        "M" => 1_000_000,
        "Mi" => 1 << 20,
        "G" => 1_000_000_000,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}
