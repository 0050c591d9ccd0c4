//! Held and slow calls that the proxy gives up.

use std::time::Duration;

use portcullis_sample::idp::Fault;

use super::{CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, Edits, LARGE, behind, behind_edited};
use crate::world::{Got, World};

/// Longer than what the edited samples wait.
const LOOKED_AT: Duration = Duration::from_millis(1500);

/// A large refund that somebody approves after a while.
async fn approved(world: &World) -> Got {
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    tokio::time::sleep(LOOKED_AT).await;
    assert!(!held.is_finished(), "it waits");
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    held.await.unwrap()
}

/// A held call is given up with this status before anybody approved it; behind the clean sample it waits, and passes.
async fn gives_up(name: &str, edits: Edits<'_>, status: u16, clean: &str) {
    let world = behind_edited(name, edits).await;
    let got = world.post("/v1/refunds", Some("ana"), LARGE).await;
    assert_eq!((got.status, world.upstream.calls()), (status, 0), "{name}: {}", got.text());
    let got = approved(&behind(clean).await).await;
    assert_eq!(got.status, 200, "{}", got.text());
}

/// Without a timeout Envoy waits for 200 ms: a refund that a rule holds for five minutes ended at once with 403, and nobody
/// could approve it while its caller waited. With 330 s it waited, was approved, and passed.
#[tokio::test(flavor = "multi_thread")]
async fn short_timeout() {
    gives_up("short-timeout", &[], 403, CLEAN_EXT_AUTHZ).await;
}

/// Deciding took a second, because a key had to be fetched first. With the default of 200 ms Envoy answered 504 in Portcullis'
/// place, with 5 s the call passed.
#[tokio::test(flavor = "multi_thread")]
async fn short_message_timeout() {
    for (name, status) in [("short-message-timeout", 504), (CLEAN_EXT_PROC, 200)] {
        let world = behind(name).await;
        world.idp.rotate_keys(false).unwrap();
        world.idp.set_fault(Fault::Slow(Duration::from_secs(1)));
        let got = world.get("/v1/orders", Some("ana")).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
    }
}

/// Without `max_message_timeout` Envoy ignored the server's wish for more time and ended a held refund with 504, once
/// `message_timeout` was over. With 900 s it waited, was approved, and passed.
#[tokio::test(flavor = "multi_thread")]
async fn max_message_timeout() {
    let shorter = [("message_timeout: 5s", "message_timeout: 1s")];
    gives_up("max-message-timeout", &shorter, 504, CLEAN_EXT_PROC).await;
}

/// A held refund ended with 504 when the idle timeout of the connection manager was over, and in the same way with that of the
/// route (both cut to one second). With 1000 s it waited, was approved, and passed.
#[tokio::test(flavor = "multi_thread")]
async fn stream_idle_timeout() {
    let shorter = [("idle_timeout: 60s", "idle_timeout: 1s")];
    gives_up("stream-idle-timeout", &shorter, 504, CLEAN_EXT_AUTHZ).await;
    gives_up("stream-idle-timeout.route", &shorter, 504, CLEAN_EXT_AUTHZ).await;
}

/// A held refund ended with 504 when `max_stream_duration` was over (cut to one second). Without it, it waited, was approved, and
/// passed. A `request_timeout` of one second ended nothing: the request had arrived in time.
#[tokio::test(flavor = "multi_thread")]
async fn stream_duration() {
    let shorter = [("max_stream_duration: 60s", "max_stream_duration: 1s")];
    gives_up("stream-duration", &shorter, 504, CLEAN_EXT_AUTHZ).await;
    let idle = "stream_idle_timeout: 1000s\n";
    let receiving = format!("{idle}                request_timeout: 1s\n");
    for name in [CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC] {
        let world = behind_edited(name, &[(idle, &receiving)]).await;
        assert_eq!(approved(&world).await.status, 200, "{name}");
    }
}

/// With as many calls held as the circuit breaker allows (2 here, 1,024 by default), every other call was refused with 503, also
/// those that no rule holds. With room for 100,000 it passed.
#[tokio::test(flavor = "multi_thread")]
async fn circuit_breakers() {
    let http2 = "explicit_http_config: {http2_protocol_options: {}}\n";
    let small = format!("{http2}      circuit_breakers: {{thresholds: [{{max_requests: 2}}]}}\n");
    for (name, edits, status) in
        [("circuit-breakers", &[(http2, small.as_str())][..], 503), (CLEAN_EXT_AUTHZ, &[], 200)]
    {
        let world = behind_edited(name, edits).await;
        let held = [700, 800].map(|amount| {
            let body = format!("{{\"amount\": {amount}}}");
            world.send(world.post_request("/v1/refunds", Some("ana"), &body))
        });
        world.pending(2).await;
        let got = world.get("/public/hello", None).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
        held.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
