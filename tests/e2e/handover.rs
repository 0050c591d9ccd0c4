//! Both filters in one chain: ext_authz decides and holds, ext_proc masks by what that says, and nothing is decided twice.
//!
//! `forged` speaks to the server as a proxy would that shows something else than it was told.

mod forged;

use portcullis::proxy::config::Service;
use portcullis_sample::envoy::{Envoy, Settings};
use portcullis_sample::upstream::Answer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{self, Got, Options, Server, World};

const SECRET: &str = "4929381705628341";
const MASKED: &str = "************8341";

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: cards}
spec:
  match: [{paths: ["/cards/{**}"]}]
  rules:
    - {name: staff, when: '"staff" in identity.groups', allow: {}}
    - {name: release, when: 'request.method == "POST"', hold: {approvers: {groups: [finance-oncall]}, wait: 20s}}
    - name: numbers
      mask: [{field: "**.number", with: last4}]
      headers: {response: {set: {x-masked: "for ${identity.subject}"}, append: {x-seen: once}, remove: [server-version]}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: by-code}
spec:
  match: [{paths: ["/by-code/{**}"]}]
  rules:
    - {name: all, allow: {}}
    - name: numbers
      when: 'response.code == 200 && !("finance-oncall" in identity.groups) && identity.claims.sub != ""'
      mask: [{field: "**.number", with: last4}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: plain}
spec:
  match: [{paths: ["/plain/{**}"]}]
  rules: [{name: all, allow: {}}]
"#;

fn both() -> Options {
    Options::both().policies(POLICIES)
}

fn card(world: &World, path: &'static str, code: StatusCode) {
    let body = json!({"card": {"number": SECRET}}).to_string();
    let answer = Answer::new(code).header("content-type", "application/json").header("server-version", "9");
    let answer = answer.header("x-seen", "upstream").chunk(body);
    world.upstream.answer(path, answer);
}

fn number(got: &Got) -> String {
    got.json()["card"]["number"].as_str().unwrap_or_default().to_owned()
}

/// How often each service answered a call, and what became of handovers, as the metrics say.
async fn counted(world: &World, sample: &str) -> u64 {
    let metrics = world.metrics().await;
    let samples = metrics.lines().filter(|line| line.starts_with(sample));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

const BY_EXT_AUTHZ: &str = "portcullis_decisions_total{service=\"ext_authz\"";
const BY_EXT_PROC: &str = "portcullis_decisions_total{service=\"ext_proc\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_held_by_ext_authz_is_masked_by_ext_proc_and_decided_once() {
    let world = World::start(both()).await;
    card(&world, "/cards/1", StatusCode::OK);
    let held = world.send(world.post_request("/cards/1", Some("ana"), "{}"));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.upstream.calls(), 0);
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!((got.status, number(&got).as_str()), (200, MASKED), "{}", got.text());
    assert_eq!(got.headers["x-masked"], "for ana");
    assert!(!got.headers.contains_key("server-version"));
    let seen: Vec<_> = got.headers.get_all("x-seen").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(seen.join(","), "upstream,once", "added once");
    assert_eq!(world.upstream.calls(), 1);

    let decided = world.recorded(|record| record["reason"] == "approved").await;
    let masked = world.recorded(|record| record["outcome"] == "masked").await;
    assert_eq!(decided["decision_id"], masked["decision_id"], "one call, one decision");
    let about = |record: &&Value| record["path"] == "/cards/1";
    assert_eq!(world.audit().iter().filter(about).count(), 1, "{}", world.audit_text());
    assert_eq!(counted(&world, BY_EXT_AUTHZ).await, 1);
    assert_eq!(counted(&world, BY_EXT_PROC).await, 0);
    for result in ["given", "taken"] {
        assert_eq!(counted(&world, &format!("portcullis_handover_total{{result=\"{result}\"}}")).await, 1);
    }
    assert_eq!(counted(&world, "portcullis_masked_fields_total").await, 1);
    // The approval is used up: the same call again is a retry of it.
    let again = world.send(world.post_request("/cards/1", Some("ana"), "{}")).await.unwrap();
    assert_eq!((again.status, again.error().as_str()), (409, "already_used"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_a_mask_or_denied_need_ext_proc_for_nothing() {
    let world = World::start(both()).await;
    card(&world, "/plain/1", StatusCode::OK);
    let got = world.get("/plain/1", Some("ana")).await;
    assert_eq!((got.status, number(&got).as_str()), (200, SECRET));
    let denied = world.get("/cards/1", None).await;
    assert_eq!((denied.status, denied.error().as_str()), (401, "unauthenticated"));
    assert_eq!(counted(&world, BY_EXT_AUTHZ).await, 2);
    assert_eq!(counted(&world, BY_EXT_PROC).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_about_the_response_are_asked_there_of_who_ext_authz_proved() {
    // The token does not reach ext_proc.
    let world =
        World::start(both().edit_config("algorithms: [RS256]", "forward_token: false, algorithms: [RS256]"))
            .await;
    card(&world, "/by-code/1", StatusCode::OK);
    card(&world, "/by-code/2", StatusCode::NOT_FOUND);
    for (path, person, expected) in
        [("/by-code/1", "ana", MASKED), ("/by-code/1", "bob", SECRET), ("/by-code/2", "ana", SECRET)]
    {
        let got = world.get(path, Some(person)).await;
        assert_eq!(number(&got), expected, "{path} {person}: {}", got.text());
    }
    assert_eq!(counted(&world, BY_EXT_PROC).await, 0);
}

/// Without the namespace ext_proc sees nothing of what ext_authz said: denied, not decided again, and not let through.
#[tokio::test(flavor = "multi_thread")]
async fn what_ext_proc_expects_and_does_not_see_is_denied() {
    let world = World::start(both().edit("[\"envoy.filters.http.ext_authz\"]", "[other]")).await;
    for path in ["/cards/1", "/plain/1"] {
        let got = world.get(path, Some("ana")).await;
        assert_eq!((got.status, got.error().as_str()), (403, "handover_missing"), "{path}");
    }
    assert_eq!(world.upstream.calls(), 0);
    assert_eq!(counted(&world, "portcullis_handover_total{result=\"missing\"}").await, 2);
    let record = world.recorded(|record| record["reason"] == "handover_missing").await;
    assert_eq!((&record["outcome"], &record["service"]), (&"indeterminate".into(), &"ext_proc".into()));
}

/// Where no Check is expected, ext_proc decides for itself what comes without one.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_mark_a_call_without_a_handover_is_decided_afresh() {
    let world = World::start(
        both()
            .edit("[\"envoy.filters.http.ext_authz\"]", "[other]")
            .edit("{key: x-portcullis-handover, value: expects}", "{key: x-other, value: expects}"),
    )
    .await;
    card(&world, "/cards/1", StatusCode::OK);
    let got = world.get("/cards/1", Some("ana")).await;
    assert_eq!((got.status, number(&got).as_str()), (200, MASKED), "{}", got.text());
    assert_eq!(counted(&world, BY_EXT_PROC).await, 1);
}

/// The server alone says so, for proxies that can't: Istio's provider sends no such metadata.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_can_be_told_that_every_check_hands_over() {
    let always = both()
        .edit_config("gateway: true,", "gateway: true, handover: always,")
        .edit("{key: x-portcullis-handover, value: gives}", "{key: x-other, value: a}")
        .edit("{key: x-portcullis-handover, value: expects}", "{key: x-other, value: b}");
    let world = World::start(always).await;
    card(&world, "/cards/1", StatusCode::OK);
    let got = world.get("/cards/1", Some("ana")).await;
    assert_eq!((got.status, number(&got).as_str()), (200, MASKED), "{}", got.text());
    assert_eq!(counted(&world, BY_EXT_PROC).await, 0);
}

/// What does not fit is denied: letting it through would be unmasked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_metadata_is_denied() {
    let many: Vec<_> =
        (0..200).map(|n| format!("{{field: \"**.a_rather_long_name_{n}\", with: last4}}")).collect();
    let policies =
        POLICIES.replace("[{field: \"**.number\", with: last4}]", &format!("[{}]", many.join(", ")));
    let world = World::start(Options::both().policies(&policies)).await;
    let got = world.get("/cards/1", Some("ana")).await;
    assert_eq!((got.status, got.error().as_str()), (403, "handover_too_large"), "{}", got.text());
    world.get("/plain/1", Some("ana")).await;
    assert_eq!((world.upstream.calls_to("/cards/1"), world.upstream.calls_to("/plain/1")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ext_authz_denies_never_meets_ext_proc() {
    let world = World::start(both()).await;
    let held = world.send(world.post_request("/cards/1", Some("ana"), "{}"));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "reject").await.status, 200);
    assert_eq!(held.await.unwrap().error(), "approval_rejected");
    assert_eq!(counted(&world, BY_EXT_PROC).await, 0);
}

/// A second replica beside `world`'s, with the same configuration and key unless `key` is another.
async fn replica(world: &World, key: u8) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["portcullis.yaml", "hash.key", "handover.key"] {
        std::fs::copy(world.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("handover.key"), [key; 32]).unwrap();
    (Server::start(folder.path()).await, folder)
}

/// An Envoy whose ext_authz asks `world`'s server, and whose ext_proc asks the other replica.
async fn before_two(world: &World, other: &Server) -> Envoy {
    let (own, folder) = (world.addresses.grpc.unwrap(), world.folder.path());
    let other = other.addresses.grpc.unwrap();
    let options = world::between(Service::Both, own, world.upstream.address());
    let text = world::generated(&options, &folder.join("policies"), &folder.join("portcullis.yaml"));
    let begin = text.find("\n    - name: portcullis\n").unwrap() + 1;
    let end = text.find("\n    - name: upstream\n").unwrap() + 1;
    let cluster = text[begin..end]
        .replace("portcullis", "portcullis_b")
        .replace(&format!("port_value: {}", own.port()), &format!("port_value: {}", other.port()));
    assert!(cluster.contains(&other.port().to_string()), "{cluster}");
    let (before, after) = text.split_at(end);
    let proc = before.rfind("cluster_name: portcullis}").unwrap();
    let text =
        format!("{}cluster_name: portcullis_b{}{cluster}{after}", &before[..proc], &before[proc + 24..]);
    Envoy::start(&Settings::new(text, own, world.upstream.address())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_one_key_take_over_from_each_other_and_others_do_not() {
    let config = "handover: {key_file: handover.key}";
    let mut world = World::start(Options { config, ..both() }).await;
    card(&world, "/cards/1", StatusCode::OK);
    let (same, _folder) = replica(&world, 8).await;
    world.envoy = before_two(&world, &same).await;
    let held = world.send(world.post_request("/cards/1", Some("ana"), "{}"));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!((got.status, number(&got).as_str()), (200, MASKED), "{}", got.text());
    assert!(same.engine.metrics().render().contains("portcullis_handover_total{result=\"taken\"} 1"));
    assert!(!world.metrics().await.contains("result=\"taken\""));

    let (stranger, folder) = replica(&world, 9).await;
    world.envoy = before_two(&world, &stranger).await;
    let got = world.send(world.call(Method::GET, "/cards/1", Some("ana"))).await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (403, "handover_invalid"), "{}", got.text());
    assert_eq!(world.upstream.calls(), 1);

    // It gets the key of the others while it runs. A file that is no key changes nothing before.
    let file = folder.path().join("handover.key");
    std::fs::write(&file, "short").unwrap();
    std::fs::write(&file, [8; 32]).unwrap();
    for _ in 0..400 {
        let got = world.send(world.call(Method::GET, "/cards/1", Some("ana"))).await.unwrap();
        if got.status == 200 {
            assert_eq!(number(&got), MASKED);
            return;
        }
        assert_eq!(got.error(), "handover_invalid");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the key was never taken");
}
