use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::authn::callout::testing::{Behaviour, Service, callout, clock, logged, nobody};

const OWN: &str = "0wnT0ken.canary";

/// A file with our own token, and the configuration that names it.
fn config(url: &str, folder: &TempDir) -> TokenReviewConfig {
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, format!("{OWN}\n")).unwrap();
    TokenReviewConfig {
        callout: callout(url),
        audiences: vec!["portcullis".into(), "web".into()],
        token_file,
    }
}

struct Cluster {
    service: Service,
    review: TokenReview,
    folder: TempDir,
    clock: Clock,
}

async fn start(behaviour: Behaviour) -> Cluster {
    let service = Service::start(behaviour).await;
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let review = TokenReview::new(config(&service.url(), &folder), clock.clone()).unwrap();
    Cluster { service, review, folder, clock }
}

/// What an API server answers for the token of a service account, in a pod.
fn good() -> Value {
    json!({
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": null, "managedFields": [{"manager": "portcullis", "operation": "Update",
            "apiVersion": "authentication.k8s.io/v1", "time": "2026-11-21T09:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:audiences": {}, "f:token": {}}}}]},
        "spec": {"token": "a", "audiences": ["portcullis", "web"]},
        "status": {
            "authenticated": true,
            "user": {
                "username": "system:serviceaccount:shop:orders",
                "uid": "2a1c9a40-6d5b-4d6e-9c8b-1f0d2f5c7e11",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": ["JTI=8d7a0b7e-6a1e-4c5e-8f6d-2f1b0c9d8e7f"],
                    "authentication.kubernetes.io/node-name": ["node-1"],
                    "authentication.kubernetes.io/pod-name": ["orders-6f9c7d5b8-x2x7k"]
                }
            },
            "audiences": ["portcullis"]
        }
    })
}

/// `good`, with a field of its `status` set, or without it.
fn with(path: &str, value: Option<Value>) -> Value {
    let mut answer = good();
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = answer.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(field.into(), value),
        None => parent.shift_remove(field),
    };
    answer
}

/// What a cluster that answers so comes to.
async fn answered(cluster: &Cluster, answer: Value) -> Result<Arc<Identity>, Reason> {
    cluster.service.set(Behaviour::Json(answer));
    cluster.review.identify(&cluster.service.count().to_string()).await
}

#[tokio::test]
async fn a_service_account_is_an_identity() {
    let cluster = start(Behaviour::Json(good())).await;
    let identity = cluster.review.identify("a").await.unwrap();
    assert_eq!((identity.method, identity.method.as_str()), (Method::Kubernetes, "kubernetes"));
    assert_eq!(
        (&*identity.subject, &*identity.issuer),
        ("system:serviceaccount:shop:orders", &*cluster.service.url())
    );
    assert_eq!(identity.groups[1], "system:serviceaccounts:shop");
    assert_eq!(identity.token_id, "8d7a0b7e-6a1e-4c5e-8f6d-2f1b0c9d8e7f");
    assert_eq!(identity.claims["uid"], "2a1c9a40-6d5b-4d6e-9c8b-1f0d2f5c7e11");
    assert_eq!(identity.claims["extra"]["authentication.kubernetes.io/node-name"], json!(["node-1"]));
    assert_eq!(identity.claims.len(), 2);
}

#[tokio::test]
async fn the_request_is_a_token_review() {
    let cluster = start(Behaviour::Status(201, None, good().to_string())).await;
    assert!(cluster.review.identify("to.ken").await.is_ok(), "201 is what a create answers");
    let request = &cluster.service.asked()[0];
    assert_eq!(request.path, "/apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!(request.headers["authorization"], format!("Bearer {OWN}"));
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let spec = json!({"token": "to.ken", "audiences": ["portcullis", "web"]});
    assert_eq!(body, json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}));
    // Behind a proxy for many clusters the API has a path of its own.
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/k8s/clusters/c-1/", cluster.service.url());
    let review = TokenReview::new(config(&url, &folder), clock()).unwrap();
    let identity = review.identify("a").await.unwrap();
    assert_eq!(identity.issuer, url.trim_end_matches('/'));
    assert_eq!(
        cluster.service.asked()[1].path,
        "/k8s/clusters/c-1/apis/authentication.k8s.io/v1/tokenreviews"
    );
}

#[tokio::test]
async fn tokens_that_the_cluster_does_not_know_are_refused() {
    let cluster = start(Behaviour::Json(good())).await;
    // As a cluster answers: `authenticated` is left out when it is false, and the user is empty.
    let mut unknown = good();
    unknown["status"] = json!({"user": {}, "error": "[invalid bearer token, token lookup failed]"});
    let mut expired = good();
    expired["status"] = json!({"authenticated": false, "error": "Credentials are expired"});
    let contradictory = with("/status/error", Some(json!("token lookup failed")));
    let anonymous = with("/status/user/username", Some(json!("system:anonymous")));
    let nobody = with("/status/user/groups", Some(json!(["system:unauthenticated"])));
    for answer in [unknown, expired, with("/status/authenticated", None), contradictory, anonymous, nobody] {
        assert_eq!(answered(&cluster, answer.clone()).await, Err(Reason::TokenInactive), "{answer}");
    }
}

#[tokio::test]
async fn a_token_must_be_meant_for_us_and_the_server_must_say_so() {
    let cluster = start(Behaviour::Json(good())).await;
    for audiences in [
        None,
        Some(json!([])),
        Some(json!(["https://kubernetes.default.svc"])),
        Some(json!(["Portcullis"])),
        Some(json!([""])),
    ] {
        let answer = with("/status/audiences", audiences.clone());
        assert_eq!(answered(&cluster, answer).await, Err(Reason::TokenAudience), "{audiences:?}");
    }
    assert!(answered(&cluster, with("/status/audiences", Some(json!(["x", "web"])))).await.is_ok());
}

#[tokio::test]
async fn a_field_of_the_wrong_type_accepts_nobody() {
    let cluster = start(Behaviour::Json(good())).await;
    let (null, number, text, list, object) = (json!(null), json!(7), json!("a"), json!([]), json!({}));
    let rows: [(&str, Vec<Value>); 10] = [
        (
            "/apiVersion",
            vec![null.clone(), number.clone(), json!("authentication.k8s.io/v1beta1"), json!("v1")],
        ),
        ("/kind", vec![null.clone(), json!("Status"), json!("tokenreview")]),
        ("/status", vec![null.clone(), text.clone(), list.clone()]),
        ("/status/authenticated", vec![null.clone(), number.clone(), json!("true"), json!([true])]),
        ("/status/audiences", vec![null.clone(), text.clone(), object.clone(), json!(["portcullis", 7])]),
        ("/status/user", vec![null.clone(), text.clone(), list.clone()]),
        ("/status/user/username", vec![null.clone(), number.clone(), json!(""), json!("a\nb"), list.clone()]),
        ("/status/user/groups", vec![null.clone(), text.clone(), object, json!([["a"]]), json!(["a", null])]),
        ("/status/user/uid", vec![null.clone(), number.clone(), list.clone()]),
        ("/status/user/extra", vec![null, number, text, list, json!({"a": "b"}), json!({"a": [7]})]),
    ];
    for (path, values) in rows {
        for value in values {
            let found = answered(&cluster, with(path, Some(value.clone()))).await;
            assert_eq!(found, Err(Reason::TokenReviewUnavailable), "{path}: {value}");
        }
    }
    for path in ["/apiVersion", "/kind", "/status", "/status/user", "/status/user/username"] {
        assert_eq!(answered(&cluster, with(path, None)).await, Err(Reason::TokenReviewUnavailable), "{path}");
    }
    for path in ["/status/user/groups", "/status/user/uid", "/status/user/extra"] {
        assert!(answered(&cluster, with(path, None)).await.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_answer_accepts_nobody() {
    let failure = |code: u16, reason: &str, message: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code});
        Behaviour::Status(code, None, status.to_string())
    };
    let forbidden = "tokenreviews.authentication.k8s.io is forbidden: User \"system:serviceaccount:a:b\" cannot \
                     create resource \"tokenreviews\" in API group \"authentication.k8s.io\" at the cluster scope";
    for (behaviour, result) in [
        (failure(401, "Unauthorized", "Unauthorized"), "status"),
        (failure(403, "Forbidden", forbidden), "status"),
        (failure(404, "NotFound", "the server could not find the requested resource"), "status"),
        (failure(500, "InternalError", "etcd"), "status"),
        (Behaviour::Status(429, Some("1"), "Too many requests".into()), "status"),
        (Behaviour::Status(202, None, good().to_string()), "status"),
        (Behaviour::Redirect, "status"),
        (Behaviour::Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Failure"})), "invalid"),
        (Behaviour::Text("<html>login</html>".into()), "invalid"),
        (Behaviour::Text(good().to_string().replacen('{', "{\"Status\":{},", 1)), "invalid"),
        (Behaviour::Text(String::new()), "invalid"),
        (Behaviour::Endless, "too_large"),
    ] {
        let cluster = start(behaviour).await;
        let metrics = Metrics::new().unwrap();
        cluster.review.count_in(&metrics);
        assert_eq!(cluster.review.identify("a").await, Err(Reason::TokenReviewUnavailable));
        assert_eq!(cluster.service.count(), 1);
        let line = format!("portcullis_callouts_total{{callout=\"token_review\",result=\"{result}\"}} 1");
        assert!(metrics.render().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn a_slow_server_and_one_that_is_down_accept_nobody() {
    let (service, folder) = (Service::start(Behaviour::Silent).await, tempfile::tempdir().unwrap());
    for url in [service.url(), nobody().await] {
        let mut config = config(&url, &folder);
        config.callout.timeout = Duration::from_millis(100);
        let review = TokenReview::new(config, clock()).unwrap();
        assert_eq!(review.identify("a").await, Err(Reason::TokenReviewUnavailable));
    }
}

#[tokio::test]
async fn a_busy_server_gets_its_pause() {
    let cluster = start(Behaviour::Status(429, Some("1"), String::new())).await;
    assert!(cluster.review.identify("a").await.is_err());
    cluster.service.set(Behaviour::Json(good()));
    assert_eq!(cluster.review.identify("a").await, Err(Reason::TokenReviewUnavailable));
    assert_eq!(cluster.service.count(), 1);
    cluster.clock.advance(Duration::from_secs(1));
    assert!(cluster.review.identify("a").await.is_ok());
}

#[tokio::test]
async fn answers_are_remembered_and_shared() {
    let cluster = start(Behaviour::Json(good())).await;
    let found = join_all((0..100).map(|_| cluster.review.identify("a"))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(cluster.service.count(), 1);
    cluster.clock.advance(Duration::from_secs(60));
    cluster.service.set(Behaviour::Json(with("/status/authenticated", None)));
    assert_eq!(cluster.review.identify("a").await, Err(Reason::TokenInactive));
    assert_eq!(cluster.review.identify("a").await, Err(Reason::TokenInactive));
    assert_eq!(cluster.service.count(), 2);
}

#[tokio::test]
async fn our_own_token_is_that_of_the_moment() {
    let cluster = start(Behaviour::Json(good())).await;
    let write = |text: &str| std::fs::write(cluster.folder.path().join("token"), text).unwrap();
    write("second\n");
    assert!(cluster.review.identify("a").await.is_ok());
    assert_eq!(cluster.service.asked()[0].headers["authorization"], "Bearer second");
    write(" \n");
    assert_eq!(cluster.review.identify("b").await, Err(Reason::TokenReviewUnavailable));
    std::fs::remove_file(cluster.folder.path().join("token")).unwrap();
    assert_eq!(cluster.review.identify("b").await, Err(Reason::TokenReviewUnavailable));
    write("bad\u{0}token");
    assert_eq!(cluster.review.identify("b").await, Err(Reason::TokenReviewUnavailable));
    assert_eq!(cluster.service.count(), 1, "without a token nothing is asked");
}

#[test]
fn without_its_files_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("https://k8s.example.com", &folder);
    config.token_file = folder.path().join("no-token");
    config.callout.ca_file = Some(folder.path().join("no-ca.pem"));
    let findings = TokenReview::new(config, clock()).unwrap_err();
    let text = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("no-ca.pem") && text.contains("error[http-client]"), "{text}");
    assert!(text.contains("no-token") && text.contains("error[token-file]"), "{text}");
}

#[tokio::test]
async fn secrets_are_nowhere() {
    let token = "T0kenCanary.abc";
    let mut refused = good();
    refused["status"] =
        json!({"user": {}, "error": format!("[invalid bearer token {token}, \u{1b}[31m{token}]")});
    let answers = [
        Behaviour::Json(good()),
        Behaviour::Json(refused),
        Behaviour::Text(format!("<html>{token} {OWN}</html>")),
        Behaviour::Status(403, None, format!("{token} {OWN}")),
    ];
    let (logs, _guard) = logged();
    let metrics = Metrics::new().unwrap();
    let mut seen = String::new();
    for behaviour in answers {
        let cluster = start(behaviour).await;
        cluster.review.count_in(&metrics);
        let found = cluster.review.identify(token).await;
        seen += &format!("{:?} {:#?} {found:?} {:?}", cluster.review, cluster.review, cluster.review.callout);
    }
    seen += &metrics.render();
    let logs = String::from_utf8_lossy(&logs.lock()).into_owned();
    assert!(logs.contains("invalid bearer token <token>"), "the error is logged without the token: {logs}");
    assert!(!logs.contains('\u{1b}'), "and without control characters");
    seen += &logs;
    for secret in ["T0kenCanary", "0wnT0ken"] {
        assert!(!seen.contains(secret), "{secret} in\n{seen}");
    }
}

/// An API server by TLS as `localhost`, which answers every request with `good`; its certificate lies in the file.
async fn by_tls(folder: &TempDir) -> (String, PathBuf) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der())
        .unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let body = good().to_string();
            let head = format!(
                "HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    (url, ca_file)
}

#[tokio::test]
async fn only_the_named_certificates_are_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (url, ca_file) = by_tls(&folder).await;
    let mut trusting = config(&url, &folder);
    trusting.callout.ca_file = Some(ca_file.clone());
    assert!(TokenReview::new(trusting.clone(), clock()).unwrap().identify("a").await.is_ok());
    let untrusting = TokenReview::new(config(&url, &folder), clock()).unwrap();
    assert_eq!(untrusting.identify("a").await, Err(Reason::TokenReviewUnavailable));
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&ca_file, other.cert.pem()).unwrap();
    let elsewhere = TokenReview::new(trusting.clone(), clock()).unwrap();
    assert_eq!(elsewhere.identify("a").await, Err(Reason::TokenReviewUnavailable));
    std::fs::write(&ca_file, "").unwrap();
    assert!(TokenReview::new(trusting, clock()).unwrap_err()[0].message.contains("there is none"));
}
