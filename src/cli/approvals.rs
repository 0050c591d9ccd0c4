//! `portcullis approvals`: held calls, from a terminal.
//!
//! Speaks the JSON form of the admin API and knows no more of the server than that.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

mod client;
mod human;
mod screen;
mod table;
mod watch;

use client::{Client, Failure};
use screen::{Lines, Screen};
use table::View;

use crate::admin::visible::{visible, visible_json};
use crate::approval::State;
use crate::cli::client::Tls;
use crate::cli::connection::Format;

const EXAMPLES: &str = "Examples:
  portcullis approvals list --state pending
  portcullis approvals show 3f9c1a
  portcullis approvals approve 3f9c1a --reason 'checked with the customer'
  portcullis approvals break-glass 3f9c1a --reason 'INC-4711: payments are down'
  PORTCULLIS_TOKEN=$(cat token) portcullis approvals reject 3f9c1a --reason 'wrong account'

An ID is the whole id, or its end: at least 6 characters that only one request ends with.";

/// Look at held calls, and approve or reject them
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The server's admin address
    #[arg(long, global = true, env = "PORTCULLIS_SERVER", default_value = "http://127.0.0.1:9190")]
    server: String,
    /// A file that holds the bearer token; otherwise PORTCULLIS_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
    /// For people or for scripts
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List the requests for approval that you may see, the newest first
    List {
        /// Only those in this state
        #[arg(long, value_parser = State::ALL.map(State::as_str))]
        state: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Show one call completely: all that an approval would cover
    Show { id: String },
    /// Approve one call
    Approve {
        id: String,
        /// Why; recorded
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Reject one request; the same call again opens a new one
    Reject {
        id: String,
        /// Why; recorded
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Release one call alone, whatever its rules ask for; loud, and for the people that they name only
    BreakGlass {
        id: String,
        /// Why; recorded
        #[arg(long)]
        reason: String,
    },
    /// Take back a request of yours that nobody has decided yet (or anybody's, as an admin)
    Withdraw {
        id: String,
        /// Why; recorded
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take back an approval that is not used up
    Revoke {
        id: String,
        /// Why; recorded
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Show requests as they come and change, until interrupted: a live table in a terminal, else a line each
    Watch,
}

/// Prints the answer, or why there is none: exit code 0, or 1.
pub async fn run(args: Args) -> ExitCode {
    match execute(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            anstream::eprintln!("error: {}", visible(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

async fn execute(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.server, args.token_file.as_deref(), &args.tls)?;
    let format = args.format;
    match args.action {
        Action::List { state, limit } => {
            let list = client.list(state.as_deref(), limit).await?;
            print(format, &list, |list| human::list(list, &View::now()))
        }
        Action::Show { id } => {
            let approval = client.show(&client.resolve(&id).await?).await?;
            print(format, &approval, |approval| human::show(approval, &View::now()))
        }
        Action::Approve { id, reason } => decide(&client, &id, "approve", &reason, format).await,
        Action::Reject { id, reason } => decide(&client, &id, "reject", &reason, format).await,
        Action::BreakGlass { id, reason } => decide(&client, &id, "breakGlass", &reason, format).await,
        Action::Withdraw { id, reason } => decide(&client, &id, "withdraw", &reason, format).await,
        Action::Revoke { id, reason } => decide(&client, &id, "revoke", &reason, format).await,
        Action::Watch => watch_until_interrupted(&client, format).await,
    }
}

/// Ctrl-C, and a reader that has enough, are how a watch ends.
async fn watch_until_interrupted(client: &Client, format: Format) -> Result<(), Failure> {
    let watching = async {
        if format == Format::Human && std::io::stdout().is_terminal() {
            watch::watch(client, &mut Screen::new(std::io::stdout(), View::now)).await
        } else {
            watch::watch(client, &mut Lines(|approval: &Value| print_line(format, approval))).await
        }
    };
    let watched = tokio::select! {
        watched = watching => watched,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    };
    match watched {
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        watched => watched,
    }
}

async fn decide(client: &Client, id: &str, verb: &str, reason: &str, format: Format) -> Result<(), Failure> {
    let approval = client.decide(&client.resolve(id).await?, verb, reason).await?;
    print(format, &approval, human::decided)
}

fn print(format: Format, answer: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    let text = if format == Format::Json { json(&format!("{answer:#}")) } else { human(answer) };
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}

/// For scripts, and for terminals that a script's author looks at.
fn json(text: &str) -> String {
    format!("{}\n", visible_json(text))
}

/// One request on a line of its own, also as JSON.
fn print_line(format: Format, approval: &Value) -> Result<(), Failure> {
    let text = if format == Format::Json { json(&approval.to_string()) } else { human::changed(approval) };
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent_and_options_may_follow_the_command() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
        let line = ["approvals", "approve", "abcdef", "--reason", "ok", "--server", "http://h:1"];
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.server, "http://h:1");
        assert!(Args::try_parse_from(["approvals", "list", "--state", "open"]).is_err());
    }
}
