//! What can't be masked is not shown.

use std::time::Duration;

use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::failing::failing_open;
use super::{SECRET, buffered, full_duplex, reveals, streamed};
use crate::decide::raw;
use crate::world::{Options, World};

async fn blocked_before_the_first_byte(options: Options) {
    let world = World::start(options).await;
    let body = json!({"number": SECRET}).to_string();
    let json = ("content-type", "application/json");
    for (status, headers, code) in [
        (200, vec![json, ("content-encoding", "compress")], "unknown_encoding"),
        (200, vec![json, ("content-encoding", "gzip, br")], "nested_encoding"),
        (200, vec![json, ("content-encoding", "identity"), ("content-encoding", "gzip")], "nested_encoding"),
        (200, vec![("content-type", "application/grpc")], "unknown_message"),
        (200, vec![("content-type", "multipart/form-data; boundary=x")], "unknown_format"),
        (206, vec![json], "partial_content"),
        (200, vec![json, ("content-range", "bytes 0-29/30")], "partial_content"),
        (200, vec![("content-type", "multipart/byteranges; boundary=x")], "unknown_format"),
        (200, vec![("content-type", "text/plain")], "fields_in_text"),
        (200, vec![("content-type", "application/json; charset=utf-16")], "unknown_format"),
        (200, vec![], "unknown_format"),
        (200, vec![json, json], "unknown_format"),
        (500, vec![("content-type", "text/html")], "unknown_format"),
    ] {
        let answer = Answer::new(StatusCode::from_u16(status).unwrap()).chunk(body.clone());
        let answer = headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        world.upstream.answer("/masked/a", answer);
        let before = failures(&world, code).await;
        let got = world.get("/masked/a", None).await;
        assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"), "{status} {headers:?}");
        assert!(got.complete && !reveals(&got.body), "{status} {headers:?}: {}", got.text());
        assert_eq!(failures(&world, code).await, before + 1, "{status} {headers:?}");
    }
    world.recorded(|record| record["outcome"] == "blocked" && record["reason"] == "nested_encoding").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_blocked_before_a_streamed_body() {
    blocked_before_the_first_byte(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_blocked_before_a_full_duplex_body() {
    blocked_before_the_first_byte(full_duplex()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_blocked_before_a_buffered_body() {
    blocked_before_the_first_byte(buffered()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffered_body_that_is_broken_is_blocked_as_a_whole() {
    let world = World::start(buffered()).await;
    for broken in
        [r#"{"number":"S" "a":1}"#, r#"{"number":"S""#, r#"{"number":"S"} {"number":"S"}"#, "not json: S"]
    {
        world.upstream.answer("/masked/a", Answer::json(broken.replace('S', SECRET)));
        let got = world.get("/masked/a", None).await;
        assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"), "{broken}");
        assert!(!reveals(&got.body), "{broken}: {}", got.text());
    }
}

async fn ends_in_an_error_where_it_breaks(options: Options) {
    let world = World::start(options).await;
    let record = json!({"number": SECRET, "note": "x".repeat(100)}).to_string();
    let records = vec![record; 20_000].join(",");
    for end in [" {\"number\":\"S\" \"b\":1},{\"note\":\"S\"}]", "\u{1}{\"note\":\"S\"}]", "{\"number\":\"S"]
    {
        let body = format!("[{records},{}", end.replace('S', SECRET));
        let before = failures(&world, "invalid_json").await;
        world.upstream.answer("/masked/a", Answer::json(body));
        let got = world.get("/masked/a", None).await;
        assert!(got.status == 200 && !got.complete, "{end}: {} {}", got.status, got.body.len());
        assert!(!reveals(&got.body), "{end}");
        assert_eq!(failures(&world, "invalid_json").await, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_ends_in_an_error_where_it_breaks() {
    ends_in_an_error_where_it_breaks(streamed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_ends_in_an_error_where_it_breaks_and_envoy_fails_open() {
    ends_in_an_error_where_it_breaks(failing_open(streamed())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_duplex_body_ends_in_an_error_where_it_breaks() {
    ends_in_an_error_where_it_breaks(full_duplex()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_duplex_body_ends_in_an_error_where_it_breaks_and_envoy_fails_open() {
    ends_in_an_error_where_it_breaks(failing_open(full_duplex())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_call_does_not_become_a_tunnel() {
    let upgrades = "codec_type: AUTO\n                upgrade_configs: [{upgrade_type: websocket}]";
    let tunnel = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Some(tunnel.local_addr().unwrap());
    tokio::spawn(tunnelling(tunnel));
    let world = World::start(Options { upstream, ..streamed() }.edit("codec_type: AUTO", upgrades)).await;
    for (path, status, open) in [
        ("/open/a", "HTTP/1.1 101", true),
        ("/masked/a", "HTTP/1.1 502", false),
        ("/by-code/a", "HTTP/1.1 101", true),
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let got = raw(world.envoy.address(), request.as_bytes()).await;
        assert!(got.starts_with(status), "{path}: {got}");
        assert_eq!(reveals(got.as_bytes()), open, "{path}: {got}");
    }
    assert_eq!(failures(&world, "upgrade").await, 1);
}

/// Accepts every upgrade, sends something, and closes after a while.
async fn tunnelling(listener: tokio::net::TcpListener) {
    while let Ok((mut socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await.unwrap();
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            socket.write_all(format!("{head}{SECRET}").as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        });
    }
}

/// How many responses were blocked for this reason.
async fn failures(world: &World, reason: &str) -> u64 {
    let metrics = world.metrics().await;
    let name = format!("portcullis_mask_failures_total{{reason=\"{reason}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

/// What is beyond Envoy's buffer would pass in clear, and it might ignore the wish for another mode.
#[tokio::test(flavor = "multi_thread")]
async fn where_responses_are_shown_in_part_masked_calls_are_denied() {
    let none = "response_body_mode: NONE";
    for (from, mode) in [
        (none, "response_body_mode: BUFFERED_PARTIAL"),
        (none, "response_body_mode: GRPC"),
        // With it Envoy ignores what is asked for.
        ("request_body_mode: NONE", "request_body_mode: FULL_DUPLEX_STREAMED"),
    ] {
        let options = streamed()
            .edit(from, mode)
            .edit("request_trailer_mode: SKIP", "request_trailer_mode: SEND")
            .edit("response_header_mode: SKIP", "response_header_mode: SEND")
            .edit("response_trailer_mode: SKIP", "response_trailer_mode: SEND")
            .edit("allow_mode_override: true", "allow_mode_override: false");
        let world = World::start(options).await;
        let got = world.get("/masked/a", None).await;
        assert_eq!((got.error().as_str(), world.upstream.calls()), ("mask_unavailable", 0), "{mode}");
    }
}
