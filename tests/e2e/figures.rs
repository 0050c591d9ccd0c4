//! Figures on the metrics port that people watch the approvals and the store by.

use reqwest::Method;

use crate::world::{Options, REFUNDS_WAIT, World};

/// How many values a histogram has seen.
async fn count(world: &World, name: &str, label: &str) -> u64 {
    let line = format!("{name}_count{{{label}}} ");
    let metrics = world.metrics().await;
    let found = metrics.lines().find_map(|text| text.strip_prefix(&line));
    found.unwrap_or_else(|| panic!("no {line}in\n{metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted_until_it_is_decided_and_every_commit_is_timed() {
    const WRITES: &str = "portcullis_store_write_duration_seconds";
    let world = World::start(Options::default().policies(REFUNDS_WAIT)).await;
    world.counted("portcullis_pending_approvals 0").await;
    let before = count(&world, WRITES, "result=\"committed\"").await;
    let ticket = world.post("/v1/refunds", Some("ana"), "{}").await;
    assert_eq!(ticket.error(), "approval_pending", "{}", ticket.text());
    world.counted("portcullis_pending_approvals 1").await;
    let opened = count(&world, WRITES, "result=\"committed\"").await;
    assert!(opened > before);
    let [id] = world.pending(1).await.try_into().unwrap();
    assert_eq!(world.decide(&id, "bob", "reject").await.status, 200);
    world.counted("portcullis_pending_approvals 0").await;
    assert!(count(&world, WRITES, "result=\"committed\"").await > opened);
    assert_eq!(count(&world, WRITES, "result=\"failed\"").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_admin_api_refuses_is_counted_by_its_reason() {
    let world = World::start(Options::default()).await;
    let url = format!("http://{}/api/v1/approvals", world.addresses.admin);
    let status = async |token: &str| {
        let request = world.client.request(Method::GET, &url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&world.idp.token("bob", "portcullis-admin").unwrap()).await, 200);
    assert!(!world.metrics().await.contains("portcullis_admin_token_refusals_total{"));
    // Of another audience: a token for calls is none for people.
    assert_eq!(status(&world.idp.token("bob", "portcullis").unwrap()).await, 401);
    assert_eq!(status("nonsense").await, 401);
    let metrics = world.metrics().await;
    for reason in ["token_audience_mismatch", "token_malformed"] {
        let line = format!("portcullis_admin_token_refusals_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}
