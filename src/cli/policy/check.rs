//! `portcullis policy check`

use std::path::PathBuf;
use std::process::ExitCode;

use crate::bundle::{self, Bundle};
use crate::diagnostic::{self, Diagnostic, Sources, render};
use crate::policy::{self, cases};

/// Report every mistake in policies and cases at once
///
/// Exits with 0 when there is no error (warnings are shown), 1 when there is one, 2 when nothing could be checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis policy check policies/ --format sarif > policies.sarif")]
pub struct Args {
    /// Policy files, directories that hold them, and bundles
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// The policies are for gateways, where they may match by host alone
    #[arg(long)]
    gateway: bool,
    /// Exit with 1 for warnings too
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Github,
}

pub fn run(args: &Args) -> ExitCode {
    let (files, case_files) = match bundle::gather(&args.paths) {
        Ok(Bundle { policies, cases, .. }) => (policies, cases),
        Err(error) => return super::usage_error(&error),
    };
    let compiled = policy::compile(&files, &policy::Options { gateway: args.gateway });
    let (cases, mut case_findings) = cases::read(&case_files);
    case_findings.extend(compiled.set.as_ref().map(|set| cases::check(&cases, set)).unwrap_or_default());
    let (mut findings, mut sources) = (compiled.findings, compiled.sources);
    findings.extend(case_findings);
    diagnostic::sort(&mut findings);
    for source in &case_files {
        sources.add(&source.file, &source.text);
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let checked = files.len() + case_files.len();
    super::print(&match args.format {
        Format::Human => human(&findings, &sources, errors, checked),
        Format::Json => super::as_json(&findings),
        Format::Sarif => super::as_json(&super::sarif::log(&findings)),
        Format::Github => findings.iter().map(github).collect(),
    });
    let stops = if args.strict { findings.len() } else { errors };
    if stops == 0 { ExitCode::SUCCESS } else { ExitCode::from(super::FINDINGS) }
}

fn human(findings: &[Diagnostic], sources: &Sources, errors: usize, checked: usize) -> String {
    let warnings = findings.len() - errors;
    let shown = render::human(findings, sources, true);
    let (checked, errors) = (super::count(checked, "file"), super::count(errors, "error"));
    format!("{shown}{checked} checked: {errors}, {}\n", super::count(warnings, "warning"))
}

/// A workflow command that GitHub shows beside the line.
pub(in crate::cli) fn github(finding: &Diagnostic) -> String {
    let level = finding.severity.as_str();
    let place = finding
        .place
        .as_ref()
        .map(|place| format!(" file={},line={},col={}", property(&place.file), place.line, place.column));
    let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let message = format!("{}: {}{help}", finding.code, finding.message);
    format!("::{level}{}::{}\n", place.unwrap_or_default(), data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
