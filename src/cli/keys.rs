//! `portcullis keys`: API keys, on a running server.

use std::io::Write as _;
use std::process::ExitCode;

use comfy_table::Table;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::Failure;
use super::connection::{Connection, Format, items, later, listed, on_server, segment, text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key, and print it this once
    #[command(
        after_help = "Example: portcullis keys create --owner nightly-export --group staff --expires 90d > key.txt"
    )]
    Create(Create),
    /// List the keys that there are, the newest first, without their secrets
    List(List),
    /// Refuse a key from now on, for good
    #[command(
        after_help = "Example: portcullis keys revoke 019b1c5b3f6a7d5e9c0f2a4b6c8d0e1f --reason 'was in a log'"
    )]
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The subject of calls that are made with it
    #[arg(long)]
    owner: String,
    /// A group that its owner is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    name: String,
    /// When it ends: a time, or how long from now, as 90d; without it, never
    #[arg(long, value_name = "TIME|DURATION", value_parser = later)]
    expires: Option<Timestamp>,
    /// The human being behind it, who may not approve calls made with it; without it, you
    #[arg(long, default_value = "")]
    person: String,
    #[command(flatten)]
    connection: Connection,
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
struct Revoke {
    /// The id, which is the key's second part
    id: String,
    /// Why; recorded
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Create(args) => on_server(create(args)),
        Command::List(args) => on_server(list(args)),
        Command::Revoke(args) => on_server(revoke(args)),
    }
}

/// The key alone goes to standard output, so that it can go into a file or a variable as it is.
async fn create(args: &Create) -> Result<(), Failure> {
    let mut body = json!({
        "owner": args.owner, "groups": args.groups, "name": args.name, "person": args.person,
    });
    if let (Some(expires), Some(body)) = (args.expires, body.as_object_mut()) {
        body.insert("expires".to_owned(), json!(expires.to_string()));
    }
    let created = args.connection.open()?.post("/api/v1/keys", &body).await?;
    args.connection.print(&created, |created| format!("{}\n", text(created, "secret")))?;
    if args.connection.format == Format::Human {
        let key = created.get("key").unwrap_or(&Value::Null);
        let ends = match text(key, "expires") {
            never if never.is_empty() => "it does not end by itself".to_owned(),
            expires => format!("it ends {expires}"),
        };
        let (id, owner) = (text(key, "id"), text(key, "owner"));
        let told = format!("key {id} of {owner}; {ends}; it can't be shown again\n");
        anstream::stderr().write_all(told.as_bytes())?;
    }
    Ok(())
}

async fn list(args: &List) -> Result<(), Failure> {
    let limit = args.limit.to_string();
    let listing = args.connection.open()?.get("/api/v1/keys", &[("limit", &limit)]).await?;
    args.connection.print(&listing, human)
}

async fn revoke(args: &Revoke) -> Result<(), Failure> {
    if args.id.starts_with(crate::authn::api_key::PREFIX) {
        let why = "give the key's id, its second part, and keep the key itself off command lines";
        return Err(Failure::Refused(why.to_owned()));
    }
    let path = format!("/api/v1/keys/{}:revoke", segment(&args.id)?);
    let key = args.connection.open()?.post(&path, &json!({"reason": args.reason})).await?;
    args.connection
        .print(&key, |key| format!("key {} of {} is revoked\n", text(key, "id"), text(key, "owner")))
}

fn human(listing: &Value) -> String {
    let keys = items(listing, "keys");
    if keys.is_empty() {
        return "there are no keys\n".to_owned();
    }
    let mut table = Table::new();
    table.set_header(["id", "state", "owner", "groups", "name", "created", "expires"]);
    for key in keys {
        let groups: Vec<_> = items(key, "groups").iter().filter_map(Value::as_str).collect();
        let groups = crate::admin::visible::visible(&groups.join(", "));
        let [id, state, owner, name] = ["id", "state", "owner", "name"].map(|field| text(key, field));
        let [created, expires] = ["created", "expires"].map(|field| text(key, field));
        table.add_row([id, state, owner, groups, name, created, expires]);
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

    #[test]
    fn the_command_line() {
        let line = ["keys", "create", "--owner", "ana", "--group", "a", "--group", "b", "--expires", "90d"];
        let Command::Create(create) = Line::try_parse_from(line).unwrap().args.command else { panic!() };
        assert_eq!((create.owner.as_str(), create.groups), ("ana", vec!["a".to_owned(), "b".to_owned()]));
        assert!(create.expires.is_some());
        assert!(Line::try_parse_from(["keys", "create"]).is_err(), "an owner is needed");
        assert!(Line::try_parse_from(["keys", "create", "--owner", "a", "--expires", "soon"]).is_err());
    }

    #[test]
    fn a_listing_has_no_secrets_and_nothing_hidden() {
        let listing = json!({
            "keys": [{"id": "k1", "state": "active", "owner": "a\u{202e}na", "groups": ["x", "y"], "name": "n",
                "created": "2026-01-01T00:00:00Z"}],
            "nextPageToken": "k1",
        });
        let shown = human(&listing);
        assert!(shown.contains("k1") && shown.contains("a\\u{202e}na") && shown.contains("x, y"), "{shown}");
        assert!(shown.contains("there are more"), "{shown}");
        assert_eq!(human(&json!({})), "there are no keys\n");
    }

    #[tokio::test]
    async fn a_whole_key_is_not_taken_for_an_id() {
        let line = ["keys", "revoke", "pck_0123_secret", "--server", "http://127.0.0.1:1"];
        let Command::Revoke(args) = Line::try_parse_from(line).unwrap().args.command else { panic!() };
        let said = revoke(&args).await.unwrap_err().to_string();
        assert!(said.contains("keep the key itself off command lines") && !said.contains("secret"), "{said}");
    }
}
