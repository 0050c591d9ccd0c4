//! Calls to compare two sets of policies on: call files, files of cases, audit trails.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::super::super::policy::{USAGE, print_findings, usage_error};
use crate::bundle;
use crate::diagnostic::{Diagnostic, Sources};
use crate::document::{Document, Reader};
use crate::identity::{Identity, Method};
use crate::policy::call_file::{self, CallFile};
use crate::policy::{SourceFile, cases};
use crate::request::{Body, Limits, Parts, Peer, Request};

/// One call, and what it is called in a report.
pub struct Replay {
    pub name: String,
    pub call: CallFile,
    /// It comes from an audit trail, which leaves out most of a call.
    pub recorded: bool,
}

/// The calls of all these files, in order; prints what is wrong with them.
pub fn read(paths: &[PathBuf], gateway: bool) -> Result<Vec<Replay>, ExitCode> {
    let mut calls = Vec::new();
    for path in paths {
        if path.is_dir() {
            calls.extend(cases_in(path)?);
            continue;
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage_error(&format!("can't read `{}`: {error}", path.display())))?;
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            calls.extend(recorded(path, &text, gateway)?);
        } else {
            calls.extend(written(path, &text)?);
        }
    }
    Ok(calls)
}

/// The cases in a folder: its other files may be policies.
fn cases_in(folder: &Path) -> Result<Vec<Replay>, ExitCode> {
    let files = bundle::cases(&[folder.to_owned()]).map_err(|error| usage_error(&error))?;
    if files.is_empty() {
        let message = format!(
            "there are no cases (`*.cases.yaml`) in `{}`; name call files one by one",
            folder.display()
        );
        return Err(usage_error(&message));
    }
    let read = files.iter().map(|file| written(Path::new(&*file.file), &file.text));
    Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A file of cases, or one call.
fn written(path: &Path, text: &str) -> Result<Vec<Replay>, ExitCode> {
    let (file, text): (Arc<str>, Arc<str>) = (path.display().to_string().into(), text.into());
    let mut sources = Sources::default();
    sources.add(&file, &text);
    let failed = |findings: &[Diagnostic]| {
        print_findings(findings, &sources);
        ExitCode::from(USAGE)
    };
    let document = Document::parse(&file, &text).map_err(|finding| failed(&[finding]))?;
    let [root] = document.roots.as_slice() else {
        let message = format!("`{file}` has {} documents; a file of calls has one", document.roots.len());
        return Err(failed(&[Diagnostic::error("no-call", message)]));
    };
    if root.get("cases").is_some() {
        let (cases, findings) = cases::read(&[SourceFile { file, text: text.clone() }]);
        if findings.iter().any(Diagnostic::is_error) {
            return Err(failed(&findings));
        }
        let replay = |case: cases::Case| {
            let name = format!("{}:{} {}", case.place.file, case.place.line, case.name);
            Replay { name, call: case.call, recorded: false }
        };
        return Ok(cases.into_iter().map(replay).collect());
    }
    let mut reader = Reader::new(&file);
    let call = reader.fields(root, "the call").and_then(|mut fields| {
        let call = call_file::read(&mut fields, &mut reader);
        fields.optional("expect");
        fields.optional("name");
        fields.close(&mut reader);
        call
    });
    match call.filter(|_| reader.findings.is_empty()) {
        Some(call) => Ok(vec![Replay { name: file.to_string(), call, recorded: false }]),
        None => Err(failed(&reader.findings)),
    }
}

/// The calls of an audit trail that policies decided on: a call that was refused for itself or for its credential says
/// nothing about policies.
fn recorded(path: &Path, text: &str, gateway: bool) -> Result<Vec<Replay>, ExitCode> {
    const DECIDED: [&str; 11] = [
        "allowed",
        "approved",
        "no_rule_allows",
        "denied_by_rule",
        "unauthenticated",
        "approval_pending",
        "approval_rejected",
        "approval_expired",
        "already_used",
        "condition_error",
        "mask_unavailable",
    ];
    let mut calls = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), index + 1);
        let record: Value = serde_json::from_str(line)
            .map_err(|error| usage_error(&format!("{place} is not a record: {error}")))?;
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        if text("kind") == "decision" && DECIDED.contains(&text("reason")) {
            let name = format!("{place} {}", text("decision_id"));
            calls.push(Replay { name, call: call(&record, gateway), recorded: true });
        }
    }
    Ok(calls)
}

/// As much of the call as its record holds.
fn call(record: &Value, gateway: bool) -> CallFile {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let parts = Parts {
        id: text("/request_id"),
        method: text("/method"),
        host: text("/host"),
        path: text("/path"),
        source: Peer { address: text("/source"), ..Peer::default() },
        body: Body::Absent,
        ..Parts::default()
    };
    let identity = Identity {
        method: Method::from_name(&text("/identity/method")).unwrap_or(Method::Anonymous),
        subject: text("/identity/subject"),
        issuer: text("/identity/issuer"),
        person: Some(text("/identity/person")).filter(|person| !person.is_empty()),
        spiffe: text("/identity/spiffe"),
        ..(*Identity::anonymous()).clone()
    };
    let request = Request::assemble(parts, &Limits::default());
    CallFile { request, identity: Arc::new(identity), response: None, gateway }
}
