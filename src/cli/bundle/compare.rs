//! `portcullis bundle compare`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::super::policy::{FINDINGS, USAGE, as_json, load, print, print_error, usage_error};
use super::Format;
use crate::admin::visible::visible;
use crate::cli::client::{Server, Tls};
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
    #[arg(value_name = "OLD", requires = "new")]
    old: Option<PathBuf>,
    /// The policies that would
    #[arg(value_name = "NEW", requires = "calls")]
    new: Option<PathBuf>,
    /// Calls to compare them on: `*.yaml`, an audit trail `*.jsonl`, or a folder, which stands for the cases in it
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., conflicts_with = "server")]
    calls: Vec<PathBuf>,
    /// The calls of audit trails came by a listener that is a gateway
    #[arg(long, requires = "calls")]
    gateway: bool,
    /// The admin address of a running server; otherwise, without OLD and NEW, PORTCULLIS_SERVER
    #[arg(long, value_name = "URL", conflicts_with = "old")]
    server: Option<String>,
    /// A file that holds the bearer token; otherwise PORTCULLIS_TOKEN
    #[arg(long, value_name = "FILE", conflicts_with = "old")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    tls: Tls,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

pub fn run(args: &Args) -> Result<ExitCode, ExitCode> {
    compare(args, std::env::var("PORTCULLIS_SERVER").ok())
}

/// `environment` is the server that the environment names.
fn compare(args: &Args, environment: Option<String>) -> Result<ExitCode, ExitCode> {
    let comparison = match (&args.old, &args.new) {
        (Some(old), Some(new)) => {
            let sets = (load(std::slice::from_ref(old))?, load(std::slice::from_ref(new))?);
            offline::compare(&sets.0, &sets.1, &calls::read(&args.calls, args.gateway)?)
        }
        _ => match args.server.clone().or(environment) {
            Some(server) => live(&server, args)?,
            None => {
                return Err(usage_error(
                    &"nothing to compare: give OLD, NEW and `--calls FILE`, or, for the candidate of a running server, \
                     `--server URL` (or PORTCULLIS_SERVER)",
                ));
            }
        },
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
        let asked = match Server::new(server, args.token_file.as_deref(), &args.tls) {
            Ok(server) => server.get("/api/v1/candidate", &[]).await,
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(comparison) => {
                answer = Some(with_numbers(comparison));
                ExitCode::SUCCESS
            }
            Err(failure) => usage_error(&visible(&failure.to_string())),
        }
    });
    answer.ok_or(asked)
}

/// Counts as numbers, zero included: protobuf's JSON has them as texts, and leaves out zeros.
fn with_numbers(mut comparison: Value) -> Value {
    for field in ["agreed", "disagreed"] {
        let count = total(&comparison, field);
        if let Some(fields) = comparison.as_object_mut() {
            fields.insert(field.to_owned(), count.into());
        }
    }
    for list in ["notComparable", "disagreements"] {
        for entry in comparison.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let count = total(entry, "count");
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("count".to_owned(), count.into());
            }
        }
    }
    comparison
}

#[cfg(test)]
mod tests;
