//! What was found out before, of a token, a password or a call: it is used for the same one only, and for as long as
//! finding it out again would say the same.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use portcullis_sample::idp::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::POLICIES;
use crate::identity::{Authority, mutual_tls};
use crate::world::{Got, Options, World};

// === keys of caches whose parts could run together ===

/// What is a peer's name to one call is half of a token to the other.
async fn peer_and_token(options: Options) {
    const WEB: &str = "spiffe://example.com/ns/shop/sa/web";
    let service = format!("{:?}", options.service);
    let authority = Authority::new();
    let options = options
        .policies(&POLICIES.replace("${identity.subject}", "${identity.subject} ${identity.spiffe}"))
        .edit("filter_chains:\n        - filters:", mutual_tls(&authority))
        .edit_config("identity: {", "identity: {mtls: true, ");
    let world = World::start(options).await;
    let url = world.envoy.url().replace("http://", "https://") + "/echo/a";
    let get = async |peer: &str, token: &str| {
        let call = authority.client(&[peer]).get(&url).bearer_auth(token);
        Got::from(call.send().await.unwrap()).await
    };
    let token = world.idp.token("ana", "portcullis").unwrap();
    for cut in [1, 5, 40] {
        for peer in [WEB, "spiffe://example.com/ns/shop/sa/job", WEB] {
            let got = get(peer, &token).await;
            assert_eq!(got.status, 200, "{service}: {}", got.text());
            assert_eq!(got.json()["headers"]["x-who"], json!([format!("jwt ana {peer}")]), "{service}");
        }
        let calls = world.upstream.calls();
        let (begin, rest) = token.split_at(cut);
        let got = get(&format!("{WEB}{begin}"), rest).await;
        assert_eq!((got.status, &*got.error()), (401, "credential_refused"), "{service}: {}", got.text());
        assert_eq!(world.upstream.calls(), calls, "{service}");
    }
    world.recorded(|record| record["reason"] == "token_malformed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_into_its_peers_name_is_another_by_ext_authz() {
    peer_and_token(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_into_its_peers_name_is_another_by_ext_proc() {
    peer_and_token(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_runs_into_its_password_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let lines = [("abc", "def"), ("ab", "another")]
        .map(|(name, password)| portcullis::authn::user_line(name, password, "", "").unwrap());
    std::fs::write(&users, lines.join("\n")).unwrap();
    let identity: &str = format!("identity: {{basic: {{file: {}}}, jwt:", users.display()).leak();
    for options in [Options::ext_authz(), Options::default()] {
        let world = World::start(options.policies(POLICIES).edit_config("identity: {jwt:", identity)).await;
        for (credentials, status) in [
            ("abc:def", 200),
            ("ab:cdef", 401),
            ("abc:def", 200),
            ("abcd:ef", 401),
            ("ab:another", 200),
            ("aba:nother", 401),
        ] {
            let call = world.call(Method::GET, "/echo/a", None);
            let call = call.header("authorization", format!("Basic {}", STANDARD.encode(credentials)));
            assert_eq!(Got::from(call.send().await.unwrap()).await.status, status, "{credentials}");
        }
        assert_eq!(world.upstream.calls(), 3);
        world.recorded(|record| record["reason"] == "basic_invalid").await;
    }
}

/// Conditions that cost more than a look-up, so that what they say is kept.
fn dear(condition: &str) -> String {
    let list: Vec<_> = (0..40).map(|item| item.to_string()).collect();
    let list = format!("[{}]", list.join(", "));
    format!("{list}.all(x, {list}.all(y, x + y >= 0)) && {condition}")
}

/// Subject, groups and a header: what the conditions below read of a caller.
type Caller = (&'static str, Value, &'static str);

/// Callers whose parts, written one behind the other, are the same text; the condition means the first of each pair.
fn pairs() -> [(&'static str, Caller, Caller); 4] {
    [
        (
            r#"identity.subject == "ab" && request.headers["x-part"] == "c""#,
            ("ab", json!(["g"]), "c"),
            ("a", json!(["g"]), "bc"),
        ),
        (
            r#"identity.subject == "a" && identity.groups == ["b", "c"]"#,
            ("a", json!(["b", "c"]), "x"),
            ("a", json!(["bc"]), "x"),
        ),
        (
            r#"identity.subject == "a" && identity.groups == ["bc"]"#,
            ("a", json!(["bc"]), "x"),
            ("ab", json!(["c"]), "x"),
        ),
        (
            r#"identity.groups == [] && request.headers["x-part"] == "bc""#,
            ("a", json!([]), "bc"),
            ("a", json!(["b"]), "c"),
        ),
    ]
}

fn policy(number: usize, condition: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{number}}}\nspec:\n  \
         match: [{{paths: [/echo/{number}]}}]\n  rules:\n    - {{name: dear, when: '{}', allow: {{}}}}\n",
        dear(condition)
    )
}

async fn decisions(options: Options) {
    let service = format!("{:?}", options.service);
    let policies: Vec<_> =
        pairs().iter().enumerate().map(|(n, (condition, ..))| policy(n, condition)).collect();
    let world = World::start(options.policies(&policies.join("---\n"))).await;
    for (number, (condition, first, other)) in pairs().iter().enumerate() {
        let get = async |(subject, groups, part): &Caller| {
            let mut claims = world.idp.claims("ana", "portcullis").unwrap();
            (claims["sub"], claims["groups"]) = (json!(subject), groups.clone());
            let token = world.idp.sign(Algorithm::Rs256, &claims).unwrap();
            let call = world.call(Method::GET, &format!("/echo/{number}"), None).bearer_auth(token);
            Got::from(call.header("x-part", *part).send().await.unwrap()).await
        };
        // The first eight calls are measured, and not kept.
        for round in 0..12 {
            let label = format!("{service}, {round}: {condition}");
            assert_eq!(get(first).await.status, 200, "{label}");
            let calls = world.upstream.calls();
            let got = get(other).await;
            assert_eq!((got.status, &*got.error()), (403, "no_rule_allows"), "{label}");
            assert_eq!(world.upstream.calls(), calls, "{label}");
        }
    }
    let metrics = world.metrics().await;
    let hits = "portcullis_cache_hits_total{cache=\"decision\"} ";
    let hits = metrics.lines().find_map(|line| line.strip_prefix(hits));
    assert!(hits.unwrap().parse::<u64>().unwrap() > 20, "no decision was kept\n{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_whose_parts_run_together_share_no_decision_by_ext_authz() {
    decisions(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_whose_parts_run_together_share_no_decision_by_ext_proc() {
    decisions(Options::default()).await;
}

// === one connection, many callers ===

/// A caller's `authorization`, empty for none, and whom the upstream is told of; nobody where the token is forged.
type Credential = (String, &'static str);

/// Calls of HTTP/1.1, one behind the other, in one write.
async fn pipelined(world: &World, service: &str, callers: &[Credential]) {
    let last = callers.len() - 1;
    let call = |(number, (credential, _)): (usize, &Credential)| {
        let credential =
            if credential.is_empty() { String::new() } else { format!("authorization: {credential}\r\n") };
        let end = if number == last { "connection: close\r\n" } else { "" };
        format!("GET /echo/a HTTP/1.1\r\nhost: shop\r\n{credential}{end}\r\n")
    };
    let calls: String = callers.iter().enumerate().map(call).collect();
    let mut socket = TcpStream::connect(world.envoy.address()).await.unwrap();
    socket.write_all(calls.as_bytes()).await.unwrap();
    let mut answers = String::new();
    tokio::time::timeout(Duration::from_secs(60), socket.read_to_string(&mut answers))
        .await
        .unwrap()
        .unwrap();
    let answers: Vec<_> = answers.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), callers.len(), "{service}: {answers:#?}");
    for (answer, (_, who)) in answers.iter().zip(callers) {
        let told = format!("\"x-who\":[\"{who}\"]");
        let (status, told) = if who.is_empty() { ("401", "credential_refused") } else { ("200", &*told) };
        assert!(answer.starts_with(status) && answer.contains(told), "{service}, {who}: {answer}");
    }
}

/// Calls of HTTP/2, at the same time.
async fn multiplexed(world: &World, service: &str, callers: &[Credential]) {
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("{}/echo/b", world.envoy.url());
    let all = join_all((0..300).map(async |number| {
        let (credential, who) = &callers[number % callers.len()];
        let call = client.get(&url);
        let call = if credential.is_empty() { call } else { call.header("authorization", credential) };
        (who, Got::from(call.send().await.unwrap()).await)
    }))
    .await;
    for (who, got) in all {
        if who.is_empty() {
            assert_eq!((got.status, &*got.error()), (401, "credential_refused"), "{service}");
        } else {
            assert_eq!(got.json()["headers"]["x-who"], json!([who]), "{service}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_share_a_connection_share_nothing_else() {
    for options in [Options::ext_authz(), Options::default()] {
        let service = format!("{:?}", options.service);
        let world = World::start(options.policies(POLICIES)).await;
        let bearer = |person: &str| format!("Bearer {}", world.idp.token(person, "portcullis").unwrap());
        let (ana, bob) = (bearer("ana"), bearer("bob"));
        let forged = format!("{}AAAA", &ana[..ana.len() - 4]);
        let callers = [
            (ana.clone(), "jwt ana"),
            (bob.clone(), "jwt bob"),
            (String::new(), "anonymous"),
            (forged, ""),
            (bob, "jwt bob"),
            (ana, "jwt ana"),
        ];
        pipelined(&world, &service, &callers).await;
        multiplexed(&world, &service, &callers).await;
    }
}

// === cached, and not ===

/// Status and reason of each step.
type Steps = Vec<(u16, String)>;

impl World {
    /// Calls with this token, and says what became of it, in answer and trail.
    async fn step(&self, steps: &mut Steps, token: &str) -> u16 {
        let path = format!("/echo/{}", steps.len());
        let call = self.call(Method::GET, &path, None).bearer_auth(token);
        let status = Got::from(call.send().await.unwrap()).await.status;
        let record = self.recorded(|record| record["path"] == *path).await;
        steps.push((status, record["reason"].as_str().unwrap().to_owned()));
        status
    }

    /// Calls with this token until the answer has this status.
    async fn until(&self, steps: &mut Steps, token: &str, status: u16) {
        for _ in 0..400 {
            if Got::from(self.call(Method::GET, "/echo/wait", None).bearer_auth(token).send().await.unwrap())
                .await
                .status
                == status
            {
                self.step(steps, token).await;
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {status}");
    }
}

/// A token's life: accepted, and then its key is withdrawn, it is revoked, or it ends.
async fn lives(options: Options) -> Steps {
    let options = options
        .policies(POLICIES)
        .edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
        .edit_config("audiences: [portcullis], alg", "leeway: 0s, audiences: [portcullis], alg");
    let (world, mut steps) = (World::start(options).await, Steps::new());
    let (world, steps) = (&world, &mut steps);
    let [old, elsewhere] =
        ["portcullis", "elsewhere"].map(|audience| world.idp.token("ana", audience).unwrap());
    for token in [&old, &old, &elsewhere, &elsewhere] {
        world.step(steps, token).await;
    }
    let short = world.idp.token_for("ana", "portcullis", Duration::from_secs(5)).unwrap();
    world.step(steps, &short).await;
    world.until(steps, &short, 401).await;
    world.idp.rotate_keys(false).unwrap();
    let new = world.idp.token("ana", "portcullis").unwrap();
    for token in [&old, &new, &old, &new, &old, &elsewhere] {
        world.step(steps, token).await;
    }
    assert!(world.cli("bob", &["revoke", "--subject", "ana"]).await.0);
    world.until(steps, &new, 401).await;
    let bob = world.idp.token("bob", "portcullis").unwrap();
    for token in [&new, &bob, &old] {
        world.step(steps, token).await;
    }
    std::mem::take(steps)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_token_lives_as_long_as_one_that_is_judged_each_time() {
    let expected = [
        (200, "allowed"),
        (200, "allowed"),
        (401, "token_audience_mismatch"),
        (401, "token_audience_mismatch"),
        (200, "allowed"),
        (401, "token_expired"),
        // Nobody has asked for the new keys yet.
        (200, "allowed"),
        (200, "allowed"),
        (401, "token_key_unknown"),
        (200, "allowed"),
        (401, "token_key_unknown"),
        (401, "token_key_unknown"),
        (401, "revoked"),
        (401, "revoked"),
        (200, "allowed"),
        (401, "token_key_unknown"),
    ];
    for service in [Options::ext_authz, Options::default] {
        let without = service().edit_config("identity: {", "identity: {token_cache_bytes: 0, ");
        let (kept, judged) = tokio::join!(lives(service()), lives(without));
        let kept: Vec<_> = kept.iter().map(|(status, reason)| (*status, reason.as_str())).collect();
        let judged: Vec<_> = judged.iter().map(|(status, reason)| (*status, reason.as_str())).collect();
        assert_eq!(kept, expected);
        assert_eq!(judged, expected);
    }
}
