use std::fs;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn run_with(words: &[&str]) -> ExitCode {
    let cli = Cli::try_parse_from(std::iter::once(&"policy").chain(words)).expect("the arguments are known");
    run(&cli.args)
}

const GOOD: &str = "apiVersion: portcullis.dev/v1alpha1
kind: Policy
metadata: {name: p}
spec: {rules: [{name: a, when: request.method == 'GET', allow: {}}]}
";
const CASES: &str = "cases: [{name: a, request: {path: /}, expect: {outcome: OUTCOME}}]";

#[test]
fn exit_codes_tell_findings_from_usage() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let path = |name: &str| root.join(name).display().to_string();
    fs::write(root.join("p.yaml"), GOOD).unwrap();
    fs::write(root.join("call.txt"), "request: {path: /}\nexpect: {outcome: allow}\n").unwrap();
    let (all, call) = (path(""), path("call.txt"));
    let (clean, findings, usage) = (ExitCode::SUCCESS, ExitCode::from(FINDINGS), ExitCode::from(USAGE));
    assert_eq!(run_with(&["test", &all]), usage, "no cases");
    for (outcome, code) in [("allow", clean), ("deny", findings), ("perhaps", findings)] {
        fs::write(root.join("p.cases.yaml"), CASES.replace("OUTCOME", outcome)).unwrap();
        for format in ["human", "json", "junit"] {
            assert_eq!(run_with(&["test", &all, "--format", format]), code, "{outcome}");
        }
    }
    assert_eq!(run_with(&["check", &all]), findings, "a mistake in a case is a finding");
    fs::remove_file(root.join("p.cases.yaml")).unwrap();
    for format in ["human", "json", "sarif", "github"] {
        assert_eq!(run_with(&["check", &all, "--format", format]), clean);
    }
    assert_eq!(run_with(&["explain", &all, "--call", &call]), clean);
    assert_eq!(run_with(&["explain", &all, "--call", &call, "--format", "json"]), clean);
    assert_eq!(run_with(&["explain", &all, "--call", &path("none")]), usage);
    assert_eq!(run_with(&["eval", "request.method == 'GET'", "--call", &call]), clean);
    assert_eq!(run_with(&["eval", "input.a + 1", "--input", r#"{"a": 1}"#]), clean);
    assert_eq!(run_with(&["eval", "input.b", "--input", r#"{"a": 1}"#]), findings);
    assert_eq!(run_with(&["eval", "1 +"]), findings);
    assert_eq!(run_with(&["eval", "input", "--input", "{"]), usage);
    fs::write(root.join("p.yaml"), GOOD.replace("request.method", "request.metod")).unwrap();
    for format in ["human", "json", "sarif", "github"] {
        assert_eq!(run_with(&["check", &all, "--format", format]), findings);
    }
    assert_eq!(run_with(&["check", &path("none")]), usage);
}
