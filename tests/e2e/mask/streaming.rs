//! Bodies that come in pieces: wherever they are cut, the caller gets the same.

use std::time::Duration;

use futures_util::future::join_all;
use portcullis::clock;
use portcullis_sample::upstream::{Answer, CARD_NUMBERS};
use reqwest::StatusCode;
use serde_json::json;

use super::{MASKED, SECRET, buffered, full_duplex, modes, reveals, streamed};
use crate::decide::raw;
use crate::world::{Options, World};

/// Long enough for Envoy to pass on what came before.
const APART: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_byte_changes_nothing() {
    a_cut_at_any_byte_changes_nothing_in(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_byte_changes_nothing_in_full_duplex() {
    a_cut_at_any_byte_changes_nothing_in(full_duplex()).await;
}

async fn a_cut_at_any_byte_changes_nothing_in(options: Options) {
    let body =
        r#"[{"number":"S","a":1},{"b":[true,{"\u006eumber" : "S"}]},{"number":S}]"#.replace('S', SECRET);
    let whole = World::start(buffered()).await;
    whole.upstream.answer("/masked/whole", Answer::json(body.clone()));
    let expected = whole.get("/masked/whole", None).await.text();
    assert_eq!(expected.matches(MASKED).count(), 3, "{expected}");

    let world = World::start(options).await;
    let cuts: Vec<usize> = (1..body.len()).collect();
    for group in cuts.chunks(16) {
        let mut apart = APART;
        // Where the machine is busy, the two pieces may reach Envoy as one: then they are sent again, further apart.
        while !arrives_in_two(&world, &body, group, apart, &expected).await {
            apart *= 2;
            assert!(apart < Duration::from_secs(5), "{group:?} never arrived in two pieces");
        }
    }

    let bytes = body
        .chars()
        .fold(Answer::new(StatusCode::OK).header("content-type", "application/json"), |answer, byte| {
            answer.chunk(byte.to_string()).pause(Duration::from_millis(2))
        });
    world.upstream.answer("/masked/bytes", bytes);
    assert_eq!(world.get("/masked/bytes", None).await.text(), expected);
}

/// Sends the body once for each cut, in two pieces and an end so far apart; each time the caller has to get what is expected. Returns
/// whether Envoy had each piece by itself.
async fn arrives_in_two(world: &World, body: &str, cuts: &[usize], apart: Duration, expected: &str) -> bool {
    for cut in cuts {
        let (head, tail) = body.split_at(*cut);
        let answer = Answer::json(head.to_owned()).pause(apart).chunk(tail.to_owned()).pause(apart);
        world.upstream.answer(&format!("/masked/{cut}"), answer);
    }
    let before = messages(world).await;
    let got = join_all(cuts.iter().map(async |cut| world.get(&format!("/masked/{cut}"), None).await)).await;
    for (got, cut) in got.iter().zip(cuts) {
        assert_eq!((got.text().as_str(), got.complete), (expected, true), "cut at {cut}");
    }
    let count = messages(world).await - before;
    // The headers of both, two pieces, and the end by itself.
    count == 5 * cuts.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_masked_before_the_next_is_sent() {
    an_event_does_not_wait_for_the_next(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_masked_before_the_next_is_sent_in_full_duplex() {
    an_event_does_not_wait_for_the_next(full_duplex()).await;
}

async fn an_event_does_not_wait_for_the_next(options: Options) {
    const PAUSE: Duration = Duration::from_millis(300);
    let world = World::start(options).await;
    let events: Vec<String> =
        (0..4).map(|nth| format!("id: {nth}\ndata: {}\n\n", json!({"number": SECRET, "nth": nth}))).collect();
    let answer = Answer::new(StatusCode::OK).header("content-type", "text/event-stream");
    let answer = events.iter().fold(answer, |answer, event| answer.chunk(event.clone()).pause(PAUSE));
    world.upstream.answer("/masked/events", answer);

    let mut response = world.call(reqwest::Method::GET, "/masked/events", None).send().await.unwrap();
    let (mut text, mut arrivals) = (String::new(), Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        arrivals.extend((arrivals.len()..text.matches("\n\n").count()).map(|_| clock::instant()));
    }
    let ended = clock::instant();
    assert_eq!(text, events.concat().replace(SECRET, MASKED));
    for (nth, arrival) in arrivals.iter().enumerate() {
        let next = arrivals.get(nth + 1).unwrap_or(&ended);
        assert!(*next - *arrival > PAUSE / 3, "event {nth} waited for the next: {arrivals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_ndjson_is_masked() {
    for options in modes() {
        let world = World::start(options).await;
        let body = "{\"number\":\"S\"}\n\r\n[{\"number\":\"S\"}]\n{\"a\":1}\n{\"number\":\"S\"}"
            .replace('S', SECRET);
        let answer = Answer::new(StatusCode::OK).header("content-type", "application/x-ndjson");
        world.upstream.answer("/masked/lines", answer.chunks_of(7, body.clone()));
        let got = world.get("/masked/lines", None).await;
        assert_eq!((got.text(), got.complete), (body.replace(SECRET, MASKED), true));
    }
}

/// With a right check digit.
const CARD: &str = "4929381705628349";

#[tokio::test(flavor = "multi_thread")]
async fn what_detectors_find_is_masked_in_json_and_in_text() {
    for options in modes() {
        let world = World::start(options).await;
        let text = format!("paid with {CARD} by alice@example.com\n");
        let note = json!({"note": text}).to_string();
        for (content_type, body) in [("text/plain; charset=utf-8", text), ("application/json", note)] {
            let answer = Answer::new(StatusCode::OK).header("content-type", content_type);
            world.upstream.answer("/looked-into/a", answer.chunks_of(5, body.clone()));
            let got = world.get("/looked-into/a", None).await;
            let expected = body.replace(CARD, "[card]").replace("alice@example.com", "[email]");
            assert_eq!((got.text(), got.complete), (expected, true));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_through_masked() {
    a_large_body_streams_through(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_through_masked_in_full_duplex() {
    a_large_body_streams_through(full_duplex()).await;
}

async fn a_large_body_streams_through(options: Options) {
    let world = World::start(options).await;
    let got = tokio::time::timeout(Duration::from_secs(50), world.get("/v1/reports/large?mb=20", None));
    let got = got.await.unwrap();
    assert!(got.complete && got.body.len() > 19_000_000, "{}", got.body.len());
    let text = got.text();
    assert!(CARD_NUMBERS.iter().all(|number| !text.contains(number)));
    assert_eq!(text.matches("\"number\":\"****").count(), text.matches("\"number\"").count());
    world.recorded(|record| record["masked_fields"].as_u64() > Some(100_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_masked_response_are_dropped() {
    for options in modes() {
        let with_trailers =
            "codec_type: AUTO\n                http_protocol_options: {enable_trailers: true}";
        let options = Options { upstream_http2: true, ..options };
        let world = World::start(options.edit("codec_type: AUTO", with_trailers)).await;
        let body = json!({"number": SECRET}).to_string();
        for (path, shown) in [("/open/a", true), ("/masked/a", false)] {
            world.upstream.answer(path, Answer::json(body.clone()).trailer("x-number", SECRET));
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
            let got = raw(world.envoy.address(), request.as_bytes()).await;
            assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\n"), "{path}: {got}");
            assert_eq!((got.contains("x-number"), reveals(got.as_bytes())), (shown, shown), "{path}: {got}");
        }
        world.recorded(|record| record["masked_fields"] == 1).await;
    }
}

/// How many messages Envoy has sent.
pub(super) async fn messages(world: &World) -> u64 {
    let metrics = world.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("grpc_server_msg_received_total") && line.contains("ext_proc"));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}
