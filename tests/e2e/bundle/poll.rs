//! A bundle behind a URL.

use super::server::{Answer, Server};
use super::*;

fn polling(url: &str, more: &str) -> Options {
    Options { source: Some(format!("{{url: \"{url}\", poll: 1s{more}}}")), ..options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_versions_are_fetched_and_nothing_is_fetched_twice() {
    let key = SigningKey::generate().unwrap();
    let bundles = Server::start(Answer::Bundle(bundle("1.0.0", &key))).await;
    let world = World::start(polling(&bundles.url(), "")).await;
    world.marked("1.0.0").await;
    bundles.answered(304).await;
    bundles.answer(Answer::Bundle(bundle("1.1.0", &key)));
    world.marked("1.1.0").await;
    world.counted("portcullis_bundle_polls_total{result=\"fetched\"} 2").await;
    let list = world.bundles("").await;
    assert_eq!(list["bundles"][0]["version"], "1.1.0");
    assert_eq!(list["source"]["location"], bundles.url().as_str());
    assert!(list["source"]["polled"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_server_does_the_last_good_bundle_decides() {
    let key = SigningKey::generate().unwrap();
    let bundles = Server::start(Answer::Bundle(bundle("1.0.0", &key))).await;
    let elsewhere = Server::start(Answer::Bundle(bundle("6.6.6", &key))).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let more = format!(", max_bytes: 100000, token_file: \"{}\"", token.display());
    let world = World::start(polling(&bundles.url(), &more)).await;
    world.marked("1.0.0").await;
    let calls = world.calls();
    for (answer, result, said) in [
        (Answer::Status(500), "status", "500"),
        (Answer::Endless, "too_large", "100000 bytes"),
        (Answer::Redirect(elsewhere.url()), "redirected", "another server"),
    ] {
        bundles.answer(answer);
        world.counted(&format!("portcullis_bundle_polls_total{{result=\"{result}\"}}")).await;
        let error = world.bundles("").await["source"]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{error}");
        assert!(!world.metrics().await.contains("poll_age_seconds inf"));
        bundles.answer(Answer::Bundle(bundle("1.0.0", &key)));
        bundles.answered(304).await;
    }
    bundles.answer(Answer::Bundle(bundle("1.1.0", &key)));
    world.marked("1.1.0").await;
    assert!(calls.end().await.iter().all(|mark| mark.starts_with("1.")));
    assert!(bundles.tokens().iter().all(|token| token == "Bearer s3cret"));
    assert!(elsewhere.tokens().is_empty(), "nobody else was asked, nor told the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_policies_every_call_is_denied_until_the_first_good_bundle_comes() {
    let key = SigningKey::generate().unwrap();
    let bundles = Server::start(Answer::Status(503)).await;
    let world = World::start(polling(&bundles.url(), "")).await;
    world.counted("portcullis_bundle_polls_total{result=\"status\"}").await;
    let denied = world.get("/public/hello", None).await;
    assert_eq!((denied.status, denied.error().as_str()), (503, "no_policies"));
    let ready = async || {
        let metrics = world.server.as_ref().unwrap().addresses.metrics;
        crate::world::Got::from(reqwest::get(format!("http://{metrics}/readyz")).await.unwrap()).await
    };
    let not_yet = ready().await;
    assert!(not_yet.status == 503 && not_yet.text().contains("no policies"), "{}", not_yet.text());
    world.counted("portcullis_bundle_poll_age_seconds inf").await;
    bundles.answer(Answer::Bundle(bundle("1.0.0", &key)));
    world.marked("1.0.0").await;
    assert_eq!(ready().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_needs_no_source_but_the_keys_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let trusted = folder.path().join("key.pem");
    fs::write(&trusted, key.public().to_pem()).unwrap();
    let bundles = Server::start(Answer::Bundle(bundle("1.0.0", &key))).await;
    let more = format!(", keys: [\"{}\"]", trusted.display());
    let mut world = World::start(polling(&bundles.url(), &more)).await;
    world.marked("1.0.0").await;
    bundles.answer(Answer::Status(500));
    world.drain().await;
    world.restart().await;
    assert_eq!(world.mark().await, "1.0.0");
    world.drain().await;
    fs::write(&trusted, other.public().to_pem()).unwrap();
    world.restart().await;
    assert_eq!(world.get("/public/hello", None).await.error(), "no_policies");
    assert_eq!(world.bundles("").await["refused"]["reason"], "unknown_key");
    bundles.answer(Answer::Bundle(bundle("1.0.0", &other)));
    world.marked("1.0.0").await;
}
