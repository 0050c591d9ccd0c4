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
        ("idempotency", at(approval, "/idempotencyKey")),
        ("digest", at(approval, "/digest")),
    ] {
        line(&mut out, name, &value);
    }
    for requirement in items(approval, "/requires") {
        line(&mut out, "wanted", &wanted(requirement));
    }
    for vote in items(approval, "/votes") {
        line(&mut out, "decided", &decision(vote));
    }
    out.push('\n');
    call(&mut out, approval);
    out.push_str(
        "\nThe digest covers the caller, and the method, host, destination, path and query, headers and body \
         above,\nbyte by byte, and the rules. It does not cover other headers, the token, dates and trace ids.\n",
    );
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
    if let Some(text) = approval.pointer("/call/text").and_then(Value::as_str) {
        // Line ends are kept as line ends; a lone carriage return is made visible.
        for text in text.split('\n') {
            let _ = writeln!(out, "  {}", visible(text));
        }
    } else if let Some(base64) = approval.pointer("/call/binary").and_then(Value::as_str) {
        let _ = writeln!(out, "  (not text; in base64)\n  {}", visible(base64));
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
    if period.is_empty() { "one call".to_owned() } else { format!("every same call, for {period}") }
}

fn wanted(requirement: &Value) -> String {
    let count = requirement.get("count").and_then(Value::as_u64).unwrap_or(1);
    format!(
        "{count} of groups [{}], people [{}]",
        strings(requirement, "/groups"),
        strings(requirement, "/people")
    )
}

fn decision(vote: &Value) -> String {
    let who =
        Some(at(vote, "/person")).filter(|person| !person.is_empty()).unwrap_or_else(|| at(vote, "/subject"));
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
    use serde_json::json;

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
            "does not cover",
        ] {
            assert!(shown.contains(part), "`{part}` is missing in\n{shown}");
        }
    }
}
