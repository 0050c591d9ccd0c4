//! The admin API over a real socket.

use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::Code;

use super::*;
use crate::approval::{CallSummary, Caller, Requirement};
use crate::authn::api_key::HashKey;
use crate::bundle;
use crate::effect::{Approvers, Grant};
use crate::identity::Method;
use crate::policy::Options;
use crate::store::{NewApproval, Opened, PendingLimits};

mod approvals;
pub(in crate::admin) mod bundles;
mod candidate;
mod credentials;
mod deciding;
mod refusals;

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

    fn decision_unknown<'a>(
        &'a self,
        who: &'a Identity,
        _: &'a str,
        choice: Choice,
        reason: &'a str,
    ) -> BoxFuture<'a, ()> {
        self.0.lock().push(format!("{} {choice:?} unknown {reason}", who.subject));
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
        comparison: Arc::new(candidate::comparison),
        limits: Limits::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = router(state.clone(), None);
    tokio::spawn(async move { axum::serve(listener, served).await });
    Fixture { url, store, log, state, client: reqwest::Client::new(), _directory: directory }
}

fn finance(count: u32) -> Approvers {
    Approvers { groups: vec!["finance".into()], people: vec![], count }
}

pub(in crate::admin) fn asked(digest: &str, count: u32) -> NewApproval {
    NewApproval {
        id: uuid::Uuid::now_v7().to_string(),
        digest: digest.into(),
        exact: None,
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

/// A call of the API over gRPC, by somebody.
fn with<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
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
