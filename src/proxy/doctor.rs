//! What a proxy's configuration gets wrong: calls that slip by, or fail, because of it.
//!
//! Each file of `rules` is one kind of mistake: the words of its page of documentation, and how it is found.

use serde::Serialize;

use super::needs::Needs;
use super::tree::{At, Source};
use super::view::Envoy;
use crate::diagnostic::{Diagnostic, Place, Severity};

mod rule;
mod rules;

pub use rule::Rule;
pub use rules::{RULES, by_id};

/// One mistake.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    #[serde(rename = "rule", serialize_with = "id")]
    pub rule: &'static Rule,
    pub severity: Severity,
    /// What is wrong here, with the names and figures of this configuration.
    pub message: String,
    /// What to write, and where.
    pub fix: String,
    /// The file or URL.
    pub file: String,
    /// In a file whose lines say something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// `static_resources.listeners[0].name`: where it is, or where it is missing.
    pub path: String,
    #[serde(skip)]
    place: Option<Place>,
}

/// Gathers findings.
#[derive(Debug)]
pub struct Report<'n> {
    pub needs: &'n Needs,
    pub findings: Vec<Finding>,
}

/// Reports what is wrong with each source, in their order.
///
/// # Errors
/// A source that is no proxy's configuration.
pub fn examine(sources: &[Source], needs: &Needs) -> Result<Vec<Finding>, Diagnostic> {
    let mut report = Report { needs, findings: Vec::new() };
    for source in sources {
        let Some(envoy) = Envoy::of(source) else {
            return Err(Diagnostic::error(
                "not-a-proxy",
                format!("`{}` is no proxy's configuration", source.name),
            ));
        };
        RULES.iter().filter_map(|rule| rule.envoy).for_each(|check| check(&envoy, &mut report));
    }
    Ok(report.findings)
}

impl Report<'_> {
    /// A mistake at this value, or where it is missing: what is wrong, with the names and figures of this configuration, and
    /// what to write.
    pub fn find(
        &mut self,
        rule: &'static Rule,
        at: &At<'_>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let place = at.place();
        self.findings.push(Finding {
            rule,
            severity: rule.severity,
            message: message.into(),
            fix: fix.into(),
            file: at.source().name.to_string(),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            path: at.path().to_owned(),
            place,
        });
    }
}

impl Finding {
    /// The finding as other commands show theirs.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic {
            severity: self.severity,
            code: self.rule.id,
            message: format!("{} ({})", self.message, self.path),
            place: self.place.clone(),
            help: Some(self.fix.clone()),
        }
    }
}

fn id<S: serde::Serializer>(rule: &&'static Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.id)
}
