use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::*;
use crate::authn::config::Remote;

/// What the server of a key set does next.
#[derive(Clone)]
enum Behaviour {
    Keys(String),
    Status(u16),
    Endless,
    Redirect,
    Silent,
}

/// An issuer's web server.
struct Server {
    address: SocketAddr,
    fetches: Arc<AtomicUsize>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Server {
    async fn start(behaviour: Behaviour) -> Self {
        let fetches = Arc::new(AtomicUsize::new(0));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let (count, next) = (fetches.clone(), behaviour.clone());
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let behaviour = next.lock().clone();
            respond(behaviour)
        };
        let router = Router::new().route("/keys", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, fetches, behaviour }
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    async fn authenticator(&self, edit: impl FnOnce(&mut IssuerConfig)) -> Arc<Authenticator> {
        let url = format!("http://{}/keys", self.address);
        let remote = Remote { url, discovery_of: None, allow_insecure: false, ca_file: None };
        let mut config = issuer(JwksSource::Remote(remote));
        edit(&mut config);
        Authenticator::build(Config::of_issuers(vec![config]), clock()).await.unwrap()
    }
}

async fn respond(behaviour: Behaviour) -> Response {
    match behaviour {
        Behaviour::Keys(text) => text.into_response(),
        Behaviour::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Behaviour::Redirect => (StatusCode::FOUND, [("location", "/keys")]).into_response(),
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Endless => {
            let chunk = || Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 16 << 10]));
            Body::from_stream(futures_util::stream::repeat_with(chunk)).into_response()
        }
    }
}

fn token(signer: &Signer, kid: &str) -> String {
    let header = json!({"alg": "ES256", "kid": kid}).to_string();
    signer.token(Algorithm::Es256, &header, &good_claims().to_string())
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_unusable_ones_skipped() {
    let signer = Signer::new(KeyType::P256);
    let keys = [signer.jwk("k"), json!({"kty": "oct", "k": "AAAA", "kid": "h"}), json!(7)];
    let server = Server::start(Behaviour::Keys(key_set(&keys))).await;
    let authenticator = server.authenticator(|_| ()).await;
    assert!(authenticator.ready());
    assert!(authenticator.verify(&token(&signer, "k"), metrics()).await.is_ok());
    authenticator.jwt.clock.advance(Duration::from_secs(20));
    assert_eq!(authenticator.key_ages(), [(ISSUER.to_owned(), 20.0)]);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn bad_answers_are_no_keys() {
    let signer = Signer::new(KeyType::P256);
    for behaviour in [
        Behaviour::Status(500),
        Behaviour::Status(204),
        Behaviour::Redirect,
        Behaviour::Endless,
        Behaviour::Keys("<html>".into()),
        Behaviour::Keys(key_set(&[])),
        Behaviour::Keys(key_set(&vec![signer.jwk("k"); 101])),
        Behaviour::Keys(format!("{} x", key_set(&[signer.jwk("k")]))),
    ] {
        let server = Server::start(behaviour).await;
        let building = server.authenticator(|_| ());
        let built = tokio::time::timeout(Duration::from_secs(5), building).await;
        let authenticator = built.expect("an answer without end is cut off at its size, not by the timeout");
        assert_eq!(server.fetches(), 1);
        assert!(!authenticator.ready());
        assert_eq!(authenticator.verify(&token(&signer, "k"), metrics()).await, Err(Reason::KeysUnavailable));
        assert_eq!(authenticator.key_ages()[0].1, f64::INFINITY);
    }
}

#[tokio::test]
async fn an_issuer_that_was_down_at_the_start_is_tried_again() {
    let signer = Signer::new(KeyType::P256);
    let server = Server::start(Behaviour::Status(503)).await;
    let authenticator = server.authenticator(|_| ()).await;
    assert!(!authenticator.ready());
    server.set(Behaviour::Keys(key_set(&[signer.jwk("k")])));
    for _ in 0..100 {
        if authenticator.ready() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(authenticator.verify(&token(&signer, "k"), metrics()).await.is_ok());
}

#[tokio::test]
async fn a_rotation_is_followed_at_the_first_token_with_the_new_key() {
    let (old, new) = (Signer::new(KeyType::P256), Signer::new(KeyType::P256));
    let server = Server::start(Behaviour::Keys(key_set(&[old.jwk("old")]))).await;
    let authenticator = server.authenticator(|_| ()).await;
    server.set(Behaviour::Keys(key_set(&[old.jwk("old"), new.jwk("new")])));
    let fresh = token(&new, "new");
    let all = join_all((0..50).map(|_| authenticator.verify(&fresh, metrics()))).await;
    assert!(all.iter().all(Result::is_ok), "a token of the new key was refused");
    assert!(authenticator.verify(&token(&old, "old"), metrics()).await.is_ok());
    assert_eq!(server.fetches(), 2);
    server.set(Behaviour::Keys(key_set(&[new.jwk("new")])));
    authenticator.jwt.clock.advance(Duration::from_secs(10));
    assert_eq!(authenticator.verify(&token(&new, "unknown"), metrics()).await, Err(Reason::TokenKeyUnknown));
    assert_eq!(authenticator.verify(&token(&old, "old"), metrics()).await, Err(Reason::TokenKeyUnknown));
    assert_eq!(server.fetches(), 3);
}

#[tokio::test]
async fn ten_thousand_unknown_key_ids_cause_one_fetch() {
    let signer = Signer::new(KeyType::P256);
    let server = Server::start(Behaviour::Keys(key_set(&[signer.jwk("k")]))).await;
    let authenticator = server.authenticator(|_| ()).await;
    let tokens: Vec<_> = (0..10_000)
        .map(|n| {
            let header = json!({"alg": "ES256", "kid": format!("k{n}")}).to_string();
            format!("{}.{}.AAAA", base64(header), base64(good_claims().to_string()))
        })
        .collect();
    let answers = join_all(tokens.iter().map(|token| authenticator.verify(token, metrics()))).await;
    assert!(answers.iter().all(|answer| *answer == Err(Reason::TokenKeyUnknown)));
    assert_eq!(server.fetches(), 2, "the first fetch and one more");
    authenticator.jwt.clock.advance(Duration::from_secs(9));
    assert!(authenticator.verify(&tokens[0], metrics()).await.is_err());
    assert_eq!(server.fetches(), 2);
    authenticator.jwt.clock.advance(Duration::from_secs(1));
    assert!(authenticator.verify(&tokens[0], metrics()).await.is_err());
    assert_eq!(server.fetches(), 3);
}

#[tokio::test]
async fn a_slow_issuer_delays_unknown_key_ids_by_two_seconds_and_nobody_else() {
    let signer = Signer::new(KeyType::P256);
    let server = Server::start(Behaviour::Keys(key_set(&[signer.jwk("k")]))).await;
    let authenticator = server.authenticator(|_| ()).await;
    server.set(Behaviour::Silent);
    let started = crate::clock::instant();
    let waiting = tokio::spawn({
        let (authenticator, token) = (authenticator.clone(), token(&signer, "other"));
        async move { authenticator.verify(&token, metrics()).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(authenticator.verify(&token(&signer, "k"), metrics()).await.is_ok());
    assert!(started.elapsed() < Duration::from_millis(1_500), "a known key waited for a fetch");
    assert_eq!(waiting.await.unwrap(), Err(Reason::TokenKeyUnknown));
    assert!((2..5).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn stale_keys_serve_for_a_while_and_no_longer() {
    let signer = Signer::new(KeyType::P256);
    let server = Server::start(Behaviour::Keys(key_set(&[signer.jwk("k")]))).await;
    let authenticator = server.authenticator(|config| config.max_stale = Duration::from_secs(200)).await;
    server.set(Behaviour::Status(500));
    authenticator.jwt.clock.advance(Duration::from_secs(200));
    assert_eq!(authenticator.verify(&token(&signer, "other"), metrics()).await, Err(Reason::TokenKeyUnknown));
    assert!(authenticator.verify(&token(&signer, "k"), metrics()).await.is_ok());
    authenticator.jwt.clock.advance(Duration::from_secs(1));
    assert_eq!(authenticator.verify(&token(&signer, "k"), metrics()).await, Err(Reason::KeysUnavailable));
    assert!(!authenticator.ready());
}

#[tokio::test]
async fn fetching_ends_with_the_authenticator() {
    let signer = Signer::new(KeyType::P256);
    let server = Server::start(Behaviour::Keys(key_set(&[signer.jwk("k")]))).await;
    let authenticator = server.authenticator(|config| config.refresh = Duration::from_millis(20)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(server.fetches() > 2, "the keys are not refreshed");
    drop(authenticator);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let fetches = server.fetches();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.fetches(), fetches);
}
