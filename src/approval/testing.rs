//! Requests for approval as tests need them.

use super::*;

/// One that was approved, with these votes.
pub fn approval(votes: Vec<Vote>) -> Approval {
    let now = Timestamp::UNIX_EPOCH;
    Approval {
        id: "1".into(),
        digest: "d".into(),
        exact: None,
        idempotency_key: String::new(),
        state: State::Approved,
        created: now,
        expires: later(now, Duration::from_secs(60)),
        caller: Caller { subject: "ana".into(), person: Some("ana@example.com".into()), ..Caller::default() },
        call: CallSummary {
            method: "POST".into(),
            host: "api".into(),
            path: "/a?b=1".into(),
            ..CallSummary::default()
        },
        rules: vec!["p/r".into()],
        revision: "r".into(),
        requires: Vec::new(),
        grant: Grant::Once,
        same: None,
        remind_after: None,
        votes,
        progress: Progress::default(),
    }
}

pub fn vote(choice: Choice) -> Vote {
    Vote {
        choice,
        issuer: "i".into(),
        subject: "bob".into(),
        person: Some("bob@example.com".into()),
        reason: String::new(),
        at: Timestamp::UNIX_EPOCH,
        speaks_for: vec![0],
        rule: None,
        presented: None,
        void: None,
    }
}
