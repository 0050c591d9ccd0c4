//! Calls that pass Portcullis by: the filter is off, missing, ignored, or not where it should be.

use serde_json::json;

use super::recorder::Recorder;
use super::{CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, LARGE, SMALL};
use super::{behind, behind_edited, get_with, listener, reveals, sample, start};
use crate::world::World;

/// Sends a call that the policies deny until it arrives, or `times` were refused. Whether it arrived.
async fn slips_by(world: &World, times: usize) -> bool {
    for _ in 0..times {
        let got = world.get("/v1/orders", None).await;
        if world.upstream.calls() > 0 {
            assert_eq!(got.status, 200, "{}", got.text());
            assert!(reveals(&got.text()), "{}", got.text());
            return true;
        }
        assert_eq!(got.error(), "unauthenticated");
    }
    false
}

/// With the server stopped, an anonymous call for orders came back with 200 and the upstream's answer, card numbers in
/// clear. With `failure_mode_allow: false` it was refused: 503 by ext_authz, 500 by ext_proc. On a route it weighs as much:
/// that route's calls passed, while all others were refused.
#[tokio::test(flavor = "multi_thread")]
async fn fail_open() {
    for name in ["fail-open", "fail-open.ext-proc"] {
        let mut world = behind(name).await;
        world.drain().await;
        let got = world.get("/v1/orders", None).await;
        assert_eq!((got.status, world.upstream.calls()), (200, 1), "{name}: {}", got.text());
        assert!(reveals(&got.text()), "{name}");
    }
    let mut world = behind("fail-open.route").await;
    world.drain().await;
    assert_eq!(world.post("/v1/refunds", None, SMALL).await.status, 200);
    assert!(world.get("/v1/orders", None).await.status >= 500);
    assert_eq!(world.upstream.calls(), 1);
    for (name, status) in [(CLEAN_EXT_AUTHZ, 503), (CLEAN_EXT_PROC, 500)] {
        let mut world = behind(name).await;
        world.drain().await;
        assert_eq!(world.get("/v1/orders", None).await.status, status);
        assert_eq!(world.post("/v1/refunds", None, SMALL).await.status, status);
        assert_eq!(world.upstream.calls(), 0, "{name}");
    }
}

/// With the server stopped, an anonymous call passed where `failureModeAllow` stood below `failure_mode_allow`. Without it the
/// call was refused with 503.
#[tokio::test(flavor = "multi_thread")]
async fn duplicate_field() {
    for (name, status, calls) in [("duplicate-field", 200, 1), (CLEAN_EXT_AUTHZ, 503, 0)] {
        let mut seen = Vec::new();
        // The port that the server leaves may be another test's in a moment, whose server refuses the call.
        for _ in 0..3 {
            let mut world = behind(name).await;
            world.drain().await;
            let got = world.get("/v1/orders", None).await;
            seen.push((got.status, world.upstream.calls()));
        }
        assert!(seen.contains(&(status, calls)), "{name}: {seen:?}");
        assert!(calls > 0 || seen.iter().all(|(_, calls)| *calls == 0), "{name}: {seen:?}");
    }
}

/// With the server stopped, the caller of a refund was told 200, and the upstream never saw it. With
/// `ServiceUnavailable` the caller was told 503.
#[tokio::test(flavor = "multi_thread")]
async fn status_on_error() {
    for (name, status) in [("status-on-error", 200), (CLEAN_EXT_AUTHZ, 503)] {
        let mut world = behind(name).await;
        world.drain().await;
        let got = world.post("/v1/refunds", Some("ana"), SMALL).await;
        assert_eq!((got.status, world.upstream.calls()), (status, 0), "{name}");
    }
}

/// An anonymous call for orders was refused on the listener with the filter, and answered with 200 and card numbers on
/// the one without.
#[tokio::test(flavor = "multi_thread")]
async fn filter_missing() {
    let world = behind("filter-missing").await;
    assert!(!slips_by(&world, 1).await);
    let legacy = listener(&world, "legacy").await;
    let got = reqwest::get(format!("http://{legacy}/v1/orders")).await.unwrap();
    assert_eq!((got.status().as_u16(), world.upstream.calls()), (200, 1));
    assert!(reveals(&got.text().await.unwrap()));
}

/// An anonymous call for orders reached the upstream where the filter was disabled on the route, on the virtual host, by a
/// `FilterConfig` for the route table, and in the list of filters; on one of two weighted clusters, a share of calls did.
/// With the filter on, none of 200 did.
#[tokio::test(flavor = "multi_thread")]
async fn filter_disabled() {
    for place in ["", ".virtual-host", ".route-table", ".list"] {
        assert!(slips_by(&behind(&format!("filter-disabled{place}")).await, 1).await, "{place}");
    }
    assert!(slips_by(&behind("filter-disabled.weighted-cluster").await, 200).await);
    assert!(!slips_by(&behind(CLEAN_EXT_AUTHZ).await, 200).await);
    assert!(!slips_by(&behind(CLEAN_EXT_PROC).await, 1).await);
}

/// With the filter on for half of the calls, repeating a refused call was enough for it to arrive. Where metadata of a header
/// turned it on, a call without that header arrived at once. Without either, none of 200 did.
#[tokio::test(flavor = "multi_thread")]
async fn filter_conditional() {
    assert!(slips_by(&behind("filter-conditional").await, 100).await);
    assert!(slips_by(&behind("filter-conditional.metadata").await, 1).await);
    assert!(!slips_by(&behind(CLEAN_EXT_AUTHZ).await, 200).await);
}

/// With `observability_mode` an anonymous call for orders reached the upstream: Envoy waits for no answer. Portcullis ends such a
/// stream with an error, and the caller got the orders, or 500 where the error was faster. Without it the call was refused with 401.
#[tokio::test(flavor = "multi_thread")]
async fn observability_mode() {
    let world = behind("observability-mode").await;
    let mut statuses = Vec::new();
    // Which of the two is faster differs from call to call.
    while world.upstream.calls() == 0 && statuses.len() < 50 {
        statuses.push(world.get("/v1/orders", None).await.status);
    }
    assert!(world.upstream.calls() > 0, "{statuses:?}");
    assert!(!slips_by(&behind(CLEAN_EXT_PROC).await, 1).await);
}

/// With `request_header_mode: SKIP` Envoy never asked, and an anonymous call for orders came back with 200 and card numbers in
/// clear. With `SEND` it was refused with 401.
#[tokio::test(flavor = "multi_thread")]
async fn headers_skipped() {
    assert!(slips_by(&behind("headers-skipped").await, 1).await);
    assert!(!slips_by(&behind(CLEAN_EXT_PROC).await, 1).await);
}

/// The route set the context that a denial depends on, under the filter's former name: Envoy took the configuration without a
/// word, sent no context, and a member of staff exported what is for finance. Under the filter's own name the call was
/// refused with 403.
#[tokio::test(flavor = "multi_thread")]
async fn dead_route_setting() {
    for (name, status) in [("dead-route-setting", 404), (CLEAN_EXT_AUTHZ, 403)] {
        let world = behind(name).await;
        let got = world.get("/v1/exports/all", Some("ana")).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
        assert_eq!(world.upstream.calls_to("/v1/exports/all"), u64::from(status == 404), "{name}");
    }
}

/// An anonymous request for a WebSocket on `/v1/orders` reached the upstream past the list of filters that upgrades have for
/// themselves. With upgrades that go through the same filters as everything else, it was refused with 401.
#[tokio::test(flavor = "multi_thread")]
async fn upgrade_filters() {
    let upgrade = b"GET /v1/orders HTTP/1.1\r\nhost: shop\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let world = behind("upgrade-filters").await;
    crate::attack::exchange(&world, upgrade).await;
    assert_eq!(world.upstream.calls_to("/v1/orders"), 1);

    let idle = "stream_idle_timeout: 1000s\n";
    let upgrades = format!("{idle}                upgrade_configs: [{{upgrade_type: websocket}}]\n");
    let world = behind_edited(CLEAN_EXT_AUTHZ, &[(idle, &upgrades)]).await;
    let answer = String::from_utf8_lossy(&crate::attack::exchange(&world, upgrade).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(world.upstream.calls(), 0);
}

/// A Lua filter behind Portcullis replaced the path by that of a header, and an anonymous call that was allowed as
/// `/public/hello` was served as `/internal/keys`. Without it the header changed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn filter_order() {
    for (name, served) in [("filter-order", "/internal/keys"), (CLEAN_EXT_PROC, "/public/hello")] {
        let world = behind(name).await;
        get_with(&world, "/public/hello", None, ("x-original-path", "/internal/keys")).await;
        assert_eq!((world.upstream.calls(), world.upstream.calls_to(served)), (1, 1), "{name}");
        // In front of the filter it would not have been allowed.
        assert_eq!(world.get("/internal/keys", None).await.error(), "unauthenticated");
    }
}

/// A call that the policies deny was answered from the cache with what another caller had been allowed to see, and Portcullis
/// never heard of it. Without the cache it was refused with 403.
#[tokio::test(flavor = "multi_thread")]
async fn cache_before_portcullis() {
    for (name, status) in [("cache-before-portcullis", 200), (CLEAN_EXT_AUTHZ, 403)] {
        let world = behind(name).await;
        let prices = portcullis_sample::upstream::Answer::json(json!({"price": 5}).to_string());
        let date = "Sat, 01 Jan 2050 00:00:00 GMT";
        let prices = prices.header("cache-control", "public, max-age=3600").header("date", date);
        world.upstream.answer("/public/prices", prices);
        assert_eq!(world.get("/public/prices", None).await.status, 200);
        let got = get_with(&world, "/public/prices", None, ("x-partner", "acme")).await;
        assert_eq!(got.status, status, "{name}: {}", got.text());
        assert_eq!(world.upstream.calls(), 1, "{name}");
    }
}

/// A held refund was approved, and then refused by the second filter as one that was released already. A call
/// whose response is masked was refused by ext_authz with `mask_unavailable`. With ext_proc alone both went through.
#[tokio::test(flavor = "multi_thread")]
async fn both_filters() {
    let world = behind("both-filters").await;
    assert_eq!(world.get("/v1/orders", Some("ana")).await.error(), "mask_unavailable");
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [first] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&first, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (409, "already_used"));
    assert_eq!(world.upstream.calls(), 0);

    let world = behind(CLEAN_EXT_PROC).await;
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 200);
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [only] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&only, "bob", "approve").await.status, 200);
    assert_eq!(held.await.unwrap().status, 200);
}

/// Behind an ext_authz that hands over, an ext_proc without its mark asked about a held refund again, after it was approved, and
/// refused it as `already_used`. With the mark and without an ext_authz, ext_proc denied a public call as `handover_missing`.
#[tokio::test(flavor = "multi_thread")]
async fn half_handover() {
    let world = behind("half-handover.unexpected").await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [only] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&only, "bob", "approve").await.status, 200);
    let got = held.await.unwrap();
    assert_eq!((got.status, got.error().as_str()), (409, "already_used"));
    assert_eq!(world.upstream.calls(), 0);

    for (name, status, calls) in [("half-handover", 403, 0), (CLEAN_EXT_PROC, 200, 1)] {
        let world = behind(name).await;
        let got = world.get("/public/hello", None).await;
        assert_eq!((got.status, world.upstream.calls()), (status, calls), "{name}: {}", got.text());
        assert!(status == 200 || got.error() == "handover_missing", "{name}: {}", got.text());
    }
}

/// Portcullis set a header, and with `clear_route_cache` that header chose another route: a call that was decided as one for
/// orders was served by the route of exports, whose context would have had it refused. Without, the route that was decided
/// for served it.
#[tokio::test(flavor = "multi_thread")]
async fn clear_route_cache() {
    let by_header = (
        "        - match: {path_separated_prefix: /v1/exports}\n                          route: {cluster: upstream,",
        "        - match: {prefix: /v1/orders, headers: [{name: x-user, present_match: true}]}\n                          route: {cluster: upstream, prefix_rewrite: /v1/exports,",
    );
    for (name, served) in [("clear-route-cache", "/v1/exports"), (CLEAN_EXT_AUTHZ, "/v1/orders")] {
        let world = behind_edited(name, &[by_header]).await;
        world.get("/v1/orders", Some("ana")).await;
        assert_eq!((world.upstream.calls(), world.upstream.calls_to(served)), (1, 1), "{name}");
    }
}

/// Rules that mask were given to a server that is asked by ext_authz: every call whose response they mask was refused with 403
/// and `mask_unavailable`. By ext_proc it came back with 200, masked.
#[tokio::test(flavor = "multi_thread")]
async fn masks_need_ext_proc() {
    let world = start(sample("masks-need-ext-proc"), &["shop.yaml", "masks.yaml"]).await;
    let got = world.get("/v1/orders", Some("ana")).await;
    assert_eq!((got.status, got.error().as_str()), (403, "mask_unavailable"));
    let got = behind(CLEAN_EXT_PROC).await.get("/v1/orders", Some("ana")).await;
    assert_eq!((got.status, reveals(&got.text())), (200, false), "{}", got.text());
}

/// Bound to every address, Envoy's admin port told its whole configuration on an address that it was not meant for. Bound to
/// 127.0.0.1, it refused the connection.
#[tokio::test(flavor = "multi_thread")]
async fn admin_exposed() {
    for (name, exposed) in [("admin-exposed", true), (CLEAN_EXT_AUTHZ, false)] {
        let world = behind(name).await;
        // Another address of this machine.
        let url = format!("http://127.0.0.2:{}/config_dump", world.envoy.admin().port());
        let got = world.client.get(url).send().await;
        assert_eq!(got.is_ok_and(|got| got.status() == 200), exposed, "{name}");
    }
}

/// With HTTP/1.1 to Portcullis, which speaks gRPC, every call was refused with 503, those that the policies allow too. With
/// HTTP/2 they passed.
#[tokio::test(flavor = "multi_thread")]
async fn http1_to_portcullis() {
    for (name, status) in [("http1-to-portcullis", 503), (CLEAN_EXT_AUTHZ, 200)] {
        assert_eq!(behind(name).await.get("/public/hello", None).await.status, status, "{name}");
    }
}

/// An anonymous call of a public path, with the path of the orders in the header that `path_rewrite` reads, came back with 200
/// and card numbers in clear. With `host_rewrite` the upstream got the host of the header. Without either the caller's own path and
/// host arrived, and the orders were refused.
#[tokio::test(flavor = "multi_thread")]
async fn routed_by_caller() {
    let world = behind("routed-by-caller").await;
    let got = get_with(&world, "/public/hello", None, ("x-path", "/v1/orders")).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(reveals(&got.text()), "{}", got.text());
    for (name, chosen) in [("routed-by-caller.host", true), (CLEAN_EXT_AUTHZ, false)] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        get_with(&world, "/public/hello", None, ("x-host", "admin.example")).await;
        let heads = recorder.heads();
        assert!(heads[0].starts_with("get /public/hello "), "{name}: {heads:?}");
        assert_eq!(heads[0].contains("\r\nhost: admin.example\r\n"), chosen, "{name}: {heads:?}");
    }
    assert!(!slips_by(&behind(CLEAN_EXT_AUTHZ).await, 1).await);
}

/// With the cluster's name misspelt in the filter, every call was answered with 503, also a public one. With the right name the public
/// one passed.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_missing() {
    for (name, status) in [("cluster-missing", 503), (CLEAN_EXT_AUTHZ, 200)] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        assert_eq!(world.get("/public/hello", None).await.status, status, "{name}");
        assert_eq!(recorder.heads().len(), usize::from(status == 200), "{name}");
    }
}
