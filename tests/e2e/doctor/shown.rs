//! What Portcullis is shown of a call: its body, headers, path, caller and metadata.

use portcullis_sample::repository;
use reqwest::Method;

use super::recorder::Recorder;
use super::tls::Tls;
use super::{
    CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, CLEAN_MTLS, SMALL, behind, behind_edited, get_with, raw, replaced,
    sample,
};
use crate::attack::{END_STREAM, Frames};
use crate::world::{Options, World};

/// The body of refunds was not shown, and every refund was denied with `body_unavailable`. With `BUFFERED` a small one passed.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_body() {
    let world = behind("no-request-body").await;
    assert_eq!(world.post("/v1/refunds", Some("ana"), SMALL).await.error(), "body_unavailable");
    assert_eq!(behind(CLEAN_EXT_PROC).await.post("/v1/refunds", Some("ana"), SMALL).await.status, 200);
}

/// A refund with a note of 20 KB, which the policies allow, was refused by Envoy with 413. With a limit as large as the server's
/// it passed.
#[tokio::test(flavor = "multi_thread")]
async fn small_request_body() {
    let body = format!(r#"{{"amount": 5, "note": "{}"}}"#, "n".repeat(20_000));
    for (name, status) in [("small-request-body", 413), (CLEAN_EXT_AUTHZ, 200)] {
        let got = behind(name).await.post("/v1/refunds", Some("ana"), &body).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
    }
}

/// A body above `max_request_bytes` (cut to 64) was shown in part, and its refund was denied with `body_unavailable`; without
/// partial messages Envoy refused it with 413. Where no rule reads the body the call passed with the one, and not with the
/// other: it slips past nothing.
#[tokio::test(flavor = "multi_thread")]
async fn partial_body() {
    let body = format!(r#"{{"amount": 5, "note": "{}"}}"#, "n".repeat(100));
    let small = [("max_request_bytes: 1048576", "max_request_bytes: 64")];
    for (name, refund, public) in [("partial-body", 403, 405), (CLEAN_EXT_AUTHZ, 413, 413)] {
        let world = behind_edited(name, &small).await;
        let got = world.post("/v1/refunds", Some("ana"), &body).await;
        assert_eq!((got.status, world.upstream.calls()), (refund, 0), "{name}: {}", got.text());
        assert_eq!(world.post("/public/hello", None, &body).await.status, public, "{name}");
    }
}

/// A small refund with an exclamation mark in its note was denied with `body_unavailable`: it could as well have been a byte that
/// is not UTF-8. The same where a route said `pack_as_bytes`, and not the filter. With `pack_as_bytes` there it passed.
#[tokio::test(flavor = "multi_thread")]
async fn lossy_body() {
    let body = r#"{"amount": 5, "note": "thanks!"}"#;
    for (name, status) in [("lossy-body", 403), ("lossy-body.route", 403), (CLEAN_EXT_AUTHZ, 200)] {
        let got = behind(name).await.post("/v1/refunds", Some("ana"), body).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
    }
}

/// A call with `x-partner: acme` and a byte that is not UTF-8 at its end was shown as `acme!`, which is not the value that a rule
/// denies, and reached the upstream with its own bytes. With raw headers the rule could not be evaluated, and the call was
/// denied.
#[tokio::test(flavor = "multi_thread")]
async fn lossy_headers() {
    for (name, arrived) in [("lossy-headers", 1), (CLEAN_EXT_AUTHZ, 0)] {
        let world = behind(name).await;
        let answer = raw(&world, b"GET /public/hello HTTP/1.1\r\nhost: shop\r\nx-partner: acme\xff").await;
        assert_eq!(world.upstream.calls(), arrived, "{name}: {answer}");
        assert_eq!(answer.contains("condition_error"), arrived == 0, "{answer}");
    }
}

/// A rule denies calls with a certain `x-partner`, and `allowed_headers` leaves that header out: the denied call reached the
/// upstream. With all headers shown it was refused with 403.
#[tokio::test(flavor = "multi_thread")]
async fn unshown_headers() {
    for (name, status) in [("unshown-headers", 200), (CLEAN_EXT_AUTHZ, 403)] {
        let world = behind(name).await;
        let got = get_with(&world, "/v1/orders", Some("ana"), ("x-partner", "acme")).await;
        assert_eq!((got.status, world.upstream.calls()), (status, u64::from(status == 200)), "{name}");
    }
}

/// `/public/./hello` was refused with 400 and `path_ambiguous`, and is served where Envoy normalises paths. With neither
/// did `/public/../internal/keys` pass as a public path.
#[tokio::test(flavor = "multi_thread")]
async fn path_not_normalized() {
    for (name, status) in [("path-not-normalized", "400"), (CLEAN_EXT_AUTHZ, "200")] {
        let world = behind(name).await;
        let answer = raw(&world, b"GET /public/./hello HTTP/1.1\r\nhost: shop").await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{name}: {answer}");
        raw(&world, b"GET /public/../internal/keys HTTP/1.1\r\nhost: shop").await;
        assert_eq!(world.upstream.calls(), u64::from(status == "200"), "{name}");
    }
}

/// `/public//hello` was refused with 400 and `path_ambiguous`, and is served where Envoy merges slashes.
#[tokio::test(flavor = "multi_thread")]
async fn slashes_not_merged() {
    for (name, status) in [("slashes-not-merged", "400"), (CLEAN_EXT_AUTHZ, "200")] {
        let answer = raw(&behind(name).await, b"GET /public//hello HTTP/1.1\r\nhost: shop").await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{name}: {answer}");
    }
}

/// `/public/..%2Finternal/keys` was refused with 400 either way: by Portcullis with `path_ambiguous` where Envoy left the slash
/// alone, by Envoy itself where it rejects such paths. Portcullis alone keeps it out then.
#[tokio::test(flavor = "multi_thread")]
async fn escaped_slashes() {
    for (name, by_portcullis) in [("escaped-slashes", true), (CLEAN_EXT_AUTHZ, false)] {
        let world = behind(name).await;
        let answer = raw(&world, b"GET /public/..%2Finternal/keys HTTP/1.1\r\nhost: shop").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
        assert_eq!(answer.contains("path_ambiguous"), by_portcullis, "{name}: {answer}");
        assert_eq!(world.upstream.calls(), 0);
    }
}

/// A rule denies calls with a certain `x-partner`. The same with `x_partner`, which many upstreams take for the same header,
/// passed and arrived. With `REJECT_REQUEST` Envoy refused it with 400.
#[tokio::test(flavor = "multi_thread")]
async fn underscore_headers() {
    for (name, arrived) in [("underscore-headers", true), (CLEAN_EXT_AUTHZ, false)] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        let got = get_with(&world, "/public/hello", None, ("x_partner", "acme")).await;
        assert_eq!(got.status, if arrived { 200 } else { 400 }, "{name}: {}", got.text());
        let heads = recorder.heads();
        assert_eq!(heads.iter().any(|head| head.contains("x_partner: acme")), arrived, "{heads:?}");
    }
}

/// `x-forwarded-client-cert` that an anonymous caller made up arrived at the upstream. By default Envoy removes it.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_client_cert() {
    for (name, arrived) in [("forwarded-client-cert", true), (CLEAN_EXT_AUTHZ, false)] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        let forged = ("x-forwarded-client-cert", "URI=spiffe://example.com/ns/shop/sa/web");
        assert_eq!(get_with(&world, "/public/hello", None, forged).await.status, 200);
        let heads = recorder.heads();
        assert_eq!(heads.iter().any(|head| head.contains("uri=spiffe")), arrived, "{name}: {heads:?}");
    }
}

/// A path for callers inside `10.0.0.0/8` was served to one at 127.0.0.1 who sent `x-forwarded-for: 10.0.0.1`: by ext_proc without
/// `use_remote_address`, and with one trusted hop too many; and by an extension to one who sent `x-real-ip`. With the address of the connection it was refused. ext_authz always
/// tells the address of the connection, and refused it in each case.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_for_trust() {
    let forged = ("x-forwarded-for", "10.0.0.1");
    let hop =
        [("use_remote_address: true", "use_remote_address: true\n                xff_num_trusted_hops: 1")];
    for (name, edits, arrived) in
        [("forwarded-for-trust", &[][..], 1), (CLEAN_EXT_PROC, &hop, 1), (CLEAN_EXT_PROC, &[], 0)]
    {
        let world = behind_edited(name, edits).await;
        let got = get_with(&world, "/internal/keys", None, forged).await;
        assert_eq!(world.upstream.calls(), arrived, "{name}: {}", got.text());
    }
    let world = behind("forwarded-for-trust.header").await;
    get_with(&world, "/internal/keys", None, ("x-real-ip", "10.0.0.1")).await;
    assert_eq!(world.upstream.calls(), 1);
    for setting in ["use_remote_address: false", "xff_num_trusted_hops: 1"] {
        let world = behind_edited(CLEAN_EXT_AUTHZ, &[("use_remote_address: true", setting)]).await;
        let got = get_with(&world, "/internal/keys", None, forged).await;
        assert_eq!((got.error().as_str(), world.upstream.calls()), ("unauthenticated", 0), "{setting}");
    }
}

/// A refund with trailers in the body's place was denied either way: Portcullis asks for the trailers itself, in the answer to the
/// headers, and Envoy lets it override the mode.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_unseen() {
    for name in ["trailers-unseen", CLEAN_EXT_PROC] {
        let world = behind(name).await;
        let token = format!("Bearer {}", world.idp.token("ana", "portcullis").unwrap());
        let mut frames = Frames::new();
        frames.headers(
            0,
            &[
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "shop"),
                (":path", "/v1/refunds"),
                ("authorization", &token),
            ],
        );
        frames.headers(END_STREAM, &[("x-end", "1")]);
        let answer = frames.send(&world).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(world.upstream.calls(), 0, "{name}: {text}");
    }
}

/// A rule denies what metadata calls a kiosk. In a namespace that is not sent, the denied call reached the upstream, by ext_authz and
/// by ext_proc. With the namespace it was refused with 403.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_namespaces() {
    for (name, arrived) in [
        ("metadata-namespaces", 1),
        ("metadata-namespaces.ext-proc", 1),
        (CLEAN_EXT_AUTHZ, 0),
        (CLEAN_EXT_PROC, 0),
    ] {
        let world = behind(name).await;
        let got = get_with(&world, "/v1/reports/large", Some("ana"), ("x-channel", "kiosk")).await;
        assert_eq!(world.upstream.calls(), arrived, "{name}: {}", got.text());
    }
}

/// A rule lets callers in by their address, and Envoy was not asked for it: who should have been let in was denied. With
/// `source.address` the call passed.
#[tokio::test(flavor = "multi_thread")]
async fn missing_attributes() {
    let policies =
        std::fs::read_to_string(portcullis_sample::repository().join("envoy/mistakes/policies/shop.yaml"));
    // As if this machine were inside.
    let policies = replaced(policies.unwrap(), &[("startsWith(\"10.\")", "startsWith(\"127.\")")]);
    for (name, arrived) in [("missing-attributes", 0), (CLEAN_EXT_PROC, 1)] {
        let options = Options { envoy: Some(sample(name)), ..Options::default() }.policies(&policies);
        let world = World::start(options).await;
        let got = world.get("/internal/keys", None).await;
        assert_eq!(world.upstream.calls(), arrived, "{name}: {}", got.text());
    }
}

/// The filter showed no bodies, and `listen.request_body: buffered` said that it does. One correction was approved for an hour,
/// and another one with quite another body passed on that approval, in chunks: both looked like a call with an empty body.
/// Where the body is shown, the second was held as well.
#[tokio::test(flavor = "multi_thread")]
async fn server_disagrees() {
    let put = |world: &World, body: &'static str| {
        // A stream has no length: it is sent in chunks.
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([std::io::Result::Ok(body)]));
        world.send(world.call(Method::PUT, "/v1/refunds", Some("ana")).body(body))
    };
    for (name, slips) in [("server-disagrees", true), (CLEAN_EXT_AUTHZ, false)] {
        let world = behind(name).await;
        let held = put(&world, r#"{"amount": 1}"#);
        let [id] = world.pending(1).await.try_into().unwrap();
        assert_eq!(world.decide(&id, "bob", "approve").await.status, 200);
        held.await.unwrap();
        assert_eq!(world.upstream.calls(), 1);
        let other = put(&world, r#"{"amount": 1000000}"#);
        if slips {
            other.await.unwrap();
            assert_eq!(world.upstream.calls(), 2, "{name}");
        } else {
            world.pending(1).await;
            assert_eq!((other.is_finished(), world.upstream.calls()), (false, 1), "{name}");
        }
    }
}

/// With `ACCEPT_UNTRUSTED`, a certificate by an authority that its bearer had made up, with the SPIFFE id of another workload, was
/// taken for that workload, and its call was served. Without `trusted_ca` Envoy asked for no certificate, and the workload itself
/// was refused. With it the workload was served, and the forged one got no connection.
#[tokio::test(flavor = "multi_thread")]
async fn peer_certificate() {
    let web = "spiffe://example.com/ns/shop/sa/web";
    let (served, refused, cut_off) = (Some(404), Some(401), None);
    for (name, genuine, forged) in [
        ("peer-certificate", served, served),
        ("peer-certificate.none", refused, refused),
        (CLEAN_MTLS, served, cut_off),
    ] {
        let tls = Tls::for_hosts(&["shop"]);
        let policies = "envoy/mistakes/policies/workloads.yaml";
        let options = Options { envoy: Some(tls.in_place(&sample(name))), ..Options::default() }
            .policies(&std::fs::read_to_string(repository().join(policies)).unwrap())
            .edit_config("identity: {", "identity: {mtls: true, ");
        let world = World::start(options).await;
        let url = format!("https://shop:{}/internal/keys", world.envoy.address().port());
        for (identity, status) in [(tls.genuine(web), genuine), (tls.forged(web), forged)] {
            let client = tls.client(&["shop"], world.envoy.address()).identity(identity).build().unwrap();
            let got = client.get(&url).send().await;
            // 404 is the upstream's own answer.
            assert_eq!(got.ok().map(|got| got.status().as_u16()), status, "{name}");
        }
    }
}
