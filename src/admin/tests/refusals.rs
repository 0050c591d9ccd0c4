//! What is refused, and how that is said.

use super::*;
use crate::admin::fault::Fault;

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
    let (status, refused) = fixture.get(Some(bob), "/api/v1/approvals?pagetoken=x").await;
    let said = refused["message"].as_str().unwrap();
    assert!(
        status == 400 && said.contains("unknown field `pagetoken`") && said.contains("`pageToken`"),
        "{said}"
    );
    let (status, refused) = fixture.get(Some(bob), "/api/v1/approvals?pageToken=x").await;
    assert!(status == 400 && refused["message"].as_str().unwrap().contains("`nextPageToken`"), "{refused}");
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
async fn a_reason_may_be_left_out_with_its_body() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let approve = fixture.client.post(format!("{}/api/v1/approvals/{id}:approve", fixture.url));
    let (status, approved) = fixture.send(approve, Some("bob+finance")).await;
    assert_eq!((status, &approved["state"]), (200, &json!("approved")), "{approved}");
}

#[test]
fn every_code_stands_in_the_reference_with_its_status() {
    let reference = include_str!("../../../docs/reference.md");
    let table = reference.split("## Errors of the admin API").nth(1).unwrap().split("\n## ").next().unwrap();
    let source = include_str!("../fault.rs");
    let codes = source.split("fn code(&self)").nth(1).unwrap().split("fn status").next().unwrap();
    let from = source.split("impl From<ChangeError>").nth(1).unwrap();
    let named = |text: &str| {
        let words = text.split('"').skip(1).step_by(2).map(str::to_owned);
        words.collect::<std::collections::BTreeSet<_>>()
    };
    let all: Vec<_> = named(codes).into_iter().chain(named(from)).collect();
    assert!(all.len() > 25, "{all:?}");
    for code in all {
        assert!(table.contains(&format!("`{code}`")), "`{code}` is not in the table");
    }
    for fault in
        [Fault::Unauthenticated, Fault::NotAnAdmin, Fault::NotFound, Fault::Unavailable, Fault::Method]
    {
        let row = table.lines().find(|row| row.contains(&format!("`{}`", fault.code()))).unwrap();
        assert!(row.starts_with(&format!("| {} |", fault.status().as_u16())), "{row}");
    }
}

#[test]
fn a_store_that_is_away_is_named() {
    let fault = Fault::from(crate::store::StoreError::Away);
    assert!(fault.to_string().contains("its store can't be reached"), "{fault}");
    assert_eq!((fault.status().as_u16(), fault.code()), (503, "unavailable"));
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
