//! What callers get: responses that are not masked, or changed, as rules say.

use std::io::Read;
use std::time::Duration;

use portcullis_sample::upstream::{Answer, CARD_NUMBERS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::Recorder;
use super::{
    CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, behind, behind_edited, get_with, raw, replaced, reveals, sample, start,
};

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

/// Behind Portcullis, a compressor compressed no masked response, although the caller took gzip: Portcullis asks for an answer that
/// it can read. In front of it, the masked response left compressed. Neither let a card number through.
#[tokio::test(flavor = "multi_thread")]
async fn compressed_responses() {
    let text = sample("compressed-responses");
    let compressor = between(&text, "                  - name: envoy.filters.http.compressor", ROUTER);
    let behind_it = text.clone();
    let before = "                  # Makes metadata";
    let in_front = replaced(text, &[(&compressor, "")]);
    let in_front = replaced(in_front, &[(before, &format!("{compressor}{before}"))]);
    for (text, encoding) in [(behind_it, None), (in_front, Some("gzip"))] {
        let world = start(text, &["shop.yaml", "masks.yaml"]).await;
        let got = get_with(&world, "/v1/orders", Some("ana"), ("accept-encoding", "gzip")).await;
        assert_eq!(got.headers.get("content-encoding").map(|encoding| encoding.to_str().unwrap()), encoding);
        let mut body = String::new();
        match encoding {
            Some(_) => flate2::read::GzDecoder::new(got.body.as_slice()).read_to_string(&mut body).unwrap(),
            None => Read::read_to_string(&mut got.body.as_slice(), &mut body).unwrap(),
        };
        assert_eq!((got.status, body.contains("************1111"), reveals(&body)), (200, true, false));
    }
}

const ROUTER: &str = "                  - name: envoy.filters.http.router";

/// What stands from the one to the other.
fn between(text: &str, from: &str, to: &str) -> String {
    let rest = &text[text.find(from).unwrap()..];
    rest[..rest.find(to).unwrap()].to_owned()
}

/// A WebSocket on a path whose responses are masked was opened by the upstream, and its caller got 502: the upstream had taken the
/// call, and nobody knew. Without upgrades Envoy refused it with 403 before that.
#[tokio::test(flavor = "multi_thread")]
async fn upgrades() {
    for (name, status, arrived) in [("upgrades", "502", 1), (CLEAN_EXT_PROC, "403", 0)] {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        let recorder = Recorder::start(format!("{answer}4111111111111111")).await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        let token = world.idp.token("ana", "portcullis").unwrap();
        let upgrade = format!(
            "GET /v1/orders HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let answer = crate::attack::exchange(&world, upgrade.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{name}: {answer}");
        assert_eq!((recorder.heads().len(), reveals(&answer)), (arrived, false), "{name}: {answer}");
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

/// A route overwrote `x-user` with a header that the caller sent: the upstream got `admin`, where the rule had set the caller's own
/// name. Without that it got the caller's own name.
#[tokio::test(flavor = "multi_thread")]
async fn header_rewritten() {
    for (name, user) in [("header-rewritten", "admin"), (CLEAN_EXT_AUTHZ, "ana")] {
        let recorder = Recorder::ok().await;
        let world = behind_edited(name, &[("port_value: ${UPSTREAM_PORT}", &recorder.port())]).await;
        get_with(&world, "/v1/orders", Some("ana"), ("x-impersonate", "admin")).await;
        let heads = recorder.heads();
        assert!(heads[0].contains(&format!("x-user: {user}\r\n")), "{name}: {heads:?}");
    }
}

/// An anonymous call for orders was denied, and its caller was told 200 where a mapper of local replies or a policy of
/// `custom_response` said so, and 500 without a word with `disable_immediate_response`. Without them it got 401, and the
/// reason. The upstream never saw the call.
#[tokio::test(flavor = "multi_thread")]
async fn denial_rewritten() {
    for (name, status, reason) in [
        ("denial-rewritten", 200, true),
        ("denial-rewritten.immediate", 500, false),
        ("denial-rewritten.policy", 200, false),
        (CLEAN_EXT_AUTHZ, 401, true),
        (CLEAN_EXT_PROC, 401, true),
    ] {
        let world = behind(name).await;
        let got = world.get("/v1/orders", None).await;
        assert_eq!((got.status, world.upstream.calls()), (status, 0), "{name}");
        assert_eq!(got.text().contains("unauthenticated"), reason, "{name}: {}", got.text());
    }
}

/// A masked response was blocked in its middle, where the upstream's JSON was broken. A caller of HTTP/1.1 saw it break off; to one of
/// HTTP/1.0 it ended like every other, so half an answer looked whole. A call that named no host was served as one for the host that
/// the configuration names. Without HTTP/1.0 Envoy refused such calls with 426.
#[tokio::test(flavor = "multi_thread")]
async fn http10() {
    for (name, accepted) in [("http10", true), (CLEAN_EXT_PROC, false)] {
        let world = behind(name).await;
        let hostless = raw(&world, b"GET /public/hello HTTP/1.0").await;
        assert_eq!(hostless.split(' ').nth(1), Some(if accepted { "200" } else { "426" }), "{hostless}");

        let begin =
            format!("{{\"orders\": [{{\"card\": {{\"number\": \"{}\"}}}}{:1000}", CARD_NUMBERS[0], "");
        let answer = Answer::json(begin).pause(Duration::from_millis(200)).chunk("]]]]");
        world.upstream.answer("/v1/orders", answer);
        let got = world.get("/v1/orders", Some("ana")).await;
        assert_eq!((got.status, got.complete), (200, false), "HTTP/1.1: {}", got.text());

        let token = world.idp.token("ana", "portcullis").unwrap();
        let call = format!("GET /v1/orders HTTP/1.0\r\nhost: shop\r\nauthorization: Bearer {token}\r\n\r\n");
        let mut socket = TcpStream::connect(world.envoy.address()).await.unwrap();
        socket.write_all(call.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an orderly end");
        assert_eq!(answer.split(' ').nth(1), Some(if accepted { "200" } else { "426" }), "{answer}");
        assert_eq!(answer.contains("************1111"), accepted, "{answer}");
    }
}
