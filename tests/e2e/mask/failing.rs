//! A masker that fails: nothing unmasked comes through, and no body that is cut short looks whole.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis::engine::fault::{Fault, Point};
use portcullis_sample::upstream::Answer;
use reqwest::{Method, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{SECRET, buffered, full_duplex, modes, reveals, streamed};
use crate::world::{Got, Options, World};

const PAUSE: Duration = Duration::from_millis(60);
const POINTS: [Point; 4] = [Point::MaskHead, Point::MaskChunk(0), Point::MaskChunk(1), Point::MaskChunk(2)];

pub(super) fn failing_open(options: Options) -> Options {
    options.edit("failure_mode_allow: false", "failure_mode_allow: true")
}

/// Six records, each in a chunk of its own.
fn records() -> Answer {
    let answer = Answer::new(StatusCode::OK).header("content-type", "application/x-ndjson");
    (0..6).fold(answer, |answer, nth| {
        answer.chunk(format!("{{\"number\":\"{SECRET}\",\"record\":{nth}}}\n")).pause(PAUSE)
    })
}

async fn failures_cut_off(options: Options) {
    let world = World::start(options).await;
    world.upstream.answer("/masked/a", records());
    assert_eq!(shown(&world.get("/masked/a", None).await), 6);
    for (nth, point) in POINTS.into_iter().enumerate() {
        for fault in [Fault::Panic, Fault::Fail] {
            world.faults().set(Some((point, fault)));
            let got = world.get("/masked/a", None).await;
            assert!(!reveals(&got.body), "{point:?} {fault:?}: {}", got.text());
            assert!(shown(&got) <= nth.saturating_sub(1), "{point:?} {fault:?}: {}", got.text());
            assert!(got.status >= 400 || !got.complete, "{point:?} {fault:?}: {} {}", got.status, got.text());
        }
    }
    let metrics = world.metrics().await;
    let counted = "portcullis_mask_failures_total{reason=\"internal_error\"} 8";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_streamed_body() {
    failures_cut_off(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_streamed_body_where_envoy_fails_open() {
    failures_cut_off(failing_open(streamed())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_full_duplex_body() {
    failures_cut_off(full_duplex()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_full_duplex_body_where_envoy_fails_open() {
    failures_cut_off(failing_open(full_duplex())).await;
}

async fn failures_block(options: Options) {
    let world = World::start(options).await;
    world.upstream.answer("/masked/a", records());
    for point in [Point::MaskHead, Point::MaskChunk(0)] {
        for fault in [Fault::Panic, Fault::Fail] {
            world.faults().set(Some((point, fault)));
            let got = world.get("/masked/a", None).await;
            assert!(got.status >= 400 && got.complete, "{point:?} {fault:?}: {} {}", got.status, got.text());
            assert!(!reveals(&got.body) && shown(&got) == 0, "{point:?} {fault:?}: {}", got.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_blocks_a_buffered_body() {
    failures_block(buffered()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_blocks_a_buffered_body_where_envoy_fails_open() {
    failures_block(failing_open(buffered())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_masked_bodies_end() {
    for options in [streamed(), failing_open(streamed()), full_duplex(), buffered()] {
        let mut world = World::start(options).await;
        world.upstream.answer("/masked/a", records());
        let call = world.send(world.call(Method::GET, "/masked/a", None));
        tokio::time::sleep(PAUSE * 2).await;
        assert!(world.drain().await, "in time");
        let got = call.await.unwrap();
        assert!(!reveals(&got.body), "{}", got.text());
        assert_eq!((got.status, shown(&got), got.complete), (200, 6, true), "{}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_cuts_off_the_body() {
    for options in modes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let portcullis = Some(listener.local_addr().unwrap());
        let world = World::start(Options { portcullis, ..options }).await;
        let server = world.server.as_ref().unwrap().addresses.grpc.unwrap();
        let link = tokio::spawn(forward(listener, server));
        world.upstream.answer("/masked/a", records());
        assert_eq!(shown(&world.get("/masked/a", None).await), 6);

        let call = world.send(world.call(Method::GET, "/masked/a", None));
        tokio::time::sleep(PAUSE * 2).await;
        link.abort();
        let got = call.await.unwrap();
        assert!(!reveals(&got.body) && shown(&got) < 6, "{}", got.text());
        assert!(got.status >= 500 || !got.complete, "{} {}", got.status, got.text());
    }
}

/// Passes connections on to the server, until it is aborted and they break as those of a killed server.
async fn forward(listener: TcpListener, server: SocketAddr) {
    let mut links = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(server).await.unwrap();
        links.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

/// How many records came through.
fn shown(got: &Got) -> usize {
    got.text().matches("\"record\"").count()
}

/// At the drain's limit the bodies under way are cut off, and not left to the end of the process, which Envoy would
/// take for leave to pass the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_outlives_the_drain_is_cut_off_where_envoy_fails_open() {
    for options in [streamed(), full_duplex()] {
        let options = failing_open(options).edit_config("policies:", "drain: 150ms\npolicies:");
        let mut world = World::start(options).await;
        world.upstream.answer("/masked/a", records());
        let call = world.send(world.call(Method::GET, "/masked/a", None));
        tokio::time::sleep(2 * PAUSE).await;
        assert!(!world.drain().await, "not in time");
        let got = call.await.unwrap();
        assert!(!got.complete && !reveals(&got.body) && shown(&got) > 0, "{}", got.text());
    }
}
