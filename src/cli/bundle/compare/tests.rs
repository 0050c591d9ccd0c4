use std::fs;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn policy(rules: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec: {{rules: [{rules}]}}\n"
    )
}

const CASES: &str = "cases:
  - {name: read, request: {path: /a}, expect: {outcome: allow}}
  - {name: write, request: {method: POST, path: /a}, identity: {subject: ana}, expect: {outcome: allow}}
";

const TRAIL: &str = r#"{"seq":1,"kind":"decision","decision_id":"d1","reason":"allowed","identity":{"method":"anonymous"},"method":"GET","host":"h","path":"/a"}
{"seq":2,"kind":"decision","decision_id":"d2","reason":"token_expired","identity":{"method":"anonymous"},"method":"POST","host":"h","path":"/a"}
{"seq":3,"kind":"decision","decision_id":"d3","reason":"allowed","identity":{"method":"jwt","subject":"bob"},"method":"POST","host":"h","path":"/a"}

{"seq":4,"kind":"gap","lost":3}
"#;

/// Old allows everything; new as its rules say.
struct Files(tempfile::TempDir);

impl Files {
    fn new(new: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("old.yaml", policy("{name: all, allow: {}}")),
            ("new.yaml", policy(new)),
            ("x.cases.yaml", CASES.to_owned()),
            ("call.yaml", "request: {method: POST, path: /a}\n".to_owned()),
            ("audit.jsonl", TRAIL.to_owned()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn comparison(&self, calls: &str) -> Value {
        let set = |name: &str| load(&[self.0.path().join(name)]).unwrap();
        let calls = calls::read(&[self.0.path().join(calls)], false).unwrap();
        offline::compare(&set("old.yaml"), &set("new.yaml"), &calls)
    }

    fn exit(&self, words: &[&str]) -> ExitCode {
        let (old, new) = (self.path("old.yaml"), self.path("new.yaml"));
        let words = ["compare", &old, &new].into_iter().chain(words.iter().copied());
        compare(&Cli::try_parse_from(words).unwrap().args, None).unwrap_or_else(|code| code)
    }
}

const GETS: &str = "{name: gets, when: request.method == 'GET', allow: {}}";

#[test]
fn cases_and_call_files_are_replayed_against_both() {
    let files = Files::new(GETS);
    let comparison = files.comparison("x.cases.yaml");
    assert_eq!((total(&comparison, "agreed"), total(&comparison, "disagreed")), (1, 1));
    let text = human::shown(&comparison);
    assert!(text.contains("newly_denied: 1 (the candidate denies what is allowed or held)"), "{text}");
    assert!(text.contains("POST localhost/a by ana: allow (p/all) -> deny (no_rule_allows) ["), "{text}");
    assert!(text.contains("x.cases.yaml:3 write]"), "{text}");
    assert_eq!(total(&files.comparison("call.yaml"), "disagreed"), 1);
}

#[test]
fn recorded_calls_are_replayed_where_the_record_says_enough() {
    let comparison = Files::new(GETS).comparison("audit.jsonl");
    assert_eq!((total(&comparison, "agreed"), total(&comparison, "disagreed")), (1, 1), "{comparison}");
    assert_eq!(comparison["examples"][0]["caller"]["subject"], "bob");
    let groups = Files::new("{name: staff, when: \"'staff' in identity.groups\", allow: {}}");
    let comparison = groups.comparison("audit.jsonl");
    assert_eq!(comparison["notComparable"], serde_json::json!([{"name": "identity.groups", "count": 2}]));
    assert_eq!((total(&comparison, "agreed"), total(&comparison, "disagreed")), (0, 0));
}

#[test]
fn exit_codes_tell_agreement_from_disagreement_and_from_nothing() {
    let files = Files::new(GETS);
    let (cases, trail) = (files.path("x.cases.yaml"), files.path("audit.jsonl"));
    for format in ["human", "json"] {
        let words = ["--calls", &cases, &trail, "--format", format];
        assert_eq!(files.exit(&words), ExitCode::from(FINDINGS));
        assert_eq!(Files::new("{name: x, allow: {}}").exit(&words), ExitCode::SUCCESS);
    }
    let groups = Files::new("{name: staff, when: \"'staff' in identity.groups\", allow: {}}");
    assert_eq!(groups.exit(&["--calls", &trail]), ExitCode::from(USAGE), "nothing was compared");
    assert_eq!(files.exit(&["--calls", "none.yaml"]), ExitCode::from(USAGE));
    fs::write(files.0.path().join("bad.jsonl"), "no json\n").unwrap();
    assert_eq!(files.exit(&["--calls", &files.path("bad.jsonl")]), ExitCode::from(USAGE));
    let bare = Cli::try_parse_from(["compare"]).unwrap();
    assert_eq!(compare(&bare.args, None), Err(ExitCode::from(USAGE)), "neither files nor a server");
    for words in [&["compare", "a"][..], &["compare", "a", "b"], &["compare", "a", "b", "--server", "x"]] {
        assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_folder_of_calls_stands_for_the_cases_in_it() {
    let files = Files::new(GETS);
    let folder = files.path("");
    assert_eq!(files.exit(&["--calls", &folder]), ExitCode::from(FINDINGS));
    let calls = calls::read(&[files.0.path().to_owned()], false).unwrap();
    assert_eq!(calls.len(), 2, "policies, call files and trails beside them are no cases");
    fs::remove_file(files.0.path().join("x.cases.yaml")).unwrap();
    assert_eq!(files.exit(&["--calls", &folder]), ExitCode::from(USAGE));
}

#[test]
fn the_server_of_the_environment_is_asked_unless_files_are_compared() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let answer = r#"{"active": "a", "candidate": "c", "agreed": "3"}"#;
    let server = runtime.block_on(crate::cli::client::tests::serve(200, answer));
    let files = Files::new(GETS);
    fs::write(files.0.path().join("token"), "t").unwrap();
    let (old, new, token) = (files.path("old.yaml"), files.path("new.yaml"), files.path("token"));
    let asked = Cli::try_parse_from(["compare", "--token-file", &token]).unwrap();
    assert_eq!(compare(&asked.args, Some(server.clone())), Ok(ExitCode::SUCCESS));
    let cases = files.path("x.cases.yaml");
    let offline = Cli::try_parse_from(["compare", &old, &new, "--calls", &cases]).unwrap();
    assert_eq!(compare(&offline.args, Some(server)), Ok(ExitCode::from(FINDINGS)));
}

#[test]
fn counts_of_a_server_are_numbers_in_json() {
    let said = serde_json::json!({"agreed": "8", "notComparable": [{"name": "body", "count": "2"}]});
    let expected =
        serde_json::json!({"agreed": 8, "disagreed": 0, "notComparable": [{"name": "body", "count": 2}]});
    assert_eq!(with_numbers(said), expected);
}

#[test]
fn what_the_server_says_is_shown_like_a_replay() {
    let answer = serde_json::json!({
        "active": "a1", "candidate": "c1", "share": 5, "agreed": "8", "disagreed": "1",
        "notComparable": [{"name": "body", "count": "2"}],
        "disagreements": [{"name": "newly_denied", "count": "1"}],
        "examples": [{
            "decisionId": "d-1", "disagreements": ["newly_denied"], "decidedBy": "candidate",
            "caller": {"subject": "ana\u{1b}[2J"}, "method": "GET", "host": "h", "path": "/x",
            "active": {"outcome": "allow", "reason": "allowed", "rule": "p/a"},
            "candidate": {"outcome": "deny", "reason": "no_rule_allows"},
        }],
    });
    assert_eq!(
        human::shown(&answer),
        "a1 decides, c1 is compared and decides for 5% of the callers\n8 calls agree, 1 differs\n\
         2 not compared: the candidate reads the body, which Envoy was not asked for\n\n\
         newly_denied: 1 (the candidate denies what is allowed or held)\n  \
         GET h/x by ana\\u{1b}[2J: allow (p/a) -> deny (no_rule_allows) [d-1, decided by the candidate]\n"
    );
}
