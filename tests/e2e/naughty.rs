//! Texts that were made to break logs, terminals and pages, wherever a caller, an approver or a policy's author can write
//! one: each event is one record, each text comes back as it was, and nothing of it is obeyed.

use std::path::Path;

use axum::http::HeaderMap;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap as Headers, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use futures_util::{StreamExt as _, stream};
use portcullis::visible::is_deceptive;
use portcullis_sample::envoy::Envoy;
use portcullis_sample::idp::{Algorithm, IdentityProvider};
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;
use portcullis_sample::{address, repository};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::world::{Got, cli, envoy_before};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

fn strings() -> Vec<String> {
    let list = |name: &str| {
        let path = repository().join("tests/naughty-strings").join(name);
        serde_json::from_str::<Vec<String>>(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let all = [list("blns.json"), list("own.json")].concat();
    assert!(all.len() > 515, "{}", all.len());
    all
}

/// A text as part of a path, without what no path may have: such calls are refused before a rule is asked.
fn segment(text: &str) -> String {
    let bytes = text
        .bytes()
        .filter(|byte| !matches!(byte, 0..0x20 | 0x7f | b'/' | b'\\' | b'%' | b';' | b'?' | b'#'));
    bytes.fold("x".to_owned(), |path, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
            path + &char::from(byte).to_string()
        }
        byte => path + &format!("%{byte:02X}"),
    })
}

/// A text of YAML in quotes, which may hold printable characters only.
fn yaml(text: &str) -> String {
    let quoted = text.chars().fold("\"".to_owned(), |quoted, c| match c {
        '"' | '\\' => format!("{quoted}\\{c}"),
        c if is_deceptive(c) => format!("{quoted}\\U{:08x}", u32::from(c)),
        c => format!("{quoted}{c}"),
    });
    quoted + "\""
}

/// A rule that holds and one that denies for each text, which is what they say of themselves.
fn policies(texts: &[String]) -> String {
    let mut rules = String::new();
    for (index, text) in texts.iter().enumerate() {
        let text = yaml(text);
        let reads = r#"request.headers["x-naughty"] != """#;
        rules += &format!(
            "    - {{name: deny-{index}, when: 'request.headers[\"x-case\"] == \"deny-{index}\"', deny: {{because: {text}}}}}\n    \
             - {{name: hold-{index}, when: 'request.headers[\"x-case\"] == \"hold-{index}\" && (true || {reads})', \
             hold: {{approvers: {{groups: [finance-oncall]}}, wait: 1s, because: {text}}}}}\n"
        );
    }
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: naughty}}\nspec:\n  \
         match: [{{paths: [\"/n/{{**}}\"]}}]\n  rules:\n{rules}"
    )
}

/// A server of its own process, so that it has a standard error; with its proxy, and a receiver of notifications.
struct Naughty {
    texts: Vec<String>,
    idp: IdentityProvider,
    config: Config,
    _server: Portcullis,
    _upstream: Upstream,
    envoy: Envoy,
    client: reqwest::Client,
    folder: tempfile::TempDir,
    told: mpsc::UnboundedReceiver<Value>,
}

async fn receiver() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (tell, told) = mpsc::unbounded_channel();
    let answer = axum::routing::post(async move |_: HeaderMap, body: axum::Json<Value>| {
        tell.send(body.0).unwrap();
    });
    let listener = tokio::net::TcpListener::bind(address::ANY).await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/hook", answer)).await });
    (url, told)
}

impl Naughty {
    async fn start() -> Self {
        let texts = strings();
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(address::ANY).await.unwrap();
        let idp = IdentityProvider::start(address::ANY).await.unwrap();
        let (url, told) = receiver().await;
        let mut config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
        config.policies = folder.path().join("naughty.yaml");
        std::fs::write(&config.policies, policies(&texts)).unwrap();
        std::fs::write(folder.path().join("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let notify = format!(
            "notify: [{{name: own, type: webhook, url: \"{url}\", signing_keys: [key], events: [pending], \
             allow_private: true}}]\n"
        );
        let text = config.render().unwrap();
        let text = text.replace("admin:\n", "admin:\n  url: https://portcullis.example.com\n");
        let text = text.replace("holds: {", "holds: {per_principal: 2000, ") + &notify;
        let path = folder.path().join("portcullis.yaml");
        std::fs::write(&path, text).unwrap();
        let log = folder.path().join("portcullis.log");
        let server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
        let envoy = envoy_before(&config, &upstream).await;
        let client = reqwest::Client::new();
        Self { texts, idp, config, _server: server, _upstream: upstream, envoy, client, folder, told }
    }

    /// A call that has the text in its path, a header, its body, and its caller's name.
    async fn call(&self, case: &str, text: &str) -> Got {
        let mut claims = self.idp.claims("ana", "portcullis").unwrap();
        claims["sub"] = json!(name(text));
        let token = self.idp.sign(Algorithm::Rs256, &claims).unwrap();
        let url = format!("{}/n/{}", self.envoy.url(), segment(text));
        let mut request = self.client.post(url).bearer_auth(token).header("prefer", "respond-async");
        // A header takes no control characters: those come without Envoy, below.
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(text.as_bytes()) {
            request = request.header("x-naughty", value);
        }
        let request = request.header("x-case", case).header("content-type", "application/json");
        Got::from(request.body(json!({ "note": text }).to_string()).send().await.unwrap()).await
    }

    fn bob(&self) -> String {
        self.idp.token("bob", "portcullis-admin").unwrap()
    }

    async fn admin(&self, method: Method, path: &str, body: Value) -> Got {
        let url = format!("http://{}{path}", self.config.admin);
        let request = self.client.request(method, url).bearer_auth(self.bob()).json(&body);
        Got::from(request.send().await.unwrap()).await
    }

    /// The trail, once it has as many records of this kind: one for each event, and no more.
    async fn trail(&self, kind: &str, count: usize) -> Vec<Value> {
        for _ in 0..400 {
            let text = std::fs::read_to_string(self.config.audit_path()).unwrap_or_default();
            assert!(!text.chars().any(|c| is_deceptive(c) && c != '\n'), "a terminal would obey it");
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let records: Vec<Value> =
                whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            let sequence: Vec<_> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
            assert!(sequence.iter().copied().eq(1..=u64::try_from(records.len()).unwrap()), "{sequence:?}");
            let of_kind: Vec<_> = records.into_iter().filter(|record| record["kind"] == kind).collect();
            if of_kind.len() >= count {
                assert_eq!(of_kind.len(), count);
                return of_kind;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("there were never {count} records of `{kind}`");
    }
}

/// The text as a caller's name: somebody without one is nobody, and a name with control characters is refused.
fn name(text: &str) -> &str {
    if text.is_empty() || text.chars().any(char::is_control) { "somebody" } else { text }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_naughty_text_is_one_record_comes_back_as_it_was_and_is_obeyed_nowhere() {
    let mut world = Naughty::start().await;
    let count = world.texts.len();

    // What a rule says of its denial.
    let denied = stream::iter(world.texts.iter().enumerate())
        .map(|(index, text)| world.call(Box::leak(format!("deny-{index}").into_boxed_str()), text));
    let denied: Vec<_> = denied.buffered(8).collect().await;
    for (got, text) in denied.iter().zip(&world.texts) {
        assert_eq!((got.status, got.error().as_str()), (403, "denied_by_rule"), "{text:?} {}", got.text());
        let said = got.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(text.is_empty() || said == *text, "{text:?} {said:?}");
    }

    // Held calls, and what an approver is shown of them.
    let held = stream::iter(world.texts.iter().enumerate())
        .map(|(index, text)| world.call(Box::leak(format!("hold-{index}").into_boxed_str()), text));
    let held: Vec<_> = held.buffered(8).collect().await;
    let mut ids = Vec::new();
    for (got, text) in held.iter().zip(&world.texts) {
        assert_eq!(got.status, 202, "{text:?} {}", got.text());
        ids.push(got.json()["approval"]["id"].as_str().unwrap().to_owned());
    }
    for (id, text) in ids.iter().zip(&world.texts) {
        let shown = world.admin(Method::GET, &format!("/api/v1/approvals/{id}"), Value::Null).await.json();
        assert_eq!(shown["caller"]["subject"], name(text));
        assert_eq!(shown["requires"][0]["because"].as_str().unwrap_or_default(), text);
        let body: Value = serde_json::from_str(shown["call"]["text"].as_str().unwrap()).unwrap();
        assert_eq!(body["note"], text.as_str());
        assert_eq!(shown["call"]["path"], format!("/n/{}", segment(text)));
        let header = shown["call"]["headers"].as_array().unwrap().iter();
        let header = header
            .filter(|header| header["name"] == "x-naughty")
            .map(|header| json!(header["value"].as_str().unwrap_or_default()));
        let sent = reqwest::header::HeaderValue::from_bytes(text.as_bytes()).is_ok();
        let wanted = sent.then(|| json!(text.trim_matches([' ', '\t'])));
        assert_eq!(header.collect::<Vec<_>>(), wanted.into_iter().collect::<Vec<_>>(), "{text:?}");

        // A reason that would deceive those who read it is refused, any other kept.
        let path = format!("/api/v1/approvals/{id}:reject");
        let got = world.admin(Method::POST, &path, json!({ "reason": text })).await;
        // Hard spaces become plain ones, and how an emoji is drawn is left out.
        let reason = text.replace('\u{a0}', " ").replace('\u{fe0f}', "");
        let deceives = reason.chars().any(|c| is_deceptive(c) && !matches!(c, '\n' | '\t'));
        assert_eq!(got.status, if deceives { 400 } else { 200 }, "{text:?} {}", got.text());
        let got =
            if deceives { world.admin(Method::POST, &path, json!({ "reason": "plain" })).await } else { got };
        let kept = if deceives { "plain" } else { &reason };
        assert_eq!(got.json()["votes"][0]["reason"].as_str().unwrap_or_default(), kept);
    }

    // The trail.
    let decisions = world.trail("decision", 2 * count).await;
    for (reason, held) in [("denied_by_rule", false), ("approval_pending", true)] {
        let mut subjects: Vec<_> = decisions
            .iter()
            .filter(|one| one["reason"] == reason)
            .map(|one| one["identity"]["subject"].clone())
            .collect();
        let mut wanted: Vec<_> = world.texts.iter().map(|text| json!(name(text))).collect();
        let order = |value: &Value| value.as_str().unwrap().to_owned();
        subjects.sort_by_key(order);
        wanted.sort_by_key(order);
        assert_eq!(subjects, wanted, "{reason} {held}");
    }
    let votes = world.trail("vote", count).await;
    for (vote, id) in votes.iter().zip(&ids) {
        assert_eq!(vote["approval"], id.as_str());
    }

    // A terminal.
    for arguments in
        [vec!["approvals", "list", "--limit", "500"], vec!["approvals", "list", "--format", "json"]]
    {
        let (done, said) = cli(world.config.admin, &world.bob(), &arguments).await;
        assert!(done && !said.chars().any(|c| is_deceptive(c) && c != '\n'), "{said}");
    }
    // Starting a process takes a while: every seventh, and those that aim at terminals.
    for (index, id) in ids.iter().enumerate() {
        let text = &world.texts[index];
        if index % 7 == 0 || text.chars().any(is_deceptive) {
            let (done, said) = cli(world.config.admin, &world.bob(), &["approvals", "show", id]).await;
            assert!(done && !said.chars().any(|c| is_deceptive(c) && c != '\n'), "{text:?} {said:?}");
            assert!(said.contains(&portcullis::visible::visible(text)), "{text:?} {said}");
        }
    }

    // Who is told.
    let mut told = Vec::new();
    while told.len() < count {
        told.push(world.told.recv().await.unwrap());
    }
    let mut subjects: Vec<_> =
        told.iter().map(|one| one["data"]["caller"]["subject"].as_str().unwrap().to_owned()).collect();
    let mut wanted: Vec<_> = world.texts.iter().map(|text| name(text).to_owned()).collect();
    subjects.sort();
    wanted.sort();
    assert_eq!(subjects, wanted);

    let log = std::fs::read_to_string(world.folder.path().join("portcullis.log")).unwrap();
    assert!(!log.chars().any(|c| is_deceptive(c) && c != '\n'));
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// What no client gets past Envoy can still come from a proxy that is another one: such calls are denied, and on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_naughty_text_that_a_proxy_lets_through_is_one_record_too() {
    let world = Naughty::start().await;
    let channel = format!("http://{}", world.config.grpc);
    let channel = tonic::transport::Channel::from_shared(channel).unwrap().connect().await.unwrap();
    for (index, text) in world.texts.iter().enumerate() {
        let header = HeaderValue {
            key: "x-naughty".into(),
            raw_value: text.as_bytes().to_vec(),
            ..HeaderValue::default()
        };
        // In one of its places at a time, so that each is judged.
        let place = |own: usize, plain: &str| if index % 4 == own { text.clone() } else { plain.to_owned() };
        let http = HttpRequest {
            id: text.clone(),
            method: place(0, "GET"),
            host: place(1, "shop"),
            path: place(2, "/n/x"),
            header_map: Some(Headers { headers: vec![header] }),
            ..HttpRequest::default()
        };
        let request = Request { http: Some(http), ..Request::default() };
        let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
        let mut client = AuthorizationClient::new(channel.clone());
        let answer = client.check(CheckRequest { attributes: Some(attributes) }).await.unwrap().into_inner();
        assert_ne!(answer.status.unwrap().code, 0, "{text:?}");
    }
    let records = world.trail("decision", world.texts.len()).await;
    let mut cut = 0;
    for (index, (record, text)) in records.iter().zip(&world.texts).enumerate() {
        assert_eq!(record["outcome"], "deny");
        // What is left out of it is said.
        let id = record["request_id"].as_str().unwrap_or_default();
        let missing = record["cut_bytes"].as_u64().map_or(0, |bytes| usize::try_from(bytes).unwrap());
        let times = if matches!(index % 4, 0 | 1) { 2 } else { 1 };
        assert!(text.starts_with(id) && missing == (text.len() - id.len()) * times, "{text:?} {record}");
        cut += usize::from(missing > 0);
    }
    assert!(cut > 0, "some are longer than what is kept");
    for (index, (record, text)) in records.iter().zip(&world.texts).enumerate() {
        match index % 4 {
            0 => assert!(text.starts_with(record["method"].as_str().unwrap())),
            1 => assert!(text.starts_with(record["host"].as_str().unwrap())),
            2 => assert_eq!(record["path"].as_str().unwrap(), text.split('?').next().unwrap()),
            _ => {}
        }
    }
}
