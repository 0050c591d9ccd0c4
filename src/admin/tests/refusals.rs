//! What is refused, and how that is said.

use super::*;

#[tokio::test]
async fn nobody_comes_in_without_a_valid_token() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let one = format!("/api/v1/approvals/{id}");
    for path in ["/api/v1/approvals", &one] {
        for (token, status, code) in [
            (None, 401, "unauthenticated"),
            (Some("bad"), 401, "credential_refused"),
            (Some("nobody"), 401, "credential_refused"),
            (Some("keyless"), 503, "unavailable"),
        ] {
            let (got, body) = fixture.get(token, path).await;
            assert_eq!((got, &body["code"]), (status, &json!(code)), "{path} {token:?}");
            let (got, _) = fixture.post(token, &format!("{one}:approve"), json!({})).await;
            assert_eq!(got, status);
        }
    }
    assert!(fixture.store.approval(&id).await.unwrap().unwrap().votes.is_empty());
}

#[tokio::test]
async fn bad_input_is_named() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let bob = "bob+finance";
    assert_eq!(fixture.decide(bob, "unknown", "approve").await.0, 404);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals/unknown").await.0, 404);
    assert_eq!(fixture.decide(bob, &id, "delete").await.0, 400);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals?state=open").await.0, 400);
    assert_eq!(fixture.get(Some(bob), "/api/v1/approvals?colour=red").await.0, 400);
    let approve = format!("/api/v1/approvals/{id}:approve");
    assert_eq!(fixture.post(Some(bob), &approve, json!({"why": "x"})).await.0, 400);
    let long = json!({"reason": "x".repeat(2_001)});
    assert_eq!(fixture.post(Some(bob), &approve, long).await.0, 400);
    let huge = json!({"reason": "x".repeat(MAX_REQUEST)});
    assert_eq!(fixture.post(Some(bob), &approve, huge).await.0, 413);
    fixture.store.close().await;
    assert_eq!(fixture.decide(bob, &id, "approve").await.0, 503);
}

#[tokio::test]
async fn every_refusal_is_json() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let path = format!("/api/v1/approvals/{id}");
    let huge = json!({"reason": "x".repeat(100_000)});
    let url = format!("{}{path}", fixture.url);
    for ((status, body), expected) in [
        (fixture.get(None, "/api/v2/approvals").await, (404, "not_found")),
        (fixture.send(fixture.client.put(&url), Some("bob+finance")).await, (405, "method_not_allowed")),
        (fixture.post(Some("bob+finance"), &format!("{path}:approve"), huge).await, (413, "too_large")),
        (fixture.get(Some("keyless"), &path).await, (503, "unavailable")),
    ] {
        assert_eq!((status, body["code"].as_str().unwrap()), expected);
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
}
