//! `portcullis revoke`: credentials that are refused although they are genuine, on a running server.

use std::process::ExitCode;

use comfy_table::Table;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::Failure;
use super::connection::{Connection, earlier, items, later, listed, on_server, segment, text};

const EXAMPLES: &str = "Examples:
  portcullis revoke --subject ana --reason 'left on Friday'
  portcullis revoke --subject ana --issuer https://idp.example.com --issued-before now
  portcullis revoke --session 8c1f --until 24h
  portcullis revoke list
  portcullis revoke undo 019b1c5b-3f6a-7d5e-9c0f-2a4b6c8d0e1f

It takes effect within a second, and ends calls that are held and responses that are being masked.";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    new: New,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what is revoked, the newest first
    List(List),
    /// Take a revocation back
    Undo(Undo),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct New {
    #[command(flatten)]
    what: What,
    /// Only credentials of this issuer; without it, those of any
    #[arg(long, value_name = "ISSUER", conflicts_with = "key")]
    issuer: Option<String>,
    /// Only those issued before: a time, how long ago, or `now`; those that don't say when count as issued before
    #[arg(long, value_name = "TIME|DURATION|now", value_parser = before, conflicts_with_all = ["token_id", "key"])]
    issued_before: Option<Before>,
    /// When it ends: a time, or how long from now, as 24h; without it, never
    #[arg(long, value_name = "TIME|DURATION", value_parser = later)]
    until: Option<Timestamp>,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Everything that proves this subject or SPIFFE id
    #[arg(long)]
    subject: Option<String>,
    /// One token, by its `jti`
    #[arg(long, value_name = "JTI")]
    token_id: Option<String>,
    /// The tokens of one login, by their `sid`
    #[arg(long, value_name = "SID")]
    session: Option<String>,
    /// One API key, by its id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// By the server's clock.
    Now,
    At(Timestamp),
}

#[derive(Debug, clap::Args)]
struct List {
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Undo {
    id: String,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        None => on_server(create(&args.new)),
        Some(Command::List(args)) => on_server(list(args)),
        Some(Command::Undo(args)) => on_server(undo(args)),
    }
}

fn before(text: &str) -> Result<Before, String> {
    if text == "now" { Ok(Before::Now) } else { earlier(text).map(Before::At) }
}

impl New {
    /// What the server is asked for.
    fn body(&self) -> Value {
        let What { subject, token_id, session, key } = &self.what;
        let what = [("subject", subject), ("token_id", token_id), ("session", session), ("key", key)];
        let named = what.into_iter().find_map(|(kind, value)| Some((kind, value.as_ref()?)));
        let (kind, value) = named.map_or(("", ""), |(kind, value)| (kind, value.as_str()));
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("kind", json!(kind));
        set("value", json!(value));
        set("reason", json!(self.reason));
        if let Some(issuer) = &self.issuer {
            set("issuer", json!(issuer));
        }
        if let Some(until) = self.until {
            set("until", json!(until.to_string()));
        }
        match self.issued_before {
            Some(Before::Now) => set("issuedBeforeNow", json!(true)),
            Some(Before::At(at)) => set("issuedBefore", json!(at.to_string())),
            None => None,
        };
        Value::Object(body)
    }
}

async fn create(args: &New) -> Result<(), Failure> {
    let made = args.connection.open()?.post("/api/v1/revocations", &args.body()).await?;
    args.connection.print(&made, |made| format!("revoked: {}\n", described(made)))
}

async fn list(args: &List) -> Result<(), Failure> {
    let limit = args.limit.to_string();
    let listing = args.connection.open()?.get("/api/v1/revocations", &[("limit", &limit)]).await?;
    args.connection.print(&listing, human)
}

async fn undo(args: &Undo) -> Result<(), Failure> {
    let path = format!("/api/v1/revocations/{}:undo", segment(&args.id)?);
    let undone = args.connection.open()?.post(&path, &json!({"reason": args.reason})).await?;
    args.connection.print(&undone, |undone| format!("no longer revoked: {}\n", described(undone)))
}

/// `subject ana of https://idp, issued before ..., until ... (id ...)`
fn described(revocation: &Value) -> String {
    let mut out = format!("{} {}", text(revocation, "kind"), text(revocation, "value"));
    for (field, words) in [("issuer", " of "), ("issuedBefore", ", issued before "), ("until", ", until ")] {
        let value = text(revocation, field);
        if !value.is_empty() {
            out.push_str(words);
            out.push_str(&value);
        }
    }
    format!("{out} (id {})", text(revocation, "id"))
}

fn human(listing: &Value) -> String {
    let revocations = items(listing, "revocations");
    if revocations.is_empty() {
        return "nothing is revoked\n".to_owned();
    }
    let mut table = Table::new();
    table.set_header(["id", "what", "value", "issuer", "issued before", "until", "made", "by", "reason"]);
    for revocation in revocations {
        let by = revocation.get("createdBy").unwrap_or(&Value::Null);
        let ended = revocation.get("active") != Some(&Value::Bool(true));
        let until = if ended { "ended".to_owned() } else { text(revocation, "until") };
        let [id, kind, value, issuer] =
            ["id", "kind", "value", "issuer"].map(|field| text(revocation, field));
        let [before, made, reason] =
            ["issuedBefore", "created", "reason"].map(|field| text(revocation, field));
        table.add_row([id, kind, value, issuer, before, until, made, text(by, "subject"), reason]);
    }
    listed(&table, listing)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.args)
    }

    #[test]
    fn one_thing_is_revoked_at_a_time() {
        for line in [
            "revoke",
            "revoke --subject a --key b",
            "revoke --subject a list",
            "revoke --issuer https://i",
            "revoke --key k --issuer https://i",
            "revoke --token-id t --issued-before now",
            "revoke --subject a --until yesterday",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(matches!(parsed("revoke list --limit 3").unwrap().command, Some(Command::List(_))));
        assert!(matches!(parsed("revoke undo 019b").unwrap().command, Some(Command::Undo(_))));
    }

    #[test]
    fn options_become_what_the_server_is_asked_for() {
        let body = |line: &str| parsed(line).unwrap().new.body();
        assert_eq!(
            body("revoke --subject ana --issuer https://i --until 2026-12-01T00:00Z --reason left"),
            json!({"kind": "subject", "value": "ana", "reason": "left", "issuer": "https://i",
                "until": "2026-12-01T00:00:00Z"})
        );
        assert_eq!(
            body("revoke --session s --issued-before 2026-12-01T00:00Z"),
            json!({"kind": "session", "value": "s", "reason": "", "issuedBefore": "2026-12-01T00:00:00Z"})
        );
        assert_eq!(
            body("revoke --subject s --issued-before now"),
            json!({"kind": "subject", "value": "s", "reason": "", "issuedBeforeNow": true})
        );
        assert_eq!(body("revoke --token-id t"), json!({"kind": "token_id", "value": "t", "reason": ""}));
        assert_eq!(body("revoke --key k"), json!({"kind": "key", "value": "k", "reason": ""}));
    }

    #[test]
    fn a_listing_says_what_ended_and_hides_nothing() {
        let one = json!({"id": "r1", "kind": "subject", "value": "a\u{202e}na", "until": "2026-01-01T00:00:00Z",
            "createdBy": {"subject": "bob"}, "reason": "left", "active": false});
        let shown = human(&json!({"revocations": [one]}));
        assert!(
            shown.contains("a\\u{202e}na") && shown.contains("ended") && shown.contains("bob"),
            "{shown}"
        );
        assert_eq!(human(&json!({"revocations": []})), "nothing is revoked\n");
        assert_eq!(described(&one), "subject a\\u{202e}na, until 2026-01-01T00:00:00Z (id r1)");
    }
}
