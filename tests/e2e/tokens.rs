//! Tokens that are made to get past, through a real Envoy, by both services, and in each place that a token may stand in.
//!
//! `issuer` signs honest tokens and forged ones. `forged` has signatures, `claims` what is signed, `keys` what a token says
//! of its key, `size` tokens that are made to cost, `caches` what was found out before.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::world::{Got, Options, World};

mod caches;
mod claims;
mod forged;
mod issuer;
mod keys;
mod size;

use issuer::Issuer;

/// Everybody may: a refused token that passes for no token at all gets through.
const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: echo}
spec:
  match: [{paths: ["/echo/{**}"]}]
  rules:
    - name: everybody
      allow: {}
      headers: {request: {set: {x-who: "${identity.method} ${identity.subject}"}}}
"#;

/// Where a token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Authorization,
    Header,
    Cookie,
    Query,
}

const PLACES: [Place; 4] = [Place::Authorization, Place::Header, Place::Cookie, Place::Query];

/// A token that must not be accepted, and the reason that the audit trail has to name.
struct Attack {
    what: String,
    token: String,
    reason: &'static str,
}

impl Attack {
    fn new(what: impl Into<String>, token: String, reason: &'static str) -> Self {
        Self { what: what.into(), token, reason }
    }
}

/// A world whose tokens are `issuer`'s, by either service.
async fn worlds(issuer: &Issuer) -> [(String, World); 2] {
    let trusted = format!(
        "identity: {{jwt: [{{issuer: '{}', audiences: [portcullis], algorithms: [RS256, PS256, ES256, EdDSA], \
         from: [authorization, {{header: x-jwt}}, {{cookie: id}}, {{query: token}}], jwks: {{url: '{}'}}, \
         claims: {{groups: groups, email: email, person: person, tenant: org.id}}}}, ",
        issuer::NAME,
        issuer.jwks_url()
    );
    let trusted: &str = trusted.leak();
    let started = [Options::ext_authz(), Options::default()].map(async |options| {
        let service = format!("{:?}", options.service);
        let options = options.policies(POLICIES).edit_config("identity: {jwt: [", trusted);
        (service, World::start(options).await)
    });
    let [authz, proc] = started;
    [authz.await, proc.await]
}

fn request(world: &World, place: Place, path: &str, token: &str) -> RequestBuilder {
    let get = |path: &str| world.call(Method::GET, path, None);
    match place {
        Place::Authorization => get(path).bearer_auth(token),
        Place::Header => get(path).header("x-jwt", token),
        Place::Cookie => get(path).header("cookie", format!("a=1; id={token}")),
        Place::Query => get(&format!("{path}?token={token}")),
    }
}

async fn send(world: &World, place: Place, path: &str, token: &str) -> Got {
    Got::from(request(world, place, path, token).send().await.unwrap()).await
}

/// Good tokens pass, in each place: a test that refuses everything shows nothing.
async fn passes(world: &World, tokens: &[String]) {
    for token in tokens {
        for place in PLACES {
            let before = world.upstream.calls();
            let got = send(world, place, "/echo/good", token).await;
            assert_eq!(got.status, 200, "{place:?}: {}", got.text());
            assert_eq!(got.json()["headers"]["x-who"], json!(["jwt ana"]), "{place:?}");
            assert_eq!(world.upstream.calls(), before + 1);
        }
    }
}

/// Each attack in each place is answered with 401 and never reaches the upstream; the trail names the reason, the
/// answer does not.
async fn refuses(world: &World, service: &str, attacks: &[Attack]) {
    let calls = world.upstream.calls();
    let mut wanted = BTreeMap::new();
    for (number, attack) in attacks.iter().enumerate() {
        for place in PLACES {
            let path = format!("/echo/{number}/{place:?}");
            let label = format!("{service}, {place:?}: {}", attack.what);
            let got = send(world, place, &path, &attack.token).await;
            assert_eq!(got.status, 401, "{label}: {}", got.text());
            assert_eq!(got.error(), "credential_refused", "{label}");
            assert!(!got.text().contains(attack.reason), "{label}: {}", got.text());
            assert_eq!(world.upstream.calls(), calls, "{label}");
            wanted.insert(path, (label, attack.reason));
        }
    }
    for (path, reason) in reasons(world, wanted.len()).await {
        let Some((label, expected)) = wanted.remove(&path) else { continue };
        assert_eq!(reason, expected, "{label}");
    }
    assert!(wanted.is_empty(), "not in the trail: {wanted:?}");
}

/// The reasons of all calls on record whose path is an attack's, once there are so many.
async fn reasons(world: &World, count: usize) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for _ in 0..200 {
        let records = world.audit().into_iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        found = records.map(|record| (text(&record["path"]), text(&record["reason"]))).collect();
        found.retain(|path, _| path.starts_with("/echo/") && path != "/echo/good");
        if found.len() >= count {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    found
}

/// Both services refuse all of these and accept the good ones, before and after.
async fn both_refuse(issuer: &Issuer, attacks: &[Attack]) {
    let good = issuer.good_tokens();
    for (service, world) in worlds(issuer).await {
        passes(&world, &good).await;
        refuses(&world, &service, attacks).await;
        passes(&world, &good).await;
    }
}
