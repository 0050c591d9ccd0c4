//! FULL_DUPLEX_STREAMED: the pieces that the caller gets are ours, and so is their number.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::ext_proc::v3::body_mutation::Mutation;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_client::ExternalProcessorClient;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Message;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Reply;
use envoy_types::pb::envoy::service::ext_proc::v3::{HttpBody, HttpHeaders, ProcessingRequest};
use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

use super::streaming::messages;
use super::{MASKED, SECRET, buffered, full_duplex, modes, reveals, streamed};
use crate::decide::raw;
use crate::world::{Options, World};

/// A text whose end may still become a card number, so that it is held back.
const OPEN_END: &str = "paid by 4929 3817";

/// To an upstream that sends trailers, for callers who take them.
fn with_trailers(options: Options) -> Options {
    let allowed = "codec_type: AUTO\n                http_protocol_options: {enable_trailers: true}";
    Options { upstream_http2: true, ..options }.edit("codec_type: AUTO", allowed)
}

async fn get(world: &World, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
    raw(world.envoy.address(), request.as_bytes()).await
}

fn text() -> Answer {
    Answer::new(StatusCode::OK).header("content-type", "text/plain")
}

/// In the other modes trailers come too late: there is no answer left that the rest could go with.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_to_the_end_goes_before_the_trailers() {
    for (options, whole) in [(full_duplex(), true), (streamed(), false)] {
        let world = World::start(with_trailers(options)).await;
        let answer = text().chunk(OPEN_END).pause(Duration::from_millis(20)).trailer("x-number", SECRET);
        world.upstream.answer("/looked-into/a", answer);
        let got = get(&world, "/looked-into/a").await;
        let ended = got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n0\r\n\r\n");
        assert_eq!((got.contains(OPEN_END), ended), (whole, whole), "{got}");
        assert!(!reveals(got.as_bytes()), "{got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_byte_ends_as_it_should() {
    for options in modes() {
        let world = World::start(with_trailers(options)).await;
        let pause = Duration::from_millis(20);
        world.upstream.answer("/looked-into/end", text().pause(pause));
        world.upstream.answer("/looked-into/trailers", text().pause(pause).trailer("x-number", SECRET));
        for path in ["/looked-into/end", "/looked-into/trailers"] {
            let got = get(&world, path).await;
            assert!(got.starts_with("HTTP/1.1 200") && !reveals(got.as_bytes()), "{path}: {got}");
            assert!(got.ends_with("0\r\n\r\n") || got.contains("content-length: 0\r\n"), "{path}: {got}");
        }
        // Nothing is no JSON.
        world.upstream.answer("/masked/end", Answer::json("").pause(pause));
        let got = world.get("/masked/end", None).await;
        assert!(got.status == 502 || !got.complete, "{} {}", got.status, got.text());
    }
}

/// Whatever the filter is configured to show: the body of a call without a mask stays away from us, where Envoy lets us say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_without_a_mask_is_not_shown() {
    for options in [full_duplex(), buffered()] {
        let world = World::start(options).await;
        let body = "x".repeat(3 << 20);
        world.upstream.answer("/open/a", Answer::json(body.clone()));
        let before = messages(&world).await;
        let got = world.get("/open/a", None).await;
        assert_eq!((got.status, got.complete, got.body.len()), (200, true, body.len()));
        assert_eq!(messages(&world).await - before, 1, "the request's headers alone");
    }
}

/// A filter that is itself configured for the mode ignores what we ask for: every body comes here, and goes back. None is masked
/// that should not be, and none passes in clear.
#[tokio::test(flavor = "multi_thread")]
async fn where_envoy_takes_no_wishes_bodies_go_through_all_the_same() {
    let options = with_trailers(streamed())
        .edit("response_body_mode: NONE", "response_body_mode: FULL_DUPLEX_STREAMED")
        .edit("response_header_mode: SKIP", "response_header_mode: SEND")
        .edit("response_trailer_mode: SKIP", "response_trailer_mode: SEND");
    let world = World::start(options).await;
    let body = json!({"number": SECRET, "note": "x".repeat(200_000)}).to_string();
    let answer = Answer::json("").chunks_of(9_000, body.clone()).trailer("x-number", SECRET);
    for (path, masked) in [("/open/a", false), ("/by-code/a", true), ("/masked/a", true)] {
        world.upstream.answer(path, answer.clone());
        let got = world.get(path, None).await;
        let expected = if masked { body.replace(SECRET, MASKED) } else { body.clone() };
        assert!(got.complete && got.text() == expected, "{path}: {} {}", got.status, got.body.len());
        let got = get(&world, path).await;
        assert_eq!((got.contains("x-number"), reveals(got.as_bytes())), (!masked, !masked), "{path}: {got}");
    }
    // A mask that depends on the response is not for this one: back it goes, byte for byte.
    let answer = Answer::new(StatusCode::NOT_FOUND).header("content-type", "application/json");
    world.upstream.answer("/by-code/b", answer.chunks_of(9_000, body.clone()));
    let got = world.get("/by-code/b", None).await;
    assert_eq!((got.status, got.complete, got.text() == body), (404, true, true));
}

/// An upstream's answer that comes at once leaves in pieces that Envoy can pass on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_back_leaves_in_small_pieces() {
    let world = World::start(full_duplex()).await;
    let inner = json!({"card": {"number": SECRET}, "note": "y".repeat(100_000)}).to_string();
    let body = json!({"events": [{"payload": inner}]}).to_string();
    world.upstream.answer("/strings/a", Answer::json("").chunks_of(10_000, body.clone()));
    let got = world.get("/strings/a", None).await;
    assert!(got.complete && got.text() == body.replace(SECRET, MASKED), "{} {}", got.status, got.body.len());
}

fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> HttpHeaders {
    let header = |(key, value): &(&str, &str)| HeaderValue {
        key: (*key).into(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let headers = HeaderMap { headers: pairs.iter().map(header).collect() };
    HttpHeaders { headers: Some(headers), end_of_stream, ..HttpHeaders::default() }
}

/// What a masked call is answered whose response is sent as a whole before its answers are read; the stream has to end well.
async fn straight(world: &World, head: &[(&str, &str)], bodies: &[(&str, bool)]) -> Vec<Reply> {
    let call = [(":method", "GET"), (":authority", "a"), (":path", "/masked/a"), (":scheme", "http")];
    let body = |(text, end_of_stream): &(&str, bool)| {
        let body = HttpBody { body: (*text).into(), end_of_stream: *end_of_stream, ..HttpBody::default() };
        Message::ResponseBody(body)
    };
    let begin =
        [Message::RequestHeaders(headers(&call, true)), Message::ResponseHeaders(headers(head, false))];
    let messages: Vec<_> = begin
        .into_iter()
        .chain(bodies.iter().map(body))
        .map(|request| ProcessingRequest { request: Some(request), ..ProcessingRequest::default() })
        .collect();
    let address = world.server.as_ref().unwrap().addresses.grpc.unwrap();
    let mut client = ExternalProcessorClient::connect(format!("http://{address}")).await.unwrap();
    let (sender, outbound) = tokio::sync::mpsc::channel(messages.len());
    let mut messages = messages.into_iter();
    sender.send(messages.next().unwrap()).await.unwrap();
    let mut answers = client.process(ReceiverStream::new(outbound)).await.unwrap().into_inner();
    let mut got = Vec::from_iter(answers.message().await.unwrap().unwrap().response);
    for message in messages {
        sender.send(message).await.unwrap();
    }
    drop(sender);
    while let Some(answer) = answers.message().await.expect("an orderly end") {
        got.extend(answer.response);
    }
    got
}

/// In this mode Envoy waits for no answer: it may have sent more before it hears that the response is blocked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_a_response_was_blocked_is_no_mistake() {
    let world = World::start(full_duplex()).await;
    let got = straight(&world, &[(":status", "206")], &[("1", false), ("2", true)]).await;
    assert!(matches!(got.as_slice(), [Reply::RequestHeaders(_), Reply::ImmediateResponse(_)]), "{got:?}");
}

/// Chunks that leave nothing to be sent are not answered, and an end that Envoy repeats is not answered twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_body_is_answered_once() {
    let world = World::start(full_duplex()).await;
    let head = [(":status", "200"), ("content-type", "application/json")];
    let got = straight(
        &world,
        &head,
        &[("{\"number\":", false), ("\"49293817", false), ("05628341\"}", true), ("", true)],
    )
    .await;
    let [Reply::RequestHeaders(_), Reply::ResponseHeaders(_), bodies @ ..] = got.as_slice() else {
        panic!("{got:?}")
    };
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for body in bodies {
        let Reply::ResponseBody(body) = body else { panic!("{body:?}") };
        let change = body.response.clone().unwrap().body_mutation.unwrap().mutation.unwrap();
        let Mutation::StreamedResponse(piece) = change else { panic!("{change:?}") };
        assert!(piece.end_of_stream || !piece.body.is_empty(), "{got:?}");
        text.extend(piece.body);
        ends.push(piece.end_of_stream);
    }
    assert_eq!(String::from_utf8(text).unwrap(), json!({"number": MASKED}).to_string());
    assert_eq!(ends.iter().position(|end| *end), Some(ends.len() - 1), "{ends:?}");
}
