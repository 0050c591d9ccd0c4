//! `portcullis policy test`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::bundle;
use crate::diagnostic::Sources;
use crate::policy::cases::{self, Report};

/// Run the test cases beside the policies
///
/// Every `*.cases.yaml` is run against all the policies given; rules that applied in no case are listed. Exits with 0
/// when every case passes, 1 when one fails, 2 when nothing could be run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis policy test policies/ --format junit > cases.xml")]
pub struct Args {
    /// Files of policies and cases, directories that hold them, and bundles
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
}

pub fn run(args: &Args) -> ExitCode {
    let set = match super::load(&args.paths) {
        Ok(set) => set,
        Err(code) => return code,
    };
    let files = match bundle::gather(&args.paths) {
        Ok(bundle) => bundle.cases,
        Err(error) => return super::usage_error(&error),
    };
    let (cases, findings) = cases::read(&files);
    if !findings.is_empty() {
        let mut sources = Sources::default();
        for source in &files {
            sources.add(&source.file, &source.text);
        }
        super::print_findings(&findings, &sources);
        return ExitCode::from(super::FINDINGS);
    }
    if cases.is_empty() {
        return super::usage_error(&"there are no cases (`*.cases.yaml`) to run");
    }
    let report = cases::run(&set, &cases);
    super::print(&match args.format {
        Format::Human => human(&report),
        Format::Json => super::as_json(&as_json(&report)),
        Format::Junit => junit(&report),
    });
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::from(super::FINDINGS) }
}

fn human(report: &Report) -> String {
    let mut text = String::new();
    for result in report.results.iter().filter(|result| !result.failures.is_empty()) {
        let _ = writeln!(text, "FAILED {} ({}:{})", result.case, result.place.file, result.place.line);
        for failure in &result.failures {
            let _ = writeln!(text, "  {failure}");
        }
    }
    let passed = report.results.len() - report.failed();
    let reached = report.rules - report.unreached.len();
    let _ = writeln!(
        text,
        "{passed} of {} cases passed; {reached} of {} rules reached",
        report.results.len(),
        report.rules
    );
    for rule in &report.unreached {
        let _ = writeln!(text, "  no case reaches {rule}");
    }
    text
}

fn as_json(report: &Report) -> serde_json::Value {
    let cases: Vec<_> = report
        .results
        .iter()
        .map(|result| {
            let passed = result.failures.is_empty();
            json!({"name": result.case, "file": result.place.file, "line": result.place.line, "passed": passed, "failures": result.failures})
        })
        .collect();
    json!({"cases": cases, "failed": report.failed(), "rules": report.rules, "unreached": report.unreached})
}

fn junit(report: &Report) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let (tests, failed) = (report.results.len(), report.failed());
    let _ =
        writeln!(text, "<testsuite name=\"portcullis policy test\" tests=\"{tests}\" failures=\"{failed}\">");
    for result in &report.results {
        let (file, name) = (escape(&result.place.file), escape(&result.case));
        let _ =
            write!(text, "  <testcase classname=\"{file}\" name=\"{name}\" line=\"{}\"", result.place.line);
        if result.failures.is_empty() {
            text.push_str("/>\n");
        } else {
            let message = escape(&result.failures.join("\n"));
            let _ = writeln!(text, "><failure>{message}</failure></testcase>");
        }
    }
    text.push_str("</testsuite>\n");
    text
}

/// Escaped for XML; control characters, which XML 1.0 can't carry, become `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
