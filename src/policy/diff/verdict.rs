//! The same calls decided by two sets of policies: which of them come out otherwise.

use serde::Serialize;

use super::Risk;
use crate::effect::{HeaderChange, HeaderChanges};
use crate::policy::PolicySet;
use crate::policy::call_file::CallFile;
use crate::policy::cases::{Judgement, judge, status};
use crate::policy::decision::{Decision, Outcome};

/// A call that the two sets decide differently, or answer differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    pub risk: Risk,
    /// The case's name, or the call's file.
    pub call: String,
    pub before: String,
    pub after: String,
}

/// The calls that come out otherwise, newly allowed ones before newly denied ones.
pub fn verdicts(old: &PolicySet, new: &PolicySet, calls: &[(String, CallFile)]) -> Vec<VerdictChange> {
    let change = |(name, call): &(String, CallFile)| {
        let (before, after) = (judge(old, call), judge(new, call));
        let shown = (show(&before), show(&after));
        let risk = risk(&before, &after);
        (shown.0 != shown.1).then(|| VerdictChange {
            risk,
            call: name.clone(),
            before: shown.0,
            after: shown.1,
        })
    };
    let mut changes: Vec<_> = calls.iter().filter_map(change).collect();
    changes.sort_by_key(|change| change.risk);
    changes
}

fn risk(before: &Judgement, after: &Judgement) -> Risk {
    let strictness = |decision: &Decision| match decision.outcome {
        Outcome::Allow => 0,
        Outcome::Hold(_) => 1,
        Outcome::Deny(_) | Outcome::Indeterminate => 2,
    };
    let goes_on = strictness(&after.decision) < 2;
    match strictness(&after.decision).cmp(&strictness(&before.decision)) {
        std::cmp::Ordering::Less => Risk::Loosens,
        std::cmp::Ordering::Greater => Risk::Tightens,
        std::cmp::Ordering::Equal if goes_on && effects(before) != effects(after) => Risk::Changes,
        std::cmp::Ordering::Equal => Risk::Wording,
    }
}

fn effects(judgement: &Judgement) -> (Option<&Result<String, String>>, &HeaderChanges) {
    (judgement.body.as_ref(), judgement.decision.headers())
}

fn header(change: &HeaderChange) -> String {
    match change {
        HeaderChange::Set { name, value } => format!("{name}: {value}"),
        HeaderChange::Append { name, value } => format!("+ {name}: {value}"),
        HeaderChange::Remove { name } => format!("- {name}"),
    }
}

fn show(judgement: &Judgement) -> String {
    let decision = &judgement.decision;
    let by = decision.rule.as_ref().map(|rule| format!(" by {rule}")).unwrap_or_default();
    let mut text =
        format!("{} ({}, {}){by}", decision.outcome.as_str(), decision.reason.as_str(), status(decision));
    if matches!(decision.outcome, Outcome::Allow | Outcome::Hold(_)) {
        if *decision.headers() != HeaderChanges::default() {
            let all = decision.headers().request.iter().chain(&decision.headers().response);
            text.push_str(&format!(", headers {}", all.map(header).collect::<Vec<_>>().join("; ")));
        }
        match &judgement.body {
            Some(Ok(body)) => text.push_str(&format!(", body {}", body.replace('\n', "\\n"))),
            Some(Err(why)) => text.push_str(&format!(", body blocked: {why}")),
            None => {}
        }
    }
    text
}
