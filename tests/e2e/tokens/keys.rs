//! What a token says of the key that it is signed with: it chooses among the issuer's keys, and nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::issuer::{Issuer, base64, hmac_token};
use super::{Attack, PLACES, passes, refuses, send, worlds};
use crate::world::Got;

const UNKNOWN: &str = "token_key_unknown";

/// A server that nobody has a reason to ask.
struct Trap {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Trap {
    async fn set() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// It would have noticed.
    async fn works(&self) -> bool {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        assert!(client.get(&self.url).send().await.is_err());
        self.connections() > 0
    }
}

/// A header with everything that could bring a key along.
fn bringing(url: &str, stranger: &Issuer, alg: &str, kid: &str) -> Value {
    let mut header = json!({"alg": alg, "jwk": stranger.jwk(kid), "jku": format!("{url}/keys"),
        "x5u": format!("{url}/certificate"), "x5c": ["AAAA"], "x5t": "AAAA", "x5t#S256": "AAAA"});
    header["jwk"]["alg"] = json!(alg);
    header
}

fn brought_along(stranger: &Issuer, claims: &str, url: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (alg, kid) in [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")] {
        let sources = bringing(url, stranger, alg, kid);
        for source in ["jwk", "jku", "x5u", "x5c", "all of them"] {
            let mut header = sources.clone();
            header
                .as_object_mut()
                .unwrap()
                .retain(|name, _| name == "alg" || name == source || source == "all of them");
            let what = |kid: &str| format!("{alg}, kid {kid}, with {source}");
            // Of the issuer's keys there is one for this algorithm.
            let token = stranger.sign(alg, &header.to_string(), claims);
            attacks.push(Attack::new(what("absent"), token, "token_signature_invalid"));
            for (kid, reason) in [(kid, "token_signature_invalid"), ("stranger", UNKNOWN)] {
                header["kid"] = json!(kid);
                let token = stranger.sign(alg, &header.to_string(), claims);
                attacks.push(Attack::new(what(kid), token, reason));
            }
        }
    }
    attacks
}

/// Ids that are more than ids to a reader that looks keys up in files, databases or on the web.
fn odd_ids(issuer: &Issuer, claims: &str, url: &str) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let web = format!("{url}/keys");
    let long = "k".repeat(257);
    for kid in [
        "../../../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "..\\..\\keys",
        "rsa/../rsa",
        "./rsa",
        "%72sa",
        "rsa' OR '1'='1",
        "x' UNION SELECT 'AA' -- ",
        "rsa\u{0}",
        "rsa\u{0}.pem",
        "\u{0}",
        "rsa\n",
        "rsa ",
        "RSA",
        "$(curl http://127.0.0.1)",
        "${jndi:ldap://127.0.0.1}",
        "*",
        "",
        "0",
        "__proto__",
        "oct",
        &web,
        &long,
    ] {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        attacks.push(Attack::new(format!("kid {kid:?}"), issuer.sign("RS256", &header, claims), UNKNOWN));
        // Signed with nothing, which is what `/dev/null` holds.
        let header = json!({"alg": "HS256", "kid": kid}).to_string();
        let token = hmac_token(aws_lc_rs::hmac::HMAC_SHA256, b"", &header, claims);
        attacks.push(Attack::new(format!("HS256, kid {kid:?}"), token, "token_algorithm_not_allowed"));
    }
    for kid in [json!(null), json!(0), json!(["rsa"]), json!({"kid": "rsa"}), json!(true)] {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        attacks.push(Attack::new(header.clone(), issuer.sign("RS256", &header, claims), "token_malformed"));
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_chooses_among_the_issuers_keys_and_brings_none() {
    let (issuer, stranger, trap) = (Issuer::start().await, Issuer::start().await, Trap::set().await);
    let claims = issuer.claims().to_string();
    let mut attacks = brought_along(&stranger, &claims, &trap.url);
    attacks.extend(odd_ids(&issuer, &claims, &trap.url));
    // What is not read does no harm to an honest token.
    let mut header = bringing(&trap.url, &stranger, "RS256", "rsa");
    header["kid"] = json!("rsa");
    let mut good = issuer.good_tokens();
    good.push(issuer.sign("RS256", &header.to_string(), &claims));
    for (service, world) in worlds(&issuer).await {
        passes(&world, &good).await;
        refuses(&world, &service, &attacks).await;
        passes(&world, &good).await;
    }
    assert_eq!(trap.connections(), 0, "a token made the server ask somebody");
    assert!(trap.works().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_by_the_thousand_cause_one_fetch_in_ten_seconds() {
    let issuer = Issuer::start().await;
    let (good, claims) = (issuer.good_tokens(), base64(issuer.claims().to_string()));
    // Both ask the same code for keys; the one that takes longer for a call makes fewer.
    for ((service, world), count) in worlds(&issuer).await.into_iter().zip([10_000_usize, 2_000]) {
        passes(&world, &good).await;
        let (fetches, started) = (issuer.fetches(), portcullis::clock::instant());
        let calls = world.upstream.calls();
        let statuses: Vec<u16> = stream::iter(0..count)
            .map(|number| {
                let header = base64(json!({"alg": "RS256", "kid": format!("k{number}")}).to_string());
                let token = format!("{header}.{claims}.AAAA");
                let (world, place) = (&world, PLACES[number % 4]);
                async move { send(world, place, "/echo/flood", &token).await.status }
            })
            .buffer_unordered(64)
            .collect()
            .await;
        assert!(statuses.iter().all(|status| *status == 401), "{service}");
        assert_eq!(world.upstream.calls(), calls, "{service}");
        let caused = issuer.fetches() - fetches;
        let most = 1 + usize::try_from(started.elapsed().as_secs() / 10).unwrap();
        assert!((1..=most).contains(&caused), "{service}: {caused} fetches, {most} at most");
        passes(&world, &good).await;
        let record = world.recorded(|record| record["path"] == "/echo/flood").await;
        assert_eq!(record["reason"], UNKNOWN, "{service}");
        // Nobody else's tokens wait for that.
        assert_eq!(
            Got::from(world.call(Method::GET, "/echo/a", Some("ana")).send().await.unwrap()).await.status,
            200
        );
    }
}
