//! A masker that fails: nothing unmasked comes through, and no body that is cut short looks whole.

use std::time::Duration;

use portcullis::engine::fault::{Fault, Point};
use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;

use super::{SECRET, buffered, reveals, streamed};
use crate::world::{Got, Options, World};

const PAUSE: Duration = Duration::from_millis(60);
const POINTS: [Point; 4] = [Point::MaskHead, Point::MaskChunk(0), Point::MaskChunk(1), Point::MaskChunk(2)];

fn failing_open(options: Options) -> Options {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_streamed_body() {
    failures_cut_off(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_cuts_off_a_streamed_body_where_envoy_fails_open() {
    failures_cut_off(failing_open(streamed())).await;
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
async fn a_server_that_goes_leaves_nothing_unmasked() {
    for options in [streamed(), failing_open(streamed()), buffered(), failing_open(buffered())] {
        let mut world = World::start(options).await;
        world.upstream.answer("/masked/a", records());
        let call = world.send(world.call(reqwest::Method::GET, "/masked/a", None));
        tokio::time::sleep(PAUSE * 2).await;
        world.drain().await;
        let got = call.await.unwrap();
        assert!(!reveals(&got.body), "{}", got.text());
        assert!(shown(&got) == 6 || got.status >= 400 || !got.complete, "{}", got.text());
    }
}

fn shown(got: &Got) -> usize {
    got.text().matches("\"record\"").count()
}
