//! Huge, deep and broken configurations.

use serde_json::{Value, json};

use super::forms::dump;
use super::*;

#[test]
fn a_dump_of_twenty_thousand_routes_is_examined() {
    let mut json = parsed(AUTHZ);
    let table = json
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config")
        .unwrap();
    let mut host = table["virtual_hosts"][0].clone();
    let padding = "x".repeat(100);
    let routes: Vec<Value> = (0..20_000)
        .map(|place| {
            json!({"match": {"prefix": format!("/v1/refunds/{place}/")}, "route": {"cluster": "upstream"},
            "metadata": {"filter_metadata": {"x": {"y": padding}}},
            "typed_per_filter_config": {"guard": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"disable_request_body_buffering": place % 100 == 0}}}})
        })
        .collect();
    host["routes"] = routes.into();
    table["virtual_hosts"] = vec![host].into();
    let text = dump(json).to_string();
    assert!(text.len() > 5_000_000);
    let examined = examined(&text, &needs(false));
    assert_eq!(examined.routes, 20_000);
    let found = |id: &str| examined.findings.iter().filter(|finding| finding.rule.id == id).count();
    assert_eq!(found("server-disagrees"), 100, "{:#?}", examined.findings.first());
    assert_eq!(examined.findings.len(), 100);
}

#[test]
fn thousands_of_virtual_hosts_and_of_policies_are_matched_by_their_hosts() {
    use crate::policy::HostPattern;
    let mut json = parsed(AUTHZ);
    let table = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config";
    let hosts: Vec<Value> = (0..4000)
        .map(|n| {
            let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute";
            let hidden = json!({"guard": {"@type": kind, "check_settings": {"disable_request_body_buffering": n == 1234}}});
            json!({"name": format!("h{n}"), "domains": [format!("h{n}.example")], "typed_per_filter_config": hidden,
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]})
        })
        .collect();
    json.pointer_mut(table).unwrap()["virtual_hosts"] = hosts.into();
    let mut needs = needs(false);
    needs.server.known = false;
    let entry = needs.bodies[0].clone();
    let with = |host: HostPattern| crate::policy::Entry { hosts: vec![host], ..entry.clone() };
    let of = |left_out: usize| {
        let others =
            (0..4000).filter(|n| *n != left_out).map(|n| with(HostPattern::Exact(format!("h{n}.example"))));
        others.chain([with(HostPattern::Suffix(".h9.example".to_owned()))]).collect()
    };
    needs.bodies = of(1234);
    assert_eq!(rules(&json.to_string(), &needs), [""; 0], "no policy reads bodies of that host");
    needs.bodies = of(0);
    let found = examined(&json.to_string(), &needs).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("h1234.example/v1/refunds"), "{found:?}");
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep =
        |depth: usize| format!("{{\"static_resources\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(Source::parse("x.json", &deep(100_000)).is_err());
    let kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
    let mut within = json!({"@type": kind, "grpc_service": {"envoy_grpc": {"cluster_name": "portcullis"},
        "timeout": "330s"}, "encode_raw_headers": true, "metadata_context_namespaces": ["shop"],
        "with_request_body": {"max_request_bytes": 1_048_576, "pack_as_bytes": true}})
    .to_string();
    for _ in 0..100 {
        within = format!("{{\"a\": {within}}}");
    }
    let mut json = parsed(AUTHZ);
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    json.pointer_mut(filters).unwrap()["typed_config"] = serde_json::from_str(&within).unwrap();
    assert_eq!(rules(&json.to_string(), &needs(false)), ["filter-conditional"]);
}

/// Any value may be of any kind: nothing panics, and what is not read is at most silent about itself.
#[test]
fn values_of_the_wrong_kind_are_borne() {
    fn paths(value: &Value, path: String, found: &mut Vec<String>) {
        found.push(path.clone());
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                paths(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, value)| paths(value, format!("{path}/{n}"), found));
            }
            _ => {}
        }
    }
    let needs = needs(true);
    for text in [AUTHZ, PROC] {
        let json = parsed(text);
        let mut all = Vec::new();
        paths(&json, String::new(), &mut all);
        for path in all.iter().filter(|path| !path.is_empty()) {
            for other in [json!(null), json!("ÿ"), json!(-1), json!([[]]), json!({"a": {}}), json!(true)] {
                let mut json = json.clone();
                *json.pointer_mut(path).unwrap() = other;
                let source = Source::parse("x.json", &json.to_string()).unwrap();
                let _ = examine(&[source], &needs, &Given::default());
            }
        }
    }
}
