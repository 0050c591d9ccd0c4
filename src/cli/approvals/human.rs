//! Approvals as a person reads them in a terminal. Whatever the caller wrote is made visible first.

use std::fmt::Write as _;

use comfy_table::Table;
use serde_json::Value;

use crate::admin::visible::visible;

/// A table of requests.
pub(super) fn list(list: &Value) -> String {
    let approvals = list.get("approvals").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if approvals.is_empty() {
        return "no requests for approval that you may see\n".to_owned();
    }
    let mut table = Table::new();
    table.set_header(["id", "state", "created", "expires", "caller", "call", "rules"]);
    for approval in approvals {
        let call = format!(
            "{} {}{}",
            at(approval, "/call/method"),
            at(approval, "/call/host"),
            at(approval, "/call/path")
        );
        table.add_row([
            at(approval, "/id"),
            at(approval, "/state"),
            at(approval, "/created"),
            at(approval, "/expires"),
            caller(approval),
            call,
            strings(approval, "/rules"),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

/// One request, completely.
pub(super) fn show(approval: &Value) -> String {
    let mut out = String::new();
    for (name, value) in [
        ("id", at(approval, "/id")),
        ("state", at(approval, "/state")),
        ("created", at(approval, "/created")),
        ("expires", at(approval, "/expires")),
        ("caller", caller(approval)),
        ("issuer", at(approval, "/caller/issuer")),
        ("spiffe id", at(approval, "/caller/spiffe")),
        ("proven by", at(approval, "/caller/method")),
        ("address", at(approval, "/caller/address")),
        ("rules", strings(approval, "/rules")),
        ("revision", at(approval, "/revision")),
        ("good for", grant(approval)),
        ("used", at(approval, "/used")),
        ("decision", at(approval, "/decisionId")),
        ("reminded", at(approval, "/reminded")),
        ("idempotency", at(approval, "/idempotencyKey")),
        ("digest", at(approval, "/digest")),
    ] {
        line(&mut out, name, &value);
    }
    for requirement in items(approval, "/requires") {
        requirement_lines(&mut out, requirement);
    }
    for escalated in items(approval, "/escalated") {
        line(&mut out, "escalated", &format!("{} at {}", at(escalated, "/rule"), at(escalated, "/at")));
    }
    if approval.get("withinHours").and_then(Value::as_bool) != Some(true) {
        line(&mut out, "hours", "not now: it can be rejected, and neither be approved nor used");
    }
    for vote in items(approval, "/votes") {
        line(&mut out, "decided", &decision(vote));
    }
    out.push('\n');
    call(&mut out, approval);
    let (covers, open) = (at(approval, "/covers"), at(approval, "/notCovered"));
    let _ = writeln!(out, "\nAn approval {covers}.\nIt does not cover {open}.");
    similar(&mut out, approval);
    out
}

/// One request on one line, with what became of it.
pub(super) fn changed(approval: &Value) -> String {
    let (method, host, path) =
        (at(approval, "/call/method"), at(approval, "/call/host"), at(approval, "/call/path"));
    let votes =
        items(approval, "/votes").last().map(|vote| format!(", {}", decision(vote))).unwrap_or_default();
    let (id, state, caller) = (at(approval, "/id"), at(approval, "/state"), caller(approval));
    format!("{id} {state}: {method} {host}{path} by {caller}{votes}\n")
}

/// What a decision led to.
pub(super) fn decided(approval: &Value) -> String {
    let state = at(approval, "/state");
    let more = if state == "pending" { "; more approvals are needed" } else { "" };
    format!("{} is {state}{more}\n", at(approval, "/id"))
}

fn call(out: &mut String, approval: &Value) {
    let target = format!("{} {}", at(approval, "/call/method"), at(approval, "/call/path"));
    out.push_str(&target);
    out.push('\n');
    line(out, "host", &at(approval, "/call/host"));
    line(out, "destination", &at(approval, "/call/destination"));
    for header in items(approval, "/call/headers") {
        let _ = writeln!(out, "{}: {}", at(header, "/name"), at(header, "/value"));
    }
    out.push('\n');
    let masked = at(approval, "/call/maskedFields");
    if !masked.is_empty() {
        let _ = writeln!(out, "  (values that the policies mask and the digest covers: {masked})");
    }
    let pretty = approval.pointer("/call/pretty").and_then(Value::as_str).filter(|text| !text.is_empty());
    let text = pretty.or_else(|| approval.pointer("/call/text").and_then(Value::as_str));
    if approval.pointer("/call/withheld").and_then(Value::as_bool) == Some(true) {
        out.push_str("  (the body must be masked and can't be understood, so it is not shown)\n");
    } else if let Some(text) = text {
        // Line ends are kept as line ends; a lone carriage return is made visible.
        for text in text.split('\n') {
            let _ = writeln!(out, "  {}", visible(text));
        }
    } else if let Some(base64) = approval.pointer("/call/binary").and_then(Value::as_str) {
        let _ = writeln!(out, "  (not text; in base64)\n  {}", visible(base64));
    } else if let Some(bytes) = approval.pointer("/call/notKeptBytes").and_then(Value::as_str) {
        let _ = writeln!(
            out,
            "  (the body is no longer kept; it had {} bytes, and the digest covers them)",
            visible(bytes)
        );
    } else if approval.pointer("/call/headers").is_some() {
        out.push_str("  (no body)\n");
    } else {
        out.push_str("  (no headers and no body to show, or only its approvers may see them)\n");
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(out, "{name:<12} {value}");
    }
}

fn caller(approval: &Value) -> String {
    let (person, subject) = (at(approval, "/caller/person"), at(approval, "/caller/subject"));
    match (person.is_empty(), subject.is_empty()) {
        (false, false) => format!("{person} ({subject})"),
        (false, true) => person,
        (true, false) => subject,
        (true, true) => at(approval, "/caller/spiffe"),
    }
}

fn grant(approval: &Value) -> String {
    let period = at(approval, "/grantFor");
    let same = strings(approval, "/same");
    match (period.is_empty(), same.is_empty()) {
        (true, _) => "one call".to_owned(),
        (false, true) => format!("every same call, for {period}"),
        (false, false) => format!("every call of the same {same}, for {period}"),
    }
}

fn wanted(requirement: &Value) -> String {
    let count = requirement.get("count").and_then(Value::as_u64).unwrap_or(1);
    format!(
        "{count} of groups [{}], people [{}]",
        strings(requirement, "/groups"),
        strings(requirement, "/people")
    )
}

/// One requirement, and what its rule says of it.
fn requirement_lines(out: &mut String, requirement: &Value) {
    let rule = at(requirement, "/rule");
    let by = if rule.is_empty() { String::new() } else { format!(", by {rule}") };
    line(out, "wanted", &format!("{}{by}", wanted(requirement)));
    let named = |groups: &str, people: &str| {
        let names = [strings(requirement, groups), strings(requirement, people)];
        names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
    };
    line(out, "given by", &strings(requirement, "/givenBy"));
    line(out, "because", &at(requirement, "/because"));
    let further = named("/escalatesToGroups", "/escalatesToPeople");
    if !further.is_empty() {
        line(out, "escalates", &format!("to {further} at {}", at(requirement, "/escalates")));
    }
    line(out, "break-glass", &named("/breakGlassGroups", "/breakGlassPeople"));
    line(out, "only", &at(requirement, "/hours"));
    line(out, "again from", &at(requirement, "/opens"));
}

/// What became of the caller's earlier calls.
fn similar(out: &mut String, approval: &Value) {
    let earlier = items(approval, "/similar");
    if earlier.is_empty() {
        return;
    }
    out.push_str("\nEarlier calls of this caller that the same rules held:\n");
    for past in earlier {
        let same = if past.get("sameDigest").and_then(Value::as_bool) == Some(true) {
            ", the very same"
        } else {
            ""
        };
        let votes: Vec<_> = items(past, "/votes").iter().map(decision).collect();
        let call = format!("{} {}{}", at(past, "/method"), at(past, "/host"), at(past, "/path"));
        let _ = writeln!(
            out,
            "  {} {}: {call}{same}; {}",
            at(past, "/created"),
            at(past, "/state"),
            votes.join("; ")
        );
    }
}

fn decision(vote: &Value) -> String {
    let rule = Some(at(vote, "/rule")).filter(|rule| !rule.is_empty()).map(|rule| format!("rule {rule}"));
    let person = Some(at(vote, "/person")).filter(|person| !person.is_empty());
    let who = rule.or(person).unwrap_or_else(|| at(vote, "/subject"));
    format!("{} by {who} at {}: {}", at(vote, "/choice"), at(vote, "/at"), at(vote, "/reason"))
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn at(value: &Value, pointer: &str) -> String {
    visible(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

fn strings(value: &Value, pointer: &str) -> String {
    let texts: Vec<String> = items(value, pointer).iter().filter_map(Value::as_str).map(visible).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visible::{is_deceptive, naughty};
    use serde_json::json;

    #[test]
    fn what_the_rules_ask_for_is_shown_with_every_way_round_it() {
        let shown = show(&json!({
            "grantFor": "3600s", "same": ["host", "method"],
            "requires": [{"groups": ["finance"], "count": 2, "rule": "p/r", "because": "large ones wait",
                          "escalates": "2026-01-01T00:30:00Z", "escalatesToGroups": ["managers"],
                          "breakGlassPeople": ["dirk"], "hours": "mon 08:00 to 18:00 UTC"}],
            "escalated": [{"rule": "p/r", "at": "2026-01-01T00:30:01Z"}],
            "votes": [{"choice": "approve", "rule": "p/r", "reason": "small"}],
            "call": {"headers": [], "text": "{\"a\":1}", "pretty": "{\n  \"a\": 1\n}", "maskedFields": "1"},
        }));
        for part in [
            "every call of the same host, method, for 3600s",
            "2 of groups [finance], people [], by p/r",
            "large ones wait",
            "to managers at 2026-01-01T00:30:00Z",
            "break-glass  dirk",
            "only         mon 08:00 to 18:00 UTC",
            "p/r at 2026-01-01T00:30:01Z",
            "not now: it can be rejected",
            "approve by rule p/r",
            "that the policies mask and the digest covers: 1",
            "  {\n    \"a\": 1\n  }\n",
        ] {
            assert!(shown.contains(part), "`{part}` is missing in\n{shown}");
        }
        let withheld = show(&json!({"call": {"headers": [], "withheld": true}}));
        assert!(withheld.contains("it is not shown"), "{withheld}");
        let gone = show(&json!({"call": {"headers": [], "notKeptBytes": "12"}}));
        assert!(gone.contains("no longer kept; it had 12 bytes") && !gone.contains("(no body)"), "{gone}");
    }

    #[test]
    fn no_text_of_a_stranger_is_obeyed_or_hidden_and_all_of_it_is_there() {
        for text in naughty::strings() {
            let approval = json!({
                "id": text, "state": text, "rules": [text], "digest": text, "idempotencyKey": text,
                "caller": {"person": text, "subject": text, "issuer": text, "address": text},
                "requires": [{"groups": [text], "rule": text, "because": text}],
                "votes": [{"choice": "approve", "person": text, "reason": text}],
                "call": {"method": text, "host": text, "path": text, "destination": text, "text": text,
                         "headers": [{"name": text, "value": text}]},
            });
            for shown in [list(&json!({"approvals": [approval]})), show(&approval), changed(&approval)] {
                assert!(!shown.chars().any(|c| is_deceptive(c) && c != '\n'), "{text:?} {shown:?}");
            }
            assert_eq!(changed(&approval).lines().count(), 1, "{text:?}");
            assert!(show(&approval).contains(&visible(&text)));
        }
    }

    #[test]
    fn a_call_is_shown_completely() {
        let shown = show(&json!({
            "id": "0190", "state": "pending", "digest": "d1g", "revision": "r7", "rules": ["refunds/large"],
            "caller": {"person": "ana@example.com", "subject": "ana"},
            "requires": [{"groups": ["finance"], "count": 2}],
            "votes": [{"choice": "approve", "person": "bob@example.com", "reason": "ok\u{7}"}],
            "call": {"method": "POST", "host": "api.example.com", "path": "/v1/refunds?x=1",
                     "destination": "spiffe://example.com/shop 8443",
                     "headers": [{"name": "content-type", "value": "text/plain"}], "text": "pay\n\u{202e}700"},
            "covers": "approves this one call", "notCovered": "other headers", "withinHours": true,
            "similar": [{"created": "2026", "state": "rejected", "method": "POST", "host": "h", "path": "/p",
                         "votes": [{"choice": "reject", "rule": "", "person": "carl\u{202e}"}]}],
        }));
        for part in [
            "0190",
            "pending",
            "d1g",
            "r7",
            "refunds/large",
            "ana@example.com (ana)",
            "2 of groups [finance]",
            "approve by bob@example.com",
            "ok\\u{7}",
            "POST /v1/refunds?x=1",
            "api.example.com",
            "spiffe://example.com/shop 8443",
            "content-type: text/plain",
            "  pay\n  \\u{202e}700\n",
            "one call",
            "An approval approves this one call.\nIt does not cover other headers.",
            "2026 rejected: POST h/p; reject by carl\\u{202e}",
        ] {
            assert!(shown.contains(part), "`{part}` is missing in\n{shown}");
        }
    }
}
