//! The mTLS peer as a real Envoy vouches for it, and keys that come and go.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use crate::world::{Options, World};
use portcullis::proxy::config::Service;

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: workloads}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - {name: web, when: 'identity.spiffe == "spiffe://example.com/ns/shop/sa/web" && connection.mtls', allow: {}}
    - name: who
      headers: {request: {set: {x-peer: "${identity.method} ${identity.subject}"}}}
"#;

/// A certificate authority, a server certificate by it, and client certificates for any URI.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than its certificates have, which would pass for self-signed otherwise.
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key, in PEM.
    fn issue(&self, names: Vec<SanType>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub fn client(&self, uris: &[&str]) -> reqwest::Client {
        let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        let (certificate, key) = self.issue(names);
        let identity = reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        let root = reqwest::Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]).identity(identity);
        builder.build().unwrap()
    }
}

/// A listener that demands a client certificate by `authority`.
pub fn mutual_tls(authority: &Authority) -> &'static str {
    let (certificate, key) = authority.issue(vec![SanType::IpAddress([127, 0, 0, 1].into())]);
    let inline = |pem: &str| format!("{{inline_string: {}}}", serde_json::to_string(pem).unwrap());
    let socket = format!(
        "filter_chains:
        - transport_socket:
            name: tls
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              common_tls_context:
                tls_certificates: [{{certificate_chain: {}, private_key: {}}}]
                validation_context: {{trusted_ca: {}}}
          filters:",
        inline(&certificate),
        inline(&key),
        inline(&authority.0.pem()),
    );
    socket.leak()
}

async fn peers(options: Options) {
    let service = options.service;
    let authority = Authority::new();
    let options = options
        .policies(POLICIES)
        .edit("filter_chains:\n        - filters:", mutual_tls(&authority))
        .edit_config("identity: {", "identity: {mtls: true, ");
    let world = World::start(options).await;
    let url = world.envoy.url().replace("http://", "https://") + "/echo/a";
    let get = async |client: reqwest::Client| {
        let got = client.get(&url).header("x-peer", "forged").send().await.unwrap();
        (got.status().as_u16(), got.text().await.unwrap())
    };
    let web = "spiffe://example.com/ns/shop/sa/web";
    let (status, seen) = get(authority.client(&[web])).await;
    assert_eq!(status, 200, "{seen}");
    assert!(seen.contains(&format!("mtls {web}")) && !seen.contains("forged"), "{seen}");
    for others in [&["spiffe://example.com/ns/shop/sa/web2"][..], &["spiffe://evil.com/ns/shop/sa/web"], &[]]
    {
        assert!(get(authority.client(others)).await.0 >= 401, "{others:?}");
    }
    // Envoy shows the first name only.
    assert!(get(authority.client(&["spiffe://example.com/x", web])).await.0 >= 401);
    // What Envoy names is right. By ext_authz the other name is seen too; no attribute of ext_proc has it.
    let several = get(authority.client(&[web, "spiffe://example.com/x"])).await.0;
    assert_eq!(several, if service == Service::ExtAuthz { 401 } else { 200 });
    assert_eq!(world.upstream.calls(), if service == Service::ExtAuthz { 1 } else { 2 });
}

/// A gateway with a certificate of its own passes on what it knows of its client's.
async fn forwarded(options: Options) {
    const GATEWAY: &str = "spiffe://example.com/ns/edge/sa/gateway";
    let authority = Authority::new();
    let trusted = "identity: {mtls: {trust_domains: [example.com], forwarded_client_cert: {trusted_proxies: ['spiffe://example.com/ns/edge/sa/gateway']}}, ";
    let options = options
        .policies(POLICIES)
        .edit("filter_chains:\n        - filters:", mutual_tls(&authority))
        .edit_config("identity: {", trusted);
    let world = World::start(options).await;
    let url = world.envoy.url().replace("http://", "https://") + "/echo/a";
    let get = async |client: &reqwest::Client, xfcc: &[&str]| {
        let request = xfcc
            .iter()
            .fold(client.get(&url), |request, value| request.header("X-Forwarded-Client-Cert", *value));
        let got = request.send().await.unwrap();
        (got.status().as_u16(), got.text().await.unwrap())
    };
    let (gateway, job) =
        (authority.client(&[GATEWAY]), authority.client(&["spiffe://example.com/ns/shop/sa/job"]));
    let web = "By=spiffe://example.com/ns/edge/sa/gateway;Hash=46;Subject=\"CN=a,O=b;c\";URI=spiffe://example.com/ns/shop/sa/web";
    let (status, seen) = get(&gateway, &[web]).await;
    assert_eq!(status, 200, "{seen}");
    assert!(seen.contains("mtls spiffe://example.com/ns/shop/sa/web"), "{seen}");
    let behind = format!("URI=spiffe://example.com/ns/shop/sa/job,{web}");
    assert_eq!(get(&gateway, &[&behind]).await.0, 200, "what the gateway saw stands last");
    // Nobody else is believed, and the gateway's own name is not its clients'.
    for (client, xfcc) in [
        (&job, vec![web]),
        (&gateway, vec![]),
        (&gateway, vec!["Hash=46;URI=spiffe://example.com/ns/shop/sa/job"]),
        (&gateway, vec!["URI=spiffe://example.com/ns/shop/sa/web;URI=spiffe://example.com/ns/shop/sa/job"]),
        (&gateway, vec!["URI=spiffe://example.com/ns/shop/sa/web,"]),
        (&gateway, vec!["URI=SPIFFE://EXAMPLE.COM/ns/shop/sa/web"]),
        (&gateway, vec!["URI=spiffe://exampleXcom/ns/shop/sa/web"]),
        (&gateway, vec!["Subject=\"URI=spiffe://example.com/ns/shop/sa/web\""]),
        (&gateway, vec!["URI=\"spiffe://example.com/ns/shop/sa/web,URI=x\""]),
        (&gateway, vec![&*format!("{web},Hash=46")]),
    ] {
        let (status, seen) = get(client, &xfcc).await;
        assert!((400..404).contains(&status), "{xfcc:?}: {status} {seen}");
    }
    assert_eq!(world.upstream.calls(), 2);
}

/// The caller stands two hops back: who stands between is a proxy, and vouches for it.
async fn a_revoked_proxy(options: Options) {
    const PROXY: &str = "spiffe://example.com/ns/edge/sa/proxy";
    let authority = Authority::new();
    let trusted = "identity: {mtls: {forwarded_client_cert: {hop: 2, trusted_proxies: ['spiffe://example.com/ns/edge/sa/gateway', \
                   'spiffe://example.com/ns/edge/sa/proxy', 'spiffe://example.com/ns/edge/sa/proxy2']}}, ";
    let options = options
        .policies(POLICIES)
        .edit("filter_chains:\n        - filters:", mutual_tls(&authority))
        .edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
        .edit_config("identity: {", trusted);
    let world = World::start(options).await;
    let url = world.envoy.url().replace("http://", "https://") + "/echo/a";
    let gateway = authority.client(&["spiffe://example.com/ns/edge/sa/gateway"]);
    let through = async |proxy: &str| {
        let way = format!("URI=spiffe://example.com/ns/shop/sa/web,URI={proxy}");
        gateway.get(&url).header("x-forwarded-client-cert", way).send().await.unwrap().status().as_u16()
    };
    assert_eq!(through(PROXY).await, 200);
    let (done, said) = world.cli("bob", &["revoke", "--subject", PROXY]).await;
    assert!(done, "{said}");
    let mut status = 200;
    for _ in 0..400 {
        status = through(PROXY).await;
        if status != 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(status, 401);
    world.recorded(|record| record["reason"] == "revoked").await;
    assert_eq!(through(&format!("{PROXY}2")).await, 200, "another way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_proxy_vouches_for_nobody_by_ext_authz() {
    a_revoked_proxy(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_proxy_vouches_for_nobody_by_ext_proc() {
    a_revoked_proxy(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_about_its_clients_by_ext_authz() {
    forwarded(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_about_its_clients_by_ext_proc() {
    forwarded(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mtls_peer_is_an_identity_by_ext_authz() {
    peers(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mtls_peer_is_an_identity_by_ext_proc() {
    peers(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_refused_call() {
    let world = World::start(Options::default()).await;
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 200);
    world.idp.rotate_keys(true).unwrap();
    assert_eq!(
        world.get("/v1/orders", Some("ana")).await.status,
        200,
        "an unknown key id asks the issuer once"
    );
    let fetches = world.idp.jwks_fetches();
    // The issuer is gone: the keys that are known still serve.
    world.idp.set_fault(portcullis_sample::idp::Fault::Unavailable);
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 200);
    assert_eq!(world.idp.jwks_fetches(), fetches);
}
