//! `portcullis policy diff`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use crate::bundle::{self, Bundle};
use crate::diagnostic::Sources;
use crate::policy::call_file::CallFile;
use crate::policy::diff::{Change, Risk, VerdictChange, changes, verdicts};
use crate::policy::{self, PolicySet, cases};

/// Show what changed between two sets of policies, rule by rule
///
/// The most dangerous changes come first: protection that goes, then what lets more through. Comments, layout, the order
/// of rules and defaults written out are no changes. Exits with 0 when nothing changed, 1 when something did, 2 when the
/// two could not be compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis policy diff policies/ new-policies/
  portcullis policy diff policies/ new-policies/ --calls policies/ --format json")]
pub struct Args {
    /// A policy file, bundle, or folder: what is in force
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What is to take its place
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Show the verdicts on these calls that differ too: cases, call files, and folders of cases
    #[arg(long, value_name = "PATH", num_args = 1..)]
    calls: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let (old, new) = match (load(&args.old), load(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let calls = match calls(&args.calls) {
        Ok(calls) => calls,
        Err(code) => return code,
    };
    let changes = changes(&old.0.policies, &new.0.policies);
    let verdicts = verdicts(&old.1, &new.1, &calls);
    super::print(&match args.format {
        Format::Human => human(&changes, &verdicts, calls.len()),
        Format::Json => {
            let same = changes.is_empty() && verdicts.is_empty();
            super::as_json(
                &json!({"same": same, "changes": changes, "calls": calls.len(), "verdicts": verdicts}),
            )
        }
    });
    if changes.is_empty() && verdicts.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FINDINGS)
    }
}

/// One side; prints what stops it. Policies with mistakes can't be compared, which is no difference.
fn load(path: &Path) -> Result<(Bundle, PolicySet), ExitCode> {
    let bundle = bundle::gather(&[path.to_owned()]).map_err(|error| super::usage_error(&error))?;
    let compiled = policy::compile(&bundle.policies, &policy::Options { gateway: true });
    match compiled.set {
        Some(set) => Ok((bundle, set)),
        None => {
            super::print_findings(&compiled.findings, &compiled.sources);
            let what = format!("`{}` can't be compared", path.display());
            super::print_error(&super::summary(&compiled.findings, &what));
            Err(ExitCode::from(super::USAGE))
        }
    }
}

/// The calls with their names.
fn calls(paths: &[PathBuf]) -> Result<Vec<(String, CallFile)>, ExitCode> {
    let mut calls = Vec::new();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if path.is_file() && !name.contains(".cases.") {
            calls.push((path.display().to_string(), super::read_call(path)?));
            continue;
        }
        let files = bundle::cases(std::slice::from_ref(path)).map_err(|error| super::usage_error(&error))?;
        let (cases, findings) = cases::read(&files);
        if !findings.is_empty() {
            let mut sources = Sources::default();
            for source in &files {
                sources.add(&source.file, &source.text);
            }
            super::print_findings(&findings, &sources);
            super::print_error(&super::summary(&findings, "mend the cases first"));
            return Err(ExitCode::from(super::USAGE));
        }
        if cases.is_empty() {
            let message = format!("there are no cases (`*.cases.yaml`) in `{}`", path.display());
            return Err(super::usage_error(&message));
        }
        calls.extend(cases.into_iter().map(|case| (case.name, case.call)));
    }
    Ok(calls)
}

fn title(risk: Risk) -> &'static str {
    match risk {
        Risk::Unprotects => "Takes protection away",
        Risk::Loosens => "Lets more through",
        Risk::Changes => "May let through more or less",
        Risk::Tightens => "Lets less through",
        Risk::Wording => "Changes names, texts or records only",
    }
}

fn style(risk: Risk) -> Style {
    let colour = match risk {
        Risk::Unprotects => AnsiColor::Red,
        Risk::Loosens | Risk::Changes => AnsiColor::Yellow,
        Risk::Tightens => AnsiColor::Green,
        Risk::Wording => return Style::new().bold(),
    };
    colour.on_default().bold()
}

fn human(changes: &[Change], verdicts: &[VerdictChange], calls: usize) -> String {
    let mut text = String::new();
    let mut last = None;
    for change in changes {
        if last != Some(change.risk) {
            let style = style(change.risk);
            let _ = writeln!(text, "{style}{}{style:#}", title(change.risk));
            last = Some(change.risk);
        }
        let place = format!("{}:{}", change.place.file, change.place.line);
        let _ = writeln!(text, "  {}: {} ({place})", change.name, change.message);
        let (red, green) = (AnsiColor::Red.on_default(), AnsiColor::Green.on_default());
        for (sign, style, side) in [('-', red, &change.before), ('+', green, &change.after)] {
            if let Some(side) = side {
                let _ = writeln!(text, "    {style}{sign} {side}{style:#}");
            }
        }
    }
    if changes.is_empty() {
        text.push_str("The policies say the same\n");
    } else {
        let _ = writeln!(text, "{}", super::count(changes.len(), "change"));
    }
    if calls > 0 {
        for verdict in verdicts {
            let style = style(verdict.risk);
            let _ = writeln!(
                text,
                "\n{style}{}{style:#}\n  {}\n  {}",
                verdict.call, verdict.before, verdict.after
            );
        }
        let calls = super::count(calls, "call");
        let _ = writeln!(text, "\n{} of {calls} decided otherwise", verdicts.len());
    }
    text
}
