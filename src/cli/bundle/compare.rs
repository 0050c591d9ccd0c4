//! `portcullis bundle compare`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::super::policy::{FINDINGS, USAGE, as_json, load, print, print_error, usage_error};
use super::Format;
use crate::admin::visible::visible;
use crate::cli::client::Server;
use crate::cli::on_one_thread;

mod calls;
mod human;
mod offline;

use human::total;

/// Say how a candidate differs from the policies that decide
///
/// With `--server`: what a running server has counted for its candidate since the revisions last changed, and
/// examples. With OLD and NEW (files, folders or bundles): what the two say about the calls of `--calls`, each of which
/// is a call file, a file of cases, or an audit trail. Exits with 0 when they agree, 1 when they don't, 2 when nothing
/// could be compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis bundle compare --server http://127.0.0.1:9190 --token-file token
  portcullis bundle compare policies/ shop-1.5.0.tgz --calls policies/shop.cases.yaml audit.jsonl

A line of an audit trail holds no query, no headers, no groups, no claims and no body: calls whose rules read these are
not compared.")]
pub struct Args {
    /// The policies that decide
    #[arg(value_name = "OLD", requires = "new", required_unless_present = "server")]
    old: Option<PathBuf>,
    /// The policies that would
    #[arg(value_name = "NEW", requires = "calls")]
    new: Option<PathBuf>,
    /// Calls to compare them on: `*.yaml`, or an audit trail `*.jsonl`
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "server")]
    calls: Vec<PathBuf>,
    /// The calls of audit trails came by a listener that is a gateway
    #[arg(long, requires = "calls")]
    gateway: bool,
    /// The admin address of a running server
    #[arg(long, value_name = "URL", conflicts_with = "old")]
    server: Option<String>,
    /// A file that holds the bearer token; otherwise PORTCULLIS_TOKEN
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    let comparison = match (&args.server, &args.old, &args.new) {
        (Some(server), _, _) => live(server, args)?,
        (None, Some(old), Some(new)) => {
            let sets = (load(std::slice::from_ref(old))?, load(std::slice::from_ref(new))?);
            offline::compare(&sets.0, &sets.1, &calls::read(&args.calls, args.gateway)?)
        }
        _ => return Err(usage_error(&"give OLD, NEW and `--calls`, or `--server`")),
    };
    match args.format {
        Format::Human => print(&human::shown(&comparison)),
        Format::Json => print(&as_json(&comparison)),
    }
    let disagreements = human::disagreements(&comparison);
    if total(&comparison, "agreed") + disagreements == 0 {
        print_error("error: nothing could be compared\n");
        return Err(ExitCode::from(USAGE));
    }
    Ok(if disagreements == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// What the server has counted.
fn live(server: &str, args: &Args) -> Result<Value, ExitCode> {
    let mut answer = None;
    let asked = on_one_thread(async {
        let asked = match Server::new(server, args.token_file.as_deref()) {
            Ok(server) => server.get("/api/v1/candidate", &[]).await,
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(comparison) => {
                answer = Some(comparison);
                ExitCode::SUCCESS
            }
            Err(failure) => usage_error(&visible(&failure.to_string())),
        }
    });
    answer.ok_or(asked)
}

#[cfg(test)]
mod tests;
