//! `portcullis bundle`: versions of policies, from the folder they are written in to the server that loads them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::connection::Format;
use super::policy::{FINDINGS, as_json, print, print_error, print_findings, usage_error};
use crate::bundle::{Limits, Manifest, Prepared, Refused};
use crate::policy;

mod activate;
mod build;
mod compare;
mod keygen;
mod list;
mod pin;
mod rollback;
mod server;
mod sign;
mod verify;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a bundle of policies and their cases
    Build(build::Args),
    /// Make a pair of keys: one that signs bundles, one that servers trust
    Keygen(keygen::Args),
    /// Sign a bundle
    Sign(sign::Args),
    /// Say what a bundle is, and whether a server would take it
    Verify(verify::Args),
    /// Show what decides on a server, and what it can go back to
    List(list::Args),
    /// Make a bundle active on a server
    Activate(activate::Args),
    /// Go back to an earlier revision on a server
    Rollback(rollback::Args),
    /// Keep a server at a revision, whatever its source offers
    Pin(pin::Args),
    /// Let a server follow its source again
    Unpin(pin::UnpinArgs),
    /// Say how a candidate differs from the policies that decide
    Compare(compare::Args),
}

pub fn run(args: &Args) -> ExitCode {
    let done = match &args.command {
        Command::Build(args) => build::run(args),
        Command::Keygen(args) => keygen::run(args),
        Command::Sign(args) => sign::run(args),
        Command::Verify(args) => verify::run(args),
        Command::List(args) => Ok(server::on_server(list::run(args))),
        Command::Activate(args) => Ok(server::on_server(activate::run(args))),
        Command::Rollback(args) => Ok(server::on_server(rollback::run(args))),
        Command::Pin(args) => Ok(server::on_server(pin::run(args))),
        Command::Unpin(args) => Ok(server::on_server(pin::unpin(args))),
        Command::Compare(args) => compare::run(args),
    };
    done.unwrap_or_else(|code| code)
}

/// How policies are compiled here: as for a gateway, since that is known to the server alone.
const OPTIONS: policy::Options = policy::Options { gateway: true };

/// Reads an archive, up to one byte more than one may have.
fn read(path: &Path) -> Result<Vec<u8>, ExitCode> {
    let mut bytes = Vec::new();
    let most = Limits::default().packed + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    match read {
        Ok(_) => no_key(path, &bytes).map(|()| bytes).map_err(|why| usage_error(&why)),
        Err(error) => Err(usage_error(&format!("can't read `{}`: {error}", path.display()))),
    }
}

/// Keys and bundles are easily swapped on a command line; the error is for people.
fn no_key(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(b"-----BEGIN ") {
        return Ok(());
    }
    Err(format!(
        "`{}` is a key, not a bundle; the bundle comes first, and the key after `--key`",
        path.display()
    ))
}

/// Puts `bytes` at `path` in one step: readers see the old file or the new one, never a part.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ExitCode> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create_new(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error: io::Error| {
        let _ = fs::remove_file(&beside);
        usage_error(&format!("can't write `{}`: {error}", path.display()))
    })
}

/// Prints why the bundle was refused.
fn refused(what: &str, refused: &Refused, format: Format) -> ExitCode {
    let code = refused.refusal.code();
    if format == Format::Json {
        print(&as_json(&json!({"refused": code, "findings": refused.findings})));
    } else {
        print_findings(&refused.findings, &refused.sources);
        print_error(&format!("{what} is refused: {code}\n"));
    }
    ExitCode::from(FINDINGS)
}

/// What a bundle is, for people: one line for each part.
fn human(manifest: &Manifest, prepared: &Prepared) -> Vec<(&'static str, String)> {
    let (policies, cases) = counts(prepared);
    let mut lines = vec![
        ("bundle", format!("{} {}", manifest.name, manifest.version)),
        ("digest", manifest.digest.to_string()),
        ("revision", prepared.set.revision().to_string()),
        ("created", manifest.created.to_string()),
        ("holds", format!("{policies}, {cases}")),
    ];
    lines.extend(manifest.parent.as_ref().map(|parent| ("parent", parent.to_string())));
    let server = manifest.minimum_server.as_ref();
    lines.extend(server.map(|version| ("needs", format!("portcullis {version} or newer"))));
    lines
}

fn counts(prepared: &Prepared) -> (String, String) {
    let plural = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    };
    (
        plural(prepared.set.len(), "policy", "policies"),
        plural(prepared.passed, "case, which passes", "cases, which pass"),
    )
}

/// The same for scripts, with the members of `more`.
fn machine(manifest: &Manifest, prepared: &Prepared, more: Value) -> Value {
    let mut all = json!({
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "revision": prepared.set.revision(),
        "created": manifest.created,
        "parent": manifest.parent,
        "minimum_server": manifest.minimum_server,
        "policies": prepared.set.len(),
        "cases": prepared.passed,
        "files": manifest.files,
        "findings": prepared.findings,
    });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    all
}

/// Lines of a name and a value, in two columns.
fn columns(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

/// A path in a shell's command line, for hints.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
