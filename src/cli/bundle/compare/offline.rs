//! Two sets of policies on the same calls, without a server. The report has the form of the admin API's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::calls::Replay;
use crate::policy::cel::attribute::Attribute;
use crate::policy::compare::{self, Replayed};
use crate::policy::{Decision, PolicySet};

/// What an audit trail tells of a call.
const RECORDED: [Attribute; 8] = [
    Attribute::Method,
    Attribute::Host,
    Attribute::UrlPath,
    Attribute::Subject,
    Attribute::Issuer,
    Attribute::IdentityMethod,
    Attribute::Spiffe,
    Attribute::SourceAddress,
];

pub fn compare(old: &PolicySet, new: &PolicySet, calls: &[Replay]) -> Value {
    let (mut agreed, mut disagreed) = (0_u64, 0_u64);
    let (mut kinds, mut not_comparable) = (BTreeMap::new(), BTreeMap::new());
    let mut examples = Vec::new();
    for call in calls {
        if let Some(missing) = [old, new].into_iter().find_map(|set| lacks(set, call)) {
            *not_comparable.entry(missing).or_insert(0_u64) += 1;
            continue;
        }
        let replayed = compare::replay(old, new, &call.call);
        if replayed.kinds.is_empty() {
            agreed += 1;
            continue;
        }
        disagreed += 1;
        for kind in &replayed.kinds {
            *kinds.entry(kind.as_str().to_owned()).or_insert(0_u64) += 1;
        }
        examples.push(example(call, &replayed));
    }
    let counts = |counted: BTreeMap<String, u64>| {
        counted.into_iter().map(|(name, count)| json!({"name": name, "count": count})).collect::<Vec<_>>()
    };
    json!({
        "active": old.revision(),
        "candidate": new.revision(),
        "agreed": agreed,
        "disagreed": disagreed,
        "notComparable": counts(not_comparable),
        "disagreements": counts(kinds),
        "examples": examples,
    })
}

/// What the rules about a recorded call read that is not on record.
fn lacks(set: &PolicySet, call: &Replay) -> Option<String> {
    if !call.recorded {
        return None;
    }
    if set.matches_destinations() {
        return Some("destination".to_owned());
    }
    let routes = set.candidates(&call.call.request, call.call.gateway);
    if set.needs(&routes).body {
        return Some(Attribute::Body.name(&[]));
    }
    let reads = set.reads(&routes);
    let missing = reads
        .attributes
        .iter()
        .find(|attribute| !RECORDED.contains(attribute) && !matches!(attribute, Attribute::Capture(_)));
    missing.map(|attribute| attribute.name(&[]))
}

fn example(call: &Replay, replayed: &Replayed) -> Value {
    let (request, identity) = (&call.call.request, &call.call.identity);
    json!({
        "call": call.name,
        "disagreements": replayed.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "caller": {
            "method": identity.method.as_str(),
            "issuer": identity.issuer,
            "subject": identity.subject,
            "spiffe": identity.spiffe,
            "address": request.source.address,
        },
        "method": request.method,
        "host": request.host,
        "path": request.path.raw().split('?').next(),
        "active": view(&replayed.active),
        "candidate": view(&replayed.candidate),
    })
}

fn view(decision: &Decision) -> Value {
    json!({
        "outcome": decision.outcome.as_str(),
        "reason": decision.reason.as_str(),
        "rule": decision.rule.as_deref().unwrap_or_default(),
        "errors": decision.errors().iter().map(|(rule, why)| format!("{rule}: {why}")).collect::<Vec<_>>(),
    })
}
