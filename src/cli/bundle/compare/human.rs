//! A comparison as a person reads it. What callers wrote is made visible first.

use std::fmt::Write as _;

use serde_json::Value;

use crate::admin::visible::visible;
use crate::disagreement::Disagreement;

/// Examples shown of each kind; `--format json` has all.
const EXAMPLES: usize = 5;

pub fn shown(comparison: &Value) -> String {
    let (agreed, disagreed) = (total(comparison, "agreed"), total(comparison, "disagreed"));
    let mut out = format!(
        "{} decides, {} is compared{}\n{}, {disagreed} {}\n",
        at(comparison, "/active"),
        at(comparison, "/candidate"),
        match total(comparison, "share") {
            0 => String::new(),
            share => format!(" and decides for {share}% of the callers"),
        },
        if agreed == 1 { "1 call agrees".to_owned() } else { format!("{agreed} calls agree") },
        if disagreed == 1 { "differs" } else { "differ" },
    );
    for count in items(comparison, "/notComparable") {
        let (name, count) = (at(count, "/name"), total(count, "count"));
        let _ = writeln!(out, "{count} not compared: {}", why_not(&name));
    }
    for count in items(comparison, "/disagreements") {
        let name = at(count, "/name");
        let kind = Disagreement::ALL.iter().find(|kind| kind.as_str() == name);
        let meaning = kind.map_or("", |kind| kind.explanation());
        let _ = writeln!(out, "\n{name}: {} ({meaning})", total(count, "count"));
        let shows = |example: &&Value| items(example, "/disagreements").iter().any(|kind| *kind == *name);
        let all: Vec<_> = items(comparison, "/examples").iter().filter(shows).collect();
        for example in all.iter().take(EXAMPLES) {
            let _ = writeln!(out, "  {}", line(example));
        }
        if all.len() > EXAMPLES {
            let _ = writeln!(out, "  and {} more", all.len() - EXAMPLES);
        }
    }
    out
}

/// How often both differ: calls, or responses alone.
pub fn disagreements(comparison: &Value) -> u64 {
    items(comparison, "/disagreements").iter().map(|count| total(count, "count")).sum()
}

/// A count: a number, or, as protobuf's JSON has it, one in quotes.
pub fn total(value: &Value, field: &str) -> u64 {
    match value.get(field) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    }
}

fn why_not(name: &str) -> String {
    match name {
        "body" => "the candidate reads the body, which Envoy was not asked for".to_owned(),
        "overload" => "too many calls waited to be compared".to_owned(),
        "panic" => "the evaluation failed; see the server's log".to_owned(),
        missing => format!("rules read `{missing}`, which is not on record"),
    }
}

fn line(example: &Value) -> String {
    let who = ["/caller/person", "/caller/subject", "/caller/spiffe", "/caller/address"]
        .map(|pointer| at(example, pointer))
        .into_iter()
        .find(|name| !name.is_empty());
    let name = ["/call", "/decisionId"].map(|pointer| at(example, pointer)).concat();
    let by = match at(example, "/decidedBy").as_str() {
        "candidate" => ", decided by the candidate",
        _ => "",
    };
    format!(
        "{} {}{} by {}: {} -> {} [{name}{by}]",
        at(example, "/method"),
        at(example, "/host"),
        at(example, "/path"),
        who.unwrap_or_else(|| "anybody".to_owned()),
        view(example, "/active"),
        view(example, "/candidate"),
    )
}

fn view(example: &Value, side: &str) -> String {
    let (outcome, rule) = (at(example, &format!("{side}/outcome")), at(example, &format!("{side}/rule")));
    let why = if rule.is_empty() { at(example, &format!("{side}/reason")) } else { rule };
    format!("{outcome} ({why})")
}

fn at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).map(visible).unwrap_or_default()
}

fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
