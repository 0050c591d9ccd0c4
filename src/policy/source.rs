//! Reads policy documents: everything that can be wrong with one is found here, before it is loaded.

use std::collections::HashMap;

use super::outline::{Outline, RuleOutline};
use super::route::{self, Entry};
use super::rule::Policy;
use super::{Options, SourceFile, lint};
use crate::diagnostic::Diagnostic;
use crate::document::{Document, Node, Reader, Span, Value};

mod condition;
mod effect;
mod foreign;
mod header;
pub mod hint;
mod hold;
mod hours;
mod rule;
mod scalar;

const API_VERSION: &str = "portcullis.dev/v1alpha1";

/// Reads all files; a policy with an error is left out, and the error is among the findings.
pub fn read(files: &[SourceFile], options: &Options) -> (Vec<Policy>, Vec<Diagnostic>) {
    let (read, mut findings) = read_files(files, options);
    let (policies, outlines): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    findings.extend(lint::findings(&outlines));
    (policies, findings)
}

/// Reads all files for what their policies say; those with an error are left out, and the errors are returned.
pub fn outlines(files: &[SourceFile], options: &Options) -> (Vec<Outline>, Vec<Diagnostic>) {
    let (read, findings) = read_files(files, options);
    (read.into_iter().map(|(_, outline)| outline).collect(), findings)
}

fn read_files(files: &[SourceFile], options: &Options) -> (Vec<(Policy, Outline)>, Vec<Diagnostic>) {
    let (mut policies, mut findings) = (Vec::new(), Vec::new());
    let mut names: HashMap<String, String> = HashMap::new();
    for source in files {
        let document = match Document::parse(&source.file, &source.text) {
            Ok(document) => document,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        let mut reader = Reader::new(&source.file);
        let roots: Vec<_> = document.roots.iter().filter(|root| root.value != Value::Null).collect();
        if roots.is_empty() {
            let (place, help) =
                (Span { line: 1, column: 1, ..Span::default() }, "write one, or remove the file");
            reader.error_with_help(place, "no-policy", "the file has no policy", help);
        }
        for root in roots {
            let policy =
                PolicyReader { reader: &mut reader, text: &source.text, options }.policy(root, &mut names);
            policies.extend(policy);
        }
        reader.findings.iter_mut().for_each(|finding| hint::add(finding, &source.text));
        findings.extend(reader.findings);
    }
    (policies, findings)
}

/// Reads the documents of one file.
struct PolicyReader<'r> {
    reader: &'r mut Reader,
    /// The file's text, to find the places of mistakes inside conditions.
    text: &'r str,
    options: &'r Options,
}

impl PolicyReader<'_> {
    /// One document; `None` when a mistake was reported in it.
    fn policy(&mut self, root: &Node, names: &mut HashMap<String, String>) -> Option<(Policy, Outline)> {
        if foreign::report(root, self.reader) {
            return None;
        }
        let mut fields = self.reader.fields(root, "the document")?;
        let version = fields.required("apiVersion", self.reader);
        self.expect(version, "`apiVersion`", API_VERSION);
        let kind = fields.required("kind", self.reader);
        self.expect(kind, "`kind`", "Policy");
        let metadata = fields.required("metadata", self.reader);
        let name = metadata.and_then(|node| self.metadata(node));
        let spec = fields.required("spec", self.reader);
        fields.close(self.reader);
        if let Some((name, span)) = &name {
            let place = format!("{}:{}", self.reader.file, span.line);
            if let Some(other) = names.insert(name.clone(), place) {
                let message = format!("there is a policy `{name}` already, in {other}");
                self.reader.error(*span, "duplicate-policy", message);
            }
        }
        // The rules are read even where the name is missing, so that their mistakes are reported too.
        let spec = spec?;
        foreign::empty_values(spec, self.reader);
        let enforce = spec.get("enforce").is_none_or(|node| node.value != Value::Bool(false));
        let (policy, rules) = self.spec(name.as_ref().map_or("?", |(name, _)| name), spec)?;
        let (name, span) = name?;
        let (entries, place) = (policy.entries.clone(), span.place(&self.reader.file));
        let matches = spec.get("match").map(Node::to_json).unwrap_or_default();
        Some((policy, Outline { name, place, enforce, entries, matches, rules }))
    }

    fn metadata(&mut self, node: &Node) -> Option<(String, Span)> {
        let mut fields = self.reader.fields(node, "`metadata`")?;
        let name = fields.required("name", self.reader);
        fields.optional("labels");
        fields.optional("annotations");
        fields.close(self.reader);
        let node = name?;
        self.name(node, "the policy's name").map(|name| (name, node.span))
    }

    fn name(&mut self, node: &Node, what: &str) -> Option<String> {
        let name = self.reader.string(node, what)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if name.is_empty() || !plain {
            let message =
                format!("{what} `{name}` has other characters than letters, digits, `-`, `_` and `.`");
            self.reader.error(node.span, "invalid-name", message);
            return None;
        }
        Some(name.to_owned())
    }

    fn expect(&mut self, node: Option<&Node>, what: &str, wanted: &str) {
        let Some(node) = node else { return };
        if self.reader.string(node, what).is_some_and(|found| found != wanted) {
            self.reader.error(node.span, "wrong-kind", format!("{what} must be `{wanted}`"));
        }
    }

    fn spec(&mut self, name: &str, node: &Node) -> Option<(Policy, Vec<RuleOutline>)> {
        let mut fields = self.reader.fields(node, "`spec`")?;
        let entries = match fields.optional("match") {
            Some(node) => route::entries(node, self.options.gateway, self.reader),
            None => Some(Vec::new()),
        };
        let enforce = self.enforce(fields.optional("enforce"));
        let rules = fields.required("rules", self.reader);
        fields.close(self.reader);
        let captures = entries.as_deref().map(shared_captures).unwrap_or_default();
        let rules = self.rules(name, rules?, enforce, &captures);
        let (entries, (rules, outlines)) = (entries?, rules?);
        let captures = if rules.iter().any(|rule| rule.reads.captures()) { captures } else { Vec::new() };
        Some((Policy { entries, captures, rules }, outlines))
    }

    fn enforce(&mut self, node: Option<&Node>) -> bool {
        node.and_then(|node| self.reader.boolean(node, "`enforce`")).unwrap_or(true)
    }
}

/// The names that every path of every entry captures: only those have a value whenever the policy matches.
fn shared_captures(entries: &[Entry]) -> Vec<String> {
    let mut paths = entries.iter().flat_map(|entry| &entry.paths);
    if entries.iter().any(|entry| entry.paths.is_empty()) {
        return Vec::new();
    }
    let Some(first) = paths.next() else { return Vec::new() };
    let rest: Vec<_> = paths.collect();
    first
        .captures()
        .filter(|name| rest.iter().all(|path| path.captures().any(|other| other == *name)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
