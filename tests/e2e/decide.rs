//! Verdicts: who is let through, what is changed on the way, and what is refused whatever the policies say.

use reqwest::Method;

use crate::world::{Options, World};

#[tokio::test(flavor = "multi_thread")]
async fn ext_proc_decides_by_identity_and_policy() {
    let world = World::start(Options::default()).await;
    let none = world.get("/v1/orders", None).await;
    assert_eq!((none.status, none.error().as_str()), (401, "unauthenticated"));
    assert_eq!(none.headers["www-authenticate"], "Bearer");
    let guest = world.get("/v1/orders", Some("carl")).await;
    assert_eq!((guest.status, guest.error().as_str()), (403, "denied_by_rule"));
    assert_eq!(guest.json()["message"], "guests may not see orders");
    assert_eq!(world.upstream.calls(), 0);
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 200);
    assert_eq!(world.get("/public/hello", None).await.status, 200);
    assert_eq!(world.get("/elsewhere", Some("ana")).await.error(), "no_rule_allows");

    let record =
        world.recorded(|record| record["outcome"] == "deny" && record["identity"]["subject"] == "carl").await;
    assert_eq!((&record["rule"], &record["status"]), (&"orders/no-guests".into(), &403.into()));
    assert_eq!((&record["path"], &record["service"]), (&"/v1/orders".into(), &"ext_proc".into()));
    let metrics = world.metrics().await;
    let line =
        "portcullis_decisions_total{service=\"ext_proc\",outcome=\"deny\",reason=\"denied_by_rule\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

const HEADERS: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - {name: staff, when: '"staff" in identity.groups', allow: {}}
    - {name: body, when: 'request.method == "PUT" && request.body.amount == 7', allow: {}}
    - name: who
      headers:
        request: {set: {x-user: "${identity.subject}"}, remove: [x-internal]}
        response: {set: {x-decided-by: portcullis}}
"#;

/// Reads no body, and so makes no route wait for one.
const BODILESS: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules: [{name: staff, when: '"staff" in identity.groups', allow: {}}]
"#;

async fn changes_headers(options: Options) {
    let world =
        World::start(options.policies(HEADERS).edit(
            "headers_with_underscores_action: REJECT_REQUEST",
            "headers_with_underscores_action: ALLOW",
        ))
        .await;
    let request = world
        .call(Method::GET, "/echo/a", Some("ana"))
        .header("x-user", "root")
        .header("x_user", "root")
        .header("x-internal", "1")
        .header("connection", "x-user");
    let got = world.send(request).await.unwrap();
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.headers["x-decided-by"], "portcullis");
    let seen = got.text();
    assert!(seen.contains("\"x-user\"") && seen.contains("ana"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("x-internal"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_authz_changes_headers_and_no_alias_survives() {
    changes_headers(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_proc_changes_headers_and_no_alias_survives() {
    changes_headers(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_authz_decides_by_the_whole_body() {
    let world = World::start(Options::ext_authz().policies(HEADERS)).await;
    let put = |body: &str| world.call(Method::PUT, "/echo/a", Some("dana")).body(body.to_owned());
    assert_eq!(world.send(put("{\"amount\": 7}")).await.unwrap().status, 200);
    assert_eq!(world.send(put("{\"amount\": 8}")).await.unwrap().error(), "no_rule_allows");
    // Two readers would see two amounts.
    assert_eq!(world.send(put("{\"amount\": 8, \"amount\": 7}")).await.unwrap().error(), "condition_error");
    assert_eq!(world.send(put("not json")).await.unwrap().error(), "condition_error");
    let chunked = world.call(Method::PUT, "/echo/a", Some("dana"));
    let parts = tokio_stream::iter(["{\"amount\"", ": 7}"].map(Ok::<_, std::io::Error>));
    assert_eq!(world.send(chunked.body(reqwest::Body::wrap_stream(parts))).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_shown_satisfies_no_rule_that_reads_it() {
    // The policies changed, and nobody wrote the proxy's configuration again: a mistake that must not open anything.
    let options = Options::ext_authz().policies(HEADERS).configured_for(BODILESS);
    let (refuse, allow) = ("underscores_action: REJECT_REQUEST", "underscores_action: ALLOW");
    let world = World::start(options.edit(refuse, allow)).await;
    let put = world.call(Method::PUT, "/echo/a", Some("ana")).body("{\"amount\": 7}");
    assert_eq!(world.send(put).await.unwrap().error(), "body_unavailable");
    // A body of unknown length, with all that could make it look shown.
    let chunked =
        reqwest::Body::wrap_stream(tokio_stream::iter([Ok::<_, std::io::Error>("{\"amount\": 7}")]));
    let forged = world
        .call(Method::PUT, "/echo/a", Some("ana"))
        .header("x-envoy-auth-partial-body", "false")
        .header("portcullis.request_body", "buffered")
        .body(chunked);
    assert_eq!(world.send(forged).await.unwrap().error(), "body_unavailable");
    // Cut off by Envoy: seen in part is not seen.
    let (whole, cut) = (
        "max_request_bytes: 1048576, allow_partial_message: false",
        "max_request_bytes: 16, allow_partial_message: true",
    );
    let world = World::start(Options::ext_authz().policies(HEADERS).edit(whole, cut)).await;
    let put = world
        .call(Method::PUT, "/echo/a", Some("ana"))
        .body("{\"amount\": 7, \"more\": \"than sixteen bytes\"}");
    assert_eq!(world.send(put).await.unwrap().error(), "body_unavailable");
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_proc_without_the_body_denies_rules_that_read_it() {
    let world = World::start(Options::default().policies(HEADERS).configured_for(BODILESS)).await;
    let put = world.call(Method::PUT, "/echo/a", Some("ana")).body("{\"amount\": 7}");
    assert_eq!(world.send(put).await.unwrap().error(), "body_unavailable");
}

/// Our matcher takes these for the path whose rules read the body, Envoy's routes don't: they go without their body, and no
/// further.
async fn other_spellings_of_a_path_fail_closed(options: Options) {
    let reads = HEADERS.replace("/echo/{**}", "/echo/caf%C3%A9");
    let untidy = options.policies(&reads).edit("normalize_path: true", "normalize_path: false");
    let world = World::start(untidy).await;
    let token = world.idp.token("dana", "portcullis").unwrap();
    let put = async |path: &str| {
        let request = format!(
            "PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\nd\r\n{{\"amount\": 7}}\r\n0\r\n\r\n"
        );
        raw(world.envoy.address(), request.as_bytes()).await
    };
    assert!(put("/echo/caf%C3%A9").await.starts_with("HTTP/1.1 200"), "the path itself");
    assert!(put("/echo/caf%c3%a9").await.starts_with("HTTP/1.1 200"), "hex digits have no case");
    assert_eq!(world.upstream.calls(), 2);
    for path in ["/%65cho/caf%C3%A9", "/echo/%63af%C3%A9"] {
        let answer = put(path).await;
        assert!(answer.contains("body_unavailable"), "{path}: {answer}");
    }
    for path in ["/Echo/caf%C3%A9", "/echo/CAF%C3%A9"] {
        let answer = put(path).await;
        assert!(answer.contains("no_rule_allows"), "{path}: {answer}");
    }
    assert_eq!(world.upstream.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_a_path_fail_closed_by_ext_authz() {
    other_spellings_of_a_path_fail_closed(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_a_path_fail_closed_by_ext_proc() {
    other_spellings_of_a_path_fail_closed(Options::default()).await;
}

async fn refuses_what_can_be_read_two_ways(options: Options) {
    let tidy = "normalize_path: true\n                merge_slashes: true\n                path_with_escaped_slashes_action: REJECT_REQUEST";
    let world = World::start(options.policies(HEADERS).edit(tidy, "normalize_path: false")).await;
    let token = world.idp.token("ana", "portcullis").unwrap();
    for (target, headers, reason) in [
        ("/echo/../admin", "", "path_ambiguous"),
        ("/echo//a", "", "path_ambiguous"),
        ("/echo/%2e%2e/admin", "", "path_ambiguous"),
        ("/echo/a%2fb", "", "path_ambiguous"),
        ("/echo/a;b", "", "path_ambiguous"),
        ("/echo/%252e", "", "path_ambiguous"),
        ("/echo/a\\b", "", "path_ambiguous"),
        ("/echo/a", "authorization: Bearer other\r\n", "header_duplicate"),
        ("/echo/a", "content-type: a/b\r\ncontent-type: c/d\r\n", "header_duplicate"),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{headers}connection: close\r\n\r\n"
        );
        let answer = raw(world.envoy.address(), request.as_bytes()).await;
        assert!(answer.contains(reason), "{target} {headers}: {answer}");
    }
    let long = world.call(Method::GET, &format!("/echo/{}", "a".repeat(9_000)), Some("ana"));
    assert_eq!(world.send(long).await.unwrap().error(), "path_too_long");
    let wide = world.call(Method::GET, "/echo/a", Some("ana")).header("x-wide", "a".repeat(33_000));
    assert_eq!(world.send(wide).await.unwrap().error(), "header_too_large");
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_authz_refuses_what_can_be_read_two_ways() {
    refuses_what_can_be_read_two_ways(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_proc_refuses_what_can_be_read_two_ways() {
    refuses_what_can_be_read_two_ways(Options::default()).await;
}

/// Forwarding headers are the client's to write, so no verdict may depend on them.
#[tokio::test(flavor = "multi_thread")]
async fn client_sent_forwarding_headers_change_nothing() {
    let world = World::start(Options::default()).await;
    for header in [
        "x-envoy-original-path",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-client-cert",
        "x-http-method-override",
        "x-envoy-external-address",
    ] {
        let guest = world.call(Method::GET, "/v1/orders", Some("carl")).header(header, "/public/hello");
        assert_eq!(world.send(guest).await.unwrap().status, 403, "{header}");
        let nobody = world.call(Method::GET, "/v1/orders", None).header(header, "/public/hello");
        assert_eq!(world.send(nobody).await.unwrap().status, 401, "{header}");
    }
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_final_and_say_no_more_than_that() {
    let world = World::start(Options::default()).await;
    let expired = world.idp.expired_token("ana").unwrap();
    let elsewhere = world.idp.token("ana", "portcullis-admin").unwrap();
    for (token, code) in [
        (expired.as_str(), "token_expired"),
        (elsewhere.as_str(), "token_audience_mismatch"),
        ("garbage", "token_malformed"),
    ] {
        // Anonymous calls are allowed there, but not calls with a credential that was refused.
        let got =
            world.send(world.call(Method::GET, "/public/hello", None).bearer_auth(token)).await.unwrap();
        assert_eq!((got.status, got.error().as_str()), (401, "credential_refused"));
        assert_eq!(got.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        world.recorded(|record| record["reason"] == code).await;
    }
    assert_eq!(world.upstream.calls(), 0);
    assert!(!world.audit_text().contains(&expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_that_the_listener_cannot_apply_denies() {
    let world = World::start(Options::ext_authz()).await;
    assert_eq!(world.get("/v1/orders", Some("ana")).await.error(), "mask_unavailable");
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_lets_nothing_through() {
    for options in [Options::default(), Options::ext_authz()] {
        let mut world = World::start(options).await;
        assert!(world.drain().await);
        let got = world.get("/public/hello", None).await;
        assert!(got.status >= 400, "{}", got.status);
        assert_eq!(world.upstream.calls(), 0);
    }
}

/// Sends bytes as they are and reads until the end.
pub async fn raw(address: std::net::SocketAddr, request: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn refuses_large_bodies(options: Options) {
    let world = World::start(options.edit_config("policies:", "limits: {body: 64}\npolicies:")).await;
    let refund = |order: &str| format!(r#"{{"order": "{order}", "amount": 7}}"#);
    assert_eq!(world.post("/v1/refunds", Some("ana"), &refund("o-1")).await.status, 200);
    let large = world.post("/v1/refunds", Some("ana"), &refund(&"o".repeat(64))).await;
    assert_eq!((large.status, large.error().as_str()), (413, "body_too_large"));
    assert_eq!(world.upstream.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_authz_refuses_bodies_beyond_the_limit() {
    // Envoy would refuse them itself.
    refuses_large_bodies(Options::ext_authz().edit("max_request_bytes: 64", "max_request_bytes: 1024")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ext_proc_refuses_bodies_beyond_the_limit() {
    refuses_large_bodies(Options::default()).await;
}

/// The caller's trace is named in the record, and what is no trace id is not.
#[tokio::test(flavor = "multi_thread")]
async fn records_name_the_callers_trace() {
    let world = World::start(Options::default()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, value) in
        [("/public/a", format!("00-{trace}-00f067aa0ba902b7-01")), ("/public/b", "00-x-y-z".into())]
    {
        let call = world.call(Method::GET, path, None).header("traceparent", value);
        world.send(call).await.unwrap();
    }
    let traced = world.recorded(|record| record["path"] == "/public/a").await;
    assert_eq!(traced["trace_id"], trace);
    let untraced = world.recorded(|record| record["path"] == "/public/b").await;
    assert!(untraced.get("trace_id").is_none(), "{untraced}");
}
