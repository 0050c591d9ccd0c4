//! Masked responses: whatever the body's form and however it is cut, no secret byte reaches the caller.

use std::time::Duration;

use portcullis::engine::fault::{Fault, Point};
use portcullis_sample::upstream::Answer;
use reqwest::{Method, StatusCode};

use crate::world::{Got, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  match: [{paths: ["/m/{**}", "/v1/refunds", "/echo/{**}"]}]
  rules:
    - {name: everybody, allow: {}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masked}
spec:
  match: [{paths: ["/m/{**}", "/echo/{**}"]}]
  rules:
    - {name: secret, when: 'response.code != 203', mask: [{field: "**.secret", with: redact}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: by-body}
spec:
  match: [{paths: ["/v1/refunds"]}]
  rules:
    - {name: confidential, when: request.body.confidential == true, mask: [{field: "**.secret", with: remove}]}
"#;

const SECRET: &str = "hunter2-4111111111111111";

/// Options for both modes in which a response is masked.
fn both_modes() -> [Options; 2] {
    let buffered =
        Options::default().with("RESPONSE_BODY_MODE", "BUFFERED").with("RESPONSE_HEADER_MODE", "SEND");
    [Options::default(), buffered]
}

/// Many records, each with a secret of its own number.
fn records(count: usize) -> String {
    let record = |n| format!(r#"{{"id":{n},"secret":"{SECRET}-{n}","note":"open"}}"#);
    format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(",\n"))
}

async fn fetch(world: &World, path: &str) -> Got {
    world.get(path, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_in_both_body_modes_and_drops_what_described_the_old_bytes() {
    for options in both_modes() {
        let world = World::start(options.policies(POLICIES)).await;
        let stale = ["etag", "content-md5", "digest", "content-digest", "accept-ranges"];
        let answer = stale.iter().fold(Answer::json(records(2)), |answer, name| answer.header(name, "\"x\""));
        world.upstream.answer("/m/a", answer);
        let got = fetch(&world, "/m/a").await;
        let expected = records(2)
            .replace(&format!("{SECRET}-0"), "[redacted]")
            .replace(&format!("{SECRET}-1"), "[redacted]");
        assert_eq!((got.status, got.text()), (200, expected));
        assert!(stale.iter().all(|name| !got.headers.contains_key(*name)), "{:?}", got.headers);
        let record = world.recorded(|record| record["kind"] == "response").await;
        assert_eq!((&record["outcome"], &record["masked_fields"]), (&"masked".into(), &2.into()));
        assert!(world.metrics().await.contains("portcullis_masked_fields_total 2"));
        assert!(!world.audit_text().contains(SECRET));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_body_decides_the_mask() {
    for options in both_modes() {
        let world = World::start(options.policies(POLICIES)).await;
        world.upstream.answer("/v1/refunds", Answer::json(r#"{"secret":"s","open":1}"#));
        let hidden = world.post("/v1/refunds", None, r#"{"confidential": true}"#).await;
        assert_eq!((hidden.status, hidden.text().as_str()), (200, r#"{"open":1}"#));
        let shown = world.post("/v1/refunds", None, r#"{"confidential": false}"#).await;
        assert_eq!((shown.status, shown.text().as_str()), (200, r#"{"secret":"s","open":1}"#));
        assert_eq!(world.post("/v1/refunds", None, "{}").await.error(), "condition_error");
    }
}

/// Two chunks, cut at every offset of the body; the pause makes Envoy pass them on apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_split_at_any_byte_stays_hidden() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let body = format!(r#"{{"a":{{"s\u0065cret":"x\"{SECRET}é"}},"secret" : ["{SECRET}", 7],"z":"é"}}"#);
    world.upstream.answer("/m/whole", Answer::json(body.clone()));
    let whole = fetch(&world, "/m/whole").await.body;
    assert_eq!(
        String::from_utf8_lossy(&whole),
        r#"{"a":{"s\u0065cret":"[redacted]"},"secret" : "[redacted]","z":"é"}"#
    );
    let bytes = body.as_bytes();
    for at in 1..bytes.len() {
        let answer = Answer::new(StatusCode::OK).header("content-type", "application/json");
        let cut =
            answer.chunk(bytes[..at].to_vec()).pause(Duration::from_millis(30)).chunk(bytes[at..].to_vec());
        world.upstream.answer(&format!("/m/{at}"), cut);
    }
    let calls: Vec<_> = (1..bytes.len())
        .map(|at| (at, world.send(world.call(Method::GET, &format!("/m/{at}"), None))))
        .collect();
    for (at, call) in calls {
        let got = call.await.unwrap();
        assert!(got.complete && got.body == whole, "cut at {at}: {}", got.text());
    }
    let answer = Answer::new(StatusCode::OK).header("content-type", "application/json");
    world.upstream.answer("/m/bytes", answer.chunks_of(1, body.clone()));
    assert_eq!(fetch(&world, "/m/bytes").await.body, whole);
}

/// Each event is here before the upstream has sent the next one.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_masked_one_by_one_as_they_come() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let pause = Duration::from_millis(400);
    let mut answer = Answer::new(StatusCode::OK).header("content-type", "text/event-stream");
    for n in 0..4 {
        answer = answer
            .chunk(format!("id: {n}\ndata: {{\"n\":{n},\ndata: \"secret\":\"{SECRET}\"}}\n\n"))
            .pause(pause);
    }
    world.upstream.answer("/m/events", answer.chunk("data: [DONE]\n\n"));
    let mut response = world.call(Method::GET, "/m/events", None).send().await.unwrap();
    let (began, mut text, mut arrivals) = (portcullis::clock::instant(), String::new(), Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while arrivals.len() < text.matches("\n\n").count() {
            arrivals.push(began.elapsed());
        }
    }
    assert!(!text.contains(SECRET) && text.matches("[redacted]").count() == 4, "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    // In order of arrival, not by the clock: an event that waited for the next would come with it.
    let apart = |pair: &[Duration]| pair[1] - pair[0] > pause / 2;
    assert!(arrivals.len() == 5 && arrivals.windows(2).all(apart), "{arrivals:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_masked_is_blocked_before_its_first_byte() {
    for options in both_modes() {
        let world = World::start(options.policies(POLICIES)).await;
        let json = |status: u16| {
            Answer::new(StatusCode::from_u16(status).unwrap()).header("content-type", "application/json")
        };
        let body = records(1);
        let cases = [
            ("encoded", json(200).header("content-encoding", "gzip")),
            ("encoded", json(200).header("content-encoding", "br")),
            ("partial_content", json(206)),
            ("partial_content", json(200).header("content-range", "bytes 0-9/10")),
            ("unknown_format", Answer::new(StatusCode::OK)),
            ("unknown_format", Answer::new(StatusCode::OK).header("content-type", "text/plain")),
            (
                "unknown_format",
                Answer::new(StatusCode::OK).header("content-type", "multipart/byteranges; boundary=x"),
            ),
            ("unknown_format", json(200).header("content-type", "text/html")),
            (
                "unknown_format",
                Answer::new(StatusCode::OK).header("content-type", "application/json; charset=utf-16"),
            ),
        ];
        for (number, (code, answer)) in cases.into_iter().enumerate() {
            let path = format!("/m/{number}");
            world.upstream.answer(&path, answer.chunk(body.clone()));
            let got = fetch(&world, &path).await;
            assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"), "{number}");
            world.recorded(|record| record["reason"] == code && record["outcome"] == "blocked").await;
        }
        let metrics = world.metrics().await;
        assert!(metrics.contains("portcullis_mask_failures_total{reason=\"encoded\"} 2"), "{metrics}");
        // Nothing to mask: no body, or no rule that applies.
        world.upstream.answer("/m/empty", Answer::new(StatusCode::NO_CONTENT));
        assert_eq!(fetch(&world, "/m/empty").await.status, 204);
        world
            .upstream
            .answer("/m/open", json(203).header("content-encoding", "gzip").chunk(vec![0x1f, 0x8b, 0xff]));
        let open = world.call(Method::GET, "/m/open", None).header("accept-encoding", "gzip");
        assert_eq!(world.send(open).await.unwrap().body, [0x1f, 0x8b, 0xff]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_is_cut_off_and_nothing_behind_the_break_gets_out() {
    let broken = records(40_000).replacen(&format!("{SECRET}-39990\""), &format!("{SECRET}-39990"), 1);
    for (number, options) in both_modes().into_iter().enumerate() {
        let world = World::start(options.policies(POLICIES)).await;
        let body = if number == 0 { broken.clone() } else { records(100).replacen("}]", "}]}", 1) };
        world.upstream.answer("/m/broken", Answer::json(body));
        let got = fetch(&world, "/m/broken").await;
        assert!(!got.text().contains(SECRET));
        if number == 0 {
            assert_eq!((got.status, got.complete), (200, false));
        } else {
            assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"));
        }
        world.recorded(|record| record["reason"] == "invalid_json").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_asked_for_what_can_be_masked() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let wishes =
        world.call(Method::GET, "/echo/a", None).header("range", "bytes=0-9").header("if-range", "\"x\"");
    let seen = world.send(wishes.header("accept-encoding", "gzip, br")).await.unwrap().json();
    assert_eq!(seen["headers"]["accept-encoding"], serde_json::json!(["identity"]));
    assert!(seen["headers"].get("range").is_none() && seen["headers"].get("if-range").is_none(), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_masked_response_do_not_pass() {
    let world = World::start(
        Options::default().policies(POLICIES).with("UPSTREAM_PROTOCOL", "http2_protocol_options"),
    )
    .await;
    let answer = Answer::json(records(1)).trailer("x-note", SECRET).trailer("x-other", "o");
    world.upstream.answer("/m/trailers", answer);
    let got =
        raw(&world, "GET /m/trailers HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n")
            .await;
    assert!(got.contains("[redacted]") && !got.contains(SECRET) && !got.contains("x-note"), "{got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_on_a_masked_route_is_refused() {
    let upgrades = "codec_type: AUTO\n                upgrade_configs: [{upgrade_type: websocket}]";
    let world = World::start(Options::default().policies(POLICIES).edit("codec_type: AUTO", upgrades)).await;
    let answer = Answer::new(StatusCode::SWITCHING_PROTOCOLS).header("upgrade", "websocket");
    world.upstream.answer("/m/socket", answer.header("connection", "upgrade").chunk(SECRET));
    let request = "GET /m/socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let got = raw(&world, request).await;
    assert!(!got.contains("101 Switching") && !got.contains(SECRET), "{got}");
}

/// A panic or failure of the masker, before and at each of the first chunks: nothing that was not masked leaves,
/// and the caller can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_masker_leaks_nothing() {
    let body = records(3_000);
    let open = |options: Options| {
        let options = options.edit("failure_mode_allow: false", "failure_mode_allow: true");
        options.edit("initial_metadata: [{key: portcullis-failure-mode, value: closed}]", "")
    };
    for options in both_modes().into_iter().chain(both_modes().map(open)) {
        let buffered = options.envoy.iter().any(|(_, value)| *value == "BUFFERED");
        let world = World::start(options.policies(POLICIES)).await;
        let answer = Answer::new(StatusCode::OK).header("content-type", "application/json");
        let mut chunks = body.as_bytes().chunks(body.len() / 6 + 1);
        let answer = chunks
            .by_ref()
            .fold(answer, |answer, chunk| answer.chunk(chunk.to_vec()).pause(Duration::from_millis(40)));
        world.upstream.answer("/m/a", answer);
        for fault in [Fault::Panic, Fault::Fail] {
            for point in [Point::MaskHead, Point::MaskChunk(0), Point::MaskChunk(1), Point::MaskChunk(2)] {
                if buffered && matches!(point, Point::MaskChunk(1..)) {
                    continue;
                }
                world.faults().set(Some((point, fault)));
                let got = fetch(&world, "/m/a").await;
                assert!(!got.text().contains(SECRET), "{point:?} {fault:?}");
                let told =
                    got.status >= 500 || !got.complete || got.text().contains("!! the rest of this response");
                assert!(told, "{point:?} {fault:?}: {} {}", got.status, got.text().len());
            }
        }
        world.faults().set(None);
        assert_eq!(fetch(&world, "/m/a").await.status, 200);
    }
}

/// The server goes away while a masked body is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_in_the_middle_of_a_masked_body_leaks_nothing() {
    let mut world = World::start(Options::default().policies(POLICIES)).await;
    let answer = Answer::new(StatusCode::OK).header("content-type", "application/x-ndjson");
    let line = |n| format!("{{\"n\":{n},\"secret\":\"{SECRET}\"}}\n");
    let answer = (0..10).fold(answer, |answer, n| answer.chunk(line(n)).pause(Duration::from_millis(200)));
    world.upstream.answer("/m/lines", answer);
    let call = world.send(world.call(Method::GET, "/m/lines", None));
    tokio::time::sleep(Duration::from_millis(700)).await;
    world.drain().await;
    let got = call.await.unwrap();
    assert!(got.text().contains("[redacted]") && !got.text().contains(SECRET), "{}", got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_stream_through() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    world.upstream.answer("/m/large", Answer::json(records(280_000)));
    let got = fetch(&world, "/m/large").await;
    assert!(got.complete && !got.text().contains(SECRET));
    assert_eq!(got.text().matches("[redacted]").count(), 280_000);
}

async fn raw(world: &World, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(world.envoy.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(3), socket.read_to_end(&mut answer)).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}
