//! Whatever fails inside, nothing gets through: also where the operator told Envoy to fail open.

use portcullis::engine::fault::{Fault, Point};
use reqwest::Method;

use crate::world::{Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: all}
spec:
  match: [{paths: ["/{**}"]}]
  rules:
    - {name: everybody, when: 'request.method == "GET"', allow: {}}
    - name: broken
      when: 'request.method == "PATCH" && request.headers["x-absent"] == "1"'
      allow: {}
    - {name: held, when: 'request.method == "DELETE"', hold: {approvers: {groups: [finance-oncall]}, wait: 10s}}
"#;

const DECIDING: [Point; 3] = [Point::Authenticate, Point::Evaluate, Point::Record];

async fn nothing_gets_through(options: Options) {
    let options = options.policies(POLICIES).edit("failure_mode_allow: false", "failure_mode_allow: true");
    let options = options.edit_config("policies:", "limits: {decision_timeout: 300ms}\npolicies:");
    let world = World::start(options).await;
    assert_eq!(world.get("/echo/a", None).await.status, 200);
    let let_through = world.upstream.calls();
    for point in DECIDING {
        for fault in [Fault::Panic, Fault::Fail, Fault::Hang] {
            world.faults().set(Some((point, fault)));
            let got = world.get("/echo/a", None).await;
            assert!(
                got.status == 403 || got.status == 503,
                "{point:?} {fault:?}: {} {}",
                got.status,
                got.text()
            );
        }
    }
    world.faults().set(None);
    let unevaluated = world.send(world.call(Method::PATCH, "/echo/a", None)).await.unwrap();
    assert_eq!((unevaluated.status, unevaluated.error().as_str()), (403, "condition_error"));
    for fault in [Fault::Panic, Fault::Fail] {
        // A key of its own: else the second round is a retry of the first.
        let delete = || {
            let call = world.call(Method::DELETE, "/echo/a", Some("ana"));
            world.send(call.header("idempotency-key", format!("{fault:?}")))
        };
        world.faults().set(Some((Point::OpenApproval, fault)));
        let got = delete().await.unwrap();
        assert!(got.status >= 403, "{fault:?}: {}", got.text());
        world.faults().set(Some((Point::Release, fault)));
        let held = delete();
        let [id] = world.pending(1).await.try_into().unwrap();
        assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
        let got = held.await.unwrap();
        assert!(got.status >= 403, "{fault:?}: {}", got.text());
        // What was approved and not consumed is there for the next try.
        world.faults().set(None);
        assert_eq!(delete().await.unwrap().status, 200);
    }
    assert_eq!(world.upstream.calls(), let_through + 2);
    let metrics = world.metrics().await;
    assert!(metrics.contains("reason=\"internal_error\"} "), "{metrics}");
    assert_eq!(world.get("/echo/a", None).await.status, 200, "and it serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_internal_error_becomes_an_allow_by_ext_authz() {
    nothing_gets_through(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_internal_error_becomes_an_allow_by_ext_proc() {
    nothing_gets_through(Options::default()).await;
}

/// With `required`, an answer that is not on record does not leave.
#[tokio::test(flavor = "multi_thread")]
async fn required_audit_denies_what_it_cannot_record() {
    let world =
        World::start(Options { audit_mode: "required", ..Options::default() }.policies(POLICIES)).await;
    assert_eq!(world.get("/echo/a", None).await.status, 200);
    world.recorded(|record| record["outcome"] == "allow").await;
    world.faults().set(Some((Point::Record, Fault::Fail)));
    let got = world.get("/echo/a", None).await;
    assert_eq!((got.status, got.error().as_str()), (503, "audit_unavailable"));
    assert_eq!(world.upstream.calls(), 1);
}

/// A Check that does not decode gets a gRPC error, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_decode_is_an_error_and_counted() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let address = world.server.as_ref().unwrap().addresses.grpc.unwrap();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for body in [&b"\0\0\0\0\x03\xff\xff\xff"[..], b"\0\0\0\0\x04\x0a\xff\xff\xff", b"\0\xff\xff\xff\xff"] {
        let answer = client
            .post(format!("http://{address}/envoy.service.auth.v3.Authorization/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert!(status.is_some_and(|status| status != "0"), "{body:?}");
    }
    let metrics = world.metrics().await;
    let counted = metrics.lines().filter(|line| {
        line.starts_with("grpc_server_handled_total")
            && line.contains("\"Check\"")
            && !line.contains("\"OK\"")
    });
    let count: u32 = counted.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum();
    assert_eq!(count, 3, "{metrics}");
}
