//! One mistake in something a user wrote: what is wrong, where, and what to do about it.
//!
//! Every reader of user input (configuration, policies, cases, call files) collects `Diagnostic`s instead of
//! stopping at the first, so that one run names them all. Knows nothing of where the text came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

pub mod render;

/// The words of the innermost cause of an error, which says what went wrong (`Connection refused`): those of a client's outer
/// ones repeat the URL, or say only that sending failed.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// How bad a finding is. Errors stop a load; warnings are shown and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    /// `error` or `warning`, as findings, SARIF and GitHub's commands write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where in a text: `line` and `column` count from 1, in characters; `offset` and `len` in bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    #[serde(skip)]
    pub offset: usize,
    #[serde(skip)]
    pub len: usize,
}

/// One finding. `code` is stable and kebab-case (`unknown-field`), for scripts and the documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    #[serde(flatten)]
    pub place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), place: None, help: None }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `file:line:column: error[code]: message (help)`, one line: for logs and error chains.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        write!(f, "{}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// The texts that diagnostics point into, by file name: what excerpts are cut from.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<Arc<str>, Arc<str>>);

impl Sources {
    pub fn add(&mut self, file: &Arc<str>, text: &Arc<str>) {
        self.0.insert(file.clone(), text.clone());
    }

    pub fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file).map(|text| &**text)
    }

    pub fn extend(&mut self, other: Sources) {
        self.0.extend(other.0);
    }
}

/// Sorts findings as a reader meets them: by file, line and column, those without a place first.
pub fn sort(findings: &mut [Diagnostic]) {
    findings.sort_by(|a, b| (&a.place, a.severity, a.code).cmp(&(&b.place, b.severity, b.code)));
}

/// The candidate closest to `name` in spelling, if it is close enough to be what was meant.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.chars().count().max(name.chars().count()) / 4
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("sending a request to https://idp.example.com failed")]
    struct Sending(#[source] Refused);

    #[derive(Debug, thiserror::Error)]
    #[error("client error")]
    struct Refused(#[source] std::io::Error);

    #[test]
    fn the_innermost_cause_speaks() {
        let outer = Sending(Refused(std::io::Error::other("Connection refused")));
        assert_eq!(innermost(&outer), "Connection refused");
        assert_eq!(innermost(&std::io::Error::other("alone")), "alone");
    }
}
