//! What is held off, or refused, and how it comes back.

use super::*;

impl Fixture {
    /// Reads the configuration again, with this offer of a source that took the place of the first.
    async fn reload(&self, archive: &[u8]) -> Outcome {
        let reloaded = Reloaded {
            authenticator: self.engine.snapshot().authenticator.clone(),
            admission: admission(Trust::none()),
            location: "there".into(),
            offer: Some((format!("{archive:?}"), self.control.admission().archive(archive.to_vec()))),
        };
        self.control.reload(reloaded).await
    }
}

#[tokio::test]
async fn a_refused_reload_does_not_forget_what_the_pin_holds_off() {
    for refused in [archive("shop", "0.1.0", "old"), b"no archive".to_vec()] {
        let fixture = fixture().await;
        fixture.offer(&archive("shop", "1.0.0", "one")).await;
        fixture.change(Change::Pin(None)).await.unwrap();
        let newer = archive("shop", "2.0.0", "two");
        fixture.offer(&newer).await;
        assert!(matches!(fixture.reload(&refused).await, Outcome::Refused(_)));
        assert_eq!(fixture.control.list().await.unwrap().available.unwrap().version, "2.0.0");
        assert!(fixture.control.knows(&format!("{newer:?}")).await, "the source is as it was");
        assert_eq!(fixture.change(Change::Unpin).await.unwrap().version, "2.0.0");
        assert_eq!(fixture.decides(), "p/two");
    }
}

#[tokio::test]
async fn pinning_another_revision_does_not_forget_what_the_pin_holds_off() {
    let fixture = fixture().await;
    for (version, rule) in [("1.0.0", "one"), ("2.0.0", "two")] {
        fixture.offer(&archive("shop", version, rule)).await;
    }
    fixture.change(Change::Pin(None)).await.unwrap();
    fixture.offer(&archive("shop", "3.0.0", "three")).await;
    fixture.change(Change::Pin(Some("1.0.0".into()))).await.unwrap();
    assert_eq!(fixture.change(Change::Unpin).await.unwrap().version, "3.0.0");
}

#[tokio::test]
async fn a_rollback_shows_what_it_holds_off_and_unpinning_takes_it() {
    let fixture = fixture().await;
    fixture.offer_files(&policy("one")).await;
    fixture.offer_files(&policy("two")).await;
    let two = fixture.control.list().await.unwrap().active.unwrap();
    fixture.change(Change::Rollback(None)).await.unwrap();
    // Also after a reload that is refused, a restart, and the same offer again.
    fixture.reload(b"no archive").await;
    let fixture = fixture.restart(Trust::none()).await;
    assert_eq!(fixture.offer_files(&policy("two")).await, Outcome::PassedOver);
    let listing = fixture.control.list().await.unwrap();
    assert_eq!(listing.passed_over.unwrap().id, two.id);
    assert!(listing.rolled_back && listing.previous.is_none() && listing.available.is_none());
    assert_eq!(fixture.change(Change::Unpin).await.unwrap().id, two.id);
    assert_eq!(fixture.decides(), "p/two");
    let listing = fixture.control.list().await.unwrap();
    assert!(listing.passed_over.is_none() && !listing.rolled_back);
    assert_eq!(fixture.events().await.last(), Some(&EventKind::Unpinned));
    assert!(matches!(fixture.change(Change::Unpin).await, Err(ChangeError::NotPinned)));
}

#[tokio::test]
async fn the_next_rollback_is_shown_before_it_is_made() {
    let fixture = fixture().await;
    for (version, rule) in [("1.0.0", "one"), ("2.0.0", "two")] {
        fixture.offer(&archive("shop", version, rule)).await;
    }
    let shown = fixture.control.list().await.unwrap().previous.unwrap();
    assert_eq!(fixture.change(Change::Rollback(None)).await.unwrap().id, shown.id);
    assert!(fixture.control.list().await.unwrap().previous.is_none());
}

#[tokio::test]
async fn a_gauge_says_whether_the_newest_offered_policies_are_refused() {
    let fixture = fixture().await;
    assert!(fixture.counts("portcullis_policies_refused 0"));
    fixture.offer_files(&policy("one")).await;
    fixture.offer_files("kind: Policy").await;
    assert!(fixture.counts("portcullis_policies_refused 1"));
    fixture.offer_files(&policy("one")).await;
    assert!(fixture.counts("portcullis_policies_refused 0"), "the edit was taken back");
    fixture.offer_files("kind: Policy").await;
    fixture.offer_files(&policy("two")).await;
    assert!(fixture.counts("portcullis_policies_refused 0"));
    fixture.change(Change::Pin(None)).await.unwrap();
    fixture.offer_files(&policy("three")).await;
    assert!(fixture.counts("portcullis_policies_refused 0"), "a pin holds off, and has its own gauge");
    fixture.offer_files("kind: Policy").await;
    assert!(fixture.counts("portcullis_policies_refused 1"));
    fixture.offer_files(&policy("four")).await;
    assert!(fixture.counts("portcullis_policies_refused 0"));
}

#[tokio::test]
async fn a_refused_configuration_is_reported_each_time_somebody_asks() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    for times in 1..3 {
        fixture.reload(b"no archive").await;
        let counted = format!(r#"portcullis_reloads_total{{result="refused",reason="truncated"}} {times}"#);
        assert!(fixture.counts(&counted));
    }
}

#[tokio::test]
async fn refusals_by_name_and_version_say_both_sides_and_the_command_that_helps() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.offer(&archive("shop", "2.0.0", "two")).await;
    for (offered, expected) in [
        (archive("shop", "1.5.0", "x"), ["`shop` 1.5.0 is offered", "bundle rollback --to 1.5.0"]),
        (archive("shop", "2.0.0", "x"), ["`shop` 2.0.0 is offered with other", "a version above 2.0.0"]),
        (archive("bank", "3.0.0", "x"), ["`bank` 3.0.0 is offered", "bundle activate FILE"]),
    ] {
        fixture.offer(&offered).await;
        let said = fixture.control.list().await.unwrap().refused.unwrap().findings.join("\n");
        assert!(said.contains("`shop` 2.0.0 is active"), "{said}");
        assert!(expected.iter().all(|expected| said.contains(expected)), "{expected:?} in {said}");
    }
}
