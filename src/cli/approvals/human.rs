//! Approvals as a person reads them in a terminal. Whatever the caller wrote is made visible first.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::table::{View, id_end, second, table};
use crate::admin::visible::{Piece, folded, visible};
use crate::effect::span;

/// A table of requests.
pub(super) fn list(list: &Value, view: &View) -> String {
    let approvals = items(list, "/approvals");
    if approvals.is_empty() {
        return "no requests for approval that you may see\n".to_owned();
    }
    format!("{}\n", table(approvals, view))
}

/// One request, completely.
pub(super) fn show(approval: &Value, view: &View) -> String {
    let mut out = String::new();
    for (name, value) in [
        ("id", at(approval, "/id")),
        ("state", at(approval, "/state")),
        ("created", when(approval, "/created", view)),
        ("expires", when(approval, "/expires", view)),
        ("caller", caller(approval)),
        ("issuer", at(approval, "/caller/issuer")),
        ("spiffe id", at(approval, "/caller/spiffe")),
        ("tenant", at(approval, "/caller/tenant")),
        ("groups", strings(approval, "/caller/groups")),
        ("scopes", strings(approval, "/caller/scopes")),
        ("proven by", at(approval, "/caller/method")),
        ("address", at(approval, "/caller/address")),
        ("rules", strings(approval, "/rules")),
        ("revision", at(approval, "/revision")),
        ("good for", grant(approval)),
        ("used", when(approval, "/used", view)),
        ("decision", at(approval, "/decisionId")),
        ("reminded", when(approval, "/reminded", view)),
        ("idempotency", at(approval, "/idempotencyKey")),
        ("digest", at(approval, "/digest")),
    ] {
        line(&mut out, name, &value);
    }
    for requirement in items(approval, "/requires") {
        requirement_lines(&mut out, approval, requirement, view);
    }
    let named: Vec<_> = items(approval, "/requires").iter().map(|part| at(part, "/rule")).collect();
    // Those that no requirement above says it of.
    let escalated = items(approval, "/escalated").iter();
    for escalated in escalated.filter(|one| !named.contains(&at(one, "/rule"))) {
        line(
            &mut out,
            "escalated",
            &format!("{} at {}", at(escalated, "/rule"), when(escalated, "/at", view)),
        );
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

/// The same for a screen, where the id's end is enough.
pub(super) fn news(approval: &Value) -> String {
    let mut short = approval.clone();
    if let Some(id) = short.get_mut("id") {
        *id = Value::String(id_end(approval));
    }
    changed(&short)
}

/// What a decision led to.
pub(super) fn decided(approval: &Value) -> String {
    let state = at(approval, "/state");
    let parts = items(approval, "/requires").iter();
    let standing: Vec<_> = parts.filter(|part| !is_by_itself(part)).map(wanted).collect();
    let more = match (state.as_str(), standing.is_empty()) {
        ("pending", false) => format!("; so far {}", standing.join(", ")),
        _ => String::new(),
    };
    format!("{} is {state}{more}\n", at(approval, "/id"))
}

fn is_by_itself(requirement: &Value) -> bool {
    requirement.get("byItself").and_then(Value::as_bool) == Some(true)
}

/// A time to the second, and how long ago that is.
fn when(value: &Value, pointer: &str, view: &View) -> String {
    let at = second(value, pointer);
    if at.is_empty() { at } else { format!("{at} ({})", view.ago(value, pointer)) }
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
        body(out, text, approval);
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

/// The body: line ends are kept as line ends, a lone carriage return is made visible, and of emptiness that would push
/// the rest out of sight it is said how much there is.
fn body(out: &mut String, text: &str, approval: &Value) {
    if approval.pointer("/call/tooDeep").and_then(Value::as_bool) == Some(true) {
        out.push_str("  (JSON, too deep to be indented: shown as it was sent)\n");
    }
    let pieces = folded(text);
    if pieces.iter().any(|piece| matches!(piece, Piece::Blank(_))) {
        out.push_str("  (long runs of blanks are counted here; `--format json` has them whole)\n");
    }
    let mut shown = String::with_capacity(text.len());
    for piece in &pieces {
        match piece {
            Piece::Blank(words) => shown.push_str(words),
            Piece::Text(text) => {
                let lines: Vec<_> = text.split('\n').map(visible).collect();
                shown.push_str(&lines.join("\n"));
            }
        }
    }
    for line in shown.split('\n') {
        let _ = writeln!(out, "  {line}");
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(out, "{name:<12} {value}");
    }
}

pub(super) fn caller(approval: &Value) -> String {
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
    let seconds = period.strip_suffix('s').and_then(|number| number.parse().ok());
    let period = seconds.map_or(period, |seconds| span(Duration::from_secs(seconds)));
    let same = strings(approval, "/same");
    match (period.is_empty(), same.is_empty()) {
        (true, _) => "one call".to_owned(),
        (false, true) => format!("every same call, for {period}"),
        (false, false) => format!("every call of the same {same}, for {period}"),
    }
}

/// How far it has come, as `1 of 2 finance or eve@example.com`.
fn wanted(requirement: &Value) -> String {
    let count = requirement.get("count").and_then(Value::as_u64).unwrap_or(1);
    let names = ["/groups", "/people"].into_iter().flat_map(|part| items(requirement, part));
    let names: Vec<_> = names.filter_map(Value::as_str).map(visible).collect();
    format!("{} of {count} {}", items(requirement, "/givenBy").len(), names.join(" or "))
}

/// One requirement, and what its rule says of it.
fn requirement_lines(out: &mut String, approval: &Value, requirement: &Value, view: &View) {
    let rule = at(requirement, "/rule");
    let by = if rule.is_empty() { String::new() } else { format!(", by {rule}") };
    let wanted = if is_by_itself(requirement) { "nobody".to_owned() } else { wanted(requirement) };
    line(out, "wanted", &format!("{wanted}{by}"));
    let named = |groups: &str, people: &str| {
        let names = [strings(requirement, groups), strings(requirement, people)];
        names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
    };
    line(out, "given by", &strings(requirement, "/givenBy"));
    line(out, "because", &at(requirement, "/because"));
    let further = named("/escalatesToGroups", "/escalatesToPeople");
    if !further.is_empty() {
        let done = items(approval, "/escalated").iter().any(|one| at(one, "/rule") == rule);
        let name = if done { "escalated" } else { "escalates" };
        line(out, name, &format!("to {further} at {}", when(requirement, "/escalates", view)));
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
            second(past, "/created"),
            at(past, "/state"),
            votes.join("; ")
        );
    }
}

fn decision(vote: &Value) -> String {
    let rule = Some(at(vote, "/rule")).filter(|rule| !rule.is_empty()).map(|rule| format!("rule {rule}"));
    let person = Some(at(vote, "/person")).filter(|person| !person.is_empty());
    let who = rule.or(person).unwrap_or_else(|| at(vote, "/subject"));
    let (choice, reason) = (at(vote, "/choice"), at(vote, "/reason"));
    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
    let moment = second(vote, "/at");
    let moment = if moment.is_empty() { moment } else { format!(" at {moment}") };
    let said = format!("{choice} by {who}{moment}{reason}");
    match second(vote, "/voided").as_str() {
        "" => said,
        since => {
            format!("{said} (void since {since}, its credential is revoked: {})", at(vote, "/voidedBecause"))
        }
    }
}

pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn at(value: &Value, pointer: &str) -> String {
    visible(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

pub(super) fn strings(value: &Value, pointer: &str) -> String {
    let texts: Vec<String> = items(value, pointer).iter().filter_map(Value::as_str).map(visible).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visible::{is_deceptive, naughty};
    use jiff::Timestamp;
    use serde_json::json;

    const VIEW: View = View { now: Timestamp::constant(1_767_225_600, 0), width: None };

    fn shown(approval: &Value) -> String {
        show(approval, &VIEW)
    }

    #[test]
    fn a_list_is_as_wide_as_the_terminal_and_has_ages_and_ends_of_ids() {
        let one = json!({"id": "019a0000-0000-7000-8000-00003f9c1a77", "state": "pending",
                         "created": "2025-12-31T23:55:00.123456Z", "expires": "2026-01-01T00:55:00.123456Z",
                         "caller": {"person": "ana@example.com", "subject": "ana"}, "rules": ["refunds/large-refunds-wait"],
                         "call": {"method": "POST", "host": "api.example.com", "path": "/v1/refunds?customer=4711"}});
        let all = json!({"approvals": [one]});
        for width in [80, 100, 200] {
            let text = list(&all, &View { width: Some(width), ..VIEW });
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}\n{text}");
            let row = text.lines().find(|line| line.contains("3f9c1a77")).unwrap();
            assert!(row.contains("pending") && row.contains("5 min") && row.contains("55 min"), "{text}");
        }
        let whole = list(&all, &VIEW);
        assert_eq!(whole.lines().count(), 2, "a line for each where nobody counts columns: {whole}");
        assert!(whole.contains("/v1/refunds?customer=4711") && !whole.contains("019a0000"), "{whole}");
        assert!(news(&one_of(&all)).starts_with("3f9c1a77 pending: POST"));
    }

    fn one_of(all: &Value) -> Value {
        all["approvals"][0].clone()
    }

    #[test]
    fn who_approves_is_told_whose_approvals_are_missing() {
        let requires = json!([{"groups": ["finance"], "count": 2, "givenBy": ["bob"]},
                              {"groups": ["security"], "people": ["eve"], "count": 1}, {"groups": ["x"], "byItself": true}]);
        let said = decided(&json!({"id": "a", "state": "pending", "requires": requires}));
        assert_eq!(said, "a is pending; so far 1 of 2 finance, 0 of 1 security or eve\n");
        assert_eq!(
            decided(&json!({"id": "a", "state": "approved", "requires": requires})),
            "a is approved\n"
        );
    }

    #[test]
    fn emptiness_pushes_nothing_out_of_sight_and_deep_json_is_called_json() {
        let text = format!("pay 7{}00", "\n".repeat(900_000));
        let said = shown(&json!({"call": {"headers": [], "text": text}}));
        assert!(
            said.contains("  pay 7… 900,000 line ends …00\n") && said.contains("`--format json`"),
            "{said}"
        );
        let said = shown(&json!({"call": {"headers": [], "text": "[[[1]]]", "tooDeep": true}}));
        assert!(said.contains("JSON, too deep") && said.contains("  [[[1]]]\n"), "{said}");
    }

    #[test]
    fn what_the_rules_ask_for_is_shown_with_every_way_round_it() {
        let text = shown(&json!({
            "grantFor": "3600s", "same": ["host", "method"],
            "requires": [{"groups": ["finance"], "count": 2, "rule": "p/r", "because": "large ones wait",
                          "escalates": "2026-01-01T00:30:00Z", "escalatesToGroups": ["managers"],
                          "breakGlassPeople": ["dirk"], "hours": "mon 08:00 to 18:00 UTC"}],
            "escalated": [{"rule": "p/r", "at": "2026-01-01T00:30:01Z"}],
            "votes": [{"choice": "approve", "rule": "p/r", "reason": "small"},
                      {"choice": "approve", "person": "eve", "at": "2026-01-01T00:00:00Z", "reason": "ok",
                       "voided": "2026-01-01T00:10:00Z", "voidedBecause": "left\u{202e}"}],
            "call": {"headers": [], "text": "{\"a\":1}", "pretty": "{\n  \"a\": 1\n}", "maskedFields": "1"},
        }));
        for part in [
            "every call of the same host, method, for 1h",
            "wanted       0 of 2 finance, by p/r",
            "large ones wait",
            "escalated    to managers at 2026-01-01T00:30:00Z (in 30 min)",
            "break-glass  dirk",
            "only         mon 08:00 to 18:00 UTC",
            "not now: it can be rejected",
            "approve by rule p/r: small",
            "approve by eve at 2026-01-01T00:00:00Z: ok (void since 2026-01-01T00:10:00Z, its credential is revoked: \
             left\\u{202e})",
            "that the policies mask and the digest covers: 1",
            "  {\n    \"a\": 1\n  }\n",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
        let withheld = shown(&json!({"call": {"headers": [], "withheld": true}}));
        assert!(withheld.contains("it is not shown"), "{withheld}");
        let gone = shown(&json!({"call": {"headers": [], "notKeptBytes": "12"}}));
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
            for said in [list(&json!({"approvals": [approval]}), &VIEW), shown(&approval), changed(&approval)]
            {
                assert!(!said.chars().any(|c| is_deceptive(c) && c != '\n'), "{text:?} {said:?}");
            }
            assert_eq!(changed(&approval).lines().count(), 1, "{text:?}");
            assert!(shown(&approval).contains(&visible(&text)));
        }
    }

    #[test]
    fn a_call_is_shown_completely() {
        let text = shown(&json!({
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
            "0 of 2 finance",
            "approve by bob@example.com: ok",
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
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }
}
