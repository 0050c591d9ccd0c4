//! The admin API over a real socket.

use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::approval::{CallSummary, Caller, Requirement};
use crate::authn::api_key::HashKey;
use crate::bundle;
use crate::disagreement::Disagreement;
use crate::effect::{Approvers, Grant};
use crate::engine::{Example, Side, View};
use crate::identity::Method;
use crate::metrics::{Compared, NotComparable};
use crate::policy::Options;
use crate::store::{NewApproval, Opened, PendingLimits};
use v1::approvals_client::ApprovalsClient;

mod approvals;
mod bundles;
mod credentials;

/// Knows `name` and `name+group+group` as tokens.
struct Names;

impl VerifyToken for Names {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, Reason>> {
        Box::pin(async move {
            match token {
                "bad" => Err(Reason::TokenSignature),
                "keyless" => Err(Reason::KeysUnavailable),
                "nobody" => Ok(Identity::anonymous()),
                name => Ok(Arc::new(person(name))),
            }
        })
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl AdminEvents for Log {
    fn decided<'a>(
        &'a self,
        who: &'a Identity,
        approval: &'a Approval,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        self.0.lock().push(format!("{} {choice:?} {} {reason}", who.subject, approval.state.as_str()));
        Box::pin(async {})
    }

    fn credential_changed<'a>(&'a self, who: &'a Identity, event: CredentialEvent<'a>) -> BoxFuture<'a, ()> {
        let what = match event {
            CredentialEvent::KeyCreated(key) => format!("created a key of {}", key.owner),
            CredentialEvent::KeyRevoked(key, why) => format!("revoked a key of {}: {why}", key.owner),
            CredentialEvent::Revoked(made) => format!("revoked {}: {}", made.value, made.reason),
            CredentialEvent::Undone(undone, why) => format!("undid {}: {why}", undone.value),
        };
        self.0.lock().push(format!("{} {what}", who.subject));
        Box::pin(async {})
    }
}

pub(in crate::admin) fn person(token: &str) -> Identity {
    let mut parts = token.split('+');
    let name = parts.next().unwrap();
    let mut identity = (*Identity::anonymous()).clone();
    identity.method = Method::Jwt;
    identity.issuer = "https://idp.example".into();
    identity.subject = name.into();
    identity.person = Some(format!("{name}@example.com"));
    identity.groups = parts.map(str::to_owned).collect();
    identity
}

pub(in crate::admin) struct Fixture {
    pub url: String,
    pub store: Store,
    log: Arc<Log>,
    pub state: AdminState,
    pub client: reqwest::Client,
    _directory: tempfile::TempDir,
}

pub(in crate::admin) async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let ports = bundle::testing::ports(directory.path()).await;
    let store = ports.store.clone();
    let admission = bundle::Admission {
        trust: bundle::Trust::none(),
        limits: bundle::Limits { packed: 100_000, ..bundle::Limits::default() },
        options: Options::default(),
    };
    let control = Control::start(ports, admission, "here", None).await.unwrap();
    let log = Arc::new(Log::default());
    let hash_key = directory.path().join("key");
    std::fs::write(&hash_key, [7; 32]).unwrap();
    let hash_key = HashKey::load(&hash_key).unwrap();
    let state = AdminState {
        store: store.clone(),
        clock: Clock::system(),
        verifier: Arc::new(Names),
        events: log.clone(),
        viewers: Arc::from(["auditors".to_owned()]),
        admins: Arc::from(["operators".to_owned()]),
        control,
        api_keys: Some(ApiKeys::new(hash_key, Clock::system()).unwrap()),
        comparison: Arc::new(comparison),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = router(state.clone(), None);
    tokio::spawn(async move { axum::serve(listener, served).await });
    Fixture { url, store, log, state, client: reqwest::Client::new(), _directory: directory }
}

/// One call that only the candidate denies.
fn comparison() -> Option<Comparison> {
    let view = |outcome, reason| View { outcome, reason, ..View::default() };
    let example = Example {
        time: jiff::Timestamp::UNIX_EPOCH,
        decision_id: "d-1".into(),
        service: "ext_proc",
        kinds: vec![Disagreement::NewlyDenied],
        decided_by: Side::Active,
        identity: Arc::new(person("ana")),
        method: "GET".into(),
        host: "api.example.com".into(),
        path: "/v1/orders".into(),
        source: "10.0.0.7".into(),
        active: view("allow", "allowed"),
        candidate: View { rule: Some("p/no".into()), ..view("deny", "denied_by_rule") },
    };
    Some(Comparison {
        active: "a1".into(),
        candidate: "c1".into(),
        share: 5,
        since: jiff::Timestamp::UNIX_EPOCH,
        compared: [(Compared::Agreed, 8), (Compared::Disagreed, 1)].into(),
        disagreements: [(Disagreement::NewlyDenied, 1)].into(),
        not_comparable: [(NotComparable::Body, 2)].into(),
        examples: vec![Arc::new(example)],
    })
}

fn finance(count: u32) -> Approvers {
    Approvers { groups: vec!["finance".into()], people: vec![], count }
}

pub(in crate::admin) fn asked(digest: &str, count: u32) -> NewApproval {
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: digest.into(),
        idempotency_key: String::new(),
        caller: Caller::of(&person("ana"), "10.0.0.7"),
        call: CallSummary {
            method: "POST".into(),
            host: "api.example.com".into(),
            path: "/v1/refunds".into(),
            destination: "- 8443".into(),
            headers: vec![
                ("content-type".into(), "text/plain".into()),
                ("Authorization".into(), "Bearer top-secret".into()),
            ],
            body: base64::engine::general_purpose::STANDARD.encode("pay 700"),
            ..CallSummary::default()
        },
        rules: vec!["refunds/large".into()],
        revision: "r1".into(),
        requires: vec![Requirement {
            because: "large refunds wait".into(),
            ..Requirement::of("refunds/large", vec![finance(count)])
        }],
        grant: Grant::Once,
        same: None,
        remind_after: None,
        auto_approved: vec![],
        retry_window: Duration::ZERO,
        expires_in: Duration::from_secs(600),
    }
}

impl Fixture {
    pub async fn hold(&self, digest: &str, count: u32) -> String {
        let new = asked(digest, count);
        match self.store.open_approval(new, PendingLimits::default()).await.unwrap() {
            Opened::Created(approval) => approval.id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn get(&self, token: Option<&str>, path: &str) -> (u16, Value) {
        self.send(self.client.get(format!("{}{path}", self.url)), token).await
    }

    pub async fn post(&self, token: Option<&str>, path: &str, body: Value) -> (u16, Value) {
        self.send(self.client.post(format!("{}{path}", self.url)).json(&body), token).await
    }

    pub async fn decide(&self, token: &str, id: &str, verb: &str) -> (u16, Value) {
        self.post(Some(token), &format!("/api/v1/approvals/{id}:{verb}"), json!({"reason": "seen"})).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, token: Option<&str>) -> (u16, Value) {
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.unwrap();
        let challenge = response.headers().contains_key("www-authenticate");
        let status = response.status().as_u16();
        assert_eq!(challenge, status == 401);
        (status, response.json().await.unwrap())
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_valid_token() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let one = format!("/api/v1/approvals/{id}");
    for path in ["/api/v1/approvals", &one] {
        for (token, status, code) in [
            (None, 401, "unauthenticated"),
            (Some("bad"), 401, "credential_refused"),
            (Some("nobody"), 401, "credential_refused"),
            (Some("keyless"), 503, "unavailable"),
        ] {
            let (got, body) = fixture.get(token, path).await;
            assert_eq!((got, &body["code"]), (status, &json!(code)), "{path} {token:?}");
            let (got, _) = fixture.post(token, &format!("{one}:approve"), json!({})).await;
            assert_eq!(got, status);
        }
    }
    assert!(fixture.store.approval(&id).await.unwrap().unwrap().votes.is_empty());
}

#[tokio::test]
async fn the_call_is_shown_to_its_approvers_and_its_body_to_nobody_else() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let one = format!("/api/v1/approvals/{id}");
    let (status, shown) = fixture.get(Some("bob+finance"), &one).await;
    assert_eq!((status, &shown["call"]["text"]), (200, &json!("pay 700")));
    assert_eq!(shown["mayDecide"], json!(true));
    let text = shown.to_string();
    assert!(text.contains("sha256:") && !text.contains("top-secret"), "{text}");

    let (status, viewed) = fixture.get(Some("vera+auditors"), &one).await;
    assert_eq!(status, 200);
    assert!(!viewed.to_string().contains("pay 700") && viewed["call"].get("headers").is_none(), "{viewed}");
    let (status, refused) = fixture.get(Some("dave+staff"), &one).await;
    assert_eq!((status, &refused["code"]), (403, &json!("not_an_approver")));

    for (token, count) in [("bob+finance", 1), ("vera+auditors", 1), ("dave+staff", 0)] {
        let (_, list) = fixture.get(Some(token), "/api/v1/approvals?state=pending&limit=10").await;
        let listed = list.get("approvals").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(listed, count, "{token}");
        assert!(!list.to_string().contains("pay 700"));
    }
}

#[tokio::test]
async fn only_other_approvers_decide_and_only_once() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 2).await;
    for (token, status, code) in [
        ("dave+staff", 403, "not_an_approver"),
        ("vera+auditors", 403, "not_an_approver"),
        ("ana+finance", 403, "own_call"),
    ] {
        let (got, body) = fixture.decide(token, &id, "approve").await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{token}");
    }
    let (status, first) = fixture.decide("bob+finance", &id, "approve").await;
    assert_eq!((status, &first["state"]), (200, &json!("pending")), "two people are wanted");
    let (status, twice) = fixture.decide("bob+finance", &id, "approve").await;
    assert_eq!((status, &twice["code"]), (409, &json!("voted_already")));
    let (status, second) = fixture.decide("carl+finance", &id, "approve").await;
    assert_eq!((status, &second["state"]), (200, &json!("approved")));
    let (status, late) = fixture.decide("dora+finance", &id, "reject").await;
    assert_eq!((status, &late["code"]), (409, &json!("not_pending")));
    assert_eq!(fixture.decide("dave+staff", &id, "reject").await.0, 403, "the state is not for everybody");
    assert_eq!(*fixture.log.0.lock(), ["bob Approve pending seen", "carl Approve approved seen"]);

    let other = fixture.hold("b", 1).await;
    let (status, rejected) = fixture.decide("bob+finance", &other, "reject").await;
    assert_eq!((status, &rejected["state"]), (200, &json!("rejected")));
}

#[tokio::test]
async fn bad_input_is_named() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let bob = "bob+finance";
    assert_eq!(fixture.decide(bob, "unknown", "approve").await.0, 404);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals/unknown").await.0, 404);
    assert_eq!(fixture.decide(bob, &id, "delete").await.0, 400);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals?state=open").await.0, 400);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals?colour=red").await.0, 400);
    let approve = format!("/api/v1/approvals/{id}:approve");
    assert_eq!(fixture.post(Some(bob), &approve, json!({"why": "x"})).await.0, 400);
    let long = json!({"reason": "x".repeat(2_001)});
    assert_eq!(fixture.post(Some(bob), &approve, long).await.0, 400);
    let huge = json!({"reason": "x".repeat(MAX_REQUEST)});
    assert_eq!(fixture.post(Some(bob), &approve, huge).await.0, 413);
    fixture.store.close().await;
    assert_eq!(fixture.decide(bob, &id, "approve").await.0, 503);
}

/// Chats and mail scanners follow every link.
#[tokio::test]
async fn looking_decides_nothing() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    for path in [format!("{id}:approve"), format!("{id}:reject"), format!("{id}/approve")] {
        let path = format!("/api/v1/approvals/{path}");
        assert_eq!(fixture.get(Some("bob+finance"), &path).await.0, 404, "{path}");
        let head = fixture.client.head(format!("{}{path}", fixture.url)).bearer_auth("bob+finance");
        assert!(head.send().await.unwrap().status().is_client_error(), "{path}");
    }
    assert!(fixture.store.approval(&id).await.unwrap().unwrap().votes.is_empty());
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let fixture = fixture().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, fixture.hold(&format!("d{n}"), 1).await);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/api/v1/approvals?limit=2&pageToken={token}");
        let (_, page) = fixture.get(Some("bob+finance"), &path).await;
        let listed = page.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
        seen.extend(listed.iter().map(|approval| approval["id"].as_str().unwrap().to_owned()));
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ids);
}

fn with<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn grpc_says_the_same_as_json() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let mut client = ApprovalsClient::connect(fixture.url.clone()).await.unwrap();
    let get = v1::GetApprovalRequest { id: id.clone() };
    let bare = client.get_approval(get.clone()).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let refused = client.get_approval(with(get.clone(), "dave+staff")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let shown = client.get_approval(with(get, "bob+finance")).await.unwrap().into_inner();
    let (_, json) = fixture.get(Some("bob+finance"), &format!("/api/v1/approvals/{id}")).await;
    assert_eq!(json["digest"], json!(shown.digest));
    assert_eq!(shown.call.unwrap().body, Some(v1::call::Body::Text("pay 700".into())));

    let decide = v1::DecideApprovalRequest { id: id.clone(), reason: "fine".into() };
    let own = client.approve_approval(with(decide.clone(), "ana+finance")).await.unwrap_err();
    assert_eq!(own.code(), Code::PermissionDenied);
    let done = client.approve_approval(with(decide.clone(), "bob+finance")).await.unwrap().into_inner();
    assert_eq!((done.state.as_str(), done.votes.len()), ("approved", 1));
    let again = client.reject_approval(with(decide, "carl+finance")).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    let all = client.list_approvals(with(v1::ListApprovalsRequest::default(), "vera+auditors")).await;
    assert_eq!(all.unwrap().into_inner().approvals.len(), 1);
}

#[tokio::test]
async fn a_decision_is_told_of_though_its_author_hangs_up() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let state = fixture.state.clone();
    let request = v1::DecideApprovalRequest { id, reason: "seen".into() };
    let bob = person("bob+finance");
    let deciding = state.decide(&bob, request, Choice::Approve);
    assert!(tokio::time::timeout(Duration::ZERO, deciding).await.is_err(), "the commit takes a moment");
    for _ in 0..200 {
        if *fixture.log.0.lock() == ["bob Approve approved seen"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody was told: {:?}", fixture.log.0.lock());
}

#[tokio::test]
async fn a_reason_cannot_deceive_its_readers() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let path = format!("/api/v1/approvals/{id}:approve");
    for reason in ["fine\u{202e}ton", "a\u{1b}[2J", "a\u{200b}b", &"x".repeat(2_001)] {
        let (status, body) = fixture.post(Some("bob+finance"), &path, json!({"reason": reason})).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("invalid_argument")), "{reason:?}");
    }
    let (status, _) =
        fixture.post(Some("bob+finance"), &path, json!({"reason": "seen:\n\tnaïve 日本"})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn every_refusal_is_json() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let path = format!("/api/v1/approvals/{id}");
    let huge = json!({"reason": "x".repeat(100_000)});
    let url = format!("{}{path}", fixture.url);
    for ((status, body), expected) in [
        (fixture.get(None, "/api/v2/approvals").await, (404, "not_found")),
        (fixture.send(fixture.client.put(&url), Some("bob+finance")).await, (405, "method_not_allowed")),
        (fixture.post(Some("bob+finance"), &format!("{path}:approve"), huge).await, (413, "too_large")),
        (fixture.get(Some("keyless"), &path).await, (503, "unavailable")),
    ] {
        assert_eq!((status, body["code"].as_str().unwrap()), expected);
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn viewers_see_how_the_candidate_compares_and_nobody_else_does() {
    let fixture = fixture().await;
    let get = |token: &'static str| {
        let request = fixture.client.get(format!("{}/api/v1/candidate", fixture.url)).bearer_auth(token);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        }
    };
    let (status, seen) = get("eve+auditors").await;
    assert_eq!(status, 200);
    assert_eq!((&seen["agreed"], &seen["share"]), (&json!("8"), &json!(5)), "{seen}");
    assert_eq!(seen["disagreements"], json!([{"name": "newly_denied", "count": "1"}]));
    assert_eq!(seen["notComparable"], json!([{"name": "body", "count": "2"}]));
    let example = &seen["examples"][0];
    assert_eq!((&example["caller"]["subject"], &example["path"]), (&json!("ana"), &json!("/v1/orders")));
    assert_eq!(
        (&example["candidate"]["rule"], &example["active"]["outcome"]),
        (&json!("p/no"), &json!("allow"))
    );
    let (status, refused) = get("ana+finance").await;
    assert_eq!((status, &refused["code"]), (403, &json!("not_a_viewer")));
    assert_eq!(get("bad").await.0, 401);

    let mut client = v1::candidates_client::CandidatesClient::connect(fixture.url.clone()).await.unwrap();
    let asking = |token: &str| {
        let mut request = tonic::Request::new(v1::GetCandidateRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    assert_eq!(client.get_candidate(asking("eve+auditors")).await.unwrap().into_inner().disagreed, 1);
    let refused = client.get_candidate(asking("ana")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
