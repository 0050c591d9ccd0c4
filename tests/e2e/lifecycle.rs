//! Starting, dying and stopping: what was acknowledged survives, what waits gets a ticket, nothing slips by.

use std::path::Path;
use std::time::Duration;

use portcullis_sample::address;
use portcullis_sample::idp::IdentityProvider;
use portcullis_sample::portcullis::{Config, Portcullis};
use portcullis_sample::upstream::Upstream;
use reqwest::Method;

use crate::world::{Got, Options, World, envoy_before};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const LARGE: &str = r#"{"order": "o-1", "amount": 700}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_held_calls_with_tickets_and_they_pass_after_a_restart() {
    let mut world = World::start(Options::default()).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert!(world.drain().await, "in time");
    let ticket = held.await.unwrap();
    assert_eq!((ticket.status, ticket.error().as_str()), (403, "approval_pending"));
    assert_eq!(ticket.json()["approval"]["id"], id.as_str());
    let last = world.audit().into_iter().last().unwrap();
    assert_eq!(last["reason"], "approval_pending", "flushed before the end");

    world.restart().await;
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(world.post("/v1/refunds", Some("ana"), LARGE).await.status, 200);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

/// The binary, killed with SIGKILL while it holds calls, one of them approved and not yet used.
#[tokio::test(flavor = "multi_thread")]
async fn approvals_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let mut server = Portcullis::start(Path::new(BINARY), &config).await.unwrap();
    let envoy = envoy_before(&config, &upstream).await;
    let client = reqwest::Client::new();
    let url = format!("{}/v1/refunds", envoy.url());
    let refund = |amount: u32| {
        let request = client.post(&url).bearer_auth(idp.token("ana", "portcullis").unwrap());
        request
            .header("content-type", "application/json")
            .body(format!(r#"{{"order": "o-1", "amount": {amount}}}"#))
    };
    let send = |amount| {
        let request = refund(amount);
        tokio::spawn(async move { Got::from(request.send().await.unwrap()).await })
    };
    let admin = |method: Method, path: String| {
        let request = client.request(method, format!("http://{}{path}", config.admin));
        request
            .bearer_auth(idp.token("bob", "portcullis-admin").unwrap())
            .json(&serde_json::json!({"reason": ""}))
    };
    let ids = async |state: &str, count: usize| -> Vec<String> {
        for _ in 0..200 {
            let path = format!("/api/v1/approvals?state={state}");
            let listed = Got::from(admin(Method::GET, path).send().await.unwrap()).await.json();
            let list = listed["approvals"].as_array().cloned().unwrap_or_default();
            if list.len() == count {
                return list.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there were never {count} {state} requests");
    };

    let held: Vec<_> = (0..5).map(|n| send(1_000 + n)).collect();
    let pending = ids("pending", 5).await;
    server.kill().await.unwrap();
    for call in held {
        let got = call.await.unwrap();
        assert!(got.status >= 400, "refused, not let through: {}", got.status);
    }
    assert_eq!(upstream.calls(), 0);
    // Nobody is there to ask: refused.
    assert!(refund(1).send().await.unwrap().status().as_u16() >= 400);

    server.restart().await.unwrap();
    assert_eq!(ids("pending", 5).await, pending);
    for id in &pending {
        let approve = admin(Method::POST, format!("/api/v1/approvals/{id}:approve"));
        assert_eq!(approve.send().await.unwrap().status(), 200);
    }
    // Acknowledged, and killed at once.
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(ids("approved", 5).await.len(), 5);
    for n in 0..5 {
        assert_eq!(send(1_000 + n).await.unwrap().status, 200);
    }
    assert_eq!(upstream.calls_to("/v1/refunds"), 5);
    assert_eq!(ids("used", 5).await.len(), 5);
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(ids("used", 5).await.len(), 5, "what was used stays used");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_health_and_the_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    idp.set_fault(portcullis_sample::idp::Fault::Unavailable);
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let text = config.render().unwrap();
    let socket = folder.path().join("portcullis.sock");
    let text =
        text.replace(&format!("grpc: {}", config.grpc), &format!("grpc: \"unix:{}\"", socket.display()));
    std::fs::write(folder.path().join("portcullis.yaml"), text).unwrap();
    let mut child = tokio::process::Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(folder.path().join("portcullis.yaml"))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let get = async |path: &str| {
        for _ in 0..400 {
            if let Ok(answer) = reqwest::get(format!("http://{}{path}", config.metrics)).await {
                return Got::from(answer).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the metrics port never answered");
    };
    assert_eq!(get("/healthz").await.status, 200);
    let ready = get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("keys"), "{}", ready.text());
    assert!(socket.exists());
    // A second server does not take the socket away from a living one.
    let second = tokio::process::Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(folder.path().join("portcullis.yaml"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another server listens there"), "{said}");
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_stops_the_start_with_every_mistake_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let broken = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n    - {name: a, when: request.metod == 'GET', allow: {}}\n    - {name: a, deny: {status: 200}}\n";
    std::fs::write(folder.path().join("policies/p.yaml"), broken).unwrap();
    std::fs::write(folder.path().join("keys.json"), "{\"keys\": []}").unwrap();
    let config = "policies: [policies]\nidentity: {jwt: [{issuer: https://i, audiences: [a], algorithms: [RS256], jwks: {file: keys.json}}]}\nmask: {hash_key_file: none}\n";
    // Mistakes in the configuration itself do not hide those of the policies.
    let worse = format!("{config}audit: {{mode: sometimes}}\n");
    let in_policies = ["request.metod", "`request.method`", "p.yaml:6", "p.yaml:7"];
    let (in_keys, in_config) = (["keys.json", "hash"], ["portcullis.yaml:4", "sometimes"]);
    for (config, check, mistakes) in [
        (config, true, [in_policies.as_slice(), &in_keys].concat()),
        (config, false, [in_policies.as_slice(), &in_keys].concat()),
        (&worse, true, [in_policies.as_slice(), &in_config].concat()),
    ] {
        std::fs::write(folder.path().join("portcullis.yaml"), config).unwrap();
        let mut command = tokio::process::Command::new(BINARY);
        command.args(["serve", "--config"]).arg(folder.path().join("portcullis.yaml"));
        let output = if check { command.arg("--check") } else { &mut command }.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        for expected in mistakes {
            assert!(said.contains(expected), "{expected} is not in\n{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configuration_checks_out() {
    let folder = tempfile::tempdir().unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let config = Config::sample(idp.issuer(), folder.path().to_owned()).unwrap();
    let path = folder.path().join("portcullis.yaml");
    std::fs::write(&path, config.render().unwrap()).unwrap();
    let output = tokio::process::Command::new(BINARY)
        .args(["serve", "--check", "--config"])
        .arg(&path)
        .output()
        .await
        .unwrap();
    let (said, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.starts_with("ok: ") && warned.is_empty(), "{said}{warned}");
    // Without `admin:` the held calls of these policies could never be approved.
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("\nadmin:").unwrap();
    let (_, tail) = rest.split_once("\nstore:").unwrap();
    std::fs::write(&path, format!("{head}\nstore:{tail}")).unwrap();
    let output = tokio::process::Command::new(BINARY)
        .args(["serve", "--check", "--config"])
        .arg(&path)
        .output()
        .await
        .unwrap();
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && warned.contains("warning[no-approvers]"), "{warned}");
}

/// SIGHUP: a good change is in force as a whole, a broken one changes nothing and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_good_policies_and_refuses_broken_ones() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(address::ANY).await.unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let mut config = Config::sample(idp.issuer(), folder.path().join("data")).unwrap();
    config.policies = folder.path().join("policies");
    std::fs::create_dir(&config.policies).unwrap();
    let policy = |when: &str| {
        let rules = format!("  rules: [{{name: r, when: '{when}', allow: {{}}}}]\n");
        let head = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n";
        std::fs::write(config.policies.join("p.yaml"), format!("{head}{rules}")).unwrap();
    };
    policy(r#"request.url_path == "/public/hello""#);
    std::fs::create_dir(&config.data).unwrap();
    let unwatched = config.render().unwrap().replace("policies: [", "policies: {watch: false, paths: [");
    let candidate = format!("/policies\"], candidate: {{paths: [\"{}\"]}}}}", config.policies.display());
    let unwatched = unwatched.replace("/policies\"]", &candidate);
    let path = config.data.join("portcullis.yaml");
    std::fs::write(&path, unwatched).unwrap();
    let log = config.data.join("portcullis.log");
    let mut server = Portcullis::start_with(Path::new(BINARY), &path, config.metrics, &log).await.unwrap();
    let envoy = envoy_before(&config, &upstream).await;
    let status =
        async || reqwest::get(format!("{}/public/hello", envoy.url())).await.unwrap().status().as_u16();
    let reloaded = async |server: &mut Portcullis, line: &str| {
        server.child().hang_up().unwrap();
        for _ in 0..200 {
            if server.metrics().await.unwrap().contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {line}");
    };
    assert_eq!(status().await, 200);
    let log = server.child().log();
    let serving = log.lines().find(|line| line.contains("\"serving\"")).unwrap();
    assert!(serving.contains("\"candidate\":\"") && serving.contains("\"candidate_share\":0"), "{serving}");
    policy("request.metod == 1");
    reloaded(&mut server, "portcullis_reloads_total{result=\"refused\",reason=\"invalid_policy\"}").await;
    assert_eq!(status().await, 200);
    let log = server.child().log();
    for said in ["request.metod", "policies were not taken", "not reloaded: everything stays as it was"] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    // What a check says of them is what the log says.
    let check =
        tokio::process::Command::new(BINARY).args(["serve", "--check", "--config"]).arg(&path).output();
    let check = check.await.unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(
        !check.status.success() && said.contains("error: policies were not taken, 1 mistake(s)"),
        "{said}"
    );
    policy("false && request.size > 0");
    reloaded(&mut server, "portcullis_reloads_total{result=\"accepted\",reason=\"none\"}").await;
    assert_eq!(status().await, 401);
    let log = server.child().log();
    assert!(log.contains("policies accepted again"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_reported_before_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let idp = IdentityProvider::start(address::ANY).await.unwrap();
    let config = Config::sample(idp.issuer(), folder.path().join("data")).unwrap();
    let path = folder.path().join("portcullis.yaml");
    std::fs::write(&path, config.render().unwrap()).unwrap();
    std::fs::create_dir(&config.data).unwrap();
    let _taken = tokio::net::TcpListener::bind(config.metrics).await.unwrap();
    let output = tokio::process::Command::new(BINARY).args(["serve", "--config"]).arg(&path).output();
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("can't listen on"), "{said}");
    let left: Vec<_> =
        std::fs::read_dir(&config.data).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// They would take the file descriptors of proxies: there are only so many, and each must say what it wants.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_to_the_metrics_port_end() {
    let world = World::start(Options::default()).await;
    let address = world.server.as_ref().unwrap().addresses.metrics;
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /healthz HTTP/1.1\r\nhost: a\r\n")
            .await
            .unwrap();
        idle.push(stream);
    }
    assert_eq!(world.fetch("/healthz").await, "ok\n", "it is served once the first of them are gone");
    let mut rest = Vec::new();
    let mut first = idle.swap_remove(0);
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut first, &mut rest).await;
}
