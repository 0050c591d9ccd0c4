//! What written manifests become, on a real Envoy: no mesh and no cluster, but the configuration that the sources of both
//! control planes make of them.

use portcullis::proxy::Needs;
use portcullis::proxy::config::Service;
use portcullis::proxy::config::kubernetes::{
    GatewayOptions, IstioOptions, Selection, ServiceName, envoy_gateway, istio,
};
use portcullis::proxy::kubernetes::gateway::Gateways;
use portcullis::proxy::kubernetes::istio::Mesh;
use portcullis::proxy::kubernetes::objects;
use portcullis::proxy::tree::Source;
use serde_json::{Value, json};

use crate::world::{self, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"]}]
  rules: [{name: small, when: '"staff" in identity.groups && request.body.amount <= 500', allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  match: [{paths: ["/v1/orders", "/v1/orders/{**}"]}]
  rules: [{name: staff, when: '"staff" in identity.groups', allow: {}}]
"#;

const MASKS: &str = r#"
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: cards}
spec:
  match: [{paths: ["/v1/orders", "/v1/orders/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.card.number", with: last4}]}]
"#;

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Istio,
    EnvoyGateway,
}

/// What the command writes for these needs.
fn manifests(form: Form, service: Service, needs: &Needs) -> String {
    let portcullis = ServiceName::of(&"portcullis.security:9191".parse().unwrap()).unwrap();
    let namespace = "shop".parse().unwrap();
    match form {
        Form::Istio => {
            let selection = Selection::Workloads(vec!["app=orders".parse().unwrap()]);
            let parts =
                IstioOptions { service, portcullis, namespace, selection, mesh: true, manifests: true };
            istio(needs, &parts)
        }
        Form::EnvoyGateway => {
            let gateway = "edge".parse().unwrap();
            let listeners = vec!["http".parse().unwrap()];
            envoy_gateway(
                needs,
                &GatewayOptions { service, portcullis, namespace, gateway, route: None, listeners },
            )
        }
    }
    .unwrap()
}

/// The Envoy configuration that manifests become, with places for the addresses of a test.
fn becomes(manifests: &str) -> String {
    let source = Source::parse("manifests.yaml", manifests).unwrap();
    let found = objects([&source]);
    let documents: Vec<_> = source.documents().collect();
    let istio = Mesh::of(&documents, &found).proxies(true);
    let gateway = Gateways::of(&found).proxies();
    let mut roots: Vec<Value> = istio.iter().map(|proxy| proxy.root.to_json()).collect();
    roots.extend(gateway.iter().map(|proxy| proxy.root.to_json()));
    let [root] = roots.as_mut_slice() else { panic!("{}", roots.len()) };
    root["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}});
    let mut text = root.to_string();
    for (port, name) in [(10080, "LISTENER"), (9191, "PORTCULLIS"), (8080, "UPSTREAM"), (9901, "ADMIN")] {
        let from = format!("\"port_value\":{port}");
        assert!(text.contains(&from), "{from}: {text}");
        text = text.replace(&from, &format!("\"port_value\":${{{name}_PORT}}"));
    }
    text
}

async fn world(form: Form, service: Service) -> World {
    edited(form, service, |text| text).await
}

/// The same with a changed configuration of Envoy.
async fn edited(form: Form, service: Service, edit: impl Fn(String) -> String) -> World {
    let policies =
        if service == Service::ExtProc { format!("{POLICIES}{MASKS}") } else { POLICIES.to_owned() };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    // Envoy Gateway can't tell the server which routes show whole bodies.
    let body = if form == Form::Istio { "by_route" } else { "buffered" };
    let config = write("portcullis.yaml", &format!("listen: {{request_body: {body}}}\npolicies: [p.yaml]\n"));
    let needs = world::needs(&write("p.yaml", &policies), &config);
    let envoy = Some(edit(becomes(&manifests(form, service, &needs))));
    let options = Options { envoy, ..Options::default() }.policies(&policies);
    World::start(match form {
        Form::Istio => options.edit_config("request_body: buffered", "request_body: by_route"),
        Form::EnvoyGateway => options,
    })
    .await
}

/// Who may do what, with the body that a rule reads, and paths and headers that could be read in two ways.
async fn decides(form: Form, service: Service) {
    let world = world(form, service).await;
    assert_eq!(world.get("/v1/orders", None).await.status, 401);
    assert_eq!(world.get("/v1/orders", Some("carl")).await.error(), "no_rule_allows");
    let small = r#"{"order": "o-1001", "amount": 7}"#;
    let large = r#"{"order": "o-1001", "amount": 700}"#;
    assert_eq!(world.post("/v1/refunds", Some("ana"), small).await.status, 200);
    assert_eq!(world.post("/v1/refunds", Some("ana"), large).await.error(), "no_rule_allows");
    assert_eq!(world.get("/v1/..%2forders", Some("ana")).await.status, 400, "an escaped slash");
    let alias = world.call(reqwest::Method::GET, "/v1/orders", Some("ana")).header("x_user", "root");
    assert_eq!(world.send(alias).await.unwrap().status, 400, "a look-alike header");
    let twice =
        world.call(reqwest::Method::GET, "/v1/orders", Some("ana")).header("authorization", "Bearer x");
    assert_eq!(world.send(twice).await.unwrap().error(), "header_duplicate", "raw headers");
    assert_eq!(world.upstream.calls(), 1);
    let orders = world.get("/v1/orders", Some("ana")).await;
    assert_eq!(orders.status, 200);
    let number = orders.json()["orders"][0]["customer"]["card"]["number"].as_str().unwrap().to_owned();
    assert_eq!(number.starts_with("************"), service == Service::ExtProc, "{number}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_istio_makes_of_a_custom_policy_decides() {
    decides(Form::Istio, Service::ExtAuthz).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_istio_makes_of_an_inserted_processor_decides_and_masks() {
    decides(Form::Istio, Service::ExtProc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_gateway_makes_of_a_security_policy_decides() {
    decides(Form::EnvoyGateway, Service::ExtAuthz).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_gateway_makes_of_an_extension_policy_decides_and_masks() {
    decides(Form::EnvoyGateway, Service::ExtProc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn istios_name_of_a_cluster_is_no_authority() {
    let authority = ",\"authority\":\"portcullis.security.svc.cluster.local\"";
    let without = |text: String| {
        assert!(text.contains(authority), "{text}");
        text.replace(authority, "")
    };
    let world = edited(Form::Istio, Service::ExtProc, without).await;
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 503);
    assert_eq!(world.upstream.calls(), 0);
}
