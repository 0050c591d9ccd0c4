//! The newest decisions, as a page and live.

use super::*;

fn record(path: &str, outcome: &str) -> Value {
    json!({"kind": "decision", "time": "2026-01-01T00:00:00Z", "outcome": outcome, "path": path})
}

#[tokio::test]
async fn decisions_arrive_by_themselves_and_stop_with_the_session() {
    let world = World::start().await;
    let vera = world.logged_in("vera+auditors").await;
    let (mut all, mut denied) =
        (vera.stream("/live/decisions").await, vera.stream("/live/decisions?outcome=deny").await);
    let (mut seen, mut seen_denied) = (String::new(), String::new());
    until(&mut all, &mut seen, "/&lt;b&gt;").await;
    until(&mut denied, &mut seen_denied, "/&lt;b&gt;").await;
    world.told.2.lock().push(record("/allowed", "allow"));
    world.told.1.send_replace(());
    until(&mut all, &mut seen, "/allowed").await;
    world.told.2.lock().push(record("/denied", "deny"));
    world.told.1.send_replace(());
    until(&mut all, &mut seen, "/denied").await;
    until(&mut denied, &mut seen_denied, "/denied").await;
    assert!(!seen_denied.contains("/allowed"), "{seen_denied}");
    world.clock.advance(Duration::from_secs(9 * 3_600));
    world.told.1.send_replace(());
    until(&mut all, &mut seen, "Your session has ended").await;
}

#[tokio::test]
async fn decisions_are_for_viewers_and_can_be_refreshed_without_a_script() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    assert_eq!(bob.get("/live/decisions").await.status, 403);
    let vera = world.logged_in("vera+auditors").await;
    let page = vera.get("/decisions?outcome=%22%3E%3Cb%3E").await.text;
    assert!(page.contains("No decisions yet") && !page.contains("\"><b>"), "{page}");
    assert!(
        vera.get("/decisions?outcome=deny")
            .await
            .text
            .contains("<a href=\"/decisions?outcome=deny\">Refresh</a>")
    );
}
