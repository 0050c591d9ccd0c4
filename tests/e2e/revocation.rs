//! Credentials that are taken back: calls end, also those that are held, or whose response is on its way.

use std::time::Duration;

use portcullis::engine::fault::{Fault, Point};
use portcullis_sample::idp::Algorithm;
use portcullis_sample::upstream::Answer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Got, Options, World};

const SECRET: &str = "4929381705628341";

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: everybody}
spec:
  match: [{paths: ["/public/{**}"]}]
  rules: [{name: all, allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: staff}
spec:
  match: [{paths: ["/v1/orders", "/masked/{**}", "/echo/{**}"]}]
  rules: [{name: staff, when: '"staff" in identity.groups', allow: {}}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: masked}
spec:
  match: [{paths: ["/masked/{**}"]}]
  rules: [{name: numbers, mask: [{field: "**.number", with: last4}]}]
---
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: deletion}
spec:
  match: [{paths: ["/v1/orders/{id}"], methods: [DELETE]}]
  rules:
    - name: second-person
      when: '"staff" in identity.groups'
      hold: {approvers: {groups: [finance-oncall]}, wait: 60s}
"#;

fn with_admins(options: Options) -> Options {
    options.policies(POLICIES).edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
}

impl World {
    /// Runs a command as bob, who is an admin.
    async fn done(&self, arguments: &[&str]) -> String {
        let (done, said) = self.cli("bob", arguments).await;
        assert!(done, "{arguments:?}: {said}");
        said
    }

    /// The id of the newest revocation.
    async fn newest(&self) -> String {
        let listed = self.done(&["revoke", "list", "--format", "json"]).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        listed["revocations"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn with_token(&self, token: &str) -> Got {
        let call = self.client.get(format!("{}/v1/orders", self.envoy.url())).bearer_auth(token);
        Got::from(call.send().await.unwrap()).await
    }

    /// Waits until a call with this token has this status.
    async fn comes_to(&self, token: &str, status: u16) -> Got {
        for _ in 0..400 {
            let got = self.with_token(token).await;
            if got.status == status {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {status}");
    }

    /// A token of ana's with these claims changed.
    fn of_ana(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.idp.claims("ana", "portcullis").unwrap();
        change(&mut claims);
        self.idp.sign(Algorithm::Rs256, &claims).unwrap()
    }
}

async fn a_subject(options: Options) {
    let mut world = World::start(with_admins(options)).await;
    let [ana, bob] = ["ana", "bob"].map(|person| world.idp.token(person, "portcullis").unwrap());
    assert_eq!(world.with_token(&ana).await.status, 200);
    assert_eq!(world.with_token(&ana).await.status, 200, "a token that is known");
    let said = world.done(&["revoke", "--subject", "ana", "--reason", "left"]).await;
    assert!(said.contains("revoked: subject ana"), "{said}");
    let refused = world.comes_to(&ana, 401).await;
    assert_eq!(refused.error(), "credential_refused", "callers learn no more");
    let calls = world.upstream.calls_to("/v1/orders");
    assert_eq!(world.get("/v1/orders", Some("ana")).await.status, 401, "a new token does not help");
    assert_eq!(world.upstream.calls_to("/v1/orders"), calls);
    assert_eq!(world.with_token(&bob).await.status, 200);
    assert_eq!(world.get("/public/hello", None).await.status, 200);
    let record = world.recorded(|record| record["reason"] == "revoked").await;
    assert_eq!((&record["identity"]["subject"], &record["outcome"]), (&json!("ana"), &json!("deny")));
    let record = world.recorded(|record| record["change"] == "revoked").await;
    assert_eq!((&record["kind"], &record["revokes"]), (&json!("credential"), &json!("subject")));
    assert_eq!((&record["identity"]["subject"], &record["comment"]), (&json!("bob"), &json!("left")));

    // It outlives a restart, and ends when it is undone.
    assert!(world.drain().await);
    world.restart().await;
    assert_eq!(world.comes_to(&ana, 401).await.error(), "credential_refused");
    let said = world.done(&["revoke", "undo", &world.newest().await]).await;
    assert!(said.contains("no longer revoked: subject ana"), "{said}");
    world.comes_to(&ana, 200).await;
    world.recorded(|record| record["change"] == "revocation_undone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_subject_is_denied_by_ext_authz_whatever_its_token() {
    a_subject(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_subject_is_denied_by_ext_proc_whatever_its_token() {
    a_subject(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_token_or_age_leaves_other_tokens_alone() {
    let world = World::start(with_admins(Options::ext_authz())).await;
    let of_session = |sid: &str| world.of_ana(|claims| claims["sid"] = json!(sid));
    let (first, second) = (of_session("s-1"), of_session("s-2"));
    world.done(&["revoke", "--session", "s-1"]).await;
    world.comes_to(&first, 401).await;
    assert_eq!(world.with_token(&second).await.status, 200);

    let (one, other) = (world.of_ana(|claims| claims["jti"] = json!("j-1")), world.of_ana(|_| ()));
    world.done(&["revoke", "--token-id", "j-1", "--issuer", &world.idp.issuer()]).await;
    world.comes_to(&one, 401).await;
    assert_eq!(world.with_token(&other).await.status, 200);

    let later = world.of_ana(|claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 10));
    let undated = world.of_ana(|claims| {
        claims.as_object_mut().unwrap().remove("iat");
    });
    assert_eq!(world.with_token(&undated).await.status, 200);
    world.done(&["revoke", "--subject", "ana", "--issued-before", "now"]).await;
    world.comes_to(&other, 401).await;
    assert_eq!(world.with_token(&undated).await.status, 401);
    assert_eq!(world.with_token(&later).await.status, 200);
}

async fn a_held_call(options: Options) {
    let world = World::start(with_admins(options)).await;
    let delete = |person| world.send(world.call(Method::DELETE, "/v1/orders/o-1", Some(person)));
    let (anas, bobs) = (delete("ana"), delete("bob"));
    world.pending(2).await;
    world.done(&["revoke", "--subject", "ana"]).await;
    let refused = anas.await.unwrap();
    assert_eq!((refused.status, refused.error().as_str()), (401, "credential_refused"));
    let record = world.recorded(|record| record["reason"] == "revoked").await;
    let id = record["approval"].as_str().unwrap();
    assert_eq!(record["outcome"], "deny");
    assert!(!bobs.is_finished(), "others wait on");
    // An approval that comes too late releases nothing.
    assert_eq!(world.decide(id, "bob", "approve").await.status, 200);
    assert_eq!(delete("ana").await.unwrap().status, 401);
    assert_eq!(world.upstream.calls_to("/v1/orders/o-1"), 0);
    bobs.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_of_a_revoked_subject_ends_denied_by_ext_authz() {
    a_held_call(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_call_of_a_revoked_subject_ends_denied_by_ext_proc() {
    a_held_call(Options::default()).await;
}

/// Records in chunks of their own, for longer than anybody waits here.
fn endless() -> Answer {
    let answer = Answer::new(StatusCode::OK).header("content-type", "application/x-ndjson");
    (0..600).fold(answer, |answer, nth| {
        answer
            .chunk(format!("{{\"number\":\"{SECRET}\",\"record\":{nth}}}\n"))
            .pause(Duration::from_millis(100))
    })
}

async fn a_masked_response(options: Options) {
    let world = World::start(with_admins(options)).await;
    world.upstream.answer("/masked/a", endless());
    let mut response = world.call(Method::GET, "/masked/a", Some("ana")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.chunk().await.unwrap().is_some());
    world.done(&["revoke", "--subject", "ana"]).await;
    let got = Got::from(response).await;
    assert!(!got.complete, "{}", got.text());
    assert!(!got.text().contains(&SECRET[..12]), "{}", got.text());
    let record = world.recorded(|record| record["kind"] == "response").await;
    assert_eq!((&record["outcome"], &record["reason"]), (&json!("blocked"), &json!("revoked")));
    world.counted("portcullis_mask_failures_total{reason=\"revoked\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_response_of_a_revoked_subject_is_cut_off() {
    a_masked_response(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_response_of_a_revoked_subject_is_cut_off_where_envoy_fails_open() {
    a_masked_response(Options::default().edit("failure_mode_allow: false", "failure_mode_allow: true")).await;
}

/// The upstream has not answered yet: the caller gets a denial in place of the response.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_response_would_be_masked_ends_before_it_comes() {
    let world = World::start(with_admins(Options::default())).await;
    let silent = Answer::new(StatusCode::OK).header("content-type", "application/json");
    world.upstream.answer("/masked/a", silent.pause(Duration::from_secs(60)));
    let call = world.send(world.call(Method::GET, "/masked/a", Some("ana")));
    while world.upstream.calls_to("/masked/a") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.done(&["revoke", "--subject", "ana"]).await;
    let got = call.await.unwrap();
    assert!(got.status == 401 || !got.complete, "{} {}", got.status, got.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_revocations_can_not_be_read_credentials_are_refused_or_count_as_configured() {
    for (on_stale, status) in [("deny", 503), ("continue", 200)] {
        let section = match on_stale {
            "deny" => "identity: {revocation: {max_age: 2s}, jwt",
            _ => "identity: {revocation: {max_age: 2s, on_stale: continue}, jwt",
        };
        let world =
            World::start(with_admins(Options::ext_authz()).edit_config("identity: {jwt", section)).await;
        let ana = world.idp.token("ana", "portcullis").unwrap();
        assert_eq!(world.with_token(&ana).await.status, 200);
        world.faults().set(Some((Point::ReadCredentials, Fault::Fail)));
        while age(&world).await < 2.5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let got = world.with_token(&ana).await;
        assert_eq!(got.status, status, "{on_stale}: {}", got.text());
        if status == 503 {
            assert_eq!(got.error(), "revocations_stale");
            let record = world.recorded(|record| record["reason"] == "revocations_stale").await;
            assert_eq!(record["outcome"], "indeterminate");
        }
        assert_eq!(world.get("/public/hello", None).await.status, 200, "nobody has nothing to revoke");
        world.faults().set(None);
        world.comes_to(&ana, 200).await;
    }
}

/// A stolen token asked, somebody approved, and then the theft is noticed: nothing that was approved for it goes out.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_of_a_revoked_credentials_call_releases_nothing() {
    for (option, value) in [("--token-id", "t-1"), ("--session", "s-1")] {
        let world = World::start(with_admins(Options::default())).await;
        let tokens = [("t-1", "s-1"), ("t-2", "s-2")].map(|(token, session)| {
            world.of_ana(|claims| {
                claims["jti"] = json!(token);
                claims["sid"] = json!(session);
            })
        });
        let call = async |token: &String| {
            let request = world.client.delete(format!("{}/v1/orders/o-1", world.envoy.url()));
            let request = request.bearer_auth(token).header("prefer", "respond-async");
            Got::from(request.send().await.unwrap()).await
        };
        let id = |got: &Got| got.json()["approval"]["id"].as_str().unwrap().to_owned();
        let asked = call(&tokens[0]).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        assert_eq!(world.decide(&id(&asked), "bob", "approve").await.status, 200);
        world.done(&["revoke", option, value, "--reason", "stolen"]).await;
        world.recorded(|record| record["change"] == "caller_revoked").await;
        let shown =
            world.admin(Method::GET, &format!("/api/v1/approvals/{}", id(&asked)), "bob").await.json();
        assert_eq!(shown["state"], "revoked", "{option}");
        // The very same call by their other token is asked for anew.
        let again = call(&tokens[1]).await;
        assert_eq!(again.status, 202, "{option}: {}", again.text());
        assert_ne!(id(&again), id(&asked));
        assert_eq!(world.upstream.calls(), 0);
    }
}

/// Seconds since the server last knew what is revoked, as its metric says.
async fn age(world: &World) -> f64 {
    let metrics = world.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_revocations_age_seconds "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_or_no_admin_revokes_nobody() {
    let world = World::start(with_admins(Options::ext_authz())).await;
    let (done, said) = world.cli("ana", &["revoke", "--subject", "bob"]).await;
    assert!(!done && said.contains("only members of the admin groups"), "{said}");
    world.done(&["revoke", "--subject", "bob", "--until", "1h"]).await;
    world.comes_to(&world.idp.token("bob", "portcullis").unwrap(), 401).await;
    let (done, said) = world.cli("bob", &["revoke", "undo", "019b1c5b-3f6a-7d5e-9c0f-2a4b6c8d0e1f"]).await;
    assert!(!done && said.contains("does not accept the token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hash_key_the_command_says_what_to_configure() {
    let world = World::start(with_admins(Options::ext_authz())).await;
    let (done, said) = world.cli("bob", &["keys", "create", "--owner", "export"]).await;
    assert!(!done && said.contains("identity.api_keys.hash_key"), "{said}");
}

async fn an_api_key(options: Options) {
    let key_file = "identity: {api_keys: {hash_key: hash.key}, jwt";
    let mut world = World::start(with_admins(options).edit_config("identity: {jwt", key_file)).await;
    let create =
        ["keys", "create", "--owner", "export", "--group", "staff", "--expires", "1h", "--format", "json"];
    let made: Value = serde_json::from_str(&world.done(&create).await).unwrap();
    let (key, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    let got = world.key_comes_to(key, 200).await;
    assert!(!got.text().contains(key));
    let record = world.recorded(|record| record["identity"]["method"] == "api_key").await;
    assert_eq!(
        (&record["identity"]["subject"], &record["identity"]["person"]),
        (&json!("export"), &json!("bob@example.com"))
    );
    for wrong in [&key[..key.len() - 1], &format!("{key}a"), "pck_", "x"] {
        let got = world.with_key(wrong).await;
        assert_eq!((got.status, got.error().as_str()), (401, "credential_refused"), "{wrong}");
    }
    let seen = world.client.get(format!("{}/echo/a", world.envoy.url())).header("x-api-key", key);
    let seen = Got::from(seen.send().await.unwrap()).await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(!seen.text().contains(key), "the upstream does not see it: {}", seen.text());

    assert!(world.drain().await);
    world.restart().await;
    world.key_comes_to(key, 200).await;
    let held = world.client.delete(format!("{}/v1/orders/o-1", world.envoy.url())).header("x-api-key", key);
    let held = world.send(held);
    let [approval] = world.pending(1).await.try_into().unwrap();
    let own = world.decide(&approval, "bob", "approve").await;
    assert_eq!(own.status, 403, "who made the key knows it: {}", own.text());
    world.done(&["keys", "revoke", id, "--reason", "was in a log"]).await;
    assert_eq!(held.await.unwrap().status, 401, "a held call ends");
    world.key_comes_to(key, 401).await;
    world.recorded(|record| record["reason"] == "api_key_revoked").await;
    let audit = world.audit_text();
    assert!(!audit.contains(key) && audit.contains(id), "{audit}");
    assert!(world.done(&["keys", "list"]).await.contains("revoked"));
}

impl World {
    async fn with_key(&self, key: &str) -> Got {
        let call = self.client.get(format!("{}/v1/orders", self.envoy.url())).header("x-api-key", key);
        Got::from(call.send().await.unwrap()).await
    }

    async fn key_comes_to(&self, key: &str, status: u16) -> Got {
        for _ in 0..400 {
            let got = self.with_key(key).await;
            if got.status == status {
                return got;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_works_until_it_is_revoked_by_ext_authz() {
    an_api_key(Options::ext_authz()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_works_until_it_is_revoked_by_ext_proc() {
    an_api_key(Options::default()).await;
}
