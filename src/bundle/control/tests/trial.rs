//! When a candidate may decide.

use super::*;

impl Fixture {
    fn trial(&self, share: u8, offer: Result<Offer, Refused>) -> Trial {
        Trial { source: "next".into(), share, sample: 1, offer }
    }

    async fn try_out(&self, share: u8, archive: &[u8]) -> TrialId {
        let offer = self.control.admission().archive(archive.to_vec());
        self.control.try_out(Some(self.trial(share, offer))).await
    }

    /// What `list` says: the state, and the share with which the engine tries the candidate; `None`: it does not.
    async fn tried(&self) -> (&'static str, Option<u8>) {
        let listed = self.control.list().await.unwrap().candidate;
        let state = listed.map_or("none", |candidate| candidate.state.as_str());
        (state, self.engine.snapshot().candidate.as_ref().map(|candidate| candidate.share))
    }

    async fn why(&self) -> String {
        self.control.list().await.unwrap().candidate.unwrap().state.why()
    }
}

#[tokio::test]
async fn a_candidate_with_a_share_decides_and_without_one_it_compares() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    assert_eq!(fixture.tried().await, ("none", None));
    fixture.try_out(0, &archive("shop", "2.0.0", "two")).await;
    assert_eq!(fixture.tried().await, ("comparing", Some(0)));
    fixture.try_out(5, &archive("shop", "2.0.0", "two")).await;
    assert_eq!(fixture.tried().await, ("deciding", Some(5)));
    assert!(fixture.counts(r#"portcullis_candidate_state{state="deciding"} 1"#));
    assert!(fixture.counts(r#"portcullis_candidate_state{state="comparing"} 0"#));
    fixture.control.try_out(None).await;
    assert_eq!(fixture.tried().await, ("none", None));
    assert!(fixture.counts(r#"portcullis_candidate_state{state="deciding"} 0"#));
}

#[tokio::test]
async fn a_pin_suspends_the_share_until_it_is_let_go_also_over_a_restart() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    let next = archive("shop", "2.0.0", "two");
    fixture.try_out(100, &next).await;
    fixture.change(Change::Pin(None)).await.unwrap();
    assert_eq!(fixture.tried().await, ("suspended", Some(0)), "it is compared");
    assert!(fixture.why().await.contains("is pinned"));
    let fixture = fixture.restart(Trust::none()).await;
    fixture.try_out(100, &next).await;
    assert_eq!(fixture.tried().await, ("suspended", Some(0)));
    fixture.change(Change::Unpin).await.unwrap();
    assert_eq!(fixture.tried().await, ("deciding", Some(100)));
}

#[tokio::test]
async fn a_rollback_suspends_the_share_until_people_or_the_source_go_forward() {
    let fixture = fixture().await;
    for (version, rule) in [("1.0.0", "one"), ("2.0.0", "two")] {
        fixture.offer(&archive("shop", version, rule)).await;
    }
    let next = archive("shop", "9.0.0", "next");
    fixture.try_out(100, &next).await;
    let back = async || {
        fixture.change(Change::Rollback(Some("1.0.0".into()))).await.unwrap();
        assert_eq!(fixture.tried().await, ("suspended", Some(0)));
        assert!(fixture.control.list().await.unwrap().rolled_back);
    };
    back().await;
    fixture.change(Change::Rollback(Some("2.0.0".into()))).await.unwrap();
    assert_eq!(fixture.tried().await, ("deciding", Some(100)), "forward again");
    back().await;
    fixture.change(Change::Unpin).await.unwrap();
    assert_eq!((fixture.decides().as_str(), fixture.tried().await), ("p/two", ("deciding", Some(100))));
    back().await;
    fixture.change(Change::Activate(archive("shop", "3.0.0", "three"))).await.unwrap();
    assert_eq!(fixture.tried().await, ("deciding", Some(100)));
    back().await;
    assert_eq!(fixture.offer(&archive("shop", "4.0.0", "four")).await, Outcome::Taken);
    assert_eq!(fixture.tried().await, ("deciding", Some(100)));
    back().await;
    // A pin on top: letting go of it leaves the rollback.
    fixture.change(Change::Pin(None)).await.unwrap();
    fixture.change(Change::Unpin).await.unwrap();
    assert_eq!(fixture.tried().await, ("suspended", Some(0)));
    let fixture = fixture.restart(Trust::none()).await;
    fixture.try_out(100, &next).await;
    assert_eq!(fixture.tried().await, ("suspended", Some(0)));
}

#[tokio::test]
async fn a_candidate_that_would_decide_keeps_the_rules_of_names_and_versions() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "2.0.0", "two")).await;
    for (candidate, code) in [
        (archive("shop", "1.0.0", "one"), "older_version"),
        (archive("shop", "2.0.0", "other"), "same_version"),
        (archive("bank", "3.0.0", "three"), "wrong_name"),
    ] {
        fixture.try_out(5, &candidate).await;
        assert_eq!(fixture.tried().await, ("refused", None), "{code}");
        let findings = fixture.control.list().await.unwrap().candidate.unwrap().findings;
        assert!(findings[0].contains("`shop` 2.0.0 is active"), "{findings:?}");
        let counted = format!(r#"portcullis_reloads_total{{result="refused",reason="{code}"}} 1"#);
        assert!(fixture.counts(&counted), "{code}");
        // It changes nothing to compare it.
        fixture.try_out(0, &candidate).await;
        assert_eq!(fixture.tried().await, ("comparing", Some(0)), "{code}");
    }
    // What becomes older while it decides ends.
    fixture.try_out(5, &archive("shop", "3.0.0", "three")).await;
    assert_eq!(fixture.tried().await, ("deciding", Some(5)));
    fixture.offer(&archive("shop", "4.0.0", "four")).await;
    assert_eq!(fixture.tried().await, ("refused", None));
}

#[tokio::test]
async fn a_candidate_needs_the_signature_that_the_active_policies_need() {
    let key = SigningKey::generate().unwrap();
    let fixture = start(tempfile::tempdir().unwrap(), Trust::of([key.public()])).await;
    fixture.offer(&sign(&archive("shop", "1.0.0", "one"), &key).unwrap()).await;
    let next = archive("shop", "2.0.0", "two");
    fixture.try_out(5, &next).await;
    assert_eq!(fixture.tried().await, ("refused", None));
    fixture.try_out(5, &sign(&next, &key).unwrap()).await;
    assert_eq!(fixture.tried().await, ("deciding", Some(5)));
}

#[tokio::test]
async fn a_broken_candidate_is_reported_and_the_last_good_one_is_tried_on() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    let broken = fixture.try_out(5, b"no archive").await;
    assert_eq!((fixture.tried().await, fixture.decides()), (("refused", None), "p/one".to_owned()));
    assert!(fixture.counts(r#"portcullis_reloads_total{result="refused",reason="truncated"} 1"#));
    assert!(fixture.counts("portcullis_policies_refused 0"), "the policies themselves are good");
    let admission = fixture.control.admission();
    let judged = |bytes: &[u8]| admission.archive(bytes.to_vec());
    fixture.control.candidate_changed(&broken, judged(&archive("shop", "2.0.0", "a, name: a"))).await;
    assert!(fixture.counts(r#"portcullis_reloads_total{result="refused",reason="invalid_policy"} 1"#));
    let first = fixture.try_out(5, &archive("shop", "2.0.0", "two")).await;
    fixture.control.candidate_changed(&first, judged(b"no archive")).await;
    assert_eq!(fixture.tried().await, ("deciding", Some(5)));
    let listed = fixture.control.list().await.unwrap().candidate.unwrap();
    assert!(listed.policies.version == "2.0.0" && listed.findings[0].contains("truncated"), "{listed:?}");
    assert!(fixture.counts(r#"portcullis_reloads_total{result="refused",reason="truncated"} 2"#));
    fixture.control.candidate_changed(&first, judged(&archive("shop", "3.0.0", "three"))).await;
    let listed = fixture.control.list().await.unwrap().candidate.unwrap();
    assert!(listed.policies.version == "3.0.0" && listed.findings.is_empty(), "{listed:?}");
    // The files of a candidate that another took the place of change nothing any more.
    fixture.try_out(5, &archive("shop", "4.0.0", "four")).await;
    fixture.control.candidate_changed(&first, judged(&archive("shop", "5.0.0", "five"))).await;
    assert_eq!(fixture.control.list().await.unwrap().candidate.unwrap().policies.version, "4.0.0");
}

#[tokio::test]
async fn history_and_trail_say_when_a_candidate_begins_to_decide_when_it_ends_and_why() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.try_out(0, &archive("shop", "2.0.0", "two")).await;
    fixture.try_out(5, &archive("shop", "2.0.0", "two")).await;
    fixture.try_out(5, &archive("shop", "2.0.0", "two")).await;
    fixture.try_out(10, &archive("shop", "2.0.0", "two")).await;
    fixture.change(Change::Pin(None)).await.unwrap();
    use EventKind::{Activated, CandidateBegan, CandidateEnded, Pinned};
    assert_eq!(
        fixture.events().await,
        [Activated, CandidateBegan, CandidateEnded, CandidateBegan, Pinned, CandidateEnded]
    );
    let events = fixture.control.history(3, None).await.unwrap();
    let (ended, began) = (&events[0].event, &events[2].event);
    assert_eq!((began.version.as_str(), began.source.as_str()), ("2.0.0", "next"));
    assert!(began.who.is_none() && began.comment.contains("10%"), "{began:?}");
    assert!(ended.comment.contains("is pinned") && ended.version == "2.0.0", "{ended:?}");
    assert_eq!(ended.who.as_ref().unwrap().subject, "bob");
    let trail = std::fs::read_to_string(fixture.folder.path().join("audit.jsonl")).unwrap();
    let count = |change: &str| trail.matches(&format!(r#""change":"{change}""#)).count();
    assert_eq!((count("candidate_began"), count("candidate_ended")), (2, 2), "{trail}");
}

#[tokio::test]
async fn a_candidate_whose_beginning_can_not_be_recorded_does_not_decide() {
    let fixture = fixture().await;
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    fixture.store.close().await;
    fixture.try_out(100, &archive("shop", "2.0.0", "two")).await;
    assert_eq!(fixture.engine.snapshot().candidate.as_ref().unwrap().share, 0);
}

#[tokio::test]
async fn without_active_policies_no_candidate_decides() {
    let fixture = fixture().await;
    fixture.try_out(100, &archive("shop", "2.0.0", "two")).await;
    assert_eq!(fixture.tried().await, ("suspended", Some(0)));
    fixture.offer(&archive("shop", "1.0.0", "one")).await;
    assert_eq!(fixture.tried().await, ("deciding", Some(100)));
}
