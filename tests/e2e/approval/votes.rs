//! Whose votes count: not those of people whose credentials were revoked, and one of each person.

use reqwest::Method;
use serde_json::json;

use crate::world::{Got, Options, World};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST, PUT]}]
  rules:
    - name: one-person
      when: request.method == "PUT"
      hold: {approvers: {groups: [finance-oncall]}, wait: 60s}
    - name: two-people
      when: request.method == "POST"
      hold: {approvers: {groups: [finance-oncall], count: 2}, wait: 60s}
"#;

fn options() -> Options {
    Options::default().policies(POLICIES).edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt")
}

/// What ana gets who does not wait.
async fn ask(world: &World, method: Method, body: &str) -> Got {
    let request = world.call(method, "/v1/refunds", Some("ana")).header("prefer", "respond-async");
    Got::from(request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap())
        .await
}

async fn ticket(world: &World, method: Method, body: &str) -> String {
    let got = ask(world, method, body).await;
    assert_eq!(got.status, 202, "{}", got.text());
    got.json()["approval"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revoked_approver_gave_releases_nothing_and_counts_for_nothing() {
    let world = World::start(options()).await;
    let login = |name: &str| world.login(name, &json!({"person": format!("{name}@example.com")}));
    let alone = ticket(&world, Method::PUT, "{}").await;
    let two = ticket(&world, Method::POST, "{}").await;
    assert_eq!(world.by_api(&login("evil"), &alone, "approve").await.json()["state"], "approved");
    assert_eq!(world.by_api(&login("evil"), &two, "approve").await.json()["state"], "pending");
    let (done, said) = world.cli("bob", &["revoke", "--subject", "evil", "--reason", "taken over"]).await;
    assert!(done, "{said}");

    assert_eq!(world.state(&alone).await.0, "revoked");
    for (id, change) in [(&alone, "approver_revoked"), (&two, "vote_voided")] {
        world.recorded(|record| record["approval"] == **id && record["change"] == change).await;
    }
    let (_, shown) = world.cli("bob", &["approvals", "show", &two]).await;
    assert!(shown.contains("void since") && shown.contains("taken over"), "{shown}");
    let again = world.by_api(&login("evil"), &two, "approve").await;
    assert_eq!((again.status, again.json()["code"].as_str().unwrap()), (401, "credential_refused"));
    assert_ne!(ticket(&world, Method::PUT, "{}").await, alone, "it is asked anew");

    assert_eq!(world.by_api(&login("dora"), &two, "approve").await.json()["state"], "pending", "one of two");
    ticket(&world, Method::POST, "{}").await;
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 0);
    assert_eq!(world.by_api(&login("eve"), &two, "approve").await.json()["state"], "approved");
    ask(&world, Method::POST, "{}").await;
    assert_eq!(world.upstream.calls_to("/v1/refunds"), 1);
    let record = world.recorded(|record| record["reason"] == "approved").await;
    assert_eq!(record["approvers"], json!(["dora@example.com", "eve@example.com"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_one_vote_however_their_logins_are_called_and_nobody_is_none() {
    let world = World::start(options()).await;
    for (nth, (one, other)) in [
        (json!({"person": "E1234", "email": "bob@x"}), json!({"person": "bob@x", "email": "bob@x"})),
        (json!({"person": "jos\u{e9}@x"}), json!({"person": "jose\u{301}@x"})),
        (json!({"person": "bob@x"}), json!({"person": "bob\u{200b}@x"})),
        (json!({"person": "bob@x"}), json!({"person": "\u{ff42}ob@x"})),
    ]
    .into_iter()
    .enumerate()
    {
        let id = ticket(&world, Method::POST, &format!("{{\"n\": {nth}}}")).await;
        assert_eq!(world.by_api(&world.login("first", &one), &id, "approve").await.status, 200);
        let second = world.by_api(&world.login("second", &other), &id, "approve").await;
        assert_eq!(
            (second.status, second.json()["code"].as_str().unwrap()),
            (409, "voted_already"),
            "{one} {other}"
        );
        for blank in [" ", "\u{a0}", "\u{200b}"] {
            let nobody = world.login("third", &json!({"person": blank}));
            let refused = world.by_api(&nobody, &id, "approve").await;
            assert_eq!(
                (refused.status, refused.json()["code"].as_str().unwrap()),
                (403, "no_person"),
                "{blank:?}"
            );
        }
        assert_eq!(world.state(&id).await, ("pending".to_owned(), 1), "{one} {other}");
    }
}
