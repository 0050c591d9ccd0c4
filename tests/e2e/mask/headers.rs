//! Headers and trailers of responses that rules name, through a real Envoy.

use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;
use serde_json::json;

use super::{MASKED, SECRET, in_buffered_mode, reveals};
use crate::decide::raw;
use crate::world::{Got, Options, World};

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
metadata: {name: headers}
spec:
  match: [{paths: ["/headers/{**}", "/echo/{**}"]}]
  rules:
    - name: named
      mask:
        - {header: Set-Cookie, with: last4}
        - {header: "x-internal-*", with: remove}
        - {header: location, detect: [email, card], with: redact}
        - {header: x-account, with: hash}
        - {header: x-envoy-upstream-service-time, with: remove}
    - {name: own, headers: {response: {set: {x-internal-set: policy}, remove: [x-account-gone], append: {set-cookie: own=1}}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: trailers}
spec:
  match: [{paths: ["/trailers/{**}"]}]
  rules:
    - name: named
      mask:
        - {trailer: x-number, with: last4}
        - {trailer: x-gone, with: remove}
        - {trailer: grpc-message, detect: [email], with: redact}
        - {trailer: grpc-status-details-bin, with: redact}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: body}
spec:
  match: [{paths: ["/body/{**}"]}]
  rules:
    - {name: named, mask: [{header: x-number, with: last4}, {header: etag, with: hash}, {trailer: x-number, with: last4}]}
    - {name: numbers, mask: [{field: "**.number", with: last4}, {detect: email, with: redact}]}
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: passed}
spec:
  match: [{paths: ["/passed/{**}"]}]
  rules: [{name: named, mask: [{header: x-number, with: last4}, {trailer: x-number, with: last4}, {field: number, with: hash, on_unmaskable: pass}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: by-code}
spec:
  match: [{paths: ["/by-code/{**}"]}]
  rules: [{name: named, when: response.code == 200, mask: [{header: x-number, with: last4}]}]
"#;

fn streamed() -> Options {
    Options::default().policies(POLICIES)
}

fn every_way() -> [Options; 3] {
    [streamed(), in_buffered_mode(streamed()), Options::both().policies(POLICIES)]
}

/// Trailers to the caller too, and from the upstream.
fn with_trailers(options: Options) -> Options {
    let trailers = "codec_type: AUTO\n                http_protocol_options: {enable_trailers: true}";
    Options { upstream_http2: true, ..options }.edit("codec_type: AUTO", trailers)
}

/// The whole answer, with its trailers.
async fn read(world: &World, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
    raw(world.envoy.address(), request.as_bytes()).await
}

fn values(got: &Got, name: &str) -> Vec<String> {
    let values = got.headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn with_headers(status: StatusCode) -> Answer {
    Answer::new(status)
        .header("set-cookie", "session=abcdefgh1234")
        .header("x-internal-id", SECRET)
        .header("set-cookie", "theme=dark-blue")
        .header("x-internal-id", SECRET)
        .header("x-internal-set", SECRET)
        .header("location", "/users?mail=ana%40example.com&card=4111111111111111")
        .header("x-account", SECRET)
        .header("x-account-gone", SECRET)
        .header("etag", "\"1\"")
        .header("x-other", "kept")
}

/// What callers may see of `with_headers`.
fn assert_masked(got: &Got, context: &str) {
    assert_eq!(values(got, "set-cookie"), ["****************1234", "***********blue", "own=1"], "{context}");
    assert_eq!(values(got, "x-internal-id"), [""; 0], "{context}");
    assert_eq!(values(got, "x-internal-set"), ["policy"], "{context}");
    assert_eq!(values(got, "location"), ["/users?mail=[email]&card=[card]"], "{context}");
    assert!(got.headers["x-account"].to_str().unwrap().starts_with("hmac:"), "{context}");
    assert_eq!(values(got, "x-envoy-upstream-service-time"), [""; 0], "{context}");
    assert_eq!(values(got, "x-other"), ["kept"], "{context}");
    assert!(!format!("{:?}", got.headers).contains(SECRET), "{context}: {got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_masked_whatever_the_body_is() {
    for options in every_way() {
        let context = format!("{:?}", options.service);
        let world = World::start(options).await;
        // No rule is about bodies: this one could not be masked, and passes byte for byte.
        let body = [b"\x1f\x8b not gzip \xff\x00".to_vec(), vec![b'x'; 200_000]].concat();
        let whole = with_headers(StatusCode::OK)
            .header("content-type", "application/json")
            .header("content-encoding", "gzip");
        world.upstream.answer("/headers/a", whole.chunks_of(50_000, body.clone()));
        let got = world.get("/headers/a", None).await;
        assert_masked(&got, &context);
        assert!(got.complete && got.status == 200 && got.body == body, "{context}");
        assert_eq!(
            (&got.headers["etag"], &got.headers["content-encoding"]),
            (&"\"1\"".parse().unwrap(), &"gzip".parse().unwrap())
        );
        for (path, status) in [
            ("/headers/b", StatusCode::NO_CONTENT),
            ("/headers/c", StatusCode::FOUND),
            ("/headers/d", StatusCode::PARTIAL_CONTENT),
        ] {
            world.upstream.answer(path, with_headers(status));
            let request = world.client.get(format!("{}{path}", world.envoy.url()));
            // The client is not to follow what it is told.
            let got = if status == StatusCode::FOUND {
                None
            } else {
                Some(Got::from(request.send().await.unwrap()).await)
            };
            let raw = read(&world, path).await;
            assert!(
                raw.starts_with(&format!("HTTP/1.1 {}", status.as_u16())) && !raw.contains(SECRET),
                "{raw}"
            );
            assert!(!raw.contains("abcdefgh") && !raw.contains("example.com"), "{context}: {raw}");
            got.iter().for_each(|got| assert_masked(got, &context));
        }
        world
            .recorded(|record| record["outcome"] == "masked" && record["masked_fields"].as_u64() >= Some(8))
            .await;
        assert!(!world.audit_text().contains(SECRET));
        assert!(world.metrics().await.contains("portcullis_masked_fields_total"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_of_headers_ask_the_upstream_for_nothing() {
    let world = World::start(streamed()).await;
    let request = world
        .post_request("/echo/a", None, "{}")
        .header("accept-encoding", "gzip, dcb")
        .header("range", "bytes=0-9");
    let seen = world.send(request).await.unwrap().json();
    assert_eq!(seen["headers"]["accept-encoding"], json!(["gzip, dcb"]), "{seen}");
    assert_eq!(seen["headers"]["range"], json!(["bytes=0-9"]), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_trailers_are_masked_with_the_body() {
    for options in [streamed(), in_buffered_mode(streamed()), Options::both().policies(POLICIES)] {
        let world = World::start(with_trailers(options)).await;
        let answer = |content_type: &str, body: String| {
            Answer::new(StatusCode::OK)
                .header("content-type", content_type)
                .header("x-number", SECRET)
                .header("etag", SECRET)
                .chunk(body)
                .trailer("x-number", SECRET)
                .trailer("x-other", SECRET)
        };
        let body = json!({"number": SECRET}).to_string();
        world.upstream.answer("/body/a", answer("application/json", body.clone()));
        let got = read(&world, "/body/a").await;
        assert!(got.starts_with("HTTP/1.1 200") && got.matches(MASKED).count() == 2, "{got}");
        // A rule about a trailer lets none pass that a masked body drops, and one about a digest brings none back.
        assert!(!got.contains("x-other") && !got.contains("etag") && !reveals(got.as_bytes()), "{got}");
        world.recorded(|record| record["outcome"] == "masked" && record["masked_fields"] == 3).await;

        world.upstream.answer("/body/b", answer("application/json", "{broken".to_owned()));
        let got = read(&world, "/body/b").await;
        assert!(!reveals(got.as_bytes()), "{got}");
        // The body passes by choice; headers and trailers are masked all the same.
        world.upstream.answer("/passed/a", answer("text/html", "<p>".to_owned()));
        let got = read(&world, "/passed/a").await;
        assert!(got.contains("<p>") && got.matches(MASKED).count() == 2, "{got}");
        assert_eq!(got.matches(SECRET).count(), 2, "no rule names the others: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_masked_without_a_body_rule() {
    for options in every_way() {
        let context = format!("{:?}", options.service);
        let world = World::start(with_trailers(options)).await;
        let body = "<html> of no kind that can be masked".repeat(5_000);
        let answer =
            Answer::new(StatusCode::OK).header("content-type", "text/html").header("x-number", "header");
        let answer = answer.chunks_of(9_000, body.clone().into_bytes());
        let trailed = answer
            .trailer("x-number", SECRET)
            .trailer("x-number", "1234567890123456")
            .trailer("x-gone", SECRET)
            .trailer("x-other", "kept");
        world.upstream.answer("/trailers/a", trailed);
        let got = read(&world, "/trailers/a").await;
        for expected in [
            &format!("x-number: {MASKED}"),
            "x-number: ************3456",
            "x-other: kept",
            "x-number: header",
        ] {
            assert!(got.contains(expected), "{context}: {expected} in {}", &got[got.len() - 600..]);
        }
        assert!(!got.contains("x-gone") && !reveals(got.as_bytes()), "{context}");
        assert_eq!(got.matches("<html>").count(), 5_000, "{context}");
        world.recorded(|record| record["outcome"] == "masked" && record["masked_fields"] == 3).await;

        // None come: nothing is owed.
        world.upstream.answer("/trailers/b", Answer::json(body.clone()));
        let got = world.get("/trailers/b", None).await;
        assert!(got.complete && got.text() == body, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_grpc_is_masked_also_without_messages() {
    for options in [streamed(), Options::both().policies(POLICIES)] {
        let context = format!("{:?}", options.service);
        let world = World::start(with_trailers(options)).await;
        let grpc = || Answer::new(StatusCode::OK).header("content-type", "application/grpc");
        let message = "no caf%C3%A9 of ana%40example.com";
        let trailed = grpc()
            .chunk(vec![0, 0, 0, 0, 0])
            .trailer("grpc-status", "5")
            .trailer("grpc-message", message)
            .trailer("grpc-status-details-bin", SECRET);
        world.upstream.answer("/trailers/Get", trailed);
        let alone = grpc()
            .header("grpc-status", "5")
            .header("grpc-message", message)
            .header("grpc-status-details-bin", SECRET)
            .header("x-number", SECRET);
        world.upstream.answer("/trailers/Alone", alone.clone());
        // What looks everywhere in bodies looks into the message too.
        world.upstream.answer("/body/Alone", alone);
        for path in ["/trailers/Get", "/trailers/Alone", "/body/Alone"] {
            let got = read(&world, path).await;
            assert!(got.contains("grpc-status: 5\r\n"), "{context} {path}: {got}");
            assert!(got.contains("grpc-message: no caf%C3%A9 of [email]\r\n"), "{context} {path}: {got}");
            assert!(!got.contains("details-bin") && !reveals(got.as_bytes()), "{context} {path}: {got}");
        }
        // The trailers of gRPC-web are in the body, which nobody looks into.
        let web = Answer::new(StatusCode::OK).header("content-type", "application/grpc-web+proto");
        world.upstream.answer("/trailers/Web", web.chunk(format!("x-number: {SECRET}")));
        let got = read(&world, "/trailers/Web").await;
        assert!(got.starts_with("HTTP/1.1 502") && !reveals(got.as_bytes()), "{context}: {got}");
        world.recorded(|record| record["reason"] == "trailers_in_body").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_of_headers_can_depend_on_the_response() {
    for options in every_way() {
        let context = format!("{:?}", options.service);
        let world = World::start(options).await;
        let answer = |status| Answer::new(status).header("x-number", SECRET).chunk("{}");
        world.upstream.answer("/by-code/a", answer(StatusCode::OK));
        world.upstream.answer("/by-code/b", answer(StatusCode::NOT_FOUND));
        for (path, expected) in [("/by-code/a", MASKED), ("/by-code/b", SECRET)] {
            assert_eq!(values(&world.get(path, None).await, "x-number"), [expected], "{context}");
        }
    }
}

/// By ext_authz nobody sees the response.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_headers_must_be_masked_is_denied_by_ext_authz_alone() {
    let world = World::start(Options::ext_authz().policies(POLICIES)).await;
    world.upstream.answer("/headers/a", with_headers(StatusCode::OK));
    let got = world.get("/headers/a", None).await;
    assert_eq!((got.status, got.error().as_str()), (403, "mask_unavailable"));
    assert_eq!(world.upstream.calls(), 0);
}

/// The policies that release a held call may mask what those of its arrival did not.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_is_masked_as_the_policies_of_its_release_say() {
    let held = |mask: &str| {
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  match: [{{paths: [\"/held\"]}}]\n  \
             rules:\n    - {{name: ask, hold: {{approvers: {{groups: [finance-oncall]}}, wait: 20s}}}}\n    - {{name: masks, mask: [{mask}]}}\n"
        )
    };
    let world = World::start(Options::default().policies(&held("{header: x-number, with: last4}"))).await;
    let answer = Answer::json(json!({"number": SECRET}).to_string()).header("x-number", SECRET);
    world.upstream.answer("/held", answer);
    let call = world.send(world.post_request("/held", Some("ana"), "{}"));
    let [id] = world.pending(1).await.try_into().unwrap();
    let both = held("{header: x-number, with: last4}, {field: number, with: last4}");
    std::fs::write(world.folder.path().join("policies/test.yaml"), both).unwrap();
    world.reload().await;
    assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
    let got = call.await.unwrap();
    assert!(!reveals(&got.body) && !reveals(format!("{got:?}").as_bytes()), "{got:?} {}", got.text());
    assert_eq!((got.status, got.json()), (200, json!({"number": MASKED})), "{got:?}");
}
