//! Bodies that take too long.

use std::time::Duration;

use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;
use serde_json::json;

use super::failing::failing_open;
use super::{MASKED, SECRET, in_buffered_mode, reveals, streamed};
use crate::world::{Options, World};

const LIMITS: &str = "mask: {chunk_timeout: 400ms, body_timeout: 1500ms}\n";
const IN_FULL_DUPLEX: &str =
    "mask: {chunk_timeout: 400ms, body_timeout: 1500ms, response_body: full_duplex_streamed}\n";

/// Each body mode, closed and open.
fn limited() -> [Options; 5] {
    let with = |config| Options { config, ..streamed() };
    [
        with(LIMITS),
        failing_open(with(LIMITS)),
        with(IN_FULL_DUPLEX),
        failing_open(with(IN_FULL_DUPLEX)),
        in_buffered_mode(with(LIMITS)),
    ]
}

fn start(content_type: &str) -> Answer {
    Answer::new(StatusCode::OK).header("content-type", content_type)
}

/// The beginning comes masked, and then nothing: what comes later is not shown in clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_cut_off_and_nothing_passes_in_clear() {
    for options in limited().into_iter().take(4) {
        let world = World::start(options).await;
        let part = json!({"number": SECRET}).to_string();
        let answer = start("application/json").chunk(format!("[{part},")).pause(Duration::from_secs(3));
        world.upstream.answer("/masked/a", answer.chunk(format!("{part}]")));
        let got = world.get("/masked/a", None).await;
        assert!(!got.complete && got.status == 200 && !reveals(&got.body), "{} {}", got.status, got.text());
        world.counted("portcullis_mask_failures_total{reason=\"chunk_timeout\"} 1").await;
        world.recorded(|record| record["outcome"] == "blocked" && record["reason"] == "chunk_timeout").await;
    }
}

/// A chunk now and then keeps no body alive for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_takes_too_long_as_a_whole_is_cut_off() {
    for options in limited().into_iter().take(4) {
        let world = World::start(options).await;
        let part = format!("{},", json!({"number": SECRET}));
        let begun = start("application/json").chunk("[");
        let answer =
            (0..40).fold(begun, |answer, _| answer.chunk(part.clone()).pause(Duration::from_millis(100)));
        world.upstream.answer("/masked/a", answer.chunk("1]"));
        let got = world.get("/masked/a", None).await;
        assert!(!got.complete && !reveals(&got.body), "{} {}", got.status, got.text());
        assert!(got.text().contains(MASKED), "{}", got.text());
        world.counted("portcullis_mask_failures_total{reason=\"body_timeout\"} 1").await;
    }
}

/// An event stream is silent for as long as it has nothing to say; only a limit of its own ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_may_be_silent() {
    let event = format!("data: {}\n\n", json!({"number": SECRET}));
    let pause = Duration::from_millis(1_800);
    let answer =
        start("text/event-stream").chunk(event.clone()).pause(pause).chunk(event.clone()).pause(pause);
    for (options, complete) in limited()
        .into_iter()
        .map(|options| (options, true))
        .chain([(Options { config: "mask: {stream_timeout: 800ms}\n", ..streamed() }, false)])
    {
        let world = World::start(options).await;
        world.upstream.answer("/masked/a", answer.clone());
        let got = world.get("/masked/a", None).await;
        assert_eq!((got.status, got.complete), (200, complete), "{}", got.text());
        let events = if complete { 2 } else { 1 };
        assert_eq!(got.text(), event.replace(SECRET, MASKED).repeat(events));
        if !complete {
            world.counted("portcullis_mask_failures_total{reason=\"body_timeout\"} 1").await;
        }
    }
}
