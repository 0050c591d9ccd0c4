//! The load test as it is run: as a process, against servers that it starts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::{Map, Value};

#[expect(clippy::unwrap_used, reason = "without its process there is nothing to test")]
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis-loadtest")).arg("run").args(arguments).output().unwrap()
}

#[test]
fn a_self_check_reports_every_figure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report/load.json");
    let quick = ["--no-envoy", "--rounds", "2", "--window", "300", "--warm-up", "50", "--users", "3"];
    let arguments = [&["--self-check", "--report", path.to_str().unwrap()], quick.as_slice()].concat();
    let output = run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Map<String, Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for name in [
        "self_policies",
        "self_check_cpu_us",
        "self_check_cpu_vs_null",
        "self_check_throughput_vs_null",
        "self_check_p99_vs_null",
        "self_check_jwt_cpu_vs_anonymous",
    ] {
        assert!(numbers[name].as_f64().is_some_and(|number| number > 0.0), "{name}: {:?}", numbers[name]);
    }
    let tables = String::from_utf8(output.stdout).unwrap();
    for words in ["second null", "JWT, 3 users", "self_check_cpu_vs_null"] {
        assert!(tables.contains(words), "{words} is missing:\n{tables}");
    }
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_words() {
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("portcullis");
    // What it was asked to do, and the configuration that it was given.
    fs::write(&binary, "#!/bin/sh\necho \"$1 $2 with $TOKIO_WORKER_THREADS worker\"\ncat \"$3\"\nexit 1\n")
        .unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(&["--portcullis", binary.to_str().unwrap(), "--no-envoy", "--audit", "required"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    for words in ["portcullis ended at its start", "serve --config with 1 worker", "mode: required"] {
        assert!(error.contains(words), "{words} is missing:\n{error}");
    }
}

#[test]
fn something_must_be_measured() {
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(run(&["--self-check", "--portcullis", "portcullis"]).status.code(), Some(2));
}
