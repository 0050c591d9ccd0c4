//! How the candidate compares.

use super::*;
use crate::disagreement::Disagreement;
use crate::engine::{Example, Side, View};
use crate::metrics::{Compared, NotComparable};

/// One call that only the candidate denies.
pub fn comparison() -> Option<Comparison> {
    let view = |outcome, reason| View { outcome, reason, ..View::default() };
    let example = Example {
        time: jiff::Timestamp::UNIX_EPOCH,
        decision_id: "d-1".into(),
        service: "ext_proc",
        kinds: vec![Disagreement::NewlyDenied],
        decided_by: Side::Active,
        identity: Arc::new(person("ana")),
        method: "GET".into(),
        host: "api.example.com".into(),
        path: "/v1/orders".into(),
        source: "10.0.0.7".into(),
        active: view("allow", "allowed"),
        candidate: View { rule: Some("p/no".into()), ..view("deny", "denied_by_rule") },
    };
    Some(Comparison {
        active: "a1".into(),
        candidate: "c1".into(),
        share: 5,
        since: jiff::Timestamp::UNIX_EPOCH,
        compared: [(Compared::Agreed, 8), (Compared::Disagreed, 1)].into(),
        disagreements: [(Disagreement::NewlyDenied, 1)].into(),
        not_comparable: [(NotComparable::Body, 2)].into(),
        examples: vec![Arc::new(example)],
    })
}

#[tokio::test]
async fn viewers_see_how_the_candidate_compares_and_nobody_else_does() {
    let fixture = fixture().await;
    let get = |token: &'static str| {
        let request = fixture.client.get(format!("{}/api/v1/candidate", fixture.url)).bearer_auth(token);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        }
    };
    let (status, seen) = get("eve+auditors").await;
    assert_eq!(status, 200);
    assert_eq!((&seen["agreed"], &seen["share"]), (&json!("8"), &json!(5)), "{seen}");
    assert_eq!(seen["disagreements"], json!([{"name": "newly_denied", "count": "1"}]));
    assert_eq!(seen["notComparable"], json!([{"name": "body", "count": "2"}]));
    let example = &seen["examples"][0];
    assert_eq!((&example["caller"]["subject"], &example["path"]), (&json!("ana"), &json!("/v1/orders")));
    assert_eq!(
        (&example["candidate"]["rule"], &example["active"]["outcome"]),
        (&json!("p/no"), &json!("allow"))
    );
    let (status, refused) = get("ana+finance").await;
    assert_eq!((status, &refused["code"]), (403, &json!("not_a_viewer")));
    assert_eq!(get("bad").await.0, 401);

    let mut client = v1::candidates_client::CandidatesClient::connect(fixture.url.clone()).await.unwrap();
    let asking = |token: &str| {
        let mut request = tonic::Request::new(v1::GetCandidateRequest {});
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    assert_eq!(client.get_candidate(asking("eve+auditors")).await.unwrap().into_inner().disagreed, 1);
    let refused = client.get_candidate(asking("ana")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
