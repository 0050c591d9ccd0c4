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

fn policies(folder: &std::path::Path, rules: &str) -> String {
    fs::create_dir_all(folder).unwrap();
    let text = GOOD.replace("{name: a, when: request.method == 'GET', allow: {}}", rules);
    fs::write(folder.join("p.yaml"), text).unwrap();
    folder.display().to_string()
}

#[test]
fn a_difference_is_told_from_none_and_from_what_can_not_be_compared() {
    let directory = tempfile::tempdir().unwrap();
    let allow = "{name: a, when: request.method == 'GET', allow: {}}";
    let old = policies(&directory.path().join("old"), allow);
    let same =
        policies(&directory.path().join("same"), "{name: a, when: 'request.method  == \"GET\"', allow: {}}");
    let new = policies(
        &directory.path().join("new"),
        &format!("{allow}, {{name: b, when: request.size > 5, deny: {{}}}}"),
    );
    let broken = policies(&directory.path().join("broken"), "{name: a}");
    fs::write(directory.path().join("old/p.cases.yaml"), CASES.replace("OUTCOME", "allow")).unwrap();
    let call = directory.path().join("call.yaml").display().to_string();
    fs::write(&call, "request: {method: GET, body: longer than five}").unwrap();
    let (clean, findings, usage) = (ExitCode::SUCCESS, ExitCode::from(FINDINGS), ExitCode::from(USAGE));
    for format in ["human", "json"] {
        let diff = |old: &str, new: &str| run_with(&["diff", old, new, "--format", format, "--calls", &call]);
        assert_eq!(diff(&old, &same), clean);
        assert_eq!(diff(&old, &new), findings);
    }
    assert_eq!(run_with(&["diff", &old, &new, "--calls", &old]), findings);
    assert_eq!(run_with(&["diff", &old, &same, "--calls", &old]), clean);
    assert_eq!(run_with(&["diff", &old, &broken]), usage, "what can't be read is not taken for empty");
    assert_eq!(run_with(&["diff", &old, &directory.path().join("none").display().to_string()]), usage);
    assert_eq!(run_with(&["diff", &old, &same, "--calls", &new]), usage, "no cases there");
}

#[test]
fn coverage_that_was_asked_for_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "{name: a, when: request.method == 'GET', allow: {}}, {name: b, when: request.method == 'PUT', allow: {}}";
    let all = policies(directory.path(), rules);
    fs::write(directory.path().join("p.cases.yaml"), CASES.replace("OUTCOME", "allow")).unwrap();
    let (clean, findings) = (ExitCode::SUCCESS, ExitCode::from(FINDINGS));
    assert_eq!(run_with(&["test", &all]), clean);
    assert_eq!(run_with(&["test", &all, "--coverage-min", "50"]), clean);
    for format in ["human", "json", "junit"] {
        assert_eq!(run_with(&["test", &all, "--coverage-min", "51", "--format", format]), findings);
        assert_eq!(run_with(&["test", &all, "--require-coverage", "--format", format]), findings);
    }
}

#[test]
fn warnings_stop_only_where_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let all = policies(directory.path(), "{name: a, when: 'true', allow: {}}");
    assert_eq!(run_with(&["check", &all]), ExitCode::SUCCESS);
    assert_eq!(run_with(&["check", &all, "--strict"]), ExitCode::from(FINDINGS));
}

#[test]
fn counts_are_plural_where_they_are() {
    assert_eq!(
        (count(0, "file"), count(1, "file"), count(2, "file")),
        ("0 files".into(), "1 file".into(), "2 files".into())
    );
}
