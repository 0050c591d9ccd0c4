//! What callers get: responses that are not masked, or changed, as rules say.

use super::recorder::Recorder;
use super::{CLEAN_EXT_PROC, behind, behind_edited, get_with, reveals};

/// Orders came back with their card numbers in clear, whether overrides of the mode were off or the one that the server asks
/// for was not on the list: Envoy ignores it without a word. With `allow_mode_override` they were masked.
#[tokio::test(flavor = "multi_thread")]
async fn mode_override_off() {
    for (name, clear) in
        [("mode-override-off", true), ("mode-override-off.allowed", true), (CLEAN_EXT_PROC, false)]
    {
        let got = behind(name).await.get("/v1/orders", Some("ana")).await;
        assert_eq!((got.status, reveals(&got.text())), (200, clear), "{name}: {}", got.text());
    }
}

/// PENDING
#[tokio::test(flavor = "multi_thread")]
async fn compressed_responses() {
    for (name, status) in [("compressed-responses", 502), (CLEAN_EXT_PROC, 200)] {
        let world = behind(name).await;
        let got = get_with(&world, "/v1/orders", Some("ana"), ("accept-encoding", "gzip")).await;
        assert_eq!(got.status, status, "{name}: {} {:?}", got.text(), got.headers);
    }
}

/// PENDING
#[tokio::test(flavor = "multi_thread")]
async fn upgrades() {
    for name in ["upgrades", CLEAN_EXT_PROC] {
        let recorder = Recorder::start(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n4111111111111111"
                .to_owned(),
        )
        .await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        let token = world.idp.token("ana", "portcullis").unwrap();
        let upgrade = format!(
            "GET /v1/orders HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let answer = crate::attack::exchange(&world, upgrade.as_bytes()).await;
        println!("{name}: {} {:?}", String::from_utf8_lossy(&answer), recorder.heads());
    }
}

/// The rule sets `x-user`, and the mutation rules refuse every change in silence: the upstream got `x-user: admin`, which the caller had
/// sent. With rules that let it be set, it got the caller's own name.
#[tokio::test(flavor = "multi_thread")]
async fn mutation_rules() {
    for (name, user) in [("mutation-rules", "admin"), (CLEAN_EXT_PROC, "ana")] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        get_with(&world, "/v1/orders", Some("ana"), ("x-user", "admin")).await;
        let heads = recorder.heads();
        assert!(heads[0].contains(&format!("x-user: {user}\r\n")), "{name}: {heads:?}");
    }
}
