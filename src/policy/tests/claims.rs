//! What `policy diff` and the lints claim, held against what evaluation shows: random small sets of rules, decided on
//! every call of a small space in which headers, claims and bodies are absent, of the wrong type, or not understood.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::super::diff::{Risk, changes};
use super::super::{Call, Decision, Options, Outcome, PolicySet, Said, SourceFile, source};
use crate::diagnostic::Diagnostic;
use crate::identity::Identity;
use crate::request::{Body, Header, Limits, Parts, Request};

const TESTS: &[&str] = &[
    "request.method == 'GET'",
    "request.method in ['GET', 'POST']",
    "connection.mtls",
    "connection.mtls == true",
    "'X' in request.headers",
    "request.headers['X'] == 'a'",
    "request.headers['x'] in ['a', 'b']",
    "request.headers['x'] != 'b'",
    "request.headers['x'].startsWith('a')",
    "request.headers.y == 'a'",
    "has(request.headers.y)",
    "has(identity.claims.k)",
    "'k' in identity.claims",
    "identity.claims.k",
    "identity.claims.k == true",
    "identity.claims.k == 'a'",
    "identity.claims.k in ['a', 5]",
    "identity.claims.k > 3",
    "identity.claims.k < 9",
    "identity.claims.k.startsWith('a')",
    "request.body.n == 1",
    "has(request.body.n)",
    "request.size > 3",
    "request.size >= 0",
    "(path.id == 'a')",
    "(path.id == path.x)",
    "request.url_path == '/a/b'",
    "request.url_path.startsWith('/a')",
    "request.method != null",
    "true",
    "false",
];
const MATCHES: &[&str] = &[
    "",
    "match: [{paths: ['/{id}/{x}']}]",
    "match: [{paths: ['/{x}/{id}']}]",
    "match: [{paths: ['/{id}/{x}', '/a/{x}/{id}']}]",
    "match: [{paths: ['/{id}/{x}', '/{x}/{id}']}]",
    "match: [{paths: ['/{id}/{x}'], methods: [GET]}]",
    "match: [{paths: ['/a/{**}']}]",
];
const EFFECTS: &[&str] = &[
    "allow: {}",
    "allow: {}",
    "deny: {}",
    "deny: {}",
    "hold: {approvers: {groups: [g]}}",
    "mask: [{field: a, with: redact}]",
    "allow: {}, mask: [{field: a, with: redact}]",
    "headers: {request: {set: {x-b: c}}}",
    "allow: {}, headers: {request: {set: {x-b: '${request.headers.y}'}}}",
    "allow: {}, enforce: false",
    "deny: {}, enforce: false",
];

#[derive(Clone, Debug)]
struct Rule {
    /// Empty: always.
    when: String,
    effect: &'static str,
}

#[derive(Clone, Debug)]
struct Set {
    matches: &'static str,
    /// `None`: there is no rule of that name.
    rules: Vec<Option<Rule>>,
}

impl Set {
    /// A rule in each line; the first rule stands in line 6.
    fn text(&self) -> String {
        let rule = |(index, rule): (usize, &Option<Rule>)| match rule {
            None => "    # none\n".to_owned(),
            Some(Rule { when, effect }) => {
                let captures = self.matches.contains("{id}");
                let when = if captures {
                    when.clone()
                } else {
                    when.replace(" path.", " context.").replace("(path.", "(context.")
                };
                let when = if when.is_empty() { String::new() } else { format!("when: \"{when}\", ") };
                format!("    - {{name: r{index}, {when}{effect}}}\n")
            }
        };
        let rules: String = self.rules.iter().enumerate().map(rule).collect();
        let matches = self.matches;
        format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  {matches}\n  rules:\n{rules}    \
             - {{name: z, when: \"request.headers['z'] == 'a'\", enforce: false, deny: {{}}}}\n"
        )
        .replace("spec:\n  \n", "spec:\n  enforce: true\n")
    }

    /// Beside a policy that allows, so that what is no longer denied is seen.
    fn files(&self, others: &'static str) -> Vec<SourceFile> {
        let file = |file: &str, text: &str| SourceFile { file: file.into(), text: text.into() };
        vec![file("p.yaml", &self.text()), file("q.yaml", others)]
    }
}

const OTHERS: &[&str] = &[
    "{apiVersion: portcullis.dev/v1alpha1, kind: Policy, metadata: {name: q}, spec: {rules: [{name: q, allow: {}}]}}",
    "{apiVersion: portcullis.dev/v1alpha1, kind: Policy, metadata: {name: q}, spec: {rules: [{name: q, enforce: false, allow: {}}]}}",
];

fn condition() -> impl Strategy<Value = String> {
    let test = select(TESTS).prop_map(str::to_owned);
    let tree = test.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    });
    prop_oneof![1 => Just(String::new()), 6 => tree]
}

fn rule() -> impl Strategy<Value = Option<Rule>> {
    let some = (condition(), select(EFFECTS)).prop_map(|(when, effect)| Some(Rule { when, effect }));
    prop_oneof![1 => Just(None), 4 => some]
}

fn set() -> impl Strategy<Value = Set> {
    let rules = prop::collection::vec(rule(), 1..4);
    (select(MATCHES), rules).prop_map(|(matches, rules)| Set { matches, rules })
}

/// What becomes of a rule.
#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Condition(String),
    And(&'static str),
    Or(&'static str),
    Effect(&'static str),
    Whole(Option<Rule>),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => Just(Edit::Keep),
        1 => condition().prop_map(Edit::Condition),
        3 => select(TESTS).prop_map(Edit::And),
        3 => select(TESTS).prop_map(Edit::Or),
        1 => select(EFFECTS).prop_map(Edit::Effect),
        1 => rule().prop_map(Edit::Whole),
    ]
}

fn edited(old: &Set, edits: &[Edit], matches: Option<&'static str>) -> Set {
    let edit = |(rule, edit): (&Option<Rule>, &Edit)| match (rule.clone(), edit) {
        (rule, Edit::Keep) => rule,
        (_, Edit::Whole(rule)) => rule.clone(),
        (None, _) => None,
        (Some(rule), Edit::Condition(when)) => Some(Rule { when: when.clone(), ..rule }),
        (Some(rule), Edit::Effect(effect)) => Some(Rule { effect, ..rule }),
        (Some(rule), Edit::And(test)) if rule.when.is_empty() => {
            Some(Rule { when: (*test).to_owned(), ..rule })
        }
        (Some(rule), Edit::And(test)) => Some(Rule { when: format!("({}) && ({test})", rule.when), ..rule }),
        (Some(rule), Edit::Or(_)) if rule.when.is_empty() => Some(rule),
        (Some(rule), Edit::Or(test)) => Some(Rule { when: format!("({}) || ({test})", rule.when), ..rule }),
    };
    let rules = old.rules.iter().zip(edits).map(edit).collect();
    Set { matches: matches.unwrap_or(old.matches), rules }
}

fn calls() -> Vec<(Request, Identity)> {
    let mut calls = Vec::new();
    let headers: [&[(&str, &[u8])]; 6] = [
        &[],
        &[("x", b"a")],
        &[("x", b"b"), ("y", b"a")],
        &[("x", b"\xff")],
        &[("y", b"\xff"), ("x", b"ab")],
        &[("y", b"a")],
    ];
    let claims = [json!({}), json!({"k": "a"}), json!({"k": 5}), json!({"k": true}), json!({"k": null})];
    let bodies = [
        Body::Partial,
        Body::Complete("".into()),
        Body::Complete("{\"n\":1}".into()),
        Body::Complete("{\"n\":\"t\"}".into()),
        Body::Complete("no".into()),
    ];
    let paths = ["/a/b?id=a", "/b/a", "/a/a/b?x=%", "/%ff/a", "/c"];
    for (place, body) in (0..).zip(&bodies) {
        for claims in &claims {
            for headers in headers {
                for path in paths {
                    for mtls in [false, true] {
                        let mut parts = Parts { path: path.into(), body: body.clone(), ..Parts::default() };
                        parts.method =
                            if (place + claims.to_string().len()) % 2 == 0 { "GET" } else { "POST" }.into();
                        parts.host = "h".into();
                        parts.connection.mtls = mtls;
                        parts.headers =
                            headers.iter().map(|(name, value)| Header::new(name, *value)).collect();
                        let Json::Object(claims) = claims.clone() else { continue };
                        let identity = Identity { claims, ..(*Identity::anonymous()).clone() };
                        calls.push((Request::assemble(parts, &Limits::default()), identity));
                    }
                }
            }
        }
    }
    assert!(calls.iter().all(|(request, _)| request.defect.is_none()));
    calls
}

fn compiled(files: &[SourceFile]) -> (PolicySet, Vec<Diagnostic>) {
    let (policies, findings) = source::read(files, &Options { gateway: true });
    let count = policies.len();
    assert_eq!(count, 2, "{findings:#?}");
    (PolicySet::new("test".into(), policies), findings)
}

fn decide(set: &PolicySet, (request, identity): &(Request, Identity)) -> Decision {
    let call = Call { request, identity, response: None };
    set.decide(&set.candidates(request, true), &call)
}

/// How much a decision lets pass: compared part by part.
struct Strictness {
    outcome: u8,
    holds: BTreeSet<String>,
    mask: bool,
}

fn strictness(decision: &Decision) -> Strictness {
    let (outcome, holds) = match &decision.outcome {
        Outcome::Allow => (0, BTreeSet::new()),
        Outcome::Hold(rules) => (1, rules.iter().map(|rule| rule.name.to_string()).collect()),
        Outcome::Deny(_) | Outcome::Indeterminate => (2, BTreeSet::new()),
    };
    Strictness { outcome, holds, mask: outcome < 2 && decision.may_mask }
}

/// Whether more passes than before, and whether less does.
fn moved(before: &Decision, after: &Decision) -> (bool, bool) {
    let (before, after) = (strictness(before), strictness(after));
    let held = before.outcome == 1 && after.outcome == 1;
    let goes_on = before.outcome < 2 && after.outcome < 2;
    let loosened = after.outcome < before.outcome
        || (held && !before.holds.is_subset(&after.holds))
        || (goes_on && before.mask && !after.mask);
    let tightened = after.outcome > before.outcome
        || (held && !after.holds.is_subset(&before.holds))
        || (goes_on && !before.mask && after.mask);
    (loosened, tightened)
}

fn cases(n: u32) -> ProptestConfig {
    let n = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(n);
    ProptestConfig { cases: n, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn a_diff_claims_nothing_that_evaluation_contradicts() {
    let calls = calls();
    let matches = prop_oneof![3 => Just(None), 1 => select(MATCHES).prop_map(Some)];
    let edits = prop::collection::vec(edit(), 3);
    proptest!(cases(150), |(old in set(), edits in edits, matches in matches, others in select(OTHERS))| {
        let new = edited(&old, &edits, matches);
        let (old, new) = (old.files(others), new.files(others));
        let claims = changes(&old, &new);
        let claimed = |risk: Risk| claims.iter().any(|change| change.risk == risk);
        let (before, after) = (compiled(&old).0, compiled(&new).0);
        let either = claimed(Risk::Changes) || claimed(Risk::Unprotects);
        for call in calls.iter().filter(|_| !either) {
            let (first, second) = (decide(&before, call), decide(&after, call));
            let (loosened, tightened) = moved(&first, &second);
            let shown = || format!("{call:?}\n{}\n{}\n{claims:#?}\n{first:?}\n{second:?}", old[0].text, new[0].text);
            prop_assert!(!loosened || claimed(Risk::Loosens), "loosened: {}", shown());
            prop_assert!(!tightened || claimed(Risk::Tightens), "tightened: {}", shown());
        }
    });
}

/// What each rule of the policy says, `None` where it does not apply, for each of its candidates.
fn said(set: &PolicySet, (request, identity): &(Request, Identity), rule: &str) -> Vec<Option<Said>> {
    let call = Call { request, identity, response: None };
    let rules = set.explain(&set.candidates(request, true), &call).rules;
    rules.into_iter().filter(|explained| *explained.rule == *rule).map(|explained| explained.said).collect()
}

/// What a finding claims of the calls.
fn contradicted(
    found: &Diagnostic,
    files: &[SourceFile],
    set: &PolicySet,
    calls: &[(Request, Identity)],
) -> bool {
    let Some(place) = found.place.as_ref().filter(|place| &*place.file == "p.yaml") else { return false };
    let rule = format!("p/r{}", place.line.saturating_sub(7));
    let applies = |said: &Option<Said>| said.is_some_and(|said| said != Said::Error);
    let some = |holds: &dyn Fn(&Option<Said>) -> bool| {
        calls.iter().any(|call| said(set, call, &rule).iter().any(holds))
    };
    let removed = || {
        let line = usize::try_from(place.line).unwrap() - 1;
        let lines = files[0].text.lines().enumerate();
        let text: String = lines.filter(|(at, _)| *at != line).map(|(_, text)| format!("{text}\n")).collect();
        let files = [SourceFile { file: "p.yaml".into(), text: text.into() }, files[1].clone()];
        let without = compiled(&files).0;
        calls.iter().any(|call| {
            let (before, after) = (decide(set, call), decide(&without, call));
            moved(&before, &after) != (false, false) || before.headers() != after.headers()
        })
    };
    let whole = !found.message.starts_with("a part of");
    match found.code {
        "never-applies" | "unreachable-rule" => some(&applies),
        "constant-condition" if found.message.ends_with("always false") => some(&applies),
        "constant-condition" => some(&|said| said.is_none()),
        "always-true" if whole && found.message.contains("always true:") => some(&|said| !applies(said)),
        "always-true" if whole => some(&Option::is_none),
        "redundant-rule" => removed(),
        "always-denied" if found.message.starts_with("the rule never counts") => removed(),
        "always-denied" if found.message.starts_with("the rule can do") => calls.iter().any(|call| {
            said(set, call, &rule).iter().any(applies)
                && !matches!(decide(set, call).outcome, Outcome::Deny(_))
        }),
        _ => false,
    }
}

#[test]
fn a_lint_claims_nothing_that_evaluation_contradicts() {
    const TRIED: [&str; 5] =
        ["never-applies", "always-true", "redundant-rule", "always-denied", "unreachable-rule"];
    let calls = calls();
    let mut seen = BTreeSet::new();
    // Some claims are rare among random rules.
    for _ in 0..20 {
        let mut runner = proptest::test_runner::TestRunner::new(cases(500));
        let seen_of = std::cell::RefCell::new(&mut seen);
        let run = runner.run(&set(), |set| {
            let files = set.files(OTHERS[0]);
            let (set, findings) = compiled(&files);
            for finding in &findings {
                seen_of.borrow_mut().insert(finding.code);
                prop_assert!(!contradicted(finding, &files, &set, &calls), "{finding}\n{}", files[0].text);
            }
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{error}"));
        if TRIED.iter().all(|code| seen.contains(code)) {
            break;
        }
    }
    for code in TRIED {
        assert!(seen.contains(code), "{code} was never tried: {seen:?}");
    }
}
