//! Bodies that can't be masked, where rules choose otherwise than to block them; and the key of hashes.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use portcullis_sample::upstream::Answer;
use reqwest::StatusCode;
use serde_json::json;

use super::encoded::gunzip;
use super::{SECRET, modes, reveals};
use crate::world::{Options, World};

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
metadata: {name: redacted}
spec:
  match: [{paths: ["/redact/{**}", "/both/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: last4, on_unmaskable: redact_all}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: passed}
spec:
  match: [{paths: ["/pass/{**}", "/both/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: last4, on_unmaskable: pass}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: hashed}
spec:
  match: [{paths: ["/hash/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: hash}]}]
"#;

fn all_modes() -> [Options; 3] {
    modes().map(|options| options.policies(POLICIES))
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let answer = Answer::new(StatusCode::from_u16(status).unwrap()).header("etag", "x");
    let answer = answer.chunk(body.replace('S', SECRET));
    headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value))
}

const JSON: (&str, &str) = ("content-type", "application/json");
const BROKEN: &str = "not json: S";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_can_not_be_masked_is_replaced_as_a_whole_where_its_rule_says_so() {
    for options in all_modes() {
        let world = World::start(options).await;
        let html = ("content-type", "text/html");
        let packed = ("content-encoding", "compress");
        for (path, status, headers, body, content_type, text) in [
            ("/redact/a", 500, vec![html], "<b>S</b>", "text/plain; charset=utf-8", "[redacted]"),
            ("/redact/a", 200, vec![], "S", "text/plain; charset=utf-8", "[redacted]"),
            ("/redact/a", 200, vec![JSON, packed], "S", "application/json", "\"[redacted]\""),
            ("/redact/a", 200, vec![JSON], BROKEN, "application/json", "\"[redacted]\""),
            // Of `pass` and `redact_all` the stricter counts.
            ("/both/a", 200, vec![JSON], BROKEN, "application/json", "\"[redacted]\""),
            ("/both/a", 200, vec![html], "<b>S</b>", "text/plain; charset=utf-8", "[redacted]"),
        ] {
            world.upstream.answer(path, answer(status, &headers, body));
            let got = world.get(path, None).await;
            assert_eq!((got.status, got.text().as_str(), got.complete), (status, text, true), "{headers:?}");
            assert_eq!(got.headers["content-type"], content_type, "{headers:?}");
            assert_eq!(got.headers["cache-control"], "private");
            for name in ["content-encoding", "etag"] {
                assert!(!got.headers.contains_key(name), "{headers:?} {name}");
            }
        }
        let metrics = world.metrics().await;
        for (reason, count) in [("unknown_format", 3), ("unknown_encoding", 1), ("invalid_json", 2)] {
            let line = format!("portcullis_mask_failures_total{{reason=\"{reason}\"}} {count}");
            assert!(metrics.contains(&line), "{line}\n{metrics}");
        }
        let record = world.recorded(|record| record["reason"] == "invalid_json").await;
        assert_eq!((&record["kind"], &record["outcome"]), (&"response".into(), &"redacted".into()));
        assert!(!world.audit().iter().any(|record| record["outcome"] == "masked"));
        // What can be masked is masked.
        world.upstream.answer("/both/a", Answer::json(json!({"number": SECRET}).to_string()));
        assert_eq!(world.get("/both/a", None).await.json(), json!({"number": super::MASKED}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_text_in_its_place_is_blocked() {
    for options in all_modes() {
        let world = World::start(options).await;
        for (status, headers) in [
            (206, vec![JSON]),
            (200, vec![JSON, ("content-range", "bytes 0-9/10")]),
            (200, vec![("content-type", "application/grpc")]),
        ] {
            world.upstream.answer("/redact/a", answer(status, &headers, "{\"number\":\"S\"}"));
            let got = world.get("/redact/a", None).await;
            assert_eq!((got.status, got.error().as_str()), (502, "unmaskable"), "{status} {headers:?}");
            assert!(!reveals(&got.body));
        }
        world.recorded(|record| record["outcome"] == "blocked").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_replaced_in_its_encoding() {
    for options in all_modes() {
        let world = World::start(options).await;
        world.upstream.answer("/redact/a", answer(200, &[JSON, ("content-encoding", "gzip")], "not gzip: S"));
        let got = world.get("/redact/a", None).await;
        assert_eq!((got.status, got.complete), (200, true));
        assert_eq!(got.headers["content-encoding"], "gzip");
        assert_eq!(gunzip(&got.body), "\"[redacted]\"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_which_a_part_is_out_is_cut_off_and_a_buffered_one_is_replaced() {
    let chunks = |pause| {
        let answer = Answer::new(StatusCode::OK).header("content-type", "application/x-ndjson");
        let line = format!("{{\"number\":\"{SECRET}\"}}\n");
        answer.chunk(line).pause(pause).chunk(BROKEN.replace('S', SECRET)).chunk("\nmore")
    };
    for (path, text) in [("/redact/a", "\"[redacted]\"\n"), ("/pass/a", "")] {
        let world = World::start(all_modes().into_iter().next().unwrap()).await;
        world.upstream.answer(path, chunks(Duration::from_millis(300)));
        let got = world.get(path, None).await;
        assert!(!got.complete && !reveals(&got.body), "{path}: {} {}", got.status, got.text());
        world.recorded(|record| record["outcome"] == "blocked" && record["reason"] == "invalid_json").await;

        let world = World::start(all_modes().into_iter().last().unwrap()).await;
        world.upstream.answer(path, chunks(Duration::ZERO));
        let got = world.get(path, None).await;
        assert!(got.complete && got.status == 200);
        assert_eq!(reveals(&got.body), text.is_empty(), "{path}: {}", got.text());
        assert!(text.is_empty() || got.text() == text, "{path}: {}", got.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_can_not_be_masked_passes_where_its_rule_says_so_and_that_is_on_record() {
    for options in all_modes() {
        let world = World::start(options).await;
        for (headers, body) in [
            (vec![("content-type", "text/html")], "<b>S</b>"),
            (vec![JSON, ("content-encoding", "compress")], "S"),
            (vec![JSON], BROKEN),
        ] {
            world.upstream.answer("/pass/a", answer(200, &headers, body));
            let got = world.get("/pass/a", None).await;
            assert_eq!((got.status, got.text(), got.complete), (200, body.replace('S', SECRET), true));
            assert_eq!(got.headers["cache-control"], "private");
            for (name, value) in headers {
                assert_eq!(got.headers[name], value);
            }
        }
        for reason in ["unknown_format", "unknown_encoding", "invalid_json"] {
            let record = world.recorded(|record| record["reason"] == reason).await;
            assert_eq!(record["outcome"], "passed_unmasked");
            let line = format!("portcullis_mask_failures_total{{reason=\"{reason}\"}} 1");
            assert!(world.metrics().await.contains(&line), "{line}");
        }
        assert!(!world.audit_text().contains(SECRET));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_key_of_hashes_and_a_bad_key_changes_nothing() {
    let config = "mask: {hash_keys: [{id: one, file: handover.key}]}";
    let world = World::start(Options { config, ..Options::default() }.policies(POLICIES)).await;
    world.upstream.answer("/hash/a", Answer::json(json!({"number": SECRET}).to_string()));
    let key = |name: &str, bytes: &[u8], mode| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    key("two.key", &[2; 32], 0o600);
    key("open.key", &[3; 32], 0o644);
    let hashed = async || world.get("/hash/a", None).await.json()["number"].as_str().unwrap().to_owned();
    let reload = async |keys: &str| {
        let file = world.folder.path().join("portcullis.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let begin = text.find("hash_keys: [").unwrap() + "hash_keys: [".len();
        let end = begin + text[begin..].find(']').unwrap();
        std::fs::write(&file, format!("{}{keys}{}", &text[..begin], &text[end..])).unwrap();
        world.reload().await;
    };
    let first = hashed().await;
    assert!(first.starts_with("hmac:one:"), "{first}");
    reload("{id: two, file: two.key}, {id: one, file: handover.key}").await;
    let second = hashed().await;
    assert!(second.starts_with("hmac:two:") && second[9..] != first[9..], "{second}");
    for bad in [
        "{id: three, file: open.key}",
        "{id: three, file: absent.key}",
        "{id: three, file: two.key}, {id: two, file: two.key}",
    ] {
        reload(bad).await;
        assert_eq!(hashed().await, second, "{bad}");
    }
    reload("{id: one, file: handover.key}").await;
    assert_eq!(hashed().await, first, "the same value, under the same key");
}
