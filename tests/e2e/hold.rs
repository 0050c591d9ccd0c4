//! Held calls: they wait, are decided by a second person, pass at most once, and never hang.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::world::{Got, Options, World};

const LARGE: &str = r#"{"order": "o-1", "amount": 700}"#;

/// Waits as little as these tests need; `refunds` holds large amounts, `deletion` calls without a body.
const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: large
      when: '"staff" in identity.groups && request.body.amount > 500'
      hold: {approvers: {groups: [finance-oncall]}, wait: 20s, because: large refunds wait}
    - {name: small, when: '"staff" in identity.groups && request.body.amount <= 500', allow: {}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: deletion}
spec:
  match: [{paths: ["/v1/orders/{id}"], methods: [DELETE]}]
  rules:
    - name: two-people
      when: '"staff" in identity.groups || "guests" in identity.groups'
      hold: {approvers: {groups: [finance-oncall, staff], count: 2}, wait: 20s}
    - {name: nobody, when: 'identity.subject == ""', hold: {approvers: {groups: [staff]}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: short}
spec:
  match: [{paths: ["/v1/refunds"], methods: [PUT]}]
  rules:
    - name: wait-a-second
      hold: {approvers: {groups: [finance-oncall]}, wait: 1s, expires: 1m, because: come back later}
"#;

async fn approved(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert!(!held.is_finished());
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 0);
    let own = world.decide(&id, "ana", "approve").await;
    assert_eq!(own.status, 403, "{}", own.text());
    let stranger = world.decide(&id, "dana", "approve").await;
    assert_eq!(stranger.status, 403, "{}", stranger.text());
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
    let record = world.recorded(|record| record["reason"] == "approved").await;
    assert_eq!(record["approvers"], serde_json::json!(["bob@example.com"]));
    assert_eq!(record["approval"], id);
    // Once is once: a retry learns that, and the same call under a key of its own asks again.
    let retry = world.post("/v1/refunds", Some("ana"), LARGE).await;
    assert_eq!((retry.status, retry.error().as_str()), (409, "already_used"));
    let again = world.post_request("/v1/refunds", Some("ana"), LARGE).header("idempotency-key", "again");
    let again = world.send(again);
    let [other] = world.pending(1).await.try_into().unwrap();
    assert_ne!(other, id);
    assert_eq!(world.decide(&other, "bob", "reject").await.status, 200);
    let refused = again.await.unwrap();
    assert_eq!((refused.status, refused.error().as_str()), (403, "approval_rejected"));
    assert_eq!(refused.json()["message"], "seen");
    assert_eq!(world.decide(&other, "bob", "approve").await.status, 409);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_then_rejected_by_ext_authz() {
    approved(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_then_rejected_by_ext_proc() {
    approved(Options::default()).await;
}

async fn ticket(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    let put = |body: &str| {
        let request = world.call(Method::PUT, "/v1/refunds", Some("ana"));
        world.send(request.header("content-type", "application/json").body(body.to_owned()))
    };
    let ticket = put("{}").await.unwrap();
    assert_eq!((ticket.status, ticket.error().as_str()), (403, "approval_pending"));
    assert_eq!(ticket.json()["message"], "come back later");
    assert_eq!(ticket.headers["retry-after"], "5");
    let id = ticket.json()["approval"]["id"].as_str().unwrap().to_owned();
    // Coming back too early finds the same request for approval.
    assert_eq!(put("{}").await.unwrap().json()["approval"]["id"], id.as_str());
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    // Another body is another call.
    assert_eq!(put("{ }").await.unwrap().error(), "approval_pending");
    // The same call passes, once.
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 0);
    put("{}").await.unwrap();
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
    assert_eq!(put("{}").await.unwrap().error(), "already_used");
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_the_same_call_pass_once_by_ext_authz() {
    ticket(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_the_same_call_pass_once_by_ext_proc() {
    ticket(Options::default()).await;
}

/// Envoy's own deadline is shorter than the rule's wait: the ticket must come before it.
#[tokio::test(flavor = "multi_thread")]
async fn the_ticket_comes_before_envoys_deadline() {
    let shorter = Options::ext_authz().edit("timeout: 310s", "timeout: 1s").policies(POLICIES);
    let world = World::start(shorter).await;
    assert_eq!(world.post("/v1/refunds", Some("ana"), LARGE).await.error(), "approval_pending");
    let shorter = Options { config: "holds: {max_message_timeout: 2s}", ..Options::default() };
    let world = World::start(shorter.policies(POLICIES)).await;
    assert_eq!(world.post("/v1/refunds", Some("ana"), LARGE).await.error(), "approval_pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_must_approve_a_call_without_a_body() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.call(Method::DELETE, "/v1/orders/o-1", Some("carl")));
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 409, "one person, one vote");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!held.is_finished());
    assert_eq!(world.decide(&id, "ana", "approve").await.status, 200);
    assert!(held.await.unwrap().status < 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_particular_is_not_held() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let got = world.send(world.call(Method::DELETE, "/v1/orders/o-1", None)).await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (401, "unauthenticated"));
}

async fn caller_gone(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    held.abort();
    let record = world.recorded(|record| record["reason"] == "caller_gone").await;
    assert_eq!((&record["approval"], &record["outcome"]), (&id.as_str().into(), &"hold".into()));
    assert!(world.metrics().await.contains("portcullis_held_calls 0"));
    // The request for approval is still there, and the same call may come again.
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    assert_eq!(world.post("/v1/refunds", Some("ana"), LARGE).await.status, 200);
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

/// The store opens the request whether its caller is still there or not: then the trail must know of it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_hung_up_while_it_was_opened_is_recorded() {
    let world = World::start(Options::ext_authz().policies(POLICIES)).await;
    let store = format!("sqlite://{}", world.folder.path().join("portcullis.db").display());
    let mut other = SqliteConnection::connect(&store).await.unwrap();
    // Nobody else writes until this is rolled back.
    let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    while !world.metrics().await.contains("portcullis_held_calls 1") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held.abort();
    world.recorded(|record| record["reason"] == "caller_gone").await;
    writing.rollback().await.unwrap();
    let [id] = world.pending(1).await.try_into().unwrap();
    world.recorded(|record| record["change"] == "opened" && record["approval"] == id.as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_ends_the_wait_only_by_ext_authz() {
    caller_gone(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_ends_the_wait_only_by_ext_proc() {
    caller_gone(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_while_the_call_was_held_does_not_pass() {
    // No leeway, or the test would wait for it.
    let world = World::start(
        Options::default()
            .policies(POLICIES)
            .edit_config("algorithms: [RS256]", "leeway: 0s, algorithms: [RS256]"),
    )
    .await;
    let token = world.idp.token_for("ana", "portcullis", Duration::from_secs(2)).unwrap();
    let request = world
        .call(Method::POST, "/v1/refunds", None)
        .bearer_auth(&token)
        .header("content-type", "application/json");
    let held = world.send(request.body(LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (401, "credential_refused"));
    let record = world.recorded(|record| record["reason"] == "token_expired").await;
    assert_eq!(record["approval"], id);
    assert_eq!(world.upstream.calls(), 0);
    // The approval was not spent: the same call with a fresh token passes.
    assert_eq!(world.post("/v1/refunds", Some("ana"), LARGE).await.status, 200);
}

/// Several calls wait for one approval: one passes, the others learn that it is used.
#[tokio::test(flavor = "multi_thread")]
async fn of_racing_calls_one_passes() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let calls: Vec<_> =
        (0..15).map(|_| world.send(world.post_request("/v1/refunds", Some("ana"), LARGE))).collect();
    let [id] = world.pending(1).await.try_into().unwrap();
    wait_until_held(&world, 15).await;
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_asks_on_its_own() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let keyed = |key: &str| {
        world.send(world.post_request("/v1/refunds", Some("ana"), LARGE).header("idempotency-key", key))
    };
    let (first, second, same) = (keyed("a"), keyed("b"), keyed("a"));
    let ids = world.pending(2).await;
    wait_until_held(&world, 3).await;
    for id in &ids {
        assert_eq!(world.decide(id, "bob", "approve").await.status, 200);
    }
    let mut statuses =
        [first.await.unwrap().status, second.await.unwrap().status, same.await.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_can_hold_twenty_calls_and_no_more() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let body = |amount: u32| format!(r#"{{"order": "o-1", "amount": {amount}}}"#);
    let calls: Vec<_> = (0..20)
        .map(|n| world.send(world.post_request("/v1/refunds", Some("ana"), &body(1_000 + n))))
        .collect();
    let ids = world.pending(20).await;
    wait_until_held(&world, 20).await;
    let refused = world.post("/v1/refunds", Some("ana"), &body(9_999)).await;
    assert_eq!((refused.status, refused.error().as_str()), (429, "too_many_held"));
    // Somebody else has room.
    let other = world.send(world.post_request("/v1/refunds", Some("bob"), &body(9_999)));
    world.pending(21).await;
    for call in calls {
        call.abort();
    }
    other.abort();
    wait_until_held(&world, 0).await;
    // Nothing is held any more, but the requests still wait for somebody.
    let refused = world.post("/v1/refunds", Some("ana"), &body(9_999)).await;
    assert_eq!((refused.status, refused.error().as_str()), (429, "too_many_pending"));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 20);
}

/// A thousand calls of a hundred people, held at once through Envoy with the shipped configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_held_calls_are_each_released_once_and_none_is_lost() {
    // A slow machine takes its time to open and approve them all.
    let world = World::start(Options::default().policies(&POLICIES.replace("wait: 20s", "wait: 5m"))).await;
    let token = |n: usize| {
        let mut claims = world.idp.claims("ana", "portcullis").unwrap();
        claims["sub"] = format!("ana-{}", n % 100).into();
        world.idp.sign(portcullis_sample::idp::Algorithm::Rs256, &claims).unwrap()
    };
    let body = |n: usize| format!(r#"{{"order": "o-{n}", "amount": 700}}"#);
    let calls: Vec<_> = (0..1_000)
        .map(|n| {
            let request = world.call(Method::POST, "/v1/refunds", None).bearer_auth(token(n));
            let tagged = request
                .header("x-request-tag", format!("tag-{n}"))
                .header("content-type", "application/json");
            world.send(tagged.timeout(Duration::from_secs(120)).body(body(n)))
        })
        .collect();
    wait_until_held(&world, 1_000).await;
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 0);
    // Listings are pages of at most 500.
    let mut approved = 0;
    while approved < 1_000 {
        let page = world.admin(Method::GET, "/api/v1/approvals?state=pending&limit=500", "bob").await.json();
        for approval in page["approvals"].as_array().unwrap() {
            let got = world.decide(approval["id"].as_str().unwrap(), "bob", "approve").await;
            assert_eq!(got.status, 200, "{}", got.text());
            approved += 1;
        }
    }
    for call in calls {
        let got: Got = call.await.unwrap();
        assert_eq!(got.status, 200, "{}", got.text());
    }
    let refunds = world.upstream.refunds();
    assert_eq!(refunds.len(), 1_000);
    assert!(refunds.values().all(|count| *count == 1));
    assert!(world.metrics().await.contains("portcullis_held_calls 0"));
}

async fn wait_until_held(world: &World, count: usize) {
    let line = format!("portcullis_held_calls {count}\n");
    for _ in 0..1_200 {
        if world.metrics().await.contains(&line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("there were never {count} held calls:\n{}", world.metrics().await);
}

/// Each call brings a token of its own, in the query.
async fn with_a_token_in_the_query(options: Options) {
    let places =
        "forward_token: false, from: [{query: access_token}, {cookie: id}], audiences: [portcullis], alg";
    let options = options.policies(POLICIES).edit_config("audiences: [portcullis], alg", places);
    let world = World::start(options).await;
    let mut tokens = Vec::new();
    let mut put = |order: &str| {
        let token = world.idp.token("ana", "portcullis").unwrap();
        let path = format!("/v1/refunds?order={order}&access_token={token}&urgent");
        let request =
            world.call(Method::PUT, &path, None).header("content-type", "application/json").body("{}");
        assert!(!tokens.contains(&token), "a fresh token");
        tokens.push(token);
        world.send(request)
    };
    let ticket = put("1").await.unwrap();
    assert_eq!((ticket.status, ticket.error().as_str()), (403, "approval_pending"), "{}", ticket.text());
    let id = ticket.json()["approval"]["id"].as_str().unwrap().to_owned();
    assert_eq!(put("2").await.unwrap().error(), "approval_pending", "another call");
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let shown = world.admin(Method::GET, &format!("/api/v1/approvals/{id}"), "bob").await;
    assert_eq!(shown.json()["call"]["path"], "/v1/refunds?order=1&access_token=REDACTED&urgent");
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 0);
    put("1").await.unwrap();
    assert_eq!(world.upstream.calls(), 1, "the approved call, with another token");
    assert_eq!(put("1").await.unwrap().error(), "already_used", "once");
    let mut left = world.audit_text() + &shown.text();
    for file in ["portcullis.db", "portcullis.db-wal"] {
        left += &String::from_utf8_lossy(&std::fs::read(world.folder.path().join(file)).unwrap_or_default());
    }
    assert!(left.contains("access_token=REDACTED"));
    for token in &tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!left.contains(&signature[..20]), "a token is stored or shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_no_part_of_the_approval_by_ext_authz() {
    with_a_token_in_the_query(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_no_part_of_the_approval_by_ext_proc() {
    with_a_token_in_the_query(Options::default()).await;
}
