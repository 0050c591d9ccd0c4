//! Who is told of held calls: by webhook, also after a crash, and live in a terminal.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use portcullis_sample::address;
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::world::{Options, World, command, envoy_before};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const LARGE: &str = r#"{"order": "o-1", "amount": 700}"#;

/// What a receiver was told: the id and the body of each message. The first `silent` requests are never answered.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(String, Value)>>>);

impl Receiver {
    async fn start(silent: usize) -> (Self, String) {
        let receiver = Self::default();
        let told = receiver.0.clone();
        let answer = axum::routing::post(async move |headers: HeaderMap, body: axum::Json<Value>| {
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            let count = {
                let mut told = told.lock().await;
                told.push((id, body.0));
                told.len()
            };
            if count <= silent {
                std::future::pending::<()>().await;
            }
        });
        let listener = tokio::net::TcpListener::bind(address::ANY).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/hook", answer)).await });
        (receiver, url)
    }

    async fn times(&self, count: usize) -> Vec<(String, Value)> {
        for _ in 0..1_200 {
            let told = self.0.lock().await.clone();
            if told.len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("told {} times, and not {count}", self.0.lock().await.len());
    }
}

/// SIGKILL while a receiver has not answered: it is told again by the next process, under the same id; what is decided
/// then is told too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_received_at_a_kill_9_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let (receiver, url) = Receiver::start(1).await;
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    std::fs::write(folder.path().join("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let notify = format!(
        "notify: [{{name: own, type: webhook, url: \"{url}\", signing_keys: [key], allow_private: true, timeout: 1s}}]\n"
    );
    let text =
        config.render().unwrap().replace("admin:\n", "admin:\n  url: https://portcullis.example.com\n");
    let path = folder.path().join("portcullis.yaml");
    std::fs::write(&path, text + &notify).unwrap();
    let log = folder.path().join("portcullis.log");
    let mut server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
    let envoy = envoy_before(&config, &upstream).await;
    let client = reqwest::Client::new();
    let request = client.post(format!("{}/v1/refunds", envoy.url())).body(LARGE);
    let request = request.bearer_auth(idp.token("ana", "portcullis").unwrap());
    let held = tokio::spawn(request.header("content-type", "application/json").send());
    let first = receiver.times(1).await.remove(0);
    server.kill().await.unwrap();
    assert!(held.await.unwrap().unwrap().status().as_u16() >= 400);
    server.restart().await.unwrap();
    let told = receiver.times(2).await;
    assert_eq!(told[1].0, first.0, "the same id");
    assert_eq!(told[1].1, first.1);
    let id = first.1["data"]["id"].as_str().unwrap();
    let url = format!("http://{}/api/v1/approvals/{id}:reject", config.admin);
    let reject = client.post(url).bearer_auth(idp.token("bob", "portcullis-admin").unwrap());
    let rejected = reject.json(&serde_json::json!({"reason": "wrong account"})).send().await.unwrap();
    assert_eq!(rejected.status(), 200);
    let told = receiver.times(3).await;
    assert_eq!(
        (told[2].1["type"].as_str(), told[2].1["data"]["id"].as_str()),
        (Some("approval.decided"), Some(id))
    );
    assert_eq!(told[2].1["data"]["votes"][0]["reason"], "wrong account");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("/hook"), "{log}");
}

/// `portcullis approvals watch` as this person.
fn watch(world: &World, person: &str, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let token = world.idp.token(person, "portcullis-admin").unwrap();
    let arguments = [&["approvals", "watch"], arguments].concat();
    let mut child = command(&format!("http://{}", world.addresses.admin), &token, &arguments)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
    serde_json::from_str(&line.expect("in a minute").unwrap().expect("a line")).unwrap()
}

/// What was pending, what comes, what is decided, also while the server was away; Ctrl-C is a good end.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_over_a_restart_and_ends_well() {
    let mut world = World::start(Options::default()).await;
    let _first = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [first] = world.pending(1).await.try_into().unwrap();
    let (mut child, mut lines) = watch(&world, "bob", &["--format", "json"]);
    let told = line(&mut lines).await;
    assert_eq!((told["id"].as_str(), told["state"].as_str()), (Some(first.as_str()), Some("pending")));
    let other = LARGE.replace("700", "800");
    let _second = world.send(world.post_request("/v1/refunds", Some("ana"), &other));
    let told = line(&mut lines).await;
    assert_eq!(told["state"], "pending");
    let second = told["id"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert!(told["call"].get("text").is_none(), "{told}");

    world.drain().await;
    world.restart().await;
    assert_eq!(world.decide(&first, "bob", "reject").await.status, 200);
    let told = line(&mut lines).await;
    assert_eq!((told["id"].as_str(), told["state"].as_str()), (Some(first.as_str()), Some("rejected")));

    let process = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &process]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));

    // Who has read enough ends it too.
    let (mut child, mut lines) = watch(&world, "bob", &[]);
    assert!(lines.next_line().await.unwrap().unwrap().contains(&second));
    drop(lines);
    assert_eq!(world.decide(&second, "bob", "reject").await.status, 200);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));

    let listed = world.admin(Method::GET, "/api/v1/openapi.json", "bob").await;
    assert_eq!((listed.status, listed.json()["openapi"].as_str()), (200, Some("3.1.0")));
}

/// The code of the guide, against a published example: five minutes, these bytes, this id, and no more.
#[test]
fn the_receiver_of_the_guide_takes_what_is_signed_and_nothing_old_or_changed() {
    let guide =
        std::fs::read_to_string(portcullis_sample::repository().join("docs/notifications.md")).unwrap();
    let code = guide.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let cases = r#"
key, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1614265330
good = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": str(at),
        "webhook-signature": "v1,bm90IHRoaXM= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
body = b'{"test": 2432232314}'
def taken(headers, body, now):
    try:
        verify(key, headers, body, now)
        return True
    except (ValueError, KeyError):
        return False
assert taken(good, body, at) and taken(good, body, at + 300) and taken(good, body, at - 300)
assert not taken(good, body, at + 301) and not taken(good, body, at - 301)
assert not taken(good, body + b" ", at)
assert not taken({**good, "webhook-id": "msg_other"}, body, at)
assert not taken({**good, "webhook-timestamp": str(at + 1)}, body, at)
assert not taken({**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}, body, at)
"#;
    let run =
        std::process::Command::new("python3").args(["-c", &format!("{code}\n{cases}")]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
