//! Every way to prove an identity, side by side, through a real Envoy: each credential is for one scheme, and a refused one
//! is final.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_sample::idp::Algorithm;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::world::{Got, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - name: everybody
      allow: {}
      headers: {request: {set: {x-who: "${identity.method} ${identity.subject}"}}}
"#;

/// An authorization server and an API server that know one token each.
struct Services {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Services {
    async fn start(cluster_token: String) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let introspect = move |body: String| {
            counted.fetch_add(1, Ordering::SeqCst);
            let active = body.contains("opaque-good");
            let answer = if active {
                json!({"active": true, "sub": "batch", "aud": "portcullis", "exp": 32_503_680_000_u64})
            } else {
                json!({"active": false})
            };
            async move { axum::Json(answer) }
        };
        let counted = asked.clone();
        let review = move |body: axum::Json<Value>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let user = json!({"username": "system:serviceaccount:shop:web", "uid": "u", "groups": []});
            let status = if body.0["spec"]["token"] == *cluster_token {
                json!({"authenticated": true, "user": user, "audiences": ["portcullis"]})
            } else {
                json!({"authenticated": false, "error": "invalid bearer token"})
            };
            let answer =
                json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status});
            async move { (axum::http::StatusCode::CREATED, axum::Json(answer)) }
        };
        let router = Router::new()
            .route("/introspect", post(introspect))
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(review));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }
}

/// A token of the cluster: a JWT of an issuer that is not configured.
fn cluster_token() -> String {
    let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "RS256", "kid": "cluster"}));
    format!("{header}.{}.AAAA", part(json!({"iss": "https://kubernetes.default.svc", "sub": "web"})))
}

async fn world(options: Options) -> (World, Services) {
    let services = Services::start(cluster_token()).await;
    let folder = tempfile::tempdir().unwrap().keep();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let line = portcullis::authn::user_line("legacy", "correct horse", "staff", "lea@example.com").unwrap();
    let (users, secret, own) =
        (write("users", &line), write("secret", "s3cret"), write("token", "own-token"));
    let address = services.address;
    let identity = format!(
        "identity: {{introspection: {{url: 'http://{address}/introspect', client_id: portcullis, client_secret_file: {secret}, audiences: [portcullis]}}, \
         kubernetes: {{url: 'http://{address}', audiences: [portcullis], token_file: {own}}}, \
         basic: {{file: {users}, realm: legacy}}, api_keys: {{hash_key: hash.key}}, order: [jwt, kubernetes, introspection, api_keys, basic], jwt:"
    );
    let options = options
        .policies(POLICIES)
        .edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
        .edit_config(
            "audiences: [portcullis], alg",
            "from: [authorization, {header: x-jwt}], audiences: [portcullis], alg",
        )
        .edit_config("identity: {jwt:", identity.leak());
    (World::start(options).await, services)
}

async fn got(request: RequestBuilder) -> Got {
    Got::from(request.send().await.unwrap()).await
}

async fn each_scheme(options: Options) {
    let (world, services) = world(options).await;
    let get = || world.call(Method::GET, "/echo/a", None);
    let key = ["keys", "create", "--owner", "export", "--expires", "1h", "--format", "json"];
    let (made, said) = world.cli("bob", &key).await;
    assert!(made, "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    let key = made["secret"].as_str().unwrap();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let jwt = world.idp.token("ana", "portcullis").unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for (request, who) in [
        (get(), "anonymous"),
        (get().bearer_auth(&jwt), "jwt ana"),
        (get().bearer_auth("opaque-good"), "introspection batch"),
        (get().bearer_auth(cluster_token()), "kubernetes system:serviceaccount:shop:web"),
        (get().header("x-api-key", key), "api_key export"),
        (get().header("authorization", basic("legacy:correct horse")), "basic legacy"),
    ] {
        let got = got(request).await;
        assert_eq!(got.status, 200, "{who}: {}", got.text());
        assert_eq!(got.json()["headers"]["x-who"], json!([who]));
    }
    // A key that nobody asked about is kept from the upstream all the same.
    let both = got(get().bearer_auth(&jwt).header("x-api-key", "pck_forged")).await;
    assert_eq!((both.status, both.text().contains("pck_forged")), (200, false), "{}", both.text());
    // A refused credential is final, whatever comes with it.
    let asked = services.asked.load(Ordering::SeqCst);
    let mut claims = world.idp.claims("ana", "elsewhere").unwrap();
    claims["sub"] = json!("ana");
    let elsewhere = world.idp.sign(Algorithm::Rs256, &claims).unwrap();
    for (what, request) in [
        ("a JWT for others, with a good key", get().bearer_auth(&elsewhere).header("x-api-key", key)),
        ("an opaque token that is not active", get().bearer_auth("opaque-bad").header("x-api-key", key)),
        ("no signature, where other schemes read nothing", {
            let part =
                |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
            let unsigned = format!("{}.{}.", part(json!({"alg": "none"})), part(json!({"sub": "root"})));
            get().header("x-jwt", unsigned).header("x-api-key", key)
        }),
        ("garbage, where other schemes read nothing", get().header("x-jwt", "opaque-good")),
        ("a token of another cluster", get().bearer_auth(cluster_token().replace("AAAA", "AAAB"))),
        ("a wrong key, with a good password", {
            get().header("x-api-key", "pck_x").header("authorization", basic("legacy:correct horse"))
        }),
        ("a wrong password", get().header("authorization", basic("legacy:correct horsf"))),
        ("an unknown user", get().header("authorization", basic("nobody:correct horse"))),
        ("no base64", get().header("authorization", "Basic !")),
        ("a scheme that nobody knows", get().header("authorization", "Digest x")),
    ] {
        let got = got(request).await;
        assert_eq!((got.status, &*got.error()), (401, "credential_refused"), "{what}: {}", got.text());
        let told: Vec<_> = got.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(told, ["Bearer error=\"invalid_token\"", "Basic realm=\"legacy\", charset=\"UTF-8\""]);
    }
    let more = services.asked.load(Ordering::SeqCst) - asked;
    assert_eq!(more, 2, "the JWT of a configured issuer was shown to nobody else");
    assert_eq!(world.upstream.calls(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_credential_is_for_its_scheme_by_ext_authz() {
    each_scheme(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_credential_is_for_its_scheme_by_ext_proc() {
    each_scheme(Options::default()).await;
}
