//! A gateway of thirty routes as companies have them, protected by following the README and nothing else.

use std::net::SocketAddr;

use portcullis_sample::envoy::validate;
use portcullis_sample::repository;
use reqwest::{Client, Method};

use super::tls::Tls;
use super::{LARGE, listener, replaced, reveals};
use crate::world::{Got, Options, World};

const API: &str = "api.shop.example.com";
const WWW: &str = "www.shop.example.com";

pub const POLICIES: &str = r#"
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

/// The YAML of the README that begins with this line, each line indented by so much.
fn readme(begins: &str, indent: usize) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let fence = format!("```yaml\n{begins}");
    let rest = readme.split_once(&fence).unwrap_or_else(|| panic!("the README has no `{begins}`")).1;
    let block = format!("{begins}{}", rest.split_once("```").unwrap().0);
    block.lines().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// The bootstrap after the README's steps.
pub fn protected(text: &str) -> String {
    let around = readme("# HttpConnectionManager", 0);
    let (manager, cluster) = around.split_once("---\n").unwrap();
    let filter = readme("# http_filters, ext_proc", 18);
    let manager: String = manager.lines().map(|line| format!("{:16}{line}\n", "")).collect();
    let cluster: String = cluster.lines().map(|line| format!("      {line}\n")).collect();
    let body = readme("typed_per_filter_config:\n  envoy.filters.http.ext_proc:", 26);
    let router = "                  - name: envoy.filters.http.router\n";
    let refunds = "                        - {match: {path_separated_prefix: /v1/refunds}, route: {cluster: payments, timeout: 10s}}\n";
    let inventory = "    - name: inventory\n";
    let portcullis = "    - name: portcullis\n      type: STATIC\n      connect_timeout: 1s\n      typed_extension_protocol_options: *http2\n      load_assignment:\n        cluster_name: portcullis\n        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${PORTCULLIS_PORT}}}}}]}]\n";
    let text = replaced(
        text.to_owned(),
        &[
            // 1. The filter, in front of the router, on both listeners.
            (router, &format!("{filter}{router}")),
            // 2. What stands around it. The file says nothing else yet, but for the idle timeout.
            ("                stream_idle_timeout: 60s\n", &manager),
            ("                stat_prefix: http\n", &format!("                stat_prefix: http\n{manager}")),
            // 3. Refunds read the body, and hold.
            (
                refunds,
                &format!(
                    "                        - match: {{path_separated_prefix: /v1/refunds}}\n                          route: {{cluster: payments, timeout: 10s}}\n{body}"
                ),
            ),
        ],
    );
    // 4. The cluster. It comes after the first that speaks HTTP/2.
    let at = text.find("    - name: otel-collector").unwrap();
    assert!(text.find(inventory).unwrap() < at);
    format!("{}{portcullis}{cluster}{}", &text[..at], &text[at..])
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
