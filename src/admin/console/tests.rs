//! The console over a real socket, with a provider that says what a test wants; `browser` in tests/e2e has a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, Url};
use serde_json::json;

use super::*;
use crate::admin::tests::{Fixture, fixture, person};
use crate::authn::revocation::{Freshness, OnStale};
use crate::clock::Clock;
use crate::engine::fault::Faults;
use crate::engine::{Credentials, Following};
use crate::reason::Reason;

mod attack;
mod bodies;
mod decide;
mod decisions;
mod flow;
mod policies;
mod shown;

const ORIGIN: &str = "http://127.0.0.1:9190";

/// Takes JSON claims for tokens; `name` is as in the API's tests.
struct IdTokens;

impl VerifyToken for IdTokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, Reason>> {
        Box::pin(async move {
            let claims: serde_json::Map<String, Value> =
                serde_json::from_str(token).map_err(|_| Reason::TokenMalformed)?;
            let name = claims["name"].as_str().unwrap();
            Ok(Arc::new(Identity { claims: claims.clone(), session: "sid-1".into(), ..person(name) }))
        })
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>, watch::Sender<()>, Mutex<Vec<Value>>);

impl Insight for Told {
    fn health(&self) -> BoxFuture<'_, Vec<Check>> {
        Box::pin(async { vec![Check { name: "Store".into(), good: false, detail: "<gone>".into() }] })
    }

    fn records(&self, _: usize) -> BoxFuture<'_, std::io::Result<Vec<Value>>> {
        let record =
            json!({"kind": "decision", "time": "2026-01-01T00:00:00Z", "outcome": "deny", "path": "/<b>"});
        let mut records = vec![record, json!({"kind": "vote"})];
        records.extend(self.2.lock().iter().cloned());
        Box::pin(async { Ok(records) })
    }

    fn records_changed(&self) -> watch::Receiver<()> {
        self.1.subscribe()
    }

    fn session_changed<'a>(&'a self, who: &'a Identity, change: SessionChange) -> BoxFuture<'a, ()> {
        self.0.lock().push(format!("{} {}", who.subject, change.as_str()));
        Box::pin(async {})
    }
}

/// A provider whose codes say what their id token says: `{"challenge": ..., "token": {...}}` in base64url.
async fn provider(names_itself: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let configuration = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth?tenant=1"),
        "token_endpoint": format!("{issuer}/token"),
        "authorization_response_iss_parameter_supported": names_itself,
    });
    let token = |form: axum::extract::Form<BTreeMap<String, String>>| async move {
        let code = URL_SAFE_NO_PAD.decode(&form["code"]).unwrap();
        let code: Value = serde_json::from_slice(&code).unwrap();
        let challenge = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
        let proven = code["challenge"] == URL_SAFE_NO_PAD.encode(challenge) && form["client_id"] == "console";
        match proven {
            true => axum::Json(json!({"id_token": code["token"].to_string()})).into_response(),
            false => (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"}))).into_response(),
        }
    };
    let served = Router::new()
        .route("/.well-known/openid-configuration", get(move || async move { axum::Json(configuration) }))
        .route("/token", post(token));
    tokio::spawn(async move { axum::serve(listener, served).await });
    issuer
}

/// A console, and what stands behind it.
struct World {
    url: String,
    issuer: String,
    admin: Fixture,
    clock: Clock,
    told: Arc<Told>,
    metrics: Metrics,
    folder: tempfile::TempDir,
    _following: Following,
}

#[derive(Clone, Copy)]
struct Setting {
    origin: &'static str,
    names_itself: bool,
    /// Whether there is a provider; without, there is a one-time token.
    provider: bool,
}

const USUAL: Setting = Setting { origin: ORIGIN, names_itself: true, provider: true };

impl World {
    async fn start() -> Self {
        Self::with(USUAL).await
    }

    /// One whose revocations are never known to be current.
    async fn stale() -> Self {
        let freshness = Freshness { on_stale: OnStale::Deny, max_age: Duration::ZERO };
        Self::build(USUAL, freshness).await
    }

    async fn with(setting: Setting) -> Self {
        Self::build(setting, Freshness { on_stale: OnStale::Continue, ..Freshness::default() }).await
    }

    async fn build(setting: Setting, freshness: Freshness) -> Self {
        let admin = fixture().await;
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Clock::system().now());
        let revocations = Revocations::new(freshness, clock.clone());
        let credentials = Credentials { revocations: revocations.clone(), api_keys: None };
        let following = credentials.follow(admin.store.clone(), Faults::default()).await.unwrap();
        let issuer = provider(setting.names_itself).await;
        let config = ProviderConfig {
            issuer: issuer.clone(),
            client_id: "console".into(),
            client_secret_file: None,
            scopes: vec!["openid".into()],
            ca_file: None,
            allow_insecure: false,
            id_tokens: crate::authn::Config::default(),
        };
        let told = Arc::new(Told::default());
        let metrics = Metrics::new().unwrap();
        let token = folder.path().join("first-login");
        let first_login = match setting.provider {
            true => FirstLogin::none(&token),
            false => FirstLogin::offered(&token, &clock).unwrap(),
        };
        let parts = Parts {
            origin: Origin::parse(setting.origin).unwrap(),
            times: Times::default(),
            keys: Keys::of(&[1; 32]).unwrap(),
            provider: setting.provider.then(|| Provider::new(config).unwrap()),
            id_tokens: Some(Arc::new(IdTokens)),
            first_login,
            revocations,
            insight: told.clone(),
            metrics: metrics.clone(),
        };
        let state = AdminState { clock: clock.clone(), ..admin.state.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = crate::admin::router(state, Some(parts));
        tokio::spawn(async move { axum::serve(listener, served).await });
        Self { url, issuer, admin, clock, told, metrics, folder, _following: following }
    }

    fn browser(&self) -> Browser<'_> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Browser { world: self, client, cookies: Mutex::default() }
    }

    /// Somebody who has logged in; the name is as in the API's tests.
    async fn logged_in(&self, name: &str) -> Browser<'_> {
        let browser = self.browser();
        let got = browser.log_in(name).await;
        assert_eq!(got.status, 200, "{}", got.text);
        browser
    }

    async fn votes(&self, id: &str) -> usize {
        self.admin.store.approval(id).await.unwrap().unwrap().votes.len()
    }

    fn seconds(&self) -> i64 {
        self.clock.now().as_second()
    }
}

/// Keeps cookies, and follows nothing by itself.
struct Browser<'w> {
    world: &'w World,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    /// Where the page goes on by itself.
    fn refresh(&self) -> String {
        let url = self.text.split("content=\"0; url=").nth(1).unwrap().split('"').next().unwrap();
        url.replace("&#38;", "&").replace("&amp;", "&")
    }

    fn form_token(&self) -> String {
        self.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

/// Reads on until this text has come.
async fn until(stream: &mut reqwest::Response, seen: &mut String, text: &str) {
    while !seen.contains(text) {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
        seen.push_str(str::from_utf8(&chunk.expect(text).unwrap().unwrap()).unwrap());
    }
}

impl Browser<'_> {
    /// A page of events, as far as it has come.
    async fn stream(&self, path: &str) -> reqwest::Response {
        let cookies: Vec<_> =
            self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.get(format!("{}{path}", self.world.url)).header("host", "127.0.0.1:9190");
        let stream = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        stream
    }

    async fn send(&self, request: RequestBuilder) -> Got {
        let cookies =
            self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) };
        self.send_bare(request.header("host", "127.0.0.1:9190")).await
    }

    async fn send_bare(&self, request: RequestBuilder) -> Got {
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut cookies = self.cookies.lock();
            match rest.contains("Max-Age=0;") {
                true => cookies.remove(name),
                false => cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Got { status, headers, text: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Got {
        self.send(self.client.get(format!("{}{path}", self.world.url))).await
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(format!("{}{path}", self.world.url));
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        self.send(self.form(path, fields).header("origin", ORIGIN)).await
    }

    /// Fills in the form of the page of an approval.
    async fn decide(&self, id: &str, choice: &str, reason: &str) -> Got {
        let token = self.get("/history").await.form_token();
        self.post(&format!("/approvals/{id}/{choice}"), &[("csrf", &token), ("reason", reason)]).await
    }

    /// The query of the provider's answer to a login, which is begun now or was begun before.
    fn answer(&self, url: &Url, name: &str, change: impl Fn(&mut Value)) -> String {
        let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        let mut token = json!({"name": name, "nonce": asked["nonce"], "auth_time": self.world.seconds()});
        change(&mut token);
        let code = json!({"challenge": asked["code_challenge"], "token": token}).to_string();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", &URL_SAFE_NO_PAD.encode(code));
        query.append_pair("state", &asked["state"]).append_pair("iss", &self.world.issuer).finish()
    }

    async fn begin(&self, next: &str) -> Url {
        let got = self.post("/login", &[("next", next)]).await;
        assert_eq!(got.status, 200, "{}", got.text);
        got.refresh().parse().unwrap()
    }

    async fn come_back(&self, query: &str) -> Got {
        self.get(&format!("/login/callback?{query}")).await
    }

    async fn log_in(&self, name: &str) -> Got {
        let url = self.begin("/").await;
        self.come_back(&self.answer(&url, name, |_| {})).await
    }
}
