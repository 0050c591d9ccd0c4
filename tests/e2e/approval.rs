//! The rules of approvals: quorums, classes of calls, calls that need nobody, what is taken back, and uses that nobody
//! confirmed.

mod own;
mod time;
mod votes;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use portcullis::engine::fault::{Fault, Point};

use crate::world::{Got, Options, World};

const LARGE: &str = r#"{"order": "o-1", "amount": 700, "card": "4111111111111111"}"#;

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: both
      hold:
        approvers: {all_of: [{groups: [finance-oncall]}, {groups: [support]}]}
        break_glass: {groups: [guests]}
        wait: 20s
        because: two departments must agree
    - {name: cards, mask: [{field: "**.card", with: redact}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: class}
spec:
  match: [{paths: ["/v1/refunds"], methods: [PUT]}]
  rules:
    - name: any-body
      hold: {approvers: {groups: [finance-oncall]}, wait: 1s, grant: {for: 10m, same: [method, path]}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: auto}
spec:
  match: [{paths: ["/v1/refunds"], methods: [PATCH]}]
  rules:
    - name: small
      hold:
        approvers: {groups: [finance-oncall]}
        wait: 1s
        auto_approve: {when: request.body.amount < 10, because: hardly worth a question}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: once}
spec:
  match: [{paths: ["/v1/orders/{id}"], methods: [DELETE]}]
  rules:
    - {name: ask, hold: {approvers: {groups: [finance-oncall]}, wait: 1s}}
"#;

async fn send(world: &World, method: Method, body: &str) -> Got {
    let request = world.call(method, "/v1/refunds", Some("ana")).header("content-type", "application/json");
    world.send(request.body(body.to_owned())).await.unwrap()
}

async fn shown(world: &World, id: &str) -> Value {
    world.admin(Method::GET, &format!("/api/v1/approvals/{id}"), "bob").await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_must_speak_and_what_the_policies_mask_is_masked_for_approvers() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    let shown = shown(&world, &id).await;
    assert_eq!(shown["call"]["maskedFields"], "1", "{shown}");
    assert!(!shown.to_string().contains("4111111111111111"), "{shown}");
    assert!(shown["call"]["pretty"].as_str().unwrap().contains("\n  \"amount\": 700,\n"), "{shown}");
    assert_eq!(shown["requires"][0]["because"], "two departments must agree");
    assert_eq!(world.decide(&id, "bob", "approve").await.json()["state"], "pending");
    assert!(!held.is_finished());
    assert_eq!(world.decide(&id, "dana", "approve").await.json()["state"], "approved");
    assert_eq!(held.await.unwrap().status, 200);
    let record = world.recorded(|record| record["reason"] == "approved").await;
    assert_eq!(record["approvers"], json!(["bob@example.com", "dana@example.com"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_breaks_the_glass_and_everybody_hears_it() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "breakGlass").await.status, 403, "an approver is no such member");
    let (done, said) = world.cli("carl", &["approvals", "break-glass", &id, "--reason", "INC-4711"]).await;
    assert!(done, "{said}");
    assert_eq!(held.await.unwrap().status, 200);
    let record = world.recorded(|record| record["kind"] == "broken_glass").await;
    assert_eq!((&record["approval"], &record["comment"]), (&json!(id), &json!("INC-4711")));
    assert_eq!((&record["caller"], &record["rules"]), (&json!("ana@example.com"), &json!(["refunds/both"])));
    world.recorded(|record| record["reason"] == "break_glass" && record["outcome"] == "allow").await;
    world.counted("portcullis_break_glass_total 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_a_class_is_for_every_call_of_it_until_it_is_revoked() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let ticket = send(&world, Method::PUT, r#"{"amount": 1}"#).await;
    assert_eq!(ticket.error(), "approval_pending");
    let id = ticket.json()["approval"]["id"].as_str().unwrap().to_owned();
    let (_, said) = world.cli("bob", &["approvals", "show", &id]).await;
    assert!(
        said.contains("approves every call by ana@example.com with method PUT and path /v1/refunds"),
        "{said}"
    );
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    for amount in 2..5 {
        send(&world, Method::PUT, &format!("{{\"amount\": {amount}}}")).await;
        assert_eq!(world.upstream.calls_to("/v1/refunds"), amount - 1);
    }
    let (done, said) = world.cli("bob", &["approvals", "revoke", &id, "--reason", "over"]).await;
    assert!(done, "{said}");
    assert_eq!(send(&world, Method::PUT, r#"{"amount": 5}"#).await.error(), "approval_pending");
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_its_rule_approves_waits_for_nobody_and_is_on_record() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    for calls in 1..=2 {
        send(&world, Method::PATCH, r#"{"amount": 5}"#).await;
        assert_eq!(world.upstream.calls_to("/v1/refunds"), calls, "each is a call of its own, also twice");
    }
    let record = world.recorded(|record| record["reason"] == "auto_approved").await;
    assert_eq!(record["approvers"], json!(["rule auto/small"]));
    let opened =
        world.recorded(|record| record["kind"] == "approval" && record["change"] == "auto_approved").await;
    assert_eq!(opened["approval"], record["approval"]);
    let kept = shown(&world, record["approval"].as_str().unwrap()).await;
    assert_eq!(
        (&kept["votes"][0]["rule"], &kept["votes"][0]["reason"]),
        (&json!("auto/small"), &json!("hardly worth a question"))
    );
    assert_eq!(send(&world, Method::PATCH, r#"{"amount": 10}"#).await.error(), "approval_pending");
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_takes_a_request_back() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    let (done, said) = world.cli("bob", &["approvals", "withdraw", &id]).await;
    assert!(!done && said.contains("only the caller"), "{said}");
    let (done, said) = world.cli("ana", &["approvals", "withdraw", &id, "--reason", "a typo"]).await;
    assert!(done, "{said}");
    let got = held.await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (403, "approval_withdrawn"));
    assert_eq!(got.json()["message"], "a typo");
    world.recorded(|record| record["kind"] == "vote" && record["choice"] == "withdraw").await;
    world.counted("portcullis_approvals_total{result=\"withdrawn\"} 1").await;
}

/// A client that retries wildly: one call goes out, and the others learn that it did.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_racing_retries_of_an_approved_call_one_passes_and_the_others_are_told() {
    for options in [Options::default(), Options::ext_authz()] {
        let options = Options { config: "holds: {per_principal: 200}", ..options };
        let policies = POLICIES.split("---").last().unwrap();
        let world = World::start(options.policies(policies)).await;
        let call = || world.send(world.call(Method::DELETE, "/v1/orders/o-1", Some("ana")));
        let id = call().await.unwrap().json()["approval"]["id"].as_str().unwrap().to_owned();
        assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
        let calls: Vec<_> = (0..100).map(|_| call()).collect();
        let (mut passed, mut told) = (0, 0);
        for call in calls {
            let got = call.await.unwrap();
            match got.status {
                409 if got.error() == "already_used" => told += 1,
                status if status < 300 => passed += 1,
                status => panic!("{status}: {}", got.text()),
            }
        }
        assert_eq!((passed, told, world.upstream.calls()), (1, 99, 1));
    }
}

/// The approval is used up, and then the answer can't leave: nobody may believe that it did, and nothing more is released.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_answer_never_left_is_reported_and_not_repeated() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    world.faults().set(Some((Point::Record, Fault::Fail)));
    for person in ["bob", "dana"] {
        assert_eq!(world.decide(&id, person, "approve").await.status, 200);
    }
    assert_eq!(held.await.unwrap().error(), "audit_unavailable");
    world.faults().set(None);
    assert_eq!(shown(&world, &id).await["state"], "releasing");
    let unconfirmed = world.recorded(|record| record["change"] == "released_unconfirmed");
    let record = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if shown(&world, &id).await["state"] == "released_unconfirmed" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    record.await.unwrap();
    assert_eq!(unconfirmed.await["approval"], id);
    assert_eq!(world.upstream.calls(), 0);
}
