//! `portcullis policy test`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::junit;
use crate::bundle;
use crate::diagnostic::Sources;
use crate::policy::cases::{self, CaseResult, Failure, Report};

/// Wider expectations stand on a line of their own.
const WIDEST: usize = 40;

/// Run the test cases beside the policies
///
/// Every `*.cases.yaml` is run against all the policies given; rules that applied in no case are listed. Exits with 0
/// when every case passes, 1 when one fails or too few rules are reached, 2 when nothing could be run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: portcullis policy test policies/ --format junit > cases.xml")]
pub struct Args {
    /// Files of policies and cases, directories that hold them, and bundles
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Fail when the cases reach fewer than so many of 100 rules
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
    /// Fail when the cases do not reach every rule; the same as `--coverage-min 100`
    #[arg(long, conflicts_with = "coverage_min")]
    require_coverage: bool,
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
    let (cases, mut findings) = cases::read(&files);
    findings.extend(cases::check(&cases, &set));
    if !findings.is_empty() {
        let mut sources = Sources::default();
        for source in &files {
            sources.add(&source.file, &source.text);
        }
        super::print_findings(&findings, &sources);
        super::print_error(&super::summary(&findings, "no case was run"));
        return ExitCode::from(super::FINDINGS);
    }
    if cases.is_empty() {
        return super::usage_error(&"there are no cases (`*.cases.yaml`) to run");
    }
    let report = cases::run(&set, &cases);
    let wanted = if args.require_coverage { Some(100) } else { args.coverage_min };
    let missed = wanted.filter(|wanted| report.coverage() < usize::from(*wanted)).map(|wanted| {
        format!("the cases reach {}% of the rules, and {wanted}% were asked for", report.coverage())
    });
    super::print(&match args.format {
        Format::Human => human(&report, missed.as_deref()),
        Format::Json => super::as_json(&as_json(&report, missed.as_deref())),
        Format::Junit => junit::report(&report, missed.as_deref()),
    });
    if report.failed() == 0 && missed.is_none() { ExitCode::SUCCESS } else { ExitCode::from(super::FINDINGS) }
}

fn human(report: &Report, missed: Option<&str>) -> String {
    let mut text = String::new();
    for result in report.results.iter().filter(|result| !result.failures.is_empty()) {
        text.push_str(&failed(result));
    }
    let passed = report.results.len() - report.failed();
    let reached = report.rules - report.unreached.len();
    let (cases, rules) = (super::count(report.results.len(), "case"), super::count(report.rules, "rule"));
    let _ = writeln!(text, "{passed} of {cases} passed; {reached} of {rules} reached");
    for rule in &report.unreached {
        let _ = writeln!(text, "  no case reaches {rule}");
    }
    if let Some(missed) = missed {
        let _ = writeln!(text, "{missed}");
    }
    text
}

/// What was expected beside what came, and what the rules said.
fn failed(result: &CaseResult) -> String {
    let mut text = format!("FAILED {} ({}:{})\n", result.case, result.place.file, result.place.line);
    let width = |of: fn(&Failure) -> &str, title: &str| {
        let widths = result.failures.iter().map(|failure| in_one_line(of(failure)).chars().count());
        widths.filter(|width| *width <= WIDEST).chain([title.len()]).max().unwrap_or_default()
    };
    let (what, expected) =
        (width(|failure| &failure.what, ""), width(|failure| &failure.expected, "expected"));
    let _ = writeln!(text, "  {:what$}  {:expected$}  got", "", "expected");
    for failure in &result.failures {
        let (wanted, got) = (in_one_line(&failure.expected), in_one_line(&failure.got));
        if wanted.chars().count() > WIDEST {
            let _ = writeln!(text, "  {:what$}  {wanted}", failure.what);
            let _ = writeln!(text, "  {:what$}  {got}", "... got");
        } else {
            let _ = writeln!(text, "  {:what$}  {wanted:expected$}  {got}", failure.what);
        }
    }
    for line in &result.why {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// Line breaks and the like as they are escaped in a string, so that each value keeps to its line.
fn in_one_line(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn as_json(report: &Report, missed: Option<&str>) -> serde_json::Value {
    let cases: Vec<_> = report
        .results
        .iter()
        .map(|result| {
            let passed = result.failures.is_empty();
            let failures: Vec<_> = result.failures.iter().map(ToString::to_string).collect();
            let differences: Vec<_> = result
                .failures
                .iter()
                .map(|failure| json!({"what": failure.what, "expected": failure.expected, "got": failure.got}))
                .collect();
            let place = &result.place;
            json!({
                "name": result.case, "file": place.file, "line": place.line, "passed": passed, "failures": failures,
                "differences": differences, "why": result.why,
            })
        })
        .collect();
    json!({
        "cases": cases, "failed": report.failed(), "rules": report.rules, "unreached": report.unreached,
        "coverage": report.coverage(), "coverage_missed": missed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    #[test]
    fn a_body_of_several_lines_keeps_to_its_line_of_the_table() {
        let failure = |what: &str, expected: &str, got: &str| Failure {
            what: what.into(),
            expected: expected.into(),
            got: got.into(),
        };
        let shown = failed(&CaseResult {
            case: "a".into(),
            place: Place { file: "p.cases.yaml".into(), line: 3, column: 1, offset: 0, len: 0 },
            failures: vec![
                failure("outcome", "allow", "deny"),
                failure("body", "data: a\n\ndata: b\n", "x\r\ny"),
            ],
            why: Vec::new(),
        });
        let lines: Vec<_> = shown.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "           expected              got",
                "  outcome  allow                 deny",
                "  body     data: a\\n\\ndata: b\\n  x\\r\\ny",
            ]
        );
    }
}
