//! Tickets: callers who would rather not wait, what they are told afterwards, and what gRPC callers get.

use portcullis_sample::idp::IdentityProvider;
use reqwest::Method;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::world::{Got, Options, World};

const BODY: &str = r#"{"amount": 700}"#;

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules: [{name: all, hold: {approvers: {groups: [finance-oncall]}, wait: 20s, because: refunds wait}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: grpc}
spec:
  match: [{paths: ["/grpc.health.v1.Health/Check"], methods: [POST]}]
  rules:
    - {name: all, hold: {approvers: {groups: [finance-oncall]}, wait: 1s, because: checks wait}}
    - {name: not-dana, when: 'identity.subject.startsWith("dana")', deny: {because: not for dana}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: everything-is-open}
spec:
  match: [{paths: ["/{**}"]}]
  rules: [{name: status-too, when: 'request.method != "POST"', allow: {}}]
"#;

async fn refund(world: &World, person: &str, prefer: Option<&str>) -> Got {
    let mut request = world.post_request("/v1/refunds", Some(person), BODY);
    if let Some(prefer) = prefer {
        request = request.header("prefer", prefer);
    }
    world.send(request).await.unwrap()
}

fn location(ticket: &Got) -> String {
    ticket.headers["location"].to_str().unwrap().to_owned()
}

async fn asynchronous(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    let ticket = refund(&world, "ana", Some("respond-async")).await;
    assert_eq!(ticket.status, 202, "{}", ticket.text());
    assert_eq!(ticket.headers["preference-applied"], "respond-async");
    assert_eq!(ticket.headers["retry-after"], "5");
    let (body, place) = (ticket.json(), location(&ticket));
    assert_eq!((&body["error"], &body["message"]), (&serde_json::Value::Null, &"refunds wait".into()));
    let id = body["approval"]["id"].as_str().unwrap();
    assert_eq!(place, format!("/.well-known/portcullis/approvals/{id}"));
    // Nothing is held, and the request for approval is there.
    assert!(world.metrics().await.contains("portcullis_held_calls 0"));
    assert_eq!(world.pending(1).await, [id]);

    let pending = world.get(&place, Some("ana")).await;
    assert_eq!((pending.status, &pending.json()["state"]), (200, &"pending".into()), "{}", pending.text());
    assert_eq!(pending.headers["retry-after"], "5");
    assert_eq!(pending.headers["cache-control"], "no-store");
    assert_eq!(pending.json()["call"]["path"], "/v1/refunds");
    // Whoever else asks learns nothing, not even the approver; an id that nobody has looks the same.
    for (person, place) in [("bob", place.as_str()), ("ana", "/.well-known/portcullis/approvals/no-such-id")]
    {
        let got = world.get(place, Some(person)).await;
        assert_eq!((got.status, got.error().as_str()), (404, "approval_not_found"), "{person} {place}");
    }
    let nobody = world.get(&place, None).await;
    assert_eq!((nobody.status, nobody.error().as_str()), (401, "unauthenticated"));
    let forged = world.client.get(format!("{}{place}", world.envoy.url())).bearer_auth("x.y.z");
    assert_eq!(world.send(forged).await.unwrap().error(), "credential_refused");
    for method in [Method::POST, Method::DELETE] {
        let got = world.send(world.call(method, &place, Some("ana"))).await.unwrap();
        assert_eq!((got.status, got.headers["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    }

    assert_eq!(world.decide(id, "bob", "approve").await.status, 200);
    for _ in 0..2 {
        let approved = world.get(&place, Some("ana")).await;
        assert_eq!(
            (&approved.json()["state"], &approved.json()["repeat"]),
            (&"approved".into(), &true.into())
        );
        assert!(!approved.headers.contains_key("retry-after"));
    }
    assert_eq!(world.upstream.calls(), 0, "asking is answered here, and uses nothing up");
    let repeated = refund(&world, "ana", None).await;
    assert_eq!(repeated.status, 200, "{}", repeated.text());
    // That the answer left is noted a moment later.
    while world.get(&place, Some("ana")).await.json()["state"] == "releasing" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(world.get(&place, Some("ana")).await.json()["state"], "used");
    assert_eq!(world.upstream.calls(), 1);
    let record = world.recorded(|record| record["reason"] == "approval_status").await;
    assert_eq!((&record["outcome"], &record["approval"]), (&"answer".into(), &id.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_not_to_wait_gets_a_ticket_at_once_by_ext_authz() {
    asynchronous(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prefers_not_to_wait_gets_a_ticket_at_once_by_ext_proc() {
    asynchronous(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_a_while_is_released_within_it_or_gets_the_ticket() {
    let world = World::start(Options::ext_authz().policies(POLICIES)).await;
    let waiting =
        world.post_request("/v1/refunds", Some("ana"), BODY).header("prefer", "respond-async, wait=15");
    let waiting = world.send(waiting);
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "reject").await.status, 200);
    assert_eq!(waiting.await.unwrap().error(), "approval_rejected");
    let place = format!("/.well-known/portcullis/approvals/{id}");
    let rejected = world.get(&place, Some("ana")).await.json();
    assert_eq!((&rejected["state"], &rejected["reason"]), (&"rejected".into(), &"seen".into()));
    assert_eq!(refund(&world, "ana", Some("respond-async, wait=1")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_path_can_lie_elsewhere() {
    let config = "holds: {status_path: /held}";
    let world = World::start(Options { config, ..Options::ext_authz() }.policies(POLICIES)).await;
    let place = location(&refund(&world, "ana", Some("respond-async")).await);
    assert!(place.starts_with("/held/"), "{place}");
    assert_eq!(world.get(&place, Some("ana")).await.json()["state"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_status_path_nobody_is_told_and_calls_below_it_are_like_others() {
    let config = "holds: {status_path: none}";
    let world = World::start(Options { config, ..Options::ext_authz() }.policies(POLICIES)).await;
    let ticket = refund(&world, "ana", Some("respond-async")).await;
    assert_eq!((ticket.status, ticket.headers.contains_key("location")), (202, false));
    world.get("/.well-known/portcullis/approvals/x", Some("ana")).await;
    assert_eq!(world.upstream.calls(), 1);
}

async fn check(world: &World, idp: &IdentityProvider, person: &str, prefer: Option<&str>) -> Status {
    let channel = Channel::from_shared(world.envoy.url()).unwrap().connect().await.unwrap();
    let mut request = tonic::Request::new(HealthCheckRequest { service: String::new() });
    let bearer = format!("Bearer {}", idp.token(person, "portcullis").unwrap());
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    if let Some(prefer) = prefer {
        request.metadata_mut().insert("prefer", prefer.parse().unwrap());
    }
    HealthClient::new(channel).check(request).await.unwrap_err()
}

async fn grpc(options: Options) {
    let world = World::start(options.policies(POLICIES)).await;
    // A 202 would be an unknown error to this caller.
    for prefer in [None, Some("respond-async")] {
        let ticket = check(&world, &world.idp, "ana", prefer).await;
        assert_eq!((ticket.code(), ticket.message()), (Code::PermissionDenied, "checks wait"), "{ticket:?}");
        let details = ticket.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, "approval_pending");
        assert_eq!(world.pending(1).await, [info.metadata["approval"].as_str()]);
        assert!(info.metadata.contains_key("decision_id"));
        assert_eq!(details.retry_info().unwrap().retry_delay.unwrap().as_secs(), 5);
    }
    let denied = check(&world, &world.idp, "dana", None).await;
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "not for dana"), "{denied:?}");
    assert_eq!(denied.get_error_details().error_info().unwrap().reason, "denied_by_rule");
    let stranger = IdentityProvider::start(portcullis_sample::address::ANY).await.unwrap();
    let refused = check(&world, &stranger, "ana", None).await;
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "credential_refused");
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_callers_get_trailers_with_details_by_ext_authz() {
    grpc(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_callers_get_trailers_with_details_by_ext_proc() {
    grpc(Options::default()).await;
}

/// The ticket's status is configured for programs that know 503 alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_503_is_unavailable_to_grpc_callers() {
    let config = "holds: {ticket_status: 503}";
    let world = World::start(Options { config, ..Options::ext_authz() }.policies(POLICIES)).await;
    let ticket = check(&world, &world.idp, "ana", None).await;
    assert_eq!(ticket.code(), Code::Unavailable, "{ticket:?}");
}
