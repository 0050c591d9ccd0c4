//! `portcullis bundle list`.

use std::fmt::Write as _;

use comfy_table::Table;
use serde_json::{Value, json};

use super::server::{Connection, described, items, text};
use crate::admin::visible::visible;
use crate::cli::client::Failure;

/// Show what decides on a server, and what it can go back to
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis bundle list --history 20")]
pub struct Args {
    /// Show the last changes and refusals too, at most so many
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=500))]
    history: u32,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: &Args) -> Result<(), Failure> {
    let server = args.connection.open()?;
    let mut listing = server.get("/api/v1/bundles", &[]).await?;
    if args.history > 0 {
        let limit = args.history.to_string();
        let history = server.get("/api/v1/bundles/history", &[("limit", &limit)]).await?;
        if let Value::Object(listing) = &mut listing {
            listing.insert("events".to_owned(), history.get("events").cloned().unwrap_or(json!([])));
        }
    }
    args.connection.print(&listing, human)
}

fn human(listing: &Value) -> String {
    let mut out = String::new();
    bundles(&mut out, items(listing, "bundles"));
    // Writing to a String can't fail.
    if let Some(source) = listing.get("source") {
        let _ = writeln!(out, "source: {}", text(source, "location"));
        if !text(source, "polled").is_empty() {
            let _ = writeln!(out, "last answered well: {}", text(source, "polled"));
        }
        if !text(source, "error").is_empty() {
            let _ = writeln!(out, "does not answer well: {}", text(source, "error"));
        }
    }
    if let Some(available) = listing.get("available") {
        let _ = writeln!(out, "held off by the pin: {}; `bundle unpin` takes it", described(available));
    }
    if let Some(passed_over) = listing.get("passedOver") {
        let by = match listing.get("rolledBack") {
            Some(Value::Bool(true)) => "by the rollback",
            _ => "by an upload or pin",
        };
        let _ = writeln!(
            out,
            "held off {by}, until the source differs or `bundle unpin`: {}",
            described(passed_over)
        );
    }
    if let Some(previous) = listing.get("previous") {
        let _ = writeln!(out, "the next rollback goes to: {}", described(previous));
    }
    if let Some(candidate) = listing.get("candidate") {
        tried(&mut out, candidate);
    }
    if let Some(refused) = listing.get("refused") {
        let (reason, source) = (text(refused, "reason"), text(refused, "source"));
        let _ = writeln!(out, "not taken since {}: {source}: {reason}", text(refused, "at"));
        findings(&mut out, refused);
    }
    events(&mut out, items(listing, "events"));
    out
}

fn tried(out: &mut String, candidate: &Value) {
    let policies = candidate.get("policies").unwrap_or(&Value::Null);
    let what = match text(policies, "revision").is_empty() {
        true => text(policies, "source"),
        false => described(policies),
    };
    let share = candidate.get("share").and_then(Value::as_u64).unwrap_or(0);
    let _ = write!(out, "candidate: {what}, share {share}%, {}", text(candidate, "state"));
    if !text(candidate, "why").is_empty() {
        let _ = write!(out, ": {}", text(candidate, "why"));
    }
    out.push('\n');
    findings(out, candidate);
}

fn bundles(out: &mut String, bundles: &[Value]) {
    if bundles.is_empty() {
        out.push_str("no policies were ever active\n");
        return;
    }
    let mut table = Table::new();
    table.set_header(["", "revision", "bundle", "signed by", "source", "last active"]);
    for bundle in bundles {
        let flag = |name: &str| bundle.get(name) == Some(&Value::Bool(true));
        let state = match (flag("active"), flag("pinned")) {
            (true, true) => "pinned",
            (true, false) => "active",
            _ => "",
        };
        table.add_row([
            state.to_owned(),
            text(bundle, "revision"),
            format!("{} {}", text(bundle, "name"), text(bundle, "version")).trim().to_owned(),
            text(bundle, "signer"),
            text(bundle, "source"),
            text(bundle, "lastActive"),
        ]);
    }
    let _ = writeln!(out, "{}", table.trim_fmt());
}

fn events(out: &mut String, events: &[Value]) {
    for event in events {
        let who = event.get("actor").map(|actor| format!(" by {}", who(actor))).unwrap_or_default();
        let (at, kind, source) = (text(event, "at"), text(event, "kind"), text(event, "source"));
        let what = if text(event, "revision").is_empty() { source } else { described(event) };
        let _ = write!(out, "{at} {kind}: {what}{who}");
        for more in [text(event, "reason"), text(event, "comment")] {
            if !more.is_empty() {
                let _ = write!(out, ": {more}");
            }
        }
        out.push('\n');
        findings(out, event);
    }
}

fn who(actor: &Value) -> String {
    let person = text(actor, "person");
    if person.is_empty() { text(actor, "subject") } else { person }
}

fn findings(out: &mut String, of: &Value) {
    for finding in items(of, "findings") {
        let _ = writeln!(out, "  {}", visible(finding.as_str().unwrap_or_default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_says_what_decides_what_was_refused_and_who_did_what() {
        let listing = json!({
            "bundles": [
                {"revision": "r2", "name": "shop", "version": "2.0.0", "active": true, "pinned": true},
                {"revision": "r1", "name": "shop", "version": "1.0.0"},
            ],
            "available": {"revision": "r3", "name": "shop", "version": "3.0.0"},
            "refused": {"reason": "failing_case", "source": "https://b", "findings": ["c.yaml:3:1: error[x]: y"]},
            "passedOver": {"revision": "r0"},
            "rolledBack": true,
            "previous": {"revision": "r1", "name": "shop", "version": "1.0.0"},
            "candidate": {
                "policies": {"revision": "r4", "name": "shop", "version": "4.0.0"},
                "share": 5, "state": "suspended", "why": "a pin", "findings": ["n.yaml:1:1: error[x]: y"],
            },
            "source": {"location": "https://b", "error": "the answer's status is 500"},
            "events": [{"kind": "pinned", "revision": "r2", "actor": {"subject": "u1", "person": "bob@x"}, "comment": "wait"}],
        });
        let shown = human(&listing);
        for expected in [
            "pinned",
            "shop 1.0.0",
            "held off by the pin: shop 3.0.0 (revision r3)",
            "held off by the rollback, until the source differs or `bundle unpin`: revision r0\n",
            "the next rollback goes to: shop 1.0.0 (revision r1)\n",
            "candidate: shop 4.0.0 (revision r4), share 5%, suspended: a pin\n  n.yaml:1:1: error[x]: y\n",
            "https://b: failing_case",
            "  c.yaml:3:1: error[x]: y",
            "status is 500",
            "pinned: revision r2 by bob@x: wait",
        ] {
            assert!(shown.contains(expected), "{expected} in\n{shown}");
        }
        assert!(human(&json!({})).contains("no policies were ever active"));
    }
}
