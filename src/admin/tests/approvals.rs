//! Taking back, breaking the glass, and what approvers are told besides the call.

use super::*;
use crate::effect::Members;

impl Fixture {
    /// A held call whose rule names who may break the glass.
    async fn hold_with_glass(&self, digest: &str) -> String {
        let id = self.hold(digest, 2).await;
        let mut requires = self.store.approval(&id).await.unwrap().unwrap().requires;
        requires[0].break_glass = Some(Members { groups: vec!["duty".into()], people: vec![] });
        requires[0].because = "large ones wait".into();
        self.store.vote(&id, &person("ana"), Choice::Withdraw, "").await.unwrap();
        let new = NewApproval { requires, ..asked(digest, 2) };
        match self.store.open_approval(new, PendingLimits::default()).await.unwrap() {
            Opened::Created(approval) => approval.id,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn only_its_members_break_the_glass_with_a_reason_and_never_for_their_own_call() {
    let fixture = fixture().await;
    let id = fixture.hold_with_glass("a").await;
    for (token, status, code) in [
        ("bob+finance", 403, "may_not_break_glass"),
        ("ana+duty", 403, "own_call"),
        ("vera+auditors", 403, "may_not_break_glass"),
        ("root+operators", 403, "may_not_break_glass"),
    ] {
        let (got, body) = fixture.decide(token, &id, "breakGlass").await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{token}");
    }
    let path = format!("/api/v1/approvals/{id}:breakGlass");
    let (status, body) = fixture.post(Some("dirk+duty"), &path, json!({"reason": ""})).await;
    assert_eq!((status, &body["code"]), (400, &json!("reason_required")));
    let (_, shown) = fixture.get(Some("dirk+duty"), &format!("/api/v1/approvals/{id}")).await;
    assert_eq!((&shown["mayBreakGlass"], &shown["call"]["text"]), (&json!(true), &json!("pay 700")));
    assert_eq!(shown["requires"][0]["breakGlassGroups"], json!(["duty"]));
    let (status, done) = fixture.decide("dirk+duty", &id, "breakGlass").await;
    assert_eq!(
        (status, &done["state"], &done["votes"][0]["choice"]),
        (200, &json!("approved"), &json!("break_glass"))
    );
    assert_eq!(*fixture.log.0.lock(), ["dirk BreakGlass approved seen"]);
}

#[tokio::test]
async fn callers_see_and_withdraw_their_own_requests_without_bodies_and_admins_any() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let (status, own) = fixture.get(Some("ana"), &format!("/api/v1/approvals/{id}")).await;
    assert_eq!((status, &own["mayWithdraw"]), (200, &json!(true)));
    assert!(own["call"].get("text").is_none() && own.get("mayDecide").is_none(), "{own}");
    assert_eq!(fixture.decide("bob+finance", &id, "withdraw").await.0, 403);
    let (status, done) = fixture.decide("ana", &id, "withdraw").await;
    assert_eq!((status, &done["state"]), (200, &json!("withdrawn")));
    assert_eq!(fixture.decide("ana", &id, "withdraw").await.1["code"], "not_pending");
    assert_eq!(fixture.decide("dave+staff", &id, "withdraw").await.0, 403);
    let other = fixture.hold("b", 1).await;
    assert_eq!(fixture.decide("root+operators", &other, "withdraw").await.0, 200);
}

#[tokio::test]
async fn approvals_are_revoked_by_approvers_and_admins_while_they_are_unused() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    assert_eq!(fixture.decide("bob+finance", &id, "revoke").await.1["code"], "not_approved");
    fixture.decide("bob+finance", &id, "approve").await;
    assert_eq!(fixture.decide("dave+staff", &id, "revoke").await.0, 403);
    let (status, done) = fixture.decide("carl+finance", &id, "revoke").await;
    assert_eq!((status, &done["state"]), (200, &json!("revoked")));
    let used = fixture.hold("b", 1).await;
    fixture.decide("bob+finance", &used, "approve").await;
    assert!(fixture.store.consume(&used, "d-1").await.unwrap());
    let (status, late) = fixture.decide("root+operators", &used, "revoke").await;
    assert_eq!((status, &late["code"]), (409, &json!("not_approved")));
    let (_, shown) = fixture.get(Some("bob+finance"), &format!("/api/v1/approvals/{used}")).await;
    assert_eq!((&shown["state"], &shown["decisionId"]), (&json!("releasing"), &json!("d-1")));
}

#[tokio::test]
async fn an_approver_is_told_of_earlier_decisions_and_a_viewer_is_not() {
    let fixture = fixture().await;
    for digest in ["a", "b", "c", "d", "e", "f", "g"] {
        let id = fixture.hold(digest, 1).await;
        fixture.decide("bob+finance", &id, "reject").await;
    }
    let id = fixture.hold("now", 1).await;
    let path = format!("/api/v1/approvals/{id}");
    let (_, shown) = fixture.get(Some("bob+finance"), &path).await;
    let similar = shown["similar"].as_array().unwrap();
    assert_eq!(similar.len(), 5);
    assert_eq!(
        (&similar[0]["state"], &similar[0]["votes"][0]["reason"]),
        (&json!("rejected"), &json!("seen"))
    );
    let (_, viewed) = fixture.get(Some("vera+auditors"), &path).await;
    assert!(viewed.get("similar").is_none());
    assert!(
        shown["covers"].as_str().unwrap().starts_with("approves this one call by ana@example.com"),
        "{shown}"
    );
}
