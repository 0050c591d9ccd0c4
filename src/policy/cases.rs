//! Test cases beside the policies: a call, an identity, and what the policies must say. And which rules the cases
//! never reached.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::call_file::{self, CallFile};
use super::decision::{Call, Decision, Outcome};
use super::{PolicySet, SourceFile};
use crate::diagnostic::{self, Diagnostic, Place};
use crate::document::{Document, Node, Reader};
use crate::reason::Reason;

mod masked;

/// One case of a `*.cases.yaml`.
#[derive(Clone, Debug)]
pub struct Case {
    pub place: Place,
    pub name: String,
    pub call: CallFile,
    pub expect: Expect,
}

/// What a case expects; what it leaves out may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    pub outcome: Option<&'static str>,
    pub rule: Option<String>,
    pub reason: Option<String>,
    pub status: Option<u16>,
    /// The masked response body, compared as JSON where it is JSON.
    pub body: Option<String>,
    /// Headers that the request is sent on with.
    pub headers: Vec<(String, String)>,
}

/// How one case ended: nothing in `failures` means that it passed.
#[derive(Clone, Debug)]
pub struct CaseResult {
    pub case: Arc<str>,
    pub place: Place,
    pub failures: Vec<String>,
}

/// How all cases ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub results: Vec<CaseResult>,
    /// Rules that applied in no case.
    pub unreached: Vec<Arc<str>>,
    pub rules: usize,
}

/// Reads every case of every file, and every mistake in them.
pub fn read(files: &[SourceFile]) -> (Vec<Case>, Vec<Diagnostic>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for source in files {
        match Document::parse(&source.file, &source.text) {
            Ok(document) => {
                let mut reader = Reader::new(&source.file);
                for root in &document.roots {
                    cases.extend(read_root(root, &mut reader));
                }
                findings.extend(reader.findings);
            }
            Err(finding) => findings.push(finding),
        }
    }
    diagnostic::sort(&mut findings);
    (cases, findings)
}

fn read_root(root: &Node, reader: &mut Reader) -> Vec<Case> {
    let Some(mut fields) = reader.fields(root, "the file of cases") else { return Vec::new() };
    let cases = fields.required("cases", reader).and_then(|node| reader.list(node, "`cases`"));
    fields.close(reader);
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for node in cases.unwrap_or_default() {
        let Some(case) = read_case(node, reader) else { continue };
        if !names.insert(case.name.clone()) {
            reader.error(node.span, "duplicate-case", format!("there is a case `{}` already", case.name));
        }
        read.push(case);
    }
    read
}

fn read_case(node: &Node, reader: &mut Reader) -> Option<Case> {
    let mut fields = reader.fields(node, "the case")?;
    let name = fields.required("name", reader).and_then(|node| reader.string(node, "the case's name"));
    let call = call_file::read(&mut fields, reader);
    let expect = fields.required("expect", reader).and_then(|node| read_expect(node, reader));
    fields.close(reader);
    Some(Case { place: node.span.place(&reader.file), name: name?.to_owned(), call: call?, expect: expect? })
}

/// Reads `expect`; `None` when a mistake was reported.
pub fn read_expect(node: &Node, reader: &mut Reader) -> Option<Expect> {
    let before = reader.findings.len();
    let mut fields = reader.fields(node, "`expect`")?;
    let mut expect = Expect::default();
    let outcomes = ["allow", "deny", "hold", "indeterminate"].map(|word| (word, word));
    expect.outcome = fields.optional("outcome").and_then(|node| reader.word(node, "outcome", &outcomes));
    expect.rule = fields.optional("rule").and_then(|node| reader.string(node, "`rule`")).map(str::to_owned);
    let reasons = Reason::ALL.map(|reason| (reason.as_str(), reason.as_str()));
    let reason = fields.optional("reason").and_then(|node| reader.word(node, "reason", &reasons));
    expect.reason = reason.map(str::to_owned);
    let status = fields.optional("status").and_then(|node| reader.integer(node, "`status`", 100..=599));
    expect.status = status.and_then(|status| u16::try_from(status).ok());
    expect.body = fields.optional("body").and_then(|node| call_file::body(node, reader));
    expect.headers = fields
        .optional("headers")
        .map(|node| call_file::texts(node, "`headers`", reader))
        .unwrap_or_default();
    fields.close(reader);
    if expect == Expect::default() && reader.findings.len() == before {
        reader.error(node.span, "no-expectation", "the case expects nothing");
    }
    (reader.findings.len() == before).then_some(expect)
}

/// Runs the cases against the policies.
pub fn run(set: &PolicySet, cases: &[Case]) -> Report {
    let mut reached: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut results = Vec::new();
    for case in cases {
        let candidates = set.candidates(&case.call.request, case.call.gateway);
        let response = case.call.response.as_ref().map(|response| &response.head);
        let before = Call { request: &case.call.request, identity: &case.call.identity, response: None };
        let after = Call { response, ..before };
        let decision = match case.call.request.defect {
            Some(reason) => Decision::refused(reason),
            None => set.decide(&candidates, &before),
        };
        reached.extend(
            set.explain(&candidates, &after)
                .rules
                .into_iter()
                .filter(|rule| rule.applies())
                .map(|rule| rule.rule),
        );
        let mut failures = compare(&case.expect, &decision);
        if let Some(wanted) = &case.expect.body {
            let response = case.call.response.as_ref();
            failures.extend(masked::compare(wanted, set, &candidates, &after, response).err());
        }
        results.push(CaseResult { case: case.name.as_str().into(), place: case.place.clone(), failures });
    }
    let unreached = set.rule_names().filter(|name| !reached.contains(*name)).cloned().collect();
    Report { results, unreached, rules: set.rule_names().count() }
}

fn compare(expect: &Expect, decision: &Decision) -> Vec<String> {
    let mut failures = Vec::new();
    let mut differ = |what: &str, wanted: Option<&str>, found: &str| {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            failures.push(format!("expected {what} `{wanted}`, got `{found}`"));
        }
    };
    differ("outcome", expect.outcome, decision.outcome.as_str());
    differ("rule", expect.rule.as_deref(), decision.rule.as_deref().unwrap_or("none"));
    differ("reason", expect.reason.as_deref(), decision.reason.as_str());
    let status = match &decision.outcome {
        Outcome::Allow => 200,
        Outcome::Deny(terms) => terms.status,
        Outcome::Hold(_) => 202,
        Outcome::Indeterminate => decision.reason.status(),
    };
    differ("status", expect.status.map(|status| status.to_string()).as_deref(), &status.to_string());
    for (name, wanted) in &expect.headers {
        let name = name.to_ascii_lowercase();
        let found = decision.headers().request.iter().rev().find_map(|change| match change {
            crate::effect::HeaderChange::Set { name: set, value }
            | crate::effect::HeaderChange::Append { name: set, value }
                if *set == name =>
            {
                Some(value.as_str())
            }
            _ => None,
        });
        differ(&format!("header {name}"), Some(wanted), found.unwrap_or("none"));
    }
    if !failures.is_empty() {
        failures.extend(decision.errors().iter().map(|(rule, why)| format!("rule `{rule}` failed: {why}")));
    }
    failures
}

impl Report {
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|result| !result.failures.is_empty()).count()
    }

    /// The cases that failed, as findings at their places.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let failed = self.results.iter().filter(|result| !result.failures.is_empty());
        let finding = |result: &CaseResult| {
            let message = format!("the case `{}` fails: {}", result.case, result.failures.join("; "));
            Diagnostic::error("failing-case", message).at(result.place.clone())
        };
        failed.map(finding).collect()
    }
}
