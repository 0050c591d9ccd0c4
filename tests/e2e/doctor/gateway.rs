//! A gateway of thirty routes as companies have them, protected by following the README and nothing else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_sample::envoy::validate;
use portcullis_sample::repository;
use reqwest::{Client, Method};

use super::tls::Tls;
use super::{LARGE, listener, replaced, reveals};
use crate::world::{Got, Options, World};

const API: &str = "api.shop.example.com";
const WWW: &str = "www.shop.example.com";

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: orders}
spec:
  match: [{hosts: [api.shop.example.com], paths: ["/v1/orders", "/v1/orders/{**}"]}]
  rules:
    - {name: staff, when: '"staff" in identity.groups', allow: {}}
    - {name: cards, mask: [{field: "**.card.number", with: last4}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{hosts: [api.shop.example.com], paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - {name: small, when: '"staff" in identity.groups && request.body.amount <= 500', allow: {}}
    - name: large
      when: '"staff" in identity.groups && request.body.amount > 500'
      hold: {approvers: {groups: [finance-oncall]}, wait: 5m}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: open}
spec:
  match: [{hosts: [api.shop.example.com], paths: ["/public/{**}"]}, {hosts: [www.shop.example.com]}]
  rules: [{name: everybody, allow: {}}]
"#;

/// The bootstrap as the company has it.
pub fn bootstrap() -> String {
    std::fs::read_to_string(repository().join("tests/e2e/doctor/gateway.yaml")).unwrap()
}

/// The server's configuration and its policies, for the commands.
pub fn write_server(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("policies")).unwrap();
    std::fs::write(folder.join("policies/shop.yaml"), POLICIES).unwrap();
    let text = std::fs::read_to_string(repository().join("envoy/mistakes/portcullis.yaml")).unwrap();
    let names = "policies: [policies/shop.yaml, policies/masks.yaml]";
    let path = folder.join("portcullis.yaml");
    std::fs::write(&path, replaced(text, &[(names, "policies: [policies]")])).unwrap();
    path
}

/// The pieces that the README's command writes, in their order: of the manager, the filter, the listener, the cluster, the route.
fn pieces() -> [String; 5] {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["envoy", "config", "--portcullis", "127.0.0.1:9191", "--output", "snippet", "--config"])
        .arg(write_server(folder.path()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let pieces: Vec<_> = text.split("---\n").skip(1).map(str::to_owned).collect();
    pieces.try_into().unwrap()
}

fn indented(text: &str, indent: usize) -> String {
    text.lines().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// The bootstrap after the README's steps.
pub fn protected(text: &str) -> String {
    let [manager, filter, listener, cluster, route] = pieces();
    let (manager, filter) = (indented(&manager, 16), indented(&filter, 18));
    let plain = "      address: {socket_address: {address: 0.0.0.0, port_value: 8080}}\n";
    let router = "                  - name: envoy.filters.http.router\n";
    let collector = "    - name: otel-collector\n";
    let refunds =
        "- {match: {path_separated_prefix: /v1/refunds}, route: {cluster: payments, timeout: 10s}}\n";
    let body = format!(
        "- match: {{path_separated_prefix: /v1/refunds}}\n                          route: {{cluster: payments, timeout: 10s}}\n{}",
        indented(&route, 26)
    );
    let cluster = indented(&cluster, 4).replace("port_value: 9191", "port_value: ${PORTCULLIS_PORT}");
    replaced(
        text.to_owned(),
        &[
            // 1. Both managers. What the piece sets goes from where it was, and what it says to leave out.
            ("                use_remote_address: true\n", ""),
            ("                forward_client_cert_details: APPEND_FORWARD\n", ""),
            ("                http_protocol_options: {accept_http_10: true}\n", ""),
            ("                upgrade_configs: [{upgrade_type: websocket}]\n", ""),
            ("                stream_idle_timeout: 60s\n", &manager),
            ("                stat_prefix: http\n", &format!("                stat_prefix: http\n{manager}")),
            // 2. The filter, after compression, with nothing between it and the router.
            (router, &format!("{filter}{router}")),
            // 3. The other listener has its limit.
            (plain, &format!("{plain}{}", indented(&listener, 6))),
            // 4. The cluster.
            (collector, &format!("{cluster}{collector}")),
            // 5. Refunds read the body, and hold.
            (refunds, &body),
        ],
    )
}

/// The gateway in front of the sample upstream, and a client that knows its hosts.
struct Gateway {
    world: World,
    client: Client,
    plain: SocketAddr,
    _tls: Tls,
}

impl Gateway {
    async fn start(text: &str) -> Self {
        let tls = Tls::for_hosts(&[API, WWW]);
        let text = replaced(
            tls.in_place(text),
            &[
                ("port_value: 9901", "port_value: ${ADMIN_PORT}"),
                ("port_value: 8443", "port_value: ${LISTENER_PORT}"),
                ("port_value: 8080", "port_value: 0"),
                ("port_value: 8081", "port_value: ${UPSTREAM_PORT}"),
            ],
        );
        let options = Options { envoy: Some(text), ..Options::default() };
        let world = World::start(options.policies(POLICIES)).await;
        let address = SocketAddr::from(([127, 0, 0, 1], world.envoy.address().port()));
        let client = tls.client(&[API, WWW], address).build().unwrap();
        let plain = listener(&world, "http").await;
        Self { world, client, plain, _tls: tls }
    }

    fn call(&self, method: Method, host: &str, path: &str, person: Option<&str>) -> reqwest::RequestBuilder {
        let port = self.world.envoy.address().port();
        let request = self.client.request(method, format!("https://{host}:{port}{path}"));
        match person {
            Some(person) => request.bearer_auth(self.world.idp.token(person, "portcullis").unwrap()),
            None => request,
        }
    }

    async fn get(&self, host: &str, path: &str, person: Option<&str>) -> Got {
        self.world.send(self.call(Method::GET, host, path, person)).await.unwrap()
    }

    fn refund(&self, body: &'static str) -> tokio::task::JoinHandle<Got> {
        self.world.send(self.call(Method::POST, API, "/v1/refunds", Some("ana")).body(body))
    }

    /// The warehouse scanner's call.
    async fn scan(&self) -> Got {
        let request = self.client.get(format!("http://{}/v1/orders", self.plain));
        self.world.send(request.header("user-agent", "scanner/1.0")).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_the_gateway_as_it_was_and_protected() {
    let tls = Tls::for_hosts(&[API]);
    assert!(bootstrap().matches("match:").count() >= 30);
    validate(&tls.in_place(&bootstrap())).await.unwrap();
    validate(&tls.in_place(&protected(&bootstrap()).replace("${PORTCULLIS_PORT}", "9191"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_protects_nothing_as_it_was() {
    let gateway = Gateway::start(&bootstrap()).await;
    let orders = gateway.get(API, "/v1/orders", None).await;
    assert_eq!((orders.status, reveals(&orders.text())), (200, true));
    assert!(reveals(&gateway.scan().await.text()));
    assert_eq!(gateway.refund(LARGE).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_through_the_protected_gateway_are_decided_masked_and_held() {
    let gateway = Gateway::start(&protected(&bootstrap())).await;
    let world = &gateway.world;
    // Decided.
    assert_eq!(gateway.get(API, "/v1/orders", None).await.error(), "unauthenticated");
    assert_eq!(gateway.get(API, "/v1/orders", Some("carl")).await.error(), "no_rule_allows");
    assert_eq!(gateway.scan().await.error(), "unauthenticated");
    assert_eq!(world.upstream.calls(), 0);
    assert_eq!(gateway.get(API, "/public/hello", None).await.status, 200);
    assert_eq!(gateway.get(WWW, "/account", None).await.status, 404, "the upstream's own answer");
    assert_eq!(gateway.get(API, "/healthz", None).await.status, 200, "the proxy's own answer");
    // Masked, and compressed after that.
    let orders = gateway.get(API, "/v1/orders", Some("ana")).await;
    assert_eq!((orders.status, reveals(&orders.text())), (200, false));
    assert!(orders.text().contains("************1111"), "{}", orders.text());
    let packed = gateway.call(Method::GET, API, "/v1/orders", Some("ana")).header("accept-encoding", "gzip");
    assert_eq!(world.send(packed).await.unwrap().headers["content-encoding"], "gzip");
    // Held.
    let held = gateway.refund(LARGE);
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!((held.is_finished(), world.upstream.calls_to("/v1/refunds")), (false, 0));
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(gateway.refund(super::SMALL).await.unwrap().status, 200);
}
