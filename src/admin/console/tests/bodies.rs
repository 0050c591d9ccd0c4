//! What a page shows of a body, and how requests that look alike are told apart.

use super::*;
use crate::admin::tests::asked;
use crate::store::{NewApproval, Opened, PendingLimits};

impl World {
    async fn open_one(&self, new: NewApproval) -> String {
        match self.admin.store.open_approval(new, PendingLimits::default()).await.unwrap() {
            Opened::Created(approval) => approval.id,
            other => panic!("{other:?}"),
        }
    }
}

/// A request whose body is this.
fn with_body(digest: &str, body: &str) -> NewApproval {
    let mut new = asked(digest, 1);
    new.call.body = base64::engine::general_purpose::STANDARD.encode(body);
    new
}

#[tokio::test]
async fn emptiness_in_a_body_hides_nothing_and_the_whole_is_there() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let id = world.open_one(with_body("a", &format!("pay 7{}00", "\n".repeat(9_000)))).await;
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(
        page.contains(">pay 7<span class=\"mark\"") && page.contains("… 9,000 line ends …</span>00</pre>"),
        "{page}"
    );
    let raw = page.split("As it was sent").nth(1).unwrap();
    assert!(raw.contains(&format!("pay 7{}00</pre>", "\n".repeat(9_000))));
    let padded = format!("{{\"note\": \"{}\", \"amount\": 700}}", " ".repeat(5_000));
    let id = world.open_one(with_body("b", &padded)).await;
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("… 5,000 blanks …") && page.contains(&" ".repeat(5_000)), "{page}");
    let id = world.open_one(with_body("c", "a\n\nb")).await;
    assert!(!bob.get(&format!("/approvals/{id}")).await.text.contains("As it was sent"), "nothing to add");
}

#[tokio::test]
async fn json_that_is_too_deep_to_be_indented_is_called_json() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    let deep = format!("{}{}{}", "[".repeat(100), "1,".repeat(10_000) + "1", "]".repeat(100));
    let id = world.open_one(with_body("a", &deep)).await;
    let page = bob.get(&format!("/approvals/{id}")).await.text;
    assert!(page.contains("JSON, too deep to be indented") && page.contains(&deep));
}

#[tokio::test]
async fn requests_that_look_alike_are_told_apart_by_their_ids() {
    let world = World::start().await;
    let bob = world.logged_in("bob+finance").await;
    for name in ["a", "b"] {
        let id = world.admin.hold(name, 1).await;
        let end = &id[id.len() - 8..];
        assert!(bob.get("/").await.text.contains(&format!("…{end}</span>")), "{end}");
        assert!(
            bob.get(&format!("/approvals/{id}"))
                .await
                .text
                .contains(&format!("<dt>Request</dt><dd class=\"code\">{id}</dd>"))
        );
    }
}
