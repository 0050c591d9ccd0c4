use futures_util::StreamExt as _;
use serde_json::Value;

use super::super::tests::{Fixture, fixture};
use super::*;
use crate::admin::v1::approvals_client::ApprovalsClient;

const BOB: &str = "Bearer bob+finance";

async fn next(stream: &mut (impl Stream<Item = Item> + Unpin)) -> (String, String, String) {
    let event = stream.next().await.unwrap().unwrap();
    let approval = event.approval.unwrap_or_default();
    (event.kind, approval.id, approval.state)
}

fn told(kind: &str, id: &str, state: &str) -> (String, String, String) {
    (kind.to_owned(), id.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_watch_begins_with_what_is_pending_and_goes_on_with_what_changes() {
    let fixture = fixture().await;
    let old = fixture.hold("a", 1).await;
    let done = fixture.hold("b", 1).await;
    fixture.decide("bob+finance", &done, "reject").await;
    let mut watch = Box::pin(fixture.state.watch(Some(BOB), None).await.unwrap());
    assert_eq!(next(&mut watch).await, told("pending", &old, "pending"));
    assert_eq!(next(&mut watch).await, told("ready", "", ""));
    let new = fixture.hold("c", 1).await;
    assert_eq!(next(&mut watch).await, told("changed", &new, "pending"));
    fixture.decide("bob+finance", &old, "approve").await;
    assert_eq!(next(&mut watch).await, told("changed", &old, "approved"));
}

#[tokio::test]
async fn a_watcher_is_told_only_what_they_may_see() {
    let fixture = fixture().await;
    fixture.hold("a", 1).await;
    let mut stranger = Box::pin(fixture.state.watch(Some("Bearer dave+staff"), None).await.unwrap());
    let mut viewer = Box::pin(fixture.state.watch(Some("Bearer vera+auditors"), None).await.unwrap());
    assert_eq!(next(&mut stranger).await.0, "ready");
    assert_eq!(next(&mut viewer).await.0, "pending");
    assert_eq!(next(&mut viewer).await.0, "ready");
    let id = fixture.hold("b", 1).await;
    let event = viewer.next().await.unwrap().unwrap().approval.unwrap();
    assert_eq!(event.id, id);
    let call = event.call.unwrap();
    assert!(call.headers.is_empty() && call.body.is_none());
    // The stranger's next event is the sign of life.
    let mut short = Box::pin(
        fixture.state.watch_within(Some("Bearer dave+staff"), None, Duration::from_millis(20)).await.unwrap(),
    );
    assert_eq!(next(&mut short).await.0, "ready");
    fixture.hold("c", 1).await;
    assert_eq!(next(&mut short).await.0, "heartbeat");
}

#[tokio::test]
async fn nobody_watches_without_a_valid_token() {
    let fixture = fixture().await;
    for token in [None, Some("Bearer bad"), Some("Bearer nobody")] {
        assert!(fixture.state.watch(token, None).await.is_err(), "{token:?}");
    }
    for token in [None, Some("bad")] {
        assert_eq!(fixture.get(token, "/api/v1/approvals:watch").await.0, 401);
    }
}

/// A token that is good so many times.
struct GoodFor(std::sync::atomic::AtomicUsize);

impl crate::admin::VerifyToken for GoodFor {
    fn verify<'a>(
        &'a self,
        _: &'a str,
    ) -> futures_util::future::BoxFuture<'a, Result<Arc<Identity>, crate::reason::Reason>> {
        let before = self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        let verified = if before == 0 {
            Err(crate::reason::Reason::TokenExpired)
        } else {
            Ok(Arc::new(super::super::tests::person("bob+finance")))
        };
        Box::pin(async move { verified })
    }
}

#[tokio::test]
async fn a_watch_ends_with_its_credential() {
    let fixture = fixture().await;
    let state = AdminState { verifier: Arc::new(GoodFor(2.into())), ..fixture.state.clone() };
    let beat = Duration::from_millis(10);
    let mut watch = Box::pin(state.watch_within(Some(BOB), None, beat).await.unwrap());
    assert_eq!(next(&mut watch).await.0, "ready");
    assert_eq!(watch.next().await, Some(Err(Fault::CredentialRefused)));
    assert_eq!(watch.next().await, None);
}

/// Also while the list is told: by its end the token may be worth nothing.
#[tokio::test]
async fn what_is_pending_is_told_to_a_credential_that_is_still_good() {
    let fixture = fixture().await;
    fixture.hold("a", 1).await;
    let state = AdminState { verifier: Arc::new(GoodFor(1.into())), ..fixture.state.clone() };
    let mut watch = Box::pin(state.watch_within(Some(BOB), None, Duration::from_secs(60)).await.unwrap());
    assert_eq!(watch.next().await, Some(Err(Fault::CredentialRefused)));
}

#[tokio::test]
async fn a_watch_ends_with_the_store() {
    let fixture = fixture().await;
    let beat = Duration::from_millis(10);
    let mut watch = Box::pin(fixture.state.watch_within(Some(BOB), None, beat).await.unwrap());
    assert_eq!(next(&mut watch).await.0, "ready");
    fixture.state.store.close().await;
    while let Some(item) = watch.next().await {
        match item {
            Ok(event) => assert_eq!(event.kind, "heartbeat"),
            Err(fault) => assert_eq!(fault, Fault::Unavailable),
        }
    }
}

#[tokio::test]
async fn one_person_watches_a_few_times_at_once_and_others_still_may() {
    let fixture = fixture().await;
    let beat = Duration::from_millis(10);
    let watch = async |token| fixture.state.watch_within(Some(token), None, beat).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(watch(BOB).await.unwrap());
    }
    assert_eq!(watch(BOB).await.err(), Some(Fault::TooManyWatchers));
    assert!(watch("Bearer carl+finance").await.is_ok());
    open.pop();
    for _ in 0..500 {
        if watch(BOB).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place was never free again");
}

/// The next server-sent event, as its name and data.
async fn event(response: &mut reqwest::Response, buffer: &mut String) -> (String, Value) {
    loop {
        if let Some((event, rest)) = buffer.clone().split_once("\n\n") {
            *buffer = rest.to_owned();
            let (name, data) = event.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            return (name.strip_prefix("event: ").unwrap().to_owned(), data);
        }
        buffer.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn events_and_grpc_say_the_same() {
    let fixture: Fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let request = fixture.client.get(format!("{}/api/v1/approvals:watch", fixture.url));
    let mut response = request.bearer_auth("bob+finance").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut buffer = String::new();
    let (name, data) = event(&mut response, &mut buffer).await;
    assert_eq!((name.as_str(), data["approval"]["id"].as_str()), ("pending", Some(id.as_str())));
    assert_eq!(event(&mut response, &mut buffer).await.0, "ready");

    let mut client = ApprovalsClient::connect(fixture.url.clone()).await.unwrap();
    let mut request = tonic::Request::new(v1::WatchApprovalsRequest {});
    request.metadata_mut().insert("authorization", BOB.parse().unwrap());
    let mut stream = client.watch_approvals(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.kind.as_str(), first.approval.unwrap().id), ("pending", id.clone()));
    assert_eq!(stream.message().await.unwrap().unwrap().kind, "ready");

    fixture.decide("bob+finance", &id, "approve").await;
    let changed = stream.message().await.unwrap().unwrap();
    assert_eq!((changed.kind.as_str(), changed.approval.unwrap().state.as_str()), ("changed", "approved"));
    let (name, data) = event(&mut response, &mut buffer).await;
    assert_eq!((name.as_str(), data["approval"]["state"].as_str()), ("changed", Some("approved")));
    let refused = client.watch_approvals(v1::WatchApprovalsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}

/// Other connections end when they are quiet.
#[tokio::test]
async fn a_watch_keeps_its_connection_and_nothing_keeps_it_afterwards() {
    let fixture = fixture().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/approvals:watch", listener.local_addr().unwrap());
    let (first, quiet) = (Duration::from_millis(50), Duration::from_millis(50));
    let most = crate::inbound::Most { strangers: 1, known: 0, of_person: 0 };
    let limits = crate::inbound::Limits { most, first, quiet };
    let router = crate::admin::router(fixture.state.clone(), None);
    tokio::spawn(crate::inbound::serve(listener, router, limits, None));
    let mut response = fixture.client.get(&url).bearer_auth("bob+finance").send().await.unwrap();
    let mut buffer = String::new();
    assert_eq!(event(&mut response, &mut buffer).await.0, "ready");
    // As long as a quiet connection has, and its last words.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let id = fixture.hold("a", 1).await;
    let (name, data) = event(&mut response, &mut buffer).await;
    assert_eq!((name.as_str(), data["approval"]["id"].as_str()), ("changed", Some(id.as_str())));
    // The one connection is free for the next.
    drop(response);
    let next = fixture.client.get(&url).bearer_auth("bad").send().await.unwrap();
    assert_eq!(next.status(), 401);
}
