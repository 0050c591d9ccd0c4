//! What the generated configuration shows of request bodies: every byte, where a rule reads them, and nothing elsewhere.

use std::io::Write as _;

use portcullis::proxy::config::Service;
use reqwest::Method;

use crate::world::{Options, World};

/// A rule reads what is sent to `/v1/refunds`, and nothing of what is sent elsewhere.
const READS: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules: [{name: whole, when: size(request.raw_body) > 3, allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: others}
spec:
  rules: [{name: others, when: request.url_path != "/v1/refunds", allow: {}}]
"#;

const SERVICES: [Service; 3] = [Service::ExtAuthz, Service::ExtProc, Service::Both];

async fn world(service: Service) -> World {
    World::start(Options { service, ..Options::default() }.policies(READS)).await
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_read_bodies_of_any_bytes() {
    let bodies: [(&str, Vec<u8>); 4] = [
        ("an exclamation mark", br#"{"note": "thanks!"}"#.to_vec()),
        ("text beyond ASCII", r#"{"note": "merci, é"}"#.into()),
        ("gzip", gzip(br#"{"amount": 5}"#)),
        ("bytes that are not UTF-8", (0..=255).collect()),
    ];
    for service in SERVICES {
        let world = world(service).await;
        for (number, (what, body)) in (1..).zip(&bodies) {
            let call = world.call(Method::POST, "/v1/refunds", None).body(body.clone());
            let status = call.send().await.unwrap().status();
            assert_eq!(world.upstream.calls_to("/v1/refunds"), number, "{service:?}: {what}: {status}");
        }
    }
}

/// A body above the limit is refused where it has to be shown: elsewhere nobody waits for its end.
#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_body_no_rule_reads_do_not_wait_for_it() {
    for service in SERVICES {
        let world = world(service).await;
        let large = vec![b'a'; 3 << 20];
        for path in ["/v1/refunds", "/v1/notes"] {
            // Whoever is refused early may not get to read the answer.
            world.call(Method::POST, path, None).body(large.clone()).send().await.ok();
        }
        assert_eq!((world.upstream.calls_to("/v1/refunds"), world.upstream.calls_to("/v1/notes")), (0, 1));
    }
}
