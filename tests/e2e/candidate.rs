//! A candidate beside the active policies: in shadow it changes nothing and harms nothing, and as a canary it decides
//! for the same callers every time.

use std::sync::Arc;

use portcullis::engine::Candidate;
use portcullis::engine::fault::{Fault, Point};
use portcullis::policy::{self, PolicySet, SourceFile};
use portcullis_sample::upstream::Answer;
use reqwest::Method;
use serde_json::json;

use crate::world::{Got, Options, World};

const NUMBER: &str = "4929381705628341";
const MASKED: &str = "************8341";

const ACTIVE: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  match: [{paths: ["/{**}"]}]
  rules:
    - {name: everybody, when: '!request.url_path.startsWith("/closed")', allow: {}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: deletes}
spec:
  match: [{methods: [DELETE]}]
  rules: [{name: held, hold: {approvers: {groups: [finance-oncall]}, wait: 20s}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masked}
spec:
  match: [{paths: ["/masked/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: last4}]}]
"#;

/// Turns everything round, and reads a body that `ACTIVE` does not read.
const CONTRARY: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: contrary}
spec:
  match: [{paths: ["/{**}"]}]
  rules:
    - name: everybody
      when: '!request.url_path.startsWith("/echo/denied")'
      allow: {}
      headers: {request: {set: {x-candidate: "yes"}}}
    - name: broken
      when: 'request.url_path == "/echo/broken" && request.headers["x-absent"] == "1"'
      deny: {}
    - name: bodies
      when: 'request.method == "PUT" && request.body.amount > 5'
      deny: {}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masks}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules: [{name: hosts, mask: [{field: "**.host", with: remove}]}]
"#;

fn set(text: &str) -> Arc<PolicySet> {
    let files = [SourceFile { file: "candidate.yaml".into(), text: text.into() }];
    let compiled = policy::compile(&files, &policy::Options { gateway: true });
    assert!(compiled.findings.is_empty(), "{:#?}", compiled.findings);
    Arc::new(compiled.set.unwrap())
}

impl World {
    fn try_out(&self, text: &str, share: u8) {
        let candidate = Candidate::new(set(text), share, 10);
        self.server.as_ref().unwrap().engine.update(|snapshot| snapshot.candidate = Some(candidate));
    }

    /// The value of a counter whose line begins so.
    async fn count_of(&self, line: &str) -> u64 {
        let metrics = self.metrics().await;
        let found = metrics.lines().find_map(|found| found.strip_prefix(line));
        found.unwrap_or_else(|| panic!("{line} is not in\n{metrics}")).trim().parse().unwrap()
    }

    /// Waits until a counter has this value; more of it is a mistake.
    async fn counts(&self, line: &str, wanted: u64) {
        for _ in 0..400 {
            let counted = self.count_of(line).await;
            assert!(counted <= wanted, "{line} {counted}");
            if counted == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{line} never was {wanted}:\n{}", self.metrics().await);
    }

    /// A call by somebody with this name.
    async fn get_as(&self, path: &str, name: &str) -> Got {
        let mut claims = self.idp.claims("ana", "portcullis").unwrap();
        claims["sub"] = json!(name);
        claims["person"] = json!(format!("{name}@example.com"));
        let token = self.idp.sign(portcullis_sample::idp::Algorithm::Rs256, &claims).unwrap();
        let request = self.call(Method::GET, path, None).bearer_auth(token);
        Got::from(request.send().await.unwrap()).await
    }
}

fn disagreements(kind: &str) -> String {
    format!("portcullis_candidate_disagreements_total{{kind=\"{kind}\"}}")
}

fn compared(result: &str) -> String {
    format!("portcullis_candidate_decisions_total{{result=\"{result}\"}}")
}

/// What a caller can see of an answer, without ids and dates.
fn seen(got: &Got) -> (u16, String, bool) {
    let mut body =
        serde_json::from_slice::<serde_json::Value>(&got.body).unwrap_or_else(|_| got.text().into());
    if let Some(fields) = body.as_object_mut() {
        fields.remove("decision_id");
        if let Some(headers) = fields.get_mut("headers").and_then(|headers| headers.as_object_mut()) {
            headers.remove("x-request-id");
            // Each call has its own token.
            headers.remove("authorization");
        }
    }
    (got.status, body.to_string(), got.complete)
}

async fn answers(world: &World) -> Vec<(u16, String, bool)> {
    let put = world.call(Method::PUT, "/echo/put", Some("ana")).body("{\"amount\": 7}");
    let got = [
        world.get("/echo/a?secret=1", Some("ana")).await,
        world.get("/echo/denied", None).await,
        world.get("/closed", Some("ana")).await,
        world.get("/masked/a", None).await,
        world.get("/echo/broken", None).await,
        world.send(put).await.unwrap(),
    ];
    got.iter().map(seen).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_a_candidate_changes_nothing_and_every_disagreement_is_counted() {
    let world = World::start(Options::default().policies(ACTIVE)).await;
    world.upstream.answer("/masked/a", Answer::json(json!({"number": NUMBER}).to_string()));
    let before = answers(&world).await;
    assert_eq!(before.iter().map(|seen| seen.0).collect::<Vec<_>>(), [200, 200, 403, 200, 200, 200]);
    assert!(before[3].1.contains(MASKED), "{before:?}");
    assert_eq!(world.count_of(&compared("agreed")).await, 0);

    world.try_out(CONTRARY, 0);
    assert_eq!(answers(&world).await, before);
    world.counts(&compared("disagreed"), 5).await;
    for (kind, count) in [
        ("newly_denied", 1),        // /echo/denied
        ("newly_allowed", 1),       // /closed
        ("newly_indeterminate", 1), // /echo/broken
        ("newly_unmasked", 1),      // /masked/a
        ("newly_masked", 1),        // /echo/a
        ("headers", 2),             // /echo/a, /masked/a
        ("newly_held", 0),
    ] {
        world.counts(&disagreements(kind), count).await;
    }
    // Envoy was not asked for the body that only the candidate reads.
    world.counts(&compared("not_comparable"), 1).await;
    world.counts("portcullis_candidate_not_comparable_total{reason=\"body\"}", 1).await;

    let denied = world.recorded(|record| record["disagreements"] == json!(["newly_denied"])).await;
    assert_eq!((&denied["kind"], &denied["decided_by"]), (&json!("candidate"), &json!("active")), "{denied}");
    assert_eq!(
        (&denied["active"]["outcome"], &denied["candidate"]["outcome"]),
        (&json!("allow"), &json!("deny"))
    );
    assert_eq!(denied["active"]["rule"], "all/everybody");
    assert_eq!(denied["candidate"]["revision"], **set(CONTRARY).revision());
    let broken = world.recorded(|record| record["candidate"]["errors"] == json!(["contrary/broken"])).await;
    assert_eq!(broken["path"], "/echo/broken");
    assert!(!world.audit_text().contains("secret"), "queries are not recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_are_compared_where_both_sides_mask() {
    let world = World::start(Options::default().policies(ACTIVE)).await;
    world.upstream.answer("/masked/a", Answer::json(json!({"number": NUMBER, "iban": "x"}).to_string()));
    world.try_out(&ACTIVE.replace("**.number", "**.iban"), 0);
    let got = world.get("/masked/a", None).await;
    assert_eq!(got.json(), json!({"number": MASKED, "iban": "x"}));
    world.counts(&disagreements("newly_masked"), 1).await;
    world.counts(&disagreements("newly_unmasked"), 1).await;
    world.counts(&compared("disagreed"), 1).await;
    world.try_out(ACTIVE, 0);
    assert_eq!(world.get("/masked/a", None).await.json()["number"], MASKED);
    world.counts(&compared("agreed"), 1).await;
    assert_eq!(world.count_of(&disagreements("newly_masked")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ext_authz_a_candidate_that_masks_would_deny() {
    let world = World::start(Options::ext_authz().policies(ACTIVE).configured_for(CONTRARY)).await;
    world.try_out(CONTRARY, 0);
    assert_eq!(world.get("/echo/a", None).await.status, 200);
    world.counts(&disagreements("newly_denied"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_panics_or_never_ends_harms_nothing() {
    let world = World::start(Options::default().policies(ACTIVE)).await;
    world.try_out(CONTRARY, 0);
    world.faults().set(Some((Point::EvaluateCandidate, Fault::Panic)));
    assert_eq!(world.get("/echo/denied", None).await.status, 200);
    world.counts("portcullis_candidate_not_comparable_total{reason=\"panic\"}", 1).await;
    world.faults().set(Some((Point::EvaluateCandidate, Fault::Hang)));
    for _ in 0..20 {
        assert_eq!(world.get("/echo/denied", None).await.status, 200);
    }
    assert_eq!(world.count_of(&compared("disagreed")).await, 0);
    world.faults().set(None);
    world.counts(&disagreements("newly_denied"), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_decides_for_the_same_callers_every_time() {
    let mut world = World::start(Options::default().policies(ACTIVE)).await;
    world.upstream.answer("/masked/a", Answer::json(json!({"number": NUMBER}).to_string()));
    world.try_out(CONTRARY, 40);
    let people: Vec<String> = (0..30).map(|n| format!("u{n}")).collect();
    let mut denied = Vec::new();
    for name in &people {
        let status = world.get_as("/echo/denied", name).await.status;
        assert!(status == 200 || status == 403);
        // The mask of the side that decides, and of no other.
        let number = world.get_as("/masked/a", name).await.json()["number"].clone();
        assert_eq!(number, if status == 403 { NUMBER } else { MASKED }, "{name}");
        denied.push(status == 403);
    }
    let by_candidate = denied.iter().filter(|denied| **denied).count();
    assert!((3..28).contains(&by_candidate), "{denied:?}");
    // Who decided is on record, and both sides are compared with the other.
    for (name, denied) in people.iter().zip(&denied).take(8) {
        let of = |record: &serde_json::Value| {
            record["kind"] == "decision"
                && record["path"] == "/echo/denied"
                && record["identity"]["subject"] == **name
        };
        let revision =
            if *denied { set(CONTRARY).revision().clone() } else { set(ACTIVE).revision().clone() };
        assert_eq!(world.recorded(of).await["revision"], *revision);
    }
    world.counts(&disagreements("newly_denied"), 30).await;
    // Another process, as another replica would, and a larger share.
    assert!(world.drain().await);
    world.restart().await;
    world.try_out(CONTRARY, 41);
    for (name, denied) in people.iter().zip(&denied).filter(|(_, denied)| **denied) {
        assert_eq!(world.get_as("/echo/denied", name).await.status == 403, *denied, "{name}");
    }
    world.try_out(CONTRARY, 0);
    assert_eq!(world.get_as("/echo/denied", "u0").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_the_body_that_it_reads_and_no_rule_passes_without() {
    let world = World::start(Options::default().policies(ACTIVE).configured_for(CONTRARY)).await;
    world.try_out(CONTRARY, 100);
    let put = |body: &'static str| world.send(world.call(Method::PUT, "/echo/put", None).body(body));
    assert_eq!(put("{\"amount\": 7}").await.unwrap().status, 403);
    let allowed = put("{\"amount\": 3}").await.unwrap();
    assert_eq!((allowed.status, &allowed.json()["headers"]["x-candidate"]), (200, &json!(["yes"])));
    assert_eq!(put("no json").await.unwrap().error(), "condition_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_decided_again_by_the_side_of_its_caller() {
    let world = World::start(Options::default().policies(ACTIVE)).await;
    let delete = || world.send(world.call(Method::DELETE, "/echo/a", Some("ana")));
    // Held by the active policies; the candidate that takes over meanwhile denies.
    let held = delete();
    let [id] = world.pending(1).await.try_into().unwrap();
    world.try_out(
        &ACTIVE.replace("hold: {approvers: {groups: [finance-oncall]}, wait: 20s}", "deny: {status: 418}"),
        100,
    );
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(held.await.unwrap().status, 418);
    // Held by the candidate, and released by it.
    world.try_out(&ACTIVE.replace("20s", "19s"), 100);
    let held = delete();
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(held.await.unwrap().status, 200);
    let released = world.recorded(|record| record["reason"] == "approved").await;
    assert_eq!(released["revision"], **set(&ACTIVE.replace("20s", "19s")).revision());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_comes_with_the_configuration_and_follows_its_files() {
    let world = World::start(Options::default().policies(ACTIVE)).await;
    let (config, next) = (world.folder.path().join("portcullis.yaml"), world.folder.path().join("next"));
    std::fs::create_dir(&next).unwrap();
    std::fs::write(next.join("p.yaml"), CONTRARY).unwrap();
    let plain = std::fs::read_to_string(&config).unwrap();
    let tried = plain
        .replace("policies: [", "policies: {candidate: {paths: [next], sample: 1}, paths: [")
        .replace("]\nidentity", "]}\nidentity");
    std::fs::write(&config, &tried).unwrap();
    world.reload().await;
    for _ in 0..3 {
        assert_eq!(world.get("/echo/denied", None).await.status, 200);
    }
    world.counts(&disagreements("newly_denied"), 3).await;
    world.recorded(|record| record["kind"] == "candidate").await;
    assert_eq!(world.admin(Method::GET, "/api/v1/candidate", "ana").await.status, 403);

    let candidate = || world.server.as_ref().unwrap().engine.snapshot().candidate.clone();
    let becomes = async |text: &str| {
        for _ in 0..400 {
            if candidate().is_some_and(|tried| *tried.policies.revision() == *set(text).revision()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the candidate was never replaced");
    };
    std::fs::write(next.join("p.yaml"), ACTIVE).unwrap();
    becomes(ACTIVE).await;
    std::fs::write(next.join("p.yaml"), "kind: Nothing\n").unwrap();
    world.counted("portcullis_reloads_total{result=\"refused\",reason=\"invalid_policy\"} 1").await;
    becomes(ACTIVE).await;
    // As at a start, a broken one is dropped, and the rest goes on.
    world.reload().await;
    assert!(candidate().is_none());
    assert_eq!(world.get("/echo/denied", None).await.status, 200);
    std::fs::write(next.join("p.yaml"), ACTIVE).unwrap();
    becomes(ACTIVE).await;
    std::fs::write(&config, &plain).unwrap();
    world.reload().await;
    assert!(candidate().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_candidate_stops_no_start_and_a_pin_takes_a_good_one_its_share() {
    let source = Some("{paths: [policies], candidate: {paths: [next], share: 100}}".to_owned());
    let options = Options { source, ..Options::default().policies(ACTIVE) };
    let mut world =
        World::start(options.edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")).await;
    let next = world.folder.path().join("next");
    let listed = async |world: &World| {
        world.admin(Method::GET, "/api/v1/bundles", "bob").await.json()["candidate"].clone()
    };
    let becomes = async |world: &World, state: &str| {
        for _ in 0..400 {
            if listed(world).await["state"] == state {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("never {state}: {}", listed(world).await);
    };
    // Its folder is missing.
    let refused = listed(&world).await;
    assert_eq!(
        (&refused["state"], &refused["reason"]),
        (&json!("refused"), &json!("unreadable")),
        "{refused}"
    );
    assert_eq!(world.get("/echo/denied", None).await.status, 200);
    std::fs::create_dir(&next).unwrap();
    std::fs::write(next.join("p.yaml"), CONTRARY).unwrap();
    becomes(&world, "deciding").await;
    assert_eq!(listed(&world).await["policies"]["revision"], **set(CONTRARY).revision());
    assert_eq!(world.get("/echo/denied", None).await.status, 401);
    assert_eq!(world.admin(Method::POST, "/api/v1/bundles:pin", "bob").await.status, 200);
    assert_eq!(world.get("/echo/denied", None).await.status, 200, "as soon as the pin is acknowledged");
    world.drain().await;
    world.restart().await;
    becomes(&world, "suspended").await;
    assert_eq!(world.get("/echo/denied", None).await.status, 200);
    assert_eq!(world.admin(Method::POST, "/api/v1/bundles:unpin", "bob").await.status, 200);
    assert_eq!(world.get("/echo/denied", None).await.status, 401);
    let ended = world.recorded(|record| record["change"] == "candidate_ended").await;
    assert_eq!(
        (&ended["revision"], &ended["identity"]["subject"]),
        (&json!(**set(CONTRARY).revision()), &json!("bob"))
    );
    let listed = world.admin(Method::GET, "/api/v1/bundles/history", "bob").await.json();
    let kinds: Vec<_> =
        listed["events"].as_array().unwrap().iter().rev().map(|event| &event["kind"]).collect();
    let expected =
        ["activated", "candidate_began", "pinned", "candidate_ended", "unpinned", "candidate_began"];
    assert_eq!(kinds, expected, "{listed:#}");
}
