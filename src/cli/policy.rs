//! `portcullis policy`: check, test, explain and try out policies before they are loaded.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::diagnostic::{Diagnostic, Sources, render};
use crate::document::{Document, Reader};
use crate::policy::call_file::{self, CallFile};
use crate::{bundle, policy};

mod check;
mod diff;
mod eval;
mod explain;
mod junit;
pub(super) mod sarif;
mod test;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Report every mistake in policies and cases at once
    Check(check::Args),
    /// Run the test cases beside the policies
    Test(test::Args),
    /// Show the verdict for one call, and why
    Explain(explain::Args),
    /// Evaluate one CEL expression
    Eval(eval::Args),
    /// Show what changed between two sets of policies, rule by rule
    Diff(diff::Args),
}

/// Findings: something is wrong with what was given.
pub(super) const FINDINGS: u8 = 1;
/// The command could not be carried out.
pub(super) const USAGE: u8 = 2;

pub(super) use check::github;

pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Diff(args) => diff::run(args),
    }
}

/// Prints to standard output; a reader who went away is no mistake.
pub(super) fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

/// Prints to standard error, in colour where it can show it and `NO_COLOR` does not forbid it.
pub(super) fn print_error(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

pub(super) fn usage_error(message: &dyn std::fmt::Display) -> ExitCode {
    print_error(&format!("error: {message}\n"));
    ExitCode::from(USAGE)
}

pub(super) fn print_findings(findings: &[Diagnostic], sources: &Sources) {
    print_error(&render::human(findings, sources, true));
}

pub(super) fn as_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map_or_else(|error| error.to_string(), |text| text + "\n")
}

/// Reads and compiles the policies; prints what stops it.
pub(super) fn load(paths: &[PathBuf]) -> Result<policy::PolicySet, ExitCode> {
    let bundle = bundle::gather(paths).map_err(|error| usage_error(&error))?;
    let compiled = policy::compile(&bundle.policies, &policy::Options { gateway: true });
    compiled.set.ok_or_else(|| {
        print_findings(&compiled.findings, &compiled.sources);
        print_error(&summary(&compiled.findings, "mend the policies first"));
        ExitCode::from(FINDINGS)
    })
}

/// `1 file`, `2 files`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The last line under findings.
fn summary(findings: &[Diagnostic], what: &str) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    format!("{}, {}: {what}\n", count(errors, "error"), count(warnings, "warning"))
}

/// Reads a call file; prints what is wrong with it.
fn read_call(path: &Path) -> Result<CallFile, ExitCode> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage_error(&format!("can't read `{}`: {error}", path.display())))?;
    let (file, text) = (path.display().to_string().into(), text.into());
    let mut sources = Sources::default();
    sources.add(&file, &text);
    let mut reader = Reader::new(&file);
    let call = match Document::parse(&file, &text) {
        Ok(document) => document.roots.first().and_then(|root| {
            let mut fields = reader.fields(root, "the call")?;
            let call = call_file::read(&mut fields, &mut reader);
            // What a call is expected to come to, and its name, are for `policy test`.
            fields.optional("expect");
            fields.optional("name");
            fields.close(&mut reader);
            call
        }),
        Err(finding) => {
            reader.findings.push(finding);
            None
        }
    };
    match call.filter(|_| reader.findings.is_empty()) {
        Some(call) => Ok(call),
        None => {
            if reader.findings.is_empty() {
                reader.findings.push(Diagnostic::error("no-call", format!("`{file}` has no call")));
            }
            print_findings(&reader.findings, &sources);
            Err(ExitCode::from(USAGE))
        }
    }
}

#[cfg(test)]
mod tests;
