//! Reads files of cases, and reports every mistake in them: also expectations that can't be met whatever the policies.

use std::collections::HashMap;

use super::{Case, Expect};
use crate::diagnostic::{self, Diagnostic};
use crate::document::{Document, Node, Reader, Span};
use crate::policy::SourceFile;
use crate::policy::call_file;
use crate::reason::Reason;

const CONFLICT: &str = "expectation-conflict";

/// Reads every case of every file, and every mistake in them.
pub fn read(files: &[SourceFile]) -> (Vec<Case>, Vec<Diagnostic>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for source in files {
        match Document::parse(&source.file, &source.text) {
            Ok(document) => {
                let mut reader = Reader::new(&source.file);
                if document.roots.is_empty() {
                    let place = Span { line: 1, column: 1, ..Span::default() };
                    reader.error_with_help(
                        place,
                        "no-case",
                        "the file has no case",
                        "begin it with `cases:`",
                    );
                }
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
    if root.get("kind").is_some() && root.get("cases").is_none() {
        let help = "call the file `NAME.yaml`; `NAME.cases.yaml` holds the cases that test it";
        reader.error_with_help(root.span, "not-a-case", "this is a policy in a file of cases", help);
        return Vec::new();
    }
    let Some(mut fields) = reader.fields(root, "the file of cases") else { return Vec::new() };
    let cases = fields.required("cases", reader).and_then(|node| reader.list(node, "`cases`"));
    fields.close(reader);
    let mut names: HashMap<String, u32> = HashMap::new();
    let mut read = Vec::new();
    for node in cases.unwrap_or_default() {
        let Some(case) = read_case(node, reader) else { continue };
        if let Some(line) = names.insert(case.name.clone(), node.span.line) {
            let message = format!("there is a case `{}` already, in line {line}", case.name);
            let span = node.get("name").map_or(node.span, |name| name.span);
            reader.error_with_help(span, "duplicate-case", message, "reports name cases: give each its own");
        }
        read.push(case);
    }
    read
}

fn read_case(node: &Node, reader: &mut Reader) -> Option<Case> {
    let mut fields = reader.fields(node, "the case")?;
    let name = fields.required("name", reader).and_then(|node| reader.string(node, "the case's name"));
    let call = call_file::read(&mut fields, reader);
    let expect_node = fields.required("expect", reader);
    let expect = expect_node.and_then(|node| read_expect(node, reader));
    fields.close(reader);
    if let (Some(node), Some(expect), Some(call)) = (expect_node, &expect, &call) {
        conflicts(node, expect, call.response.is_some(), reader);
    }
    let place = node.span.place(&reader.file);
    let rule_place = expect_node.and_then(|node| node.get("rule")).map(|node| node.span.place(&reader.file));
    Some(Case { place, name: name?.to_owned(), call: call?, expect: expect?, rule_place })
}

/// Reads `expect`; `None` when a mistake was reported.
fn read_expect(node: &Node, reader: &mut Reader) -> Option<Expect> {
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
    let auto = fields.optional("auto_approved");
    expect.auto_approved = auto.and_then(|node| reader.boolean(node, "`auto_approved`"));
    expect.body = fields.optional("body").and_then(|node| call_file::body(node, reader));
    expect.headers = fields
        .optional("headers")
        .map(|node| call_file::texts(node, "`headers`", reader))
        .unwrap_or_default();
    let of_response = fields.optional("response_headers");
    let of_response = of_response.map(|node| call_file::texts(node, "`response_headers`", reader));
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    expect.response_headers = of_response.unwrap_or_default().into_iter().map(lower).collect();
    fields.close(reader);
    if expect == Expect::default() && reader.findings.len() == before {
        let help = "name an `outcome`, `rule`, `reason`, `status`, `auto_approved`, `headers`, `response_headers` or `body`";
        reader.error_with_help(node.span, "no-expectation", "the case expects nothing", help);
    }
    (reader.findings.len() == before).then_some(expect)
}

/// Expectations that exclude each other.
fn conflicts(node: &Node, expect: &Expect, responds: bool, reader: &mut Reader) {
    let span = |field: &str| node.get(field).map_or(node.span, |node| node.span);
    if !expect.response_headers.is_empty() && !responds {
        let help = "give the case a `response` with the headers that the upstream sends";
        let message = "the case expects response headers and gives no response";
        reader.error_with_help(span("response_headers"), CONFLICT, message, help);
    }
    if expect.body.is_some() && !responds {
        let help = "give the case a `response` with the body that the upstream sends";
        let message = "the case expects a body and gives no response";
        reader.error_with_help(span("body"), CONFLICT, message, help);
    }
    if expect.auto_approved == Some(true) && expect.outcome.is_some_and(|outcome| outcome != "hold") {
        let message = "only a call that is held can be approved by the rules that hold it";
        reader.error(span("auto_approved"), CONFLICT, message);
    }
    let reason = Reason::ALL.into_iter().find(|reason| Some(reason.as_str()) == expect.reason.as_deref());
    if let Some(reason) = reason {
        match (outcome_of(reason), expect.outcome) {
            (None, _) => {
                let message =
                    format!("no case ends with `{}`: it is not the policies that give it", reason.as_str());
                reader.error(span("reason"), CONFLICT, message);
            }
            (Some(of_reason), Some(outcome)) if of_reason != outcome => {
                let message =
                    format!("the reason `{}` comes with `{of_reason}`, not `{outcome}`", reason.as_str());
                reader.error(span("reason"), CONFLICT, message);
            }
            _ => {}
        }
    }
    let fits = match (expect.outcome, expect.status) {
        (Some("allow"), Some(status)) => status == 200,
        (Some(_), Some(status)) => status >= 400,
        _ => true,
    };
    if !fits {
        let help = "`allow` counts as 200; a `deny` has its rule's status, 403 unless it says another";
        let message = "the status does not fit the outcome";
        reader.error_with_help(span("status"), CONFLICT, message, help);
    }
}

/// The outcome that a reason comes with; `None` for reasons that only a running server gives.
fn outcome_of(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Allowed => Some("allow"),
        Reason::ApprovalPending => Some("hold"),
        Reason::ConditionError => Some("indeterminate"),
        Reason::NoRuleAllows
        | Reason::DeniedByRule
        | Reason::Unauthenticated
        | Reason::BodyUnavailable
        | Reason::PathInvalid
        | Reason::PathAmbiguous
        | Reason::PathTooLong
        | Reason::MethodInvalid
        | Reason::HostInvalid
        | Reason::HeaderInvalid
        | Reason::HeaderDuplicate
        | Reason::HeaderTooLarge
        | Reason::HeadersTooLarge
        | Reason::BodyTooLarge => Some("deny"),
        _ => None,
    }
}
