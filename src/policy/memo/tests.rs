use std::fmt::Write as _;

use crate::identity::Identity;
use crate::policy::rule::EVALUATED;
use crate::policy::{Call, Decision, Options, PolicySet, SourceFile, compile};
use crate::reason::Reason;
use crate::request::{Body, Limits, Parts, Request};

/// Policies with these entries of `match`, and of these conditions each.
fn set(policies: &[(&str, &[&str])]) -> PolicySet {
    let policy = |(n, (entry, conditions)): (usize, &(&str, &[&str]))| {
        let mut text = format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p{n}}}\nspec:\n  match: [{entry}]\n  rules:\n"
        );
        for (rule, condition) in conditions.iter().enumerate() {
            writeln!(text, "    - {{name: r{rule}, when: \"{condition}\", allow: {{}}}}").unwrap();
        }
        SourceFile { file: "p.yaml".into(), text: text.into() }
    };
    let files: Vec<_> = policies.iter().enumerate().map(policy).collect();
    let compiled = compile(&files, &Options { gateway: true });
    compiled.set.unwrap_or_else(|| panic!("{:#?}", compiled.findings))
}

/// The decision, and how many conditions it took.
fn decide(set: &PolicySet, path: &str) -> (Decision, usize) {
    let parts = Parts {
        method: "GET".into(),
        host: "a".into(),
        path: path.into(),
        body: Body::Complete(Vec::new().into()),
        ..Parts::default()
    };
    let request = Request::assemble(parts, &Limits::default());
    let candidates = set.candidates(&request, true);
    let before = EVALUATED.get();
    let decision = set
        .decide(&candidates, &Call { request: &request, identity: &Identity::anonymous(), response: None });
    (decision, EVALUATED.get() - before)
}

const ANY: &str = "{paths: ['/**']}";

#[test]
fn a_condition_of_several_rules_is_evaluated_once() {
    let (get, put) = ("request.method == 'GET'", "request.method == 'PUT'");
    for (wanted, policies) in [
        (1, vec![(ANY, &[get, "request.method=='GET'", get][..])]),
        (2, vec![(ANY, &[get, put, get][..]), (ANY, &[put, get, put][..])]),
        (3, vec![(ANY, &[get, put][..]), (ANY, &[put, "request.method != 'GET'"][..])]),
        (1, vec![(ANY, &[get][..]), ("{methods: [GET]}", &[get][..])]),
    ] {
        let (decision, evaluated) = decide(&set(&policies), "/a");
        assert_eq!((decision.reason, evaluated), (Reason::Allowed, wanted), "{policies:?}");
    }
}

#[test]
fn conditions_beyond_the_first_table_are_evaluated_once_too() {
    let conditions: Vec<_> = (0..200).map(|n| format!("request.method == 'M{n}'")).collect();
    let twice: Vec<_> = conditions.iter().chain(&conditions).map(String::as_str).collect();
    assert_eq!(decide(&set(&[(ANY, &twice)]), "/a").1, 200);
}

#[test]
fn a_condition_that_fails_fails_every_rule_that_has_it() {
    let failing = "request.headers.x == 'y'";
    let (decision, evaluated) = decide(&set(&[(ANY, &[failing, failing])]), "/a");
    assert_eq!((decision.reason, evaluated), (Reason::ConditionError, 1));
    assert_eq!(decision.errors().len(), 2);
    assert_eq!(decision.errors()[0].1, decision.errors()[1].1);
}

#[test]
fn what_captures_decide_is_shared_only_where_they_are_the_same() {
    let condition = "path.x == 'a'";
    let both = [condition, condition];
    for (wanted, path, policies) in [
        // The same parts within one policy.
        (1, "/a/b", vec![("{paths: ['/{x}/{y}']}", &both[..])]),
        // Two policies that capture different parts.
        (2, "/b/a", vec![("{paths: ['/{x}/*']}", &both[..1]), ("{paths: ['/*/{x}']}", &both[..1])]),
        // One policy that captures in two ways: each way counts.
        (4, "/b/a", vec![("{paths: ['/{x}/*', '/*/{x}']}", &both[..])]),
    ] {
        let (decision, evaluated) = decide(&set(&policies), path);
        assert_eq!((decision.reason, evaluated), (Reason::Allowed, wanted), "{policies:?}");
    }
}
