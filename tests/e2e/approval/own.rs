//! Nobody decides on their own call, by whatever door and under whatever name they come; people are counted, not their
//! logins; and nothing is decided by following a link.

use portcullis_sample::idp::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Got, Options, World, cli};

const POLICIES: &str = r#"
apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: refunds}
spec:
  match: [{paths: ["/v1/refunds"], methods: [POST]}]
  rules:
    - name: two-people
      hold:
        approvers: {groups: [finance-oncall], count: 2}
        break_glass: {groups: [finance-oncall]}
        wait: 60s
"#;

const LARGE: &str = r#"{"order": "o-1", "amount": 700}"#;

impl World {
    /// A token for the admin API: a login of this name with these claims.
    pub(super) fn login(&self, subject: &str, claims: &Value) -> String {
        let mut all = self.idp.claims("bob", "portcullis-admin").unwrap();
        for name in ["person", "email"] {
            all.as_object_mut().unwrap().remove(name);
        }
        all["sub"] = json!(subject);
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.idp.sign(Algorithm::Rs256, &all).unwrap()
    }

    pub(super) async fn by_api(&self, token: &str, id: &str, choice: &str) -> Got {
        let url = format!("http://{}/api/v1/approvals/{id}:{choice}", self.addresses.admin);
        let request = self.client.post(url).bearer_auth(token).json(&json!({"reason": "mine"}));
        Got::from(request.send().await.unwrap()).await
    }

    async fn by_command(&self, token: &str, id: &str, choice: &str) -> (bool, String) {
        cli(self.addresses.admin, token, &["approvals", choice, id, "--reason", "mine"]).await
    }

    pub(super) async fn state(&self, id: &str) -> (String, usize) {
        let shown = self.admin(Method::GET, &format!("/api/v1/approvals/{id}"), "bob").await.json();
        let votes = shown["votes"].as_array().map_or(0, Vec::len);
        (shown["state"].as_str().unwrap().to_owned(), votes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_key_or_name_of_the_caller_releases_their_call_by_any_door() {
    let world = World::start(Options::default().policies(POLICIES)).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    let email = "ana@example.com";
    let logins = [
        world.login("ana", &json!({"person": "somebody@example.com"})),
        world.login("ana-admin", &json!({"person": email})),
        world.login("ana-admin", &json!({"person": " ANA@Example.COM "})),
        world.login("ana-admin", &json!({"person": "other", "email": "Ana@example.com"})),
        world.login("Ana@Example.com", &json!({"person": "other"})),
        world.login("ana-admin", &json!({"person": "other", "email": email})),
    ];
    for login in &logins {
        for (api, command) in [("approve", "approve"), ("breakGlass", "break-glass"), ("reject", "reject")] {
            let got = world.by_api(login, &id, api).await;
            assert_eq!(got.status, 403, "{api}: {}", got.text());
            let (done, said) = world.by_command(login, &id, command).await;
            assert!(!done && said.contains("own call"), "{command}: {said}");
        }
    }
    // All at once, by both doors, is no other than one at a time.
    let (world, id) = (&world, &id);
    let both = async |login: &String| {
        (world.by_api(login, id, "approve").await.status, world.by_command(login, id, "approve").await.0)
    };
    let bulk = futures_util::future::join_all(logins.iter().map(both)).await;
    assert!(bulk.iter().all(|(status, done)| *status == 403 && !done), "{bulk:?}");
    assert_eq!(world.state(id).await, ("pending".to_owned(), 0));
    assert!(!held.is_finished());

    // One other person is one, however often and under whatever name.
    let bob = [
        world.login("bob", &json!({"person": "bob@example.com"})),
        world.login("bob-2", &json!({"person": "BOB@example.com"})),
        world.login("bob-3", &json!({"person": "bob@example.com "})),
    ];
    assert_eq!(world.by_api(&bob[0], id, "approve").await.status, 200);
    for login in &bob {
        assert_eq!(world.by_api(login, id, "approve").await.status, 409);
        assert!(!world.by_command(login, id, "approve").await.0);
    }
    assert_eq!(world.state(id).await, ("pending".to_owned(), 1), "two people are asked for");
    let nameless = world.login("dana", &json!({}));
    assert_eq!(world.by_api(&nameless, id, "approve").await.status, 403, "a login of nobody in particular");
    let dana = world.login("dana", &json!({"person": "dana@example.com"}));
    assert_eq!(world.by_api(&dana, id, "approve").await.json()["state"], "approved");
    assert_eq!(held.await.unwrap().status, 200);
}

/// The key is of a person, who knows it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_the_call_of_their_own_key() {
    let options = Options::default()
        .policies(POLICIES)
        .edit_config("identity: {jwt", "identity: {api_keys: {hash_key: hash.key}, jwt")
        .edit_config("admin: {jwt", "admin: {admins: [finance-oncall], jwt");
    let world = World::start(options).await;
    let create =
        ["keys", "create", "--owner", "export", "--group", "staff", "--expires", "1h", "--format", "json"];
    let (done, said) = world.cli("bob", &create).await;
    assert!(done, "{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    let url = format!("{}/v1/refunds", world.envoy.url());
    let call = || {
        let request = world.client.post(&url).header("x-api-key", made["secret"].as_str().unwrap());
        request.header("content-type", "application/json").header("prefer", "respond-async").body(LARGE)
    };
    let mut got = Got::from(call().send().await.unwrap()).await;
    // A server learns of a key in a moment.
    for _ in 0..400 {
        if got.status == 202 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        got = Got::from(call().send().await.unwrap()).await;
    }
    let id = got.json()["approval"]["id"].as_str().unwrap().to_owned();
    for login in [
        world.login("bob", &json!({"person": "bob@example.com"})),
        world.login("bob-admin", &json!({"person": "Bob@Example.com"})),
        world.login("bob-admin", &json!({"person": "x", "email": "bob@example.com"})),
    ] {
        assert_eq!(world.by_api(&login, &id, "approve").await.status, 403);
        assert!(!world.by_command(&login, &id, "break-glass").await.0);
    }
    assert_eq!(world.state(&id).await, ("pending".to_owned(), 0));
}

/// Links are fetched by whoever shows them: chats, mail filters, browsers that think ahead.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_by_following_a_link() {
    let world = World::start(Options::default().policies(&POLICIES.replace("count: 2", "count: 1"))).await;
    let held = world.send(world.post_request("/v1/refunds", Some("ana"), LARGE));
    let [id] = world.pending(1).await.try_into().unwrap();
    let token = world.idp.token("bob", "portcullis-admin").unwrap();
    let mut followed = 0;
    for path in [
        format!("/approvals/{id}"),
        format!("/approvals/{id}/approve"),
        format!("/approvals/{id}/approve?csrf=&reason=x"),
        format!("/approvals/{id}/reject"),
        format!("/api/v1/approvals/{id}:approve"),
        format!("/api/v1/approvals/{id}:approve?reason=x"),
        format!("/api/v1/approvals/{id}:reject"),
        format!("/api/v1/approvals/{id}:breakGlass?reason=x"),
        format!("/portcullis.admin.v1.Approvals/ApproveApproval?id={id}"),
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            for (name, value) in [
                ("sec-purpose", "prefetch;prerender"),
                ("purpose", "prefetch"),
                ("x-http-method-override", "POST"),
            ] {
                let url = format!("http://{}{path}", world.addresses.admin);
                let request =
                    world.client.request(method.clone(), url).bearer_auth(&token).header(name, value);
                followed += usize::from(request.send().await.is_ok());
            }
        }
    }
    assert!(followed > 0);
    assert_eq!(world.state(&id).await, ("pending".to_owned(), 0));
    assert!(!held.is_finished());
    assert_eq!(world.by_api(&token, &id, "approve").await.status, 200, "a POST does");
    assert_eq!(held.await.unwrap().status, 200);
}
