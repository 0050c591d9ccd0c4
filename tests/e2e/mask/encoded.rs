//! Bodies that are encoded, forms, and messages of gRPC.

use std::io::{Read as _, Write as _};

use portcullis_sample::upstream::Answer;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};
use reqwest::StatusCode;
use serde_json::json;

use super::{MASKED, SECRET, buffered, modes, reveals, streamed};
use crate::decide::raw;
use crate::world::{Options, World};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().comment(SECRET).write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_masked_and_stays_encoded() {
    for options in modes() {
        let world = World::start(options).await;
        let body = gzip(&json!({"number": SECRET, "note": "x".repeat(100)}).to_string());
        for size in [1, 7, body.len()] {
            let answer = Answer::new(StatusCode::OK)
                .header("content-type", "application/json")
                .header("content-encoding", "gzip")
                .header("cache-control", "public, max-age=60")
                .header("x-goog-hash", "crc32c=x")
                .chunks_of(size, body.clone());
            world.upstream.answer("/masked/a", answer);
            let got = world.get("/masked/a", None).await;
            assert!(got.complete && got.status == 200, "{}", got.text());
            assert_eq!(got.headers["content-encoding"], "gzip");
            assert_eq!(got.headers["cache-control"], "private, max-age=60");
            assert!(!got.headers.contains_key("x-goog-hash"));
            let text = gunzip(&got.body);
            assert_eq!(text, json!({"number": MASKED, "note": "x".repeat(100)}).to_string());
            assert!(!reveals(&got.body));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_in_a_string_is_masked_and_where_there_is_none_nothing_passes() {
    for options in modes() {
        let world = World::start(options).await;
        let inner = |number: &str| json!({"card": {"number": number}, "note": "\"x\" é"}).to_string();
        let body = |payload: &str| json!({"events": [{"payload": ""}, {"payload": payload}]}).to_string();
        for size in [1, 7, 4096] {
            let answer = Answer::new(StatusCode::OK).header("content-type", "application/json");
            world.upstream.answer("/strings/a", answer.chunks_of(size, body(&inner(SECRET)).into_bytes()));
            let got = world.get("/strings/a", None).await;
            assert!(got.complete && got.status == 200 && !reveals(&got.body), "{}", got.text());
            assert_eq!(got.text(), body(&inner(MASKED)));
        }
        world.upstream.answer("/strings/a", Answer::json(body(&format!("card: {SECRET}"))));
        let got = world.get("/strings/a", None).await;
        assert!((got.status == 502 || !got.complete) && !reveals(&got.body), "{}", got.text());
        world.recorded(|record| record["reason"] == "invalid_json_in_string").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_that_lies_or_breaks_is_blocked() {
    let world = World::start(buffered()).await;
    let whole = gzip(&json!({"number": SECRET}).to_string());
    let plain = json!({"number": SECRET}).to_string().into_bytes();
    let trailing = [&whole[..], &plain].concat();
    let bomb = gzip(&format!("{{\"number\":\"{}\"}}", "0".repeat(8 << 20)));
    for (body, code) in [
        (plain, "invalid_encoding"),
        (whole[..whole.len() - 1].to_vec(), "truncated_encoding"),
        (trailing, "after_encoding"),
        (bomb, "expands_too_much"),
    ] {
        let answer = Answer::new(StatusCode::OK)
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .chunk(body);
        world.upstream.answer("/masked/a", answer);
        let got = world.get("/masked/a", None).await;
        assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"), "{code}");
        assert!(!reveals(&got.body), "{code}");
        world.recorded(|record| record["reason"] == code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_may_be_asked_for_encodings_that_can_be_masked() {
    let options = Options { config: "mask: {accept_encoding: supported}\n", ..streamed() };
    let world = World::start(options).await;
    let request = world.post_request("/echo/a", None, "{}").header("accept-encoding", "gzip, dcb, br;q=0.5");
    let seen = world.send(request).await.unwrap().json();
    assert_eq!(seen["headers"]["accept-encoding"], json!(["gzip, br;q=0.5"]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_masked() {
    let world = World::start(streamed()).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = format!("id=1&card%5Bnumber%5D={SECRET}&number={SECRET}");
    world.upstream.answer("/masked/a", Answer::new(StatusCode::OK).header(form.0, form.1).chunk(body));
    let got = world.get("/masked/a", None).await;
    assert_eq!(got.text(), format!("id=1&card%5Bnumber%5D={MASKED}&number={MASKED}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_share_nothing_where_masks_may_apply() {
    let world = World::start(streamed()).await;
    let shared = |status| {
        let answer = Answer::new(status).header("content-type", "application/json");
        answer.header("cache-control", "public").header("surrogate-control", "max-age=60").chunk("{}")
    };
    // By its code this response is not masked; another caller's may be.
    world.upstream.answer("/by-code/a", shared(StatusCode::NOT_FOUND));
    let got = world.get("/by-code/a", None).await;
    assert_eq!(got.headers["cache-control"], "private");
    assert!(!got.headers.contains_key("surrogate-control"));
    world.upstream.answer("/open/a", shared(StatusCode::OK));
    let got = world.get("/open/a", None).await;
    assert_eq!(got.headers["cache-control"], "public");
    assert!(got.headers.contains_key("surrogate-control"));
}

// === gRPC ===

/// A service `masked` with the method `Get`; so short that its bytes are text.
fn descriptor_set() -> &'static str {
    let field = FieldDescriptorProto {
        name: Some("number".to_owned()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..FieldDescriptorProto::default()
    };
    let card =
        DescriptorProto { name: Some("C".to_owned()), field: vec![field], ..DescriptorProto::default() };
    let get = MethodDescriptorProto {
        name: Some("Get".to_owned()),
        input_type: Some(".C".to_owned()),
        output_type: Some(".C".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("masked".to_owned()),
        method: vec![get],
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("c".to_owned()),
        message_type: vec![card],
        service: vec![service],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    let bytes = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    Box::leak(String::from_utf8(bytes).unwrap().into_boxed_str())
}

fn frame(number: &str) -> Vec<u8> {
    let length = u8::try_from(number.len()).unwrap();
    [&[0, 0, 0, 0, length + 2, 0x0a, length][..], number.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_grpc_are_masked_and_their_status_passes() {
    messages_of_grpc_are_masked_in("mask: {descriptor_set_file: set.pb}\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_grpc_are_masked_and_their_status_passes_in_full_duplex() {
    let config = "mask: {descriptor_set_file: set.pb, response_body: full_duplex_streamed}\n";
    messages_of_grpc_are_masked_in(config).await;
}

async fn messages_of_grpc_are_masked_in(config: &'static str) {
    let with_trailers = "codec_type: AUTO\n                http_protocol_options: {enable_trailers: true}";
    let options = Options { upstream_http2: true, config, ..streamed() };
    let world =
        World::start(options.file("set.pb", descriptor_set()).edit("codec_type: AUTO", with_trailers)).await;
    let answer = |body: Vec<u8>| {
        Answer::new(StatusCode::OK)
            .header("content-type", "application/grpc")
            .chunk(body)
            .trailer("grpc-status", "7")
            .trailer("grpc-message", "no")
            .trailer("grpc-status-details-bin", SECRET)
            .trailer("x-number", SECRET)
    };
    let request = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nte: trailers\r\nconnection: te, close\r\n\r\n"
        )
    };
    world.upstream.answer("/masked/Get", answer([frame(SECRET), frame(SECRET)].concat()));
    let got = raw(world.envoy.address(), request("/masked/Get").as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.contains("grpc-status: 7\r\n"), "{got}");
    assert!(got.contains("grpc-message: no\r\n") && got.matches(MASKED).count() == 2, "{got}");
    assert!(!reveals(got.as_bytes()) && !got.contains("details-bin") && !got.contains("x-number"), "{got}");

    // A method that the set doesn't know.
    world.upstream.answer("/masked/Other", answer(frame(SECRET)));
    let got = raw(world.envoy.address(), request("/masked/Other").as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 502") && !reveals(got.as_bytes()), "{got}");
    world.recorded(|record| record["reason"] == "unknown_message").await;
}
