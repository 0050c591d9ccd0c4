//! The Envoy configuration that Istio makes of a mesh, for the proxies that ask Portcullis.

use serde_json::{Value as Json, json};

use super::{Class, Mesh, Provider, Target};
use crate::document::Node;
use crate::proxy::kubernetes::Object;
use crate::proxy::kubernetes::draft::{Draft, merge, set};
use crate::proxy::kubernetes::envoy::{
    self, EXT_AUTHZ, MANAGER, UNLIMITED, breakers, list, push, router, routes,
};
use crate::proxy::tree::At;

/// The timeout of a provider that names none, by Istio.
const PROVIDER_TIMEOUT: &str = "600s";

/// The proxies of one target, with the configuration of one of their listeners.
#[derive(Debug)]
pub struct Proxy<'a> {
    pub target: Target<'a>,
    pub class: Class,
    pub draft: Draft<'a>,
    /// A whole bootstrap.
    pub root: Node,
    /// Patches that do what can't be told from the manifests: where, and what.
    pub unread: Vec<(At<'a>, String)>,
}

impl<'a> Mesh<'a> {
    /// Every group of proxies that a CUSTOM policy or an EnvoyFilter makes ask Portcullis.
    ///
    /// A sidecar takes the caller's address from `x-forwarded-for`. That only proxies of the mesh connect to it makes it bearable,
    /// unless rules read the address: `reads_address`.
    pub fn proxies(&self, reads_address: bool) -> Vec<Proxy<'a>> {
        let (targets, complete) = self.targets();
        let of = |target: Target<'a>| {
            let classes = self.classes(&target);
            classes.into_iter().filter_map(move |class| self.proxy(&target, class, reads_address))
        };
        let mut proxies: Vec<_> = targets.into_iter().flat_map(of).collect();
        if let (Some(first), Some(patch), false) = (proxies.first_mut(), self.patches.first(), complete) {
            let what = "some of the groups of proxies that these EnvoyFilters make: there are too many";
            first.unread.push((patch.object.spec(), what.to_owned()));
        }
        proxies
    }

    fn proxy(&self, target: &Target<'a>, class: Class, reads_address: bool) -> Option<Proxy<'a>> {
        let policies: Vec<_> = self.asking().filter(|policy| self.covers(&policy.target, target)).collect();
        let patches: Vec<_> = self
            .patches
            .iter()
            .filter(|patch| patch.is_for(class) && self.covers(&patch.target, target))
            .collect();
        let asked = policies.iter().find_map(|policy| Some((policy, self.provider(policy.provider)?)));
        // Nothing tells what the filter of a provider that is not shown would be.
        let adding = patches.iter().find(|patch| patch.adds_service());
        let at = match (asked, adding) {
            (Some((policy, _)), _) => policy.object.spec(),
            (None, Some(patch)) => patch.object.spec(),
            (None, None) => return None,
        };
        let asked = asked.map(|(_, provider)| provider);
        let mut draft = Draft::default();
        let manager = self.manager(&mut draft, &at, asked, class == Class::Gateway || !reads_address);
        let services = asked.map(Provider::service).into_iter().chain(patches.iter().filter_map(|patch| {
            let (_, config) = patch.value.get("typed_config").typed();
            outbound(config.at(&["grpc_service", "envoy_grpc", "cluster_name"]).text()?)
        }));
        let services = services.collect();
        let clusters = self.clusters(&mut draft, &at, services);
        let listener = draft.write(&at, json!({}));
        let mut root = envoy::bootstrap(&mut draft, &at, listener, manager, clusters);
        let mut unread = Vec::new();
        for patch in &patches {
            let title = patch.object.title();
            if patch.apply(&mut draft, &mut root).is_none() {
                unread.push((patch.at.clone(), format!("what {title} does: {}", patch.title())));
            } else if let Some(part) = patch.narrowed_by() {
                let field = part.path().rsplit('.').next().unwrap_or_default().to_owned();
                unread.push((
                    part,
                    format!("which calls {title} is for: it asks for `{field}`, and counts for all here"),
                ));
            }
        }
        Some(Proxy { target: target.clone(), class, draft, root, unread })
    }

    /// The connection manager of a listener, before any EnvoyFilter.
    fn manager(
        &self,
        draft: &mut Draft<'a>,
        at: &At<'a>,
        asked: Option<&Provider<'a>>,
        peer_address: bool,
    ) -> Node {
        let base = self.configs.first().unwrap_or(at).clone();
        let mut manager = draft.write(
            &base,
            json!({
                "@type": MANAGER,
                "stat_prefix": "http",
                "stream_idle_timeout": "0s",
                "use_remote_address": peer_address,
                "route_config": routes(),
            }),
        );
        for config in &self.configs {
            let paths = config.at(&["path_normalization", "normalization"]);
            merge(&mut manager, draft.write(&paths, normalization(paths.text())));
            let topology = config.at(&["default_config", "gateway_topology"]);
            set(&mut manager, "xff_num_trusted_hops", draft.copy(&topology.get("num_trusted_proxies")));
            set(
                &mut manager,
                "forward_client_cert_details",
                draft.copy(&topology.get("forward_client_cert_details")),
            );
        }
        if self.configs.is_empty() {
            merge(&mut manager, draft.write(at, normalization(None)));
        }
        let mut filters = draft.write(at, json!([]));
        if let Some(provider) = asked {
            push(&mut filters, ext_authz(draft, provider));
        }
        push(&mut filters, draft.write(at, router()));
        set(&mut manager, "http_filters", filters);
        manager
    }

    /// The clusters that are asked, each once, and the one that is protected.
    fn clusters(&self, draft: &mut Draft<'a>, at: &At<'a>, services: Vec<(String, String)>) -> Node {
        let upstream = draft.write(at, envoy::upstream());
        let mut clusters = list(draft, at, [upstream]);
        let mut made: Vec<(String, String)> = Vec::new();
        for (host, port) in services {
            if !made.contains(&(host.clone(), port.clone())) {
                push(&mut clusters, self.cluster(draft, at, &host, &port));
                made.push((host, port));
            }
        }
        clusters
    }

    /// The cluster of a service: HTTP/2 where its port says so, without limits but those of a DestinationRule.
    fn cluster(&self, draft: &mut Draft<'a>, at: &At<'a>, host: &str, port: &str) -> Node {
        let rule = self.destination_rules.iter().find(|rule| is_host(rule, host));
        // Without a rule there is no pool: no policy has that field.
        let rule = rule.map_or_else(|| at.clone(), Object::spec);
        let pool = rule.at(&["traffic_policy", "connection_pool"]);
        let upgraded = pool.at(&["http", "h2_upgrade_policy"]).text() == Some("UPGRADE");
        let service = self.service_port(host, port);
        let http2 = upgraded || service.as_ref().is_none_or(speaks_http2);
        let name = format!("outbound|{port}||{host}");
        let mut cluster = draft.write(service.as_ref().unwrap_or(at), envoy::cluster(&name, http2));
        let limits = [
            ("max_connections", pool.at(&["tcp", "max_connections"])),
            ("max_pending_requests", pool.at(&["http", "http1_max_pending_requests"])),
            ("max_requests", pool.at(&["http", "http2_max_requests"])),
        ];
        let place = if pool.exists() { &pool } else { at };
        set(&mut cluster, "circuit_breakers", breakers(draft, place, UNLIMITED, limits));
        cluster
    }

    /// The port of a Service of Kubernetes, where it is shown.
    fn service_port(&self, host: &str, port: &str) -> Option<At<'a>> {
        let service = self
            .services
            .iter()
            .find(|service| host.starts_with(&format!("{}.{}.svc", service.name, service.namespace)))?;
        let ports = service.spec().get("ports").items();
        ports.into_iter().find(|entry| {
            entry.get("port").number().map(|number| number.to_string()).as_deref() == Some(port)
        })
    }
}

impl Provider<'_> {
    /// The host and the port that it asks.
    fn service(&self) -> (String, String) {
        let name = self.at.get("service").text().unwrap_or_default();
        // `namespace/host`
        let host = name.rsplit('/').next().unwrap_or(name);
        (host.to_owned(), self.at.get("port").number().unwrap_or_default().to_string())
    }
}

/// `pathNormalization` as Istio writes it into a connection manager.
fn normalization(word: Option<&str>) -> Json {
    let (base, slashes, escaped) = match word {
        Some("NONE") => (false, false, "KEEP_UNCHANGED"),
        Some("MERGE_SLASHES") => (true, true, "KEEP_UNCHANGED"),
        Some("DECODE_AND_MERGE_SLASHES") => (true, true, "UNESCAPE_AND_FORWARD"),
        _ => (true, false, "KEEP_UNCHANGED"),
    };
    json!({"normalize_path": base, "merge_slashes": slashes, "path_with_escaped_slashes_action": escaped})
}

/// The ext_authz filter that Istio makes of a provider.
fn ext_authz<'a>(draft: &mut Draft<'a>, provider: &Provider<'a>) -> Node {
    let (host, port) = provider.service();
    let at = &provider.at;
    let mut config = draft.write(
        at,
        json!({
            "@type": EXT_AUTHZ,
            "transport_api_version": "V3",
        }),
    );
    let mut service = draft.write(
        at,
        json!({
            "envoy_grpc": {"cluster_name": format!("outbound|{port}||{host}"), "authority": host},
            "timeout": PROVIDER_TIMEOUT,
        }),
    );
    set(&mut service, "timeout", draft.copy(&at.get("timeout")));
    set(&mut config, "grpc_service", service);
    set(&mut config, "failure_mode_allow", draft.copy(&at.get("fail_open")));
    set(&mut config, "clear_route_cache", draft.copy(&at.get("clear_route_cache")));
    let status = at.get("status_on_error");
    if let Some(code) = status.number() {
        set(&mut config, "status_on_error", draft.write(&status, json!({"code": code})));
    }
    set(&mut config, "with_request_body", draft.copy(&at.get("include_request_body_in_check")));
    let mut filter = draft.write(at, json!({"name": "envoy.filters.http.ext_authz"}));
    set(&mut filter, "typed_config", config);
    filter
}

/// The host and the port of `outbound|9191||host`, Istio's name of a cluster.
pub(super) fn outbound(name: &str) -> Option<(String, String)> {
    let mut parts = name.strip_prefix("outbound|")?.split('|');
    let port = parts.next()?;
    let host = parts.nth(1)?;
    Some((host.to_owned(), port.to_owned()))
}

/// Whether a DestinationRule is about this host, by its full or its short name.
fn is_host(rule: &Object<'_>, host: &str) -> bool {
    let asked = rule.spec().get("host").text().unwrap_or_default();
    let short = format!("{asked}.{}.svc.", rule.namespace);
    asked == host || (!asked.contains('.') && host.starts_with(&short))
}

/// Istio tells the protocol of a port by `appProtocol`, or by the beginning of its name.
fn speaks_http2(port: &At<'_>) -> bool {
    let protocol = port.get("appProtocol").text().or_else(|| port.get("name").text()).unwrap_or_default();
    let first = protocol.split('-').next().unwrap_or_default();
    matches!(first, "grpc" | "http2" | "kubernetes.io/h2c")
}
