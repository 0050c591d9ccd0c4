//! Masked responses: what of a body reaches the caller, in every body mode.
//!
//! `blocked` has the responses that can't be masked, `chosen` those that are not blocked for it, `encoded` other bodies than plain JSON,
//! `streaming` bodies in pieces, `duplex` what only FULL_DUPLEX_STREAMED can, `failing` failures of ours, `headers` headers and trailers,
//! `late` bodies that take too long.

mod blocked;
mod chosen;
mod duplex;
mod encoded;
mod failing;
mod headers;
mod late;
mod streaming;

use portcullis_sample::upstream::{Answer, CARD_NUMBERS};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{Options, World};

/// Every five digits of it in a row are its own, so that a fragment gives it away.
const SECRET: &str = "4929381705628341";
const MASKED: &str = "************8341";

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: everything}
spec:
  match: [{paths: ["/{**}"]}]
  rules: [{name: everybody, allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masked}
spec:
  match: [{paths: ["/masked/{**}", "/echo/{**}", "/v1/reports/large"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: last4}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: looked-into}
spec:
  match: [{paths: ["/looked-into/{**}"]}]
  rules: [{name: cards, mask: [{detect: [card, email], with: redact}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: strings}
spec:
  match: [{paths: ["/strings/{**}"]}]
  rules: [{name: numbers, mask: [{field: "events.payload[json].card.number", with: last4}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: by-code}
spec:
  match: [{paths: ["/by-code/{**}"]}]
  rules: [{name: numbers, when: response.code == 200, mask: [{field: "**.number", with: last4}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: by-body}
spec:
  match: [{paths: ["/v1/refunds"]}]
  rules: [{name: numbers, when: request.body.full != true, mask: [{field: "**.number", with: last4}]}]
"#;

fn streamed() -> Options {
    Options::default().policies(POLICIES)
}

fn buffered() -> Options {
    in_buffered_mode(streamed())
}

const FULL_DUPLEX: &str = "mask: {response_body: full_duplex_streamed}\n";

fn full_duplex() -> Options {
    Options { config: FULL_DUPLEX, ..streamed() }
}

/// Every mode that shows whole bodies.
fn modes() -> [Options; 3] {
    [streamed(), full_duplex(), buffered()]
}

fn in_buffered_mode(options: Options) -> Options {
    options
        .edit("response_body_mode: NONE", "response_body_mode: BUFFERED")
        .edit("response_header_mode: SKIP", "response_header_mode: SEND")
}

/// Whether any part of what `last4` hides is there.
fn reveals(body: &[u8]) -> bool {
    let hidden = &SECRET.as_bytes()[..12];
    hidden.windows(5).any(|part| body.windows(part.len()).any(|window| window == part))
}

async fn cards_are_masked(options: Options) {
    let world = World::start(options).await;
    let orders = world.get("/v1/orders", Some("ana")).await;
    assert_eq!(orders.status, 200, "{}", orders.text());
    assert_eq!(orders.json()["orders"][0]["customer"]["card"]["number"], "************1111");
    assert_eq!(orders.json()["orders"][0]["customer"]["name"], "Ana Torres");

    // The same body again, with all that describes its bytes.
    let body =
        json!({"orders": [{"card": {"number": CARD_NUMBERS[0]}}, {"card": {"number": CARD_NUMBERS[1]}}]});
    let stale =
        ["etag", "digest", "content-digest", "repr-digest", "content-md5", "accept-ranges", "last-modified"];
    let answer = Answer::json(body.to_string());
    world.upstream.answer("/v1/orders", stale.iter().fold(answer, |answer, name| answer.header(name, "x")));
    let again = world.get("/v1/orders", Some("ana")).await;
    assert_eq!(again.json()["orders"][1]["card"]["number"], "************4444");
    for name in stale {
        assert!(!again.headers.contains_key(name), "{name}");
    }
    for got in [&orders, &again] {
        assert!(got.complete);
        let length = got.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
        assert!(length.is_none_or(|length| length == got.body.len().to_string()));
    }

    let record = world.recorded(|record| record["masked_fields"] == 4).await;
    assert_eq!((&record["kind"], &record["outcome"]), (&"response".into(), &"masked".into()), "{record}");
    world.recorded(|record| record["masked_fields"] == 2).await;
    let metrics = world.metrics().await;
    assert!(metrics.contains("portcullis_masked_fields_total 6"), "{metrics}");
    for text in [orders.text(), again.text(), world.audit_text(), metrics] {
        assert!(CARD_NUMBERS.iter().all(|number| !text.contains(number)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_masked_in_streamed_bodies() {
    cards_are_masked(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_masked_in_full_duplex() {
    cards_are_masked(Options { config: FULL_DUPLEX, ..Options::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_masked_in_buffered_bodies() {
    cards_are_masked(in_buffered_mode(Options::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_decides_whether_its_response_is_masked() {
    for options in modes() {
        let world = World::start(options).await;
        let body = json!({"number": SECRET}).to_string();
        world.upstream.answer("/v1/refunds", Answer::json(body.clone()));
        let full = world.post("/v1/refunds", None, "{\"full\": true}").await;
        assert_eq!((full.status, full.text()), (200, body));
        let masked = world.post("/v1/refunds", None, "{\"full\": false}").await;
        assert_eq!(masked.json(), json!({"number": MASKED}));
        for unclear in ["{}", "not json", "{\"full\": false, \"full\": true}", ""] {
            let got = world.post("/v1/refunds", None, unclear).await;
            assert!(!reveals(&got.body), "{unclear}: {}", got.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_can_depend_on_the_response() {
    for options in modes() {
        let world = World::start(options).await;
        let body = json!({"number": SECRET}).to_string();
        world.upstream.answer("/by-code/a", Answer::json(body.clone()));
        assert_eq!(world.get("/by-code/a", None).await.json(), json!({"number": MASKED}));
        // Not for this rule: byte for byte, whatever it is.
        let packed: &[u8] = b"\x1f\x8b\x08\x00 \"number\": not even JSON \xff\x00";
        for (path, bytes, encoding) in
            [("/by-code/b", body.as_bytes(), "identity"), ("/by-code/c", packed, "gzip")]
        {
            let answer = Answer::new(StatusCode::NOT_FOUND).header("content-type", "application/json");
            let answer =
                answer.header("content-encoding", encoding).header("etag", "x").chunk(bytes.to_vec());
            world.upstream.answer(path, answer);
            let got = world.get(path, None).await;
            assert_eq!((got.status, got.body.as_slice(), got.complete), (404, bytes, true));
            assert_eq!(
                (&got.headers["etag"], &got.headers["content-encoding"]),
                (&"x".parse().unwrap(), &encoding.parse().unwrap())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_pass() {
    for options in modes() {
        let world = World::start(options).await;
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            world.upstream.answer("/masked/a", Answer::new(status).header("x-kept", "1"));
            let got = world.get("/masked/a", None).await;
            assert_eq!((got.status, got.body.len(), got.complete), (status.as_u16(), 0, true));
            assert_eq!(got.headers["x-kept"], "1");
        }
        world.upstream.answer("/masked/a", Answer::json(json!({"number": SECRET}).to_string()));
        let head = world.send(world.call(Method::HEAD, "/masked/a", None)).await.unwrap();
        assert_eq!((head.status, head.body.len(), head.complete), (200, 0, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_asked_for_what_can_be_masked() {
    // Also where the verdict waits for the request's body.
    for options in
        [streamed(), full_duplex(), streamed().edit("path: \"/v1/refunds\"", "path_separated_prefix: /echo")]
    {
        let world = World::start(options).await;
        let request = world.post_request("/echo/a", None, "{}");
        let request = request
            .header("range", "bytes=0-9")
            .header("if-range", "x")
            .header("accept-encoding", "gzip, br");
        let got = world.send(request).await.unwrap();
        let seen = got.json();
        assert_eq!(seen["headers"]["accept-encoding"], json!(["identity"]), "{seen}");
        assert!(
            seen["headers"].get("range").is_none() && seen["headers"].get("if-range").is_none(),
            "{seen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_field_escapes() {
    for options in modes() {
        let world = World::start(options).await;
        for (body, masked) in [
            (r#"{"number":"S","number":"S"}"#, r#"{"number":"M","number":"M"}"#),
            (r#"{"\u006eumber":"S","n\u0075mber" : "S"}"#, r#"{"\u006eumber":"M","n\u0075mber" : "M"}"#),
            (r#"{"number":"\u0034929381705628341"}"#, r#"{"number":"M"}"#),
            (r#"[[{"a":{"number":["S"]}}]]"#, r#"[[{"a":{"number":"****"}}]]"#),
            (r#"{"number":S}"#, r#"{"number":"M"}"#),
        ] {
            world.upstream.answer("/masked/a", Answer::json(body.replace('S', SECRET)));
            let got = world.get("/masked/a", None).await;
            assert_eq!(got.text(), masked.replace('M', MASKED), "{body}");
        }
    }
}
