//! Keys and revocations by the admin API.

use v1::api_keys_client::ApiKeysClient;
use v1::revocations_client::RevocationsClient;

use super::*;

const OLGA: &str = "olga+operators";

impl Fixture {
    async fn create(&self, body: Value) -> (u16, Value) {
        self.post(Some(OLGA), "/api/v1/keys", body).await
    }

    async fn revoke(&self, body: Value) -> (u16, Value) {
        self.post(Some(OLGA), "/api/v1/revocations", body).await
    }
}

#[tokio::test]
async fn admins_change_keys_and_revocations_viewers_look_and_others_do_neither() {
    let fixture = fixture().await;
    for (token, looks, changes) in [
        (OLGA, 200, 200),
        ("vera+auditors", 200, 403),
        ("bob+finance", 403, 403),
        ("nobody", 401, 401),
        ("bad", 401, 401),
    ] {
        for path in ["/api/v1/keys", "/api/v1/revocations"] {
            assert_eq!(fixture.get(Some(token), path).await.0, looks, "{token} {path}");
        }
        let key = json!({"owner": "export"});
        assert_eq!(fixture.post(Some(token), "/api/v1/keys", key).await.0, changes, "{token}");
        let revocation = json!({"kind": "session", "value": "s-1"});
        assert_eq!(fixture.post(Some(token), "/api/v1/revocations", revocation).await.0, changes, "{token}");
        let unknown = if changes == 200 { 404 } else { changes };
        for path in ["/api/v1/keys/k:revoke", "/api/v1/revocations/r:undo"] {
            assert_eq!(fixture.post(Some(token), path, json!({})).await.0, unknown, "{token} {path}");
        }
    }
    assert_eq!(fixture.store.api_keys(10, None).await.unwrap().len(), 1);
    assert_eq!(fixture.store.revocations(10, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_shown_once_and_its_hash_never() {
    let fixture = fixture().await;
    let (status, made) = fixture
        .create(json!({"owner": "export", "groups": ["staff"], "name": "nightly", "expires": "2999-01-01T00:00:00Z"}))
        .await;
    assert_eq!(status, 200, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let key = &made["key"];
    assert!(secret.starts_with(&format!("pck_{}_", key["id"].as_str().unwrap())), "{made}");
    assert_eq!((&key["state"], &key["expires"]), (&json!("active"), &json!("2999-01-01T00:00:00Z")));
    assert_eq!(key["createdBy"]["subject"], "olga");
    assert_eq!(key["person"], "olga@example.com", "who gets to know the key counts as who calls with it");
    let stored = fixture.store.api_keys(10, None).await.unwrap().remove(0);
    assert!(!format!("{stored:?}").contains(secret));
    let (_, listed) = fixture.get(Some(OLGA), "/api/v1/keys").await;
    assert!(!listed.to_string().contains(secret) && !listed.to_string().contains(&stored.hash), "{listed}");
    assert_eq!(&listed["keys"][0], key);

    let path = format!("/api/v1/keys/{}:revoke", stored.id);
    let (status, revoked) = fixture.post(Some(OLGA), &path, json!({"reason": "was in a log"})).await;
    assert_eq!((status, &revoked["state"]), (200, &json!("revoked")));
    let (_, other) = fixture.create(json!({"owner": "import", "person": "ina@example.com"})).await;
    assert_eq!((&other["key"]["person"], other["key"].get("expires")), (&json!("ina@example.com"), None));
    let log = fixture.log.0.lock().clone();
    assert_eq!(
        log,
        [
            "olga created a key of export",
            "olga revoked a key of export: was in a log",
            "olga created a key of import",
        ]
    );
}

#[tokio::test]
async fn a_revocation_is_made_listed_and_undone() {
    let fixture = fixture().await;
    let (status, made) = fixture
        .revoke(json!({"kind": "subject", "value": "ana", "issuer": "https://i", "issuedBeforeNow": true,
            "until": "2999-01-01T00:00:00Z", "reason": "left"}))
        .await;
    assert_eq!((status, &made["active"]), (200, &json!(true)), "{made}");
    let time = |field: &str| made[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let before = time("created").duration_since(time("issuedBefore"));
    assert!((0..60).contains(&before.as_secs()), "by the server's clock: {made}");
    assert_eq!(fixture.revoke(json!({"kind": "key", "value": "k"})).await.0, 200);
    let (_, first) = fixture.get(Some(OLGA), "/api/v1/revocations?limit=1").await;
    assert_eq!(
        (first["revocations"].as_array().unwrap().len(), &first["revocations"][0]["value"]),
        (1, &json!("k"))
    );
    let next = first["nextPageToken"].as_str().unwrap();
    let (_, second) = fixture.get(Some(OLGA), &format!("/api/v1/revocations?limit=2&pageToken={next}")).await;
    assert_eq!(second["revocations"], json!([made]));
    assert_eq!(second.get("nextPageToken"), None);

    let path = format!("/api/v1/revocations/{}:undo", made["id"].as_str().unwrap());
    let (status, undone) = fixture.post(Some(OLGA), &path, json!({"reason": "came back"})).await;
    assert_eq!((status, undone.get("active")), (200, None), "{undone}");
    assert_eq!(fixture.post(Some(OLGA), &path, json!({})).await.0, 404);
    let log = fixture.log.0.lock().clone();
    assert_eq!(log, ["olga revoked ana: left", "olga revoked k: ", "olga undid ana: came back"]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_nothing_is_written() {
    let fixture = fixture().await;
    for body in [
        json!({"kind": "person", "value": "ana"}),
        json!({"kind": "subject", "value": ""}),
        json!({"kind": "subject", "value": "a\u{202e}na"}),
        json!({"kind": "subject", "value": "a".repeat(1_025)}),
        json!({"kind": "key", "value": "k", "issuer": "https://i"}),
        json!({"kind": "token_id", "value": "t", "issuedBeforeNow": true}),
        json!({"kind": "key", "value": "k", "issuedBefore": "2020-01-01T00:00:00Z"}),
        json!({"kind": "subject", "value": "a", "issuedBefore": "2999-01-01T00:00:00Z"}),
        json!({"kind": "subject", "value": "a", "issuedBefore": "2020-01-01T00:00:00Z", "issuedBeforeNow": true}),
        json!({"kind": "subject", "value": "a", "until": "2020-01-01T00:00:00Z"}),
        json!({"kind": "subject", "value": "a", "until": "tomorrow"}),
        json!({"kind": "subject", "value": "a", "reason": "x\u{202e}"}),
        json!({"kind": "subject", "value": "a", "untill": "2999-01-01T00:00:00Z"}),
        json!({"kind": "subject"}),
    ] {
        let (status, said) = fixture.revoke(body.clone()).await;
        assert_eq!((status, &said["code"]), (400, &json!("invalid_argument")), "{body}");
    }
    for body in [
        json!({"owner": ""}),
        json!({"owner": "a\nb"}),
        json!({"owner": "a", "expires": "2020-01-01T00:00:00Z"}),
        json!({"owner": "a", "groups": [""]}),
        json!({"owner": "a", "groups": vec!["g"; 101]}),
        json!({"owner": "a", "name": "n".repeat(201)}),
        json!({"owner": "a", "expiry": "2999-01-01T00:00:00Z"}),
        json!({}),
    ] {
        let (status, said) = fixture.create(body.clone()).await;
        assert_eq!((status, &said["code"]), (400, &json!("invalid_argument")), "{body}");
    }
    assert_eq!(fixture.store.credential_changes(None).await.unwrap().newest, 0);
    assert!(fixture.log.0.lock().is_empty());
}

#[tokio::test]
async fn without_a_hash_key_no_key_is_made_and_the_answer_says_what_to_configure() {
    let fixture = fixture().await;
    let state = AdminState { api_keys: None, ..fixture.state.clone() };
    let request = v1::CreateApiKeyRequest { owner: "ana".into(), ..Default::default() };
    let refused = state.create_api_key(&Arc::new(person(OLGA)), request).await.unwrap_err();
    assert_eq!((refused.code(), refused.status().as_u16()), ("keys_not_configured", 409));
    assert!(refused.to_string().contains("identity.api_keys.hash_key"), "{refused}");
}

#[tokio::test]
async fn grpc_says_the_same() {
    let fixture = fixture().await;
    let mut keys = ApiKeysClient::connect(fixture.url.clone()).await.unwrap();
    let request = v1::CreateApiKeyRequest { owner: "export".into(), ..Default::default() };
    let denied = keys.create_api_key(with(request.clone(), "vera+auditors")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let made = keys.create_api_key(with(request, OLGA)).await.unwrap().into_inner();
    let id = made.key.unwrap().id;
    let request = v1::RevokeApiKeyRequest { id, reason: String::new() };
    assert_eq!(keys.revoke_api_key(with(request, OLGA)).await.unwrap().into_inner().state, "revoked");
    let listed = keys.list_api_keys(with(v1::ListApiKeysRequest::default(), OLGA)).await.unwrap();
    assert_eq!(listed.into_inner().keys.len(), 1);

    let mut revocations = RevocationsClient::connect(fixture.url.clone()).await.unwrap();
    let request =
        v1::CreateRevocationRequest { kind: "subject".into(), value: "ana".into(), ..Default::default() };
    let denied = revocations.create_revocation(with(request.clone(), "bob+finance")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let made = revocations.create_revocation(with(request, OLGA)).await.unwrap().into_inner();
    let request = v1::UndoRevocationRequest { id: made.id, reason: String::new() };
    revocations.undo_revocation(with(request.clone(), OLGA)).await.unwrap();
    let gone = revocations.undo_revocation(with(request, OLGA)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let listed =
        revocations.list_revocations(with(v1::ListRevocationsRequest::default(), OLGA)).await.unwrap();
    assert!(listed.into_inner().revocations.is_empty());
}
