//! Looking at requests for approval, and deciding on them.

use super::*;
use v1::approvals_client::ApprovalsClient;

#[tokio::test]
async fn the_call_is_shown_to_its_approvers_and_its_body_to_nobody_else() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let one = format!("/api/v1/approvals/{id}");
    let (status, shown) = fixture.get(Some("bob+finance"), &one).await;
    assert_eq!((status, &shown["call"]["text"]), (200, &json!("pay 700")));
    assert_eq!(shown["mayDecide"], json!(true));
    let text = shown.to_string();
    assert!(text.contains("sha256:") && !text.contains("top-secret"), "{text}");

    let (status, viewed) = fixture.get(Some("vera+auditors"), &one).await;
    assert_eq!(status, 200);
    assert!(!viewed.to_string().contains("pay 700") && viewed["call"].get("headers").is_none(), "{viewed}");
    let (status, refused) = fixture.get(Some("dave+staff"), &one).await;
    assert_eq!((status, &refused["code"]), (403, &json!("not_an_approver")));

    for (token, count) in [("bob+finance", 1), ("vera+auditors", 1), ("dave+staff", 0)] {
        let (_, list) = fixture.get(Some(token), "/api/v1/approvals?state=pending&limit=10").await;
        let listed = list.get("approvals").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(listed, count, "{token}");
        assert!(!list.to_string().contains("pay 700"));
    }
}

#[tokio::test]
async fn only_other_approvers_decide_and_only_once() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 2).await;
    for (token, status, code) in [
        ("dave+staff", 403, "not_an_approver"),
        ("vera+auditors", 403, "not_an_approver"),
        ("ana+finance", 403, "own_call"),
    ] {
        let (got, body) = fixture.decide(token, &id, "approve").await;
        assert_eq!((got, &body["code"]), (status, &json!(code)), "{token}");
    }
    let (status, first) = fixture.decide("bob+finance", &id, "approve").await;
    assert_eq!((status, &first["state"]), (200, &json!("pending")), "two people are wanted");
    let (status, twice) = fixture.decide("bob+finance", &id, "approve").await;
    assert_eq!((status, &twice["code"]), (409, &json!("voted_already")));
    let (status, second) = fixture.decide("carl+finance", &id, "approve").await;
    assert_eq!((status, &second["state"]), (200, &json!("approved")));
    let (status, late) = fixture.decide("dora+finance", &id, "reject").await;
    assert_eq!((status, &late["code"]), (409, &json!("not_pending")));
    let said = late["message"].as_str().unwrap();
    assert!(said.contains("not pending any more: it is approved by carl"), "{said}");
    assert_eq!(fixture.decide("dave+staff", &id, "reject").await.0, 403, "the state is not for everybody");
    assert_eq!(*fixture.log.0.lock(), ["bob Approve pending seen", "carl Approve approved seen"]);

    let other = fixture.hold("b", 1).await;
    let (status, rejected) = fixture.decide("bob+finance", &other, "reject").await;
    assert_eq!((status, &rejected["state"]), (200, &json!("rejected")));
}

/// Chats and mail scanners follow every link.
#[tokio::test]
async fn looking_decides_nothing() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    for path in [format!("{id}:approve"), format!("{id}:reject"), format!("{id}/approve")] {
        let path = format!("/api/v1/approvals/{path}");
        assert_eq!(fixture.get(Some("bob+finance"), &path).await.0, 404, "{path}");
        let head = fixture.client.head(format!("{}{path}", fixture.url)).bearer_auth("bob+finance");
        assert!(head.send().await.unwrap().status().is_client_error(), "{path}");
    }
    assert!(fixture.store.approval(&id).await.unwrap().unwrap().votes.is_empty());
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let fixture = fixture().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, fixture.hold(&format!("d{n}"), 1).await);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let path = format!("/api/v1/approvals?limit=2&pageToken={token}");
        let (_, page) = fixture.get(Some("bob+finance"), &path).await;
        let listed = page.get("approvals").and_then(Value::as_array).cloned().unwrap_or_default();
        seen.extend(listed.iter().map(|approval| approval["id"].as_str().unwrap().to_owned()));
        match page.get("nextPageToken").and_then(Value::as_str) {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn grpc_says_the_same_as_json() {
    let fixture = fixture().await;
    let id = fixture.hold("a", 1).await;
    let mut client = ApprovalsClient::connect(fixture.url.clone()).await.unwrap();
    let get = v1::GetApprovalRequest { id: id.clone() };
    let bare = client.get_approval(get.clone()).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let refused = client.get_approval(with(get.clone(), "dave+staff")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let shown = client.get_approval(with(get, "bob+finance")).await.unwrap().into_inner();
    let (_, json) = fixture.get(Some("bob+finance"), &format!("/api/v1/approvals/{id}")).await;
    assert_eq!(json["digest"], json!(shown.digest));
    assert_eq!(shown.call.unwrap().body, Some(v1::call::Body::Text("pay 700".into())));

    let decide = v1::DecideApprovalRequest { id: id.clone(), reason: "fine".into() };
    let own = client.approve_approval(with(decide.clone(), "ana+finance")).await.unwrap_err();
    assert_eq!(own.code(), Code::PermissionDenied);
    let done = client.approve_approval(with(decide.clone(), "bob+finance")).await.unwrap().into_inner();
    assert_eq!((done.state.as_str(), done.votes.len()), ("approved", 1));
    let again = client.reject_approval(with(decide, "carl+finance")).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    let all = client.list_approvals(with(v1::ListApprovalsRequest::default(), "vera+auditors")).await;
    assert_eq!(all.unwrap().into_inner().approvals.len(), 1);
}

#[tokio::test]
async fn a_decision_is_told_of_though_its_author_hangs_up() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let state = fixture.state.clone();
    let request = v1::DecideApprovalRequest { id, reason: "seen".into() };
    let bob = person("bob+finance");
    let deciding = state.decide(&bob, request, Choice::Approve);
    assert!(tokio::time::timeout(Duration::ZERO, deciding).await.is_err(), "the commit takes a moment");
    for _ in 0..200 {
        if *fixture.log.0.lock() == ["bob Approve approved seen"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody was told: {:?}", fixture.log.0.lock());
}

#[tokio::test]
async fn a_reason_cannot_deceive_its_readers() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    let path = format!("/api/v1/approvals/{id}:approve");
    for reason in ["fine\u{202e}ton", "a\u{1b}[2J", "a\u{200b}b", "ok 👨\u{200d}👩", &"x".repeat(2_001)] {
        let (status, body) = fixture.post(Some("bob+finance"), &path, json!({"reason": reason})).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("invalid_argument")), "{reason:?}");
    }
    let (status, _) = fixture
        .post(Some("bob+finance"), &path, json!({"reason": "seen:\n\tnaïve\u{a0}日本 ✔\u{fe0f}"}))
        .await;
    assert_eq!(status, 200);
    let kept = fixture.store.approval(&id).await.unwrap().unwrap().votes.remove(0).reason;
    assert_eq!(kept, "seen:\n\tnaïve 日本 ✔");
}

#[tokio::test]
async fn a_refused_reason_says_which_character_it_was() {
    let said = |reason: &str| crate::admin::approvals::check_reason(reason).unwrap_err().to_string();
    assert!(said("✔\u{fe0f} a\u{200b}b").starts_with("character 4 of the reason, U+200B,"));
    assert!(said(&"é".repeat(1_001)).contains("2002 bytes; 2000 are the most"));
}

#[tokio::test]
async fn a_decision_of_which_nobody_knows_whether_it_counts_is_on_record() {
    let fixture = fixture().await;
    let id = fixture.hold("d", 1).await;
    fixture.store.close().await;
    assert_eq!(fixture.decide("bob+finance", &id, "approve").await.0, 503);
    assert_eq!(*fixture.log.0.lock(), ["bob Approve unknown seen"]);
}

#[tokio::test]
async fn earlier_decisions_are_shown_to_those_who_may_see_them() {
    let fixture = fixture().await;
    let hidden = fixture.hold("a", 1).await;
    fixture.decide("bob+finance", &hidden, "reject").await;
    let mut new = asked("b", 1);
    new.requires[0].all_of[0].groups = vec!["security".into()];
    let Opened::Created(now) = fixture.store.open_approval(new, PendingLimits::default()).await.unwrap()
    else {
        panic!("not created")
    };
    let path = format!("/api/v1/approvals/{}", now.id);
    let (_, shown) = fixture.get(Some("sara+security"), &path).await;
    assert!(shown["mayDecide"] == json!(true) && shown.get("similar").is_none(), "{shown}");
    let (_, shown) = fixture.get(Some("sven+security+finance"), &path).await;
    assert_eq!(shown["similar"][0]["id"], json!(hidden), "{shown}");
}
