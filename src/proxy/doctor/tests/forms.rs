//! The same mistake in other forms: camel case, a dump with its routes apart, several files.

use serde_json::{Map, Value, json};

use super::cases::all;
use super::*;

/// As protobuf's JSON writes field names. Keys of maps have dots, or no underscore.
fn camel(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(camel).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (renamed(&key), camel(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn renamed(key: &str) -> String {
    if key.contains('.') || key.starts_with('@') {
        return key.to_owned();
    }
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let mut letters = part.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &first.into_iter().chain(letters).collect::<String>()
    })
}

/// A bootstrap as the admin port shows it when its resources came from elsewhere.
pub(super) fn dump(mut bootstrap: Value) -> Value {
    let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}");
    let resources = bootstrap["static_resources"].take();
    let (mut listeners, clusters) = (resources["listeners"].clone(), resources["clusters"].clone());
    let mut tables = Vec::new();
    for listener in listeners.as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let mut table = manager["route_config"].take();
        manager["rds"] = json!({"route_config_name": table["name"]});
        table["@type"] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".into();
        tables.push(json!({"route_config": table}));
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    }
    let of_listener = |listener: &Value| json!({"name": "x", "active_state": {"listener": listener}});
    let listeners: Vec<_> = listeners.as_array().unwrap().iter().map(of_listener).collect();
    let of_cluster = |cluster: &Value| {
        let mut cluster = cluster.clone();
        cluster["@type"] = "type.googleapis.com/envoy.config.cluster.v3.Cluster".into();
        json!({"cluster": cluster})
    };
    let clusters: Vec<_> = clusters.as_array().unwrap().iter().map(of_cluster).collect();
    json!({"configs": [
        {"@type": kind("BootstrapConfigDump"), "bootstrap": bootstrap},
        {"@type": kind("ClustersConfigDump"), "dynamic_active_clusters": clusters},
        {"@type": kind("ListenersConfigDump"), "dynamic_listeners": listeners},
        {"@type": kind("RoutesConfigDump"), "dynamic_route_configs": tables},
        {"@type": kind("SecretsConfigDump")},
    ]})
}

#[test]
fn mistakes_are_the_same_in_camel_case_and_in_dumps() {
    let mut wrong = Vec::new();
    for (_, base, from, to, _) in all() {
        let text = edited(base.text(), from, &to);
        let wanted = rules(&text, &base.needs());
        let json = parsed(&text);
        for (form, text) in [("camel case", camel(json.clone())), ("a dump", dump(json))] {
            let found = rules(&text.to_string(), &base.needs());
            if found != wanted {
                wrong.push(format!("{found:?} instead of {wanted:?} in {form}: `{from}` replaced by `{to}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(rules(&dump(parsed(AUTHZ)).to_string(), &needs(false)), [""; 0]);
}

fn sources(texts: &[&str]) -> Vec<Source> {
    texts.iter().enumerate().map(|(n, text)| Source::parse(&format!("{n}.yaml"), text).unwrap()).collect()
}

fn found(sources: &[Source], given: &Given) -> Vec<String> {
    let examined = examine(sources, &needs(false), given).unwrap();
    examined.findings.iter().map(|finding| format!("{} {}", finding.file, finding.rule.id)).collect()
}

#[test]
fn files_that_a_bootstrap_refers_to_belong_to_it() {
    let mut bootstrap = parsed(AUTHZ);
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let mut table = manager["typed_config"]["route_config"].take();
    manager["typed_config"]["rds"] = json!({"route_config_name": "shop"});
    table["@type"] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".into();
    table["typed_per_filter_config"] = json!({"guard": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": true}});
    let (bootstrap, routes) = (bootstrap.to_string(), json!({"resources": [table]}).to_string());
    for order in [[&bootstrap, &routes], [&routes, &bootstrap]] {
        let found = found(&sources(&order.map(String::as_str)), &Given::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("filter-disabled"), "{found:?}");
    }
    assert_eq!(found(&sources(&[&bootstrap]), &Given::default()), ["0.yaml not-checked"]);
    assert_eq!(rules("dynamic_resources: {lds_config: {ads: {}}}\n", &needs(false)), ["not-checked"]);
}

#[test]
fn what_is_fetched_beside_static_listeners_is_not_checked() {
    let with = |dynamic: &str| edited(AUTHZ, "node:", &format!("dynamic_resources: {{{dynamic}}}\nnode:"));
    assert_eq!(
        rules(&with("cds_config: {ads: {}}"), &needs(false)),
        [""; 0],
        "the cluster that matters is there"
    );
    for dynamic in ["lds_config: {ads: {}}", "ldsConfig: {ads: {}}", "lds_resources_locator: 'xdstp://x/y'"] {
        let text = with(dynamic);
        assert_eq!(rules(&text, &needs(false)), ["not-checked"], "{dynamic}");
        let open = edited(&text, "# filter", "failure_mode_allow: true");
        assert_eq!(rules(&open, &needs(false)), ["fail-open", "not-checked"], "what is static is examined");
        let mut listener = parsed(AUTHZ)["static_resources"]["listeners"][0].clone();
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        let given = json!({"resources": [listener]}).to_string();
        assert_eq!(found(&sources(&[&text, &given]), &Given::default()), [""; 0], "{dynamic}");
    }
    let fetched = edited(AUTHZ, "# listener", "fcds_config: {config_source: {ads: {}}}");
    assert_eq!(rules(&fetched, &needs(false)), ["not-checked"]);
}

#[test]
fn routes_from_two_places_are_not_checked() {
    for other in ["rds: {route_config_name: shop}", "scoped_routes: {name: x}"] {
        assert_eq!(rules(&edited(AUTHZ, "# manager", other), &needs(false)), ["not-checked"], "{other}");
    }
}

#[test]
fn tables_that_stand_in_fetched_scopes_are_examined() {
    let mut bootstrap = parsed(AUTHZ);
    let manager =
        &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let mut table = manager.as_object_mut().unwrap().remove("route_config").unwrap();
    manager["scoped_routes"] = json!({"name": "x", "scoped_rds": {}});
    table["typed_per_filter_config"] = json!({"guard": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": true}});
    let scope = json!({"resources": [{"name": "s", "route_configuration": table,
        "@type": "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"}]});
    let (bootstrap, scope) = (bootstrap.to_string(), scope.to_string());
    assert_eq!(found(&sources(&[&bootstrap]), &Given::default()), ["0.yaml not-checked"]);
    assert_eq!(found(&sources(&[&bootstrap, &scope]), &Given::default()), ["1.yaml filter-disabled"]);
}

#[test]
fn two_bootstraps_are_two_proxies() {
    let other = edited(AUTHZ, "http2_protocol_options: {}", "http_protocol_options: {}");
    assert_eq!(found(&sources(&[AUTHZ, &other]), &Given::default()), ["1.yaml http1-to-portcullis"]);
}

#[test]
fn portcullis_is_the_cluster_of_its_name_unless_another_is_named() {
    let other = "- {name: legacy, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, \
                 failure_mode_allow: true, grpc_service: {envoy_grpc: {cluster_name: legacy}}}}";
    let text = edited(AUTHZ, "# before", other);
    assert_eq!(rules(&text, &needs(false)), [""; 0], "another service may fail open");
    let named = |name: &str| Given { cluster: Some(name.to_owned()), version: None };
    let found = |name: &str| found(&sources(&[&text]), &named(name));
    assert!(found("legacy").iter().any(|found| found.ends_with(" fail-open")));
    assert_eq!(found("portcullis"), [""; 0]);
    assert_eq!(found("nobody"), ["0.yaml cluster-missing", "0.yaml filter-missing"]);
}

#[test]
fn several_clusters_of_its_name_are_portcullis_and_others_are_not() {
    let filter = |name: &str, more: &str| {
        format!(
            "- {{name: {name}, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, \
             encode_raw_headers: true, metadata_context_namespaces: [shop], \
             with_request_body: {{max_request_bytes: 1048576, pack_as_bytes: true}}, {more}\
             grpc_service: {{envoy_grpc: {{cluster_name: {name}}}, timeout: 330s}}}}}}"
        )
    };
    let another = "    - name: portcullis-eu\n      type: STATIC\n      http2_protocol_options: {}\n      \
                   circuit_breakers: {thresholds: [{max_requests: 100000}]}\n    - name: upstream\n";
    let base = edited(AUTHZ, "    - name: upstream\n      type", &format!("{another}      type"));
    let both = edited(&base, "# before", &filter("portcullis-eu", ""));
    assert_eq!(rules(&both, &needs(false)), ["both-filters"]);
    let legacy = edited(&both, "# entry", "disabled: true");
    let legacy = edited(&legacy, "# after", &filter("legacy", "failure_mode_allow: true, "));
    assert_eq!(rules(&legacy, &needs(false)), ["filter-order"], "another service may fail open");
    // A route that asks another of them asks Portcullis.
    let service =
        "check_settings: {grpc_service: {envoy_grpc: {cluster_name: portcullis-eu}, timeout: 330s}}";
    let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
    let setting = format!("typed_per_filter_config: {{guard: {{\"@type\": {kind}, {service}}}}}");
    assert_eq!(rules(&edited(&base, "# route", &setting), &needs(false)), [""; 0]);
}

#[test]
fn filters_by_typed_struct_and_by_discovery_are_read() {
    let mut json = parsed(&edited(AUTHZ, "# filter", "failure_mode_allow: true"));
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    let entry = json.pointer_mut(filters).unwrap();
    let config = entry["typed_config"].take();
    let kind = config["@type"].clone();
    let structure =
        json!({"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": kind, "value": config});
    entry["typed_config"] = structure.clone();
    assert_eq!(rules(&json.to_string(), &needs(false)), ["fail-open"]);

    let entry = json.pointer_mut(filters).unwrap().as_object_mut().unwrap();
    entry.remove("typed_config");
    entry.insert("config_discovery".into(), json!({"config_source": {"ads": {}}}));
    assert_eq!(rules(&json.to_string(), &needs(false)), ["filter-missing", "not-checked"]);
    let mut dumped = dump(json);
    let extension = json!({"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "guard", "typed_config": structure});
    dumped["configs"].as_array_mut().unwrap().push(json!({
        "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump", "ecds_filters": [{"ecds_filter": extension}]}));
    assert_eq!(rules(&dumped.to_string(), &needs(false)), ["fail-open"]);
}

#[test]
fn filters_within_matchers_are_read_and_said_to_be_conditional() {
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    let mut json = parsed(&edited(AUTHZ, "# filter", "failure_mode_allow: true"));
    let entry = json.pointer_mut(filters).unwrap();
    let inner = entry["typed_config"].take();
    let matching = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher";
    entry["typed_config"] = json!({"@type": matching, "xds_matcher": {},
        "extension_config": {"name": "x", "typed_config": inner}});
    assert_eq!(rules(&json.to_string(), &needs(false)), ["fail-open", "filter-conditional"]);
    let composite = "type.googleapis.com/envoy.extensions.filters.http.composite.v3";
    json.pointer_mut(filters).unwrap()["typed_config"] = json!({"@type": matching,
        "extension_config": {"name": "x", "typed_config": {"@type": format!("{composite}.Composite")}},
        "xds_matcher": {"on_no_match": {"action": {"name": "x", "typed_config": {
            "@type": format!("{composite}.ExecuteFilterAction"),
            "typed_config": {"name": "guard", "typed_config": inner}}}}}});
    assert_eq!(rules(&json.to_string(), &needs(false)), ["fail-open", "filter-conditional"]);
}

#[test]
fn versions_are_told_by_the_server_or_the_user() {
    let info =
        json!({"version": "b5ca/1.37.5/Clean/RELEASE/BoringSSL", "command_line_options": {}}).to_string();
    assert_eq!(found(&sources(&[AUTHZ, &info]), &Given::default()), ["0.yaml envoy-version"]);
    let told = |version: &str| {
        let given = Given { cluster: None, version: Some(version.parse().unwrap()) };
        found(&sources(&[AUTHZ]), &given).len()
    };
    for (version, findings) in [
        ("1.38.4", 0),
        ("1.38.3", 1),
        ("1.40.0", 0),
        ("v1.41.2-dev", 0),
        ("1.39.0", 1),
        ("1.12.9", 1),
        ("2.0.0", 0),
    ] {
        assert_eq!(told(version), findings, "{version}");
    }
}

fn refusal(text: &str) -> Diagnostic {
    let source = Source::parse("x.yaml", text).unwrap();
    let error = examine(&[source], &needs(false), &Given::default()).unwrap_err();
    assert_eq!(error.code, "not-a-proxy");
    assert!(error.message.contains("`x.yaml`") && error.help.is_some(), "{error}");
    error
}

#[test]
fn what_is_no_configuration_of_envoy_is_refused() {
    for text in ["a: 1\n", "[]", "{}", "apiVersion: v1\nkind: Service\n", "resources: [1]\n", ""] {
        refusal(text);
    }
}

#[test]
fn a_document_of_no_known_kind_is_refused_beside_others_with_its_line() {
    let line = |text: &str| refusal(text).place.unwrap().line;
    let after = u32::try_from(AUTHZ.lines().count()).unwrap() + 2;
    assert_eq!(line(&format!("{AUTHZ}---\nreplicas: 3\n")), after);
    let manifest = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\n";
    assert_eq!(line(&format!("{manifest}replicas: 3\n")), 5);
    let odd = "resources:\n  - {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a}\n  \
               - {\"@type\": type.googleapis.com/x.v1.Odd}\n";
    let error = refusal(odd);
    assert!(error.message.contains("`resources[1]` is a `x.v1.Odd`"), "{error}");
    assert_eq!(error.place.unwrap().line, 3);
}

#[test]
fn a_bootstrap_is_examined_in_a_file_with_manifests() {
    let open = edited(AUTHZ, "# filter", "failure_mode_allow: true");
    let policy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: p, namespace: shop}\n\
                  spec: {targetRefs: [{kind: Gateway, name: edge}], extAuth: {grpc: {backendRefs: [{name: portcullis}]}}}\n";
    for text in [format!("{open}---\n{policy}"), format!("{policy}---\n{open}")] {
        let found = examined(&text, &needs(false)).findings;
        let open: Vec<_> = found.iter().filter(|finding| finding.rule.id == "fail-open").collect();
        assert_eq!(open.len(), 1, "{found:?}");
        let line = text.lines().position(|line| line.contains("failure_mode_allow")).unwrap() + 1;
        assert_eq!(open[0].line, u32::try_from(line).ok());
    }
}

#[test]
fn every_kind_of_resource_is_known_with_its_type_and_without() {
    for (name, bare) in [
        ("config.bootstrap.v3.Bootstrap", "static_resources: {}"),
        ("config.listener.v3.Listener", "name: a, filter_chains: []"),
        ("config.cluster.v3.Cluster", "name: a, connect_timeout: 1s"),
        ("config.route.v3.RouteConfiguration", "name: a, virtual_hosts: []"),
        ("config.route.v3.ScopedRouteConfiguration", "name: a, route_configuration_name: b"),
        ("config.endpoint.v3.ClusterLoadAssignment", "cluster_name: a"),
        ("extensions.transport_sockets.tls.v3.Secret", "name: a, generic_secret: {}"),
        ("service.runtime.v3.Runtime", "name: a, layer: {}"),
        ("service.discovery.v3.DiscoveryResponse", "resources: []"),
    ] {
        let typed = format!("\"@type\": type.googleapis.com/envoy.{name}");
        let within = format!("resources: [{{{typed}, {bare}}}]\n");
        for text in [format!("{{{bare}}}\n"), format!("{{{typed}, {bare}}}\n"), within] {
            let text = format!("{AUTHZ}---\n{text}");
            // A second bootstrap is a proxy of its own, in which there is nothing.
            let wanted: &[_] = if name.ends_with("Bootstrap") { &["not-checked"] } else { &[] };
            assert_eq!(rules(&text, &needs(false)), wanted, "{text}");
        }
    }
}

#[test]
fn a_part_of_a_dump_that_is_not_known_is_not_checked() {
    let mut dump = dump(parsed(AUTHZ));
    dump["configs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"@type": "type.googleapis.com/envoy.admin.v4.NewConfigDump"}));
    assert_eq!(rules(&dump.to_string(), &needs(false)), ["not-checked"]);
}

#[test]
fn every_resource_of_a_file_is_examined() {
    let listener = |text: &str| parsed(text)["static_resources"]["listeners"][0].clone();
    let (good, bad) =
        (listener(AUTHZ), listener(&edited(AUTHZ, "ext_authz.v3.ExtAuthz", "fault.v3.HTTPFault")));
    let any = |mut listener: Value| {
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        listener
    };
    let text = json!({"resources": [any(good), any(bad)]}).to_string();
    assert_eq!(examined(&text, &needs(false)).listeners, 2);
    assert!(rules(&text, &needs(false)).contains(&"filter-missing"));
}

#[test]
fn a_table_that_a_dump_has_twice_is_counted_once() {
    let bootstrap = parsed(AUTHZ);
    let listeners = bootstrap["static_resources"]["listeners"].clone();
    let table = listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"].clone();
    let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}");
    let mut table = table;
    let mut listener = listeners[0].clone();
    table["@type"] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".into();
    listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    let dump = json!({"configs": [
        {"@type": kind("ListenersConfigDump"), "static_listeners": [{"listener": listener}]},
        {"@type": kind("RoutesConfigDump"), "static_route_configs": [{"route_config": table}]},
    ]});
    assert_eq!(examined(&dump.to_string(), &needs(false)).routes, 2);
}

#[test]
fn an_envoy_filter_that_selects_no_workload_is_found() {
    let manifests = |label: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: p, namespace: shop}}\nspec:\n  \
             workloadSelector: {{labels: {{app: {label}}}}}\n  configPatches:\n    - applyTo: HTTP_FILTER\n      \
             match: {{context: SIDECAR_INBOUND, listener: {{filterChain: {{filter: {{name: \
             envoy.filters.network.http_connection_manager, subFilter: {{name: envoy.filters.http.router}}}}}}}}}}\n      \
             patch: {{operation: INSERT_BEFORE, value: {{name: p, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor, grpc_service: {{envoy_grpc: \
             {{cluster_name: portcullis}}}}}}}}}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: orders, \
             namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{app: orders}}}}}}}}\n"
        )
    };
    assert!(rules(&manifests("ordrs"), &needs(true)).contains(&"selects-nothing"));
    assert!(!rules(&manifests("orders"), &needs(true)).contains(&"selects-nothing"));
}

#[test]
fn a_patch_of_a_listener_that_its_gateway_does_not_have_is_found() {
    let manifests = |listener: &str| {
        let policy = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: p, namespace: shop}\n\
                      spec: {targetRefs: [{kind: Gateway, name: edge}], extAuth: {grpc: {backendRefs: [{name: portcullis}]}}}\n";
        let patch = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyPatchPolicy\nmetadata: {name: p, namespace: shop}\n\
                     spec: {jsonPatches: [{type: type.googleapis.com/envoy.config.listener.v3.Listener, name: shop/edge/http}]}\n";
        format!(
            "{policy}---\n{patch}---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, \
             namespace: shop}}\nspec: {{listeners: [{{name: {listener}}}]}}\n"
        )
    };
    assert!(rules(&manifests("https"), &needs(false)).contains(&"selects-nothing"));
    assert!(!rules(&manifests("http"), &needs(false)).contains(&"selects-nothing"));
}
