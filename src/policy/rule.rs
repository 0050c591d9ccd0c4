//! Compiled policies and rules: what `source` makes and `decide` evaluates.

use std::sync::Arc;

use super::cel::{EvaluationError, Expression, Reads, Scope, Value};
use super::decision::HoldRule;
use super::route::Entry;
use crate::effect::{DenyTerms, HeaderChange};
use crate::mask;

#[derive(Debug)]
pub struct Policy {
    pub entries: Vec<Entry>,
    /// Captured segments that conditions read, in the order in which a candidate holds their values.
    pub captures: Vec<String>,
    pub rules: Vec<Rule>,
}

#[derive(Debug)]
pub struct Rule {
    /// `policy/rule`.
    pub name: Arc<str>,
    /// `false`: evaluated and reported, changes nothing.
    pub enforce: bool,
    /// Absent: the rule applies whenever its policy matches.
    pub condition: Option<Expression>,
    pub verdict: Option<Verdict>,
    /// When a call that the rule holds needs no person.
    pub auto_approve: Option<Expression>,
    pub masks: Vec<Arc<mask::Rule>>,
    pub headers: HeaderTemplates,
    /// What the conditions and the header templates read together.
    pub reads: Reads,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Allow,
    Deny(DenyTerms),
    Hold(Arc<HoldRule>),
}

#[derive(Debug, Default)]
pub struct HeaderTemplates {
    pub request: Vec<HeaderTemplate>,
    pub response: Vec<HeaderTemplate>,
}

/// One header change whose value is made for each call.
#[derive(Debug)]
pub enum HeaderTemplate {
    Set(String, Template),
    Append(String, Template),
    Remove(String),
}

/// Literal text with expressions in it.
#[derive(Debug, Default)]
pub struct Template(pub Vec<Part>);

#[derive(Debug)]
pub enum Part {
    Text(String),
    Expression(Expression),
}

#[cfg(test)]
thread_local! {
    /// How many conditions this thread has evaluated.
    pub static EVALUATED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Policy {
    /// Whether its path patterns capture what conditions read at different places.
    pub fn captures_variously(&self) -> bool {
        let mut parts =
            self.entries.iter().flat_map(|entry| &entry.paths).map(|path| path.parts(&self.captures));
        parts.next().is_some_and(|first| parts.any(|other| other != first))
    }
}

impl Rule {
    /// Whether the rule applies to the call.
    pub fn applies<'s>(&'s self, scope: &'s Scope<'s>) -> Result<bool, Box<EvaluationError>> {
        #[cfg(test)]
        EVALUATED.set(EVALUATED.get() + usize::from(self.condition.is_some()));
        self.condition.as_ref().map_or(Ok(true), |condition| condition.holds(scope))
    }

    /// Whether the rule, which holds the call, approves it by itself.
    pub fn approves<'s>(&'s self, scope: &'s Scope<'s>) -> Result<bool, Box<EvaluationError>> {
        self.auto_approve.as_ref().map_or(Ok(false), |condition| condition.holds(scope))
    }

    pub fn holds_calls(&self) -> bool {
        matches!(self.verdict, Some(Verdict::Hold(_)))
    }

    /// Whether the rule is asked again once the response is known.
    pub fn reads_response(&self) -> bool {
        self.reads.response()
    }
}

impl HeaderTemplates {
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Whether a value is made for each call, which can fail.
    pub fn any_expression(&self) -> bool {
        self.request.iter().chain(&self.response).any(|template| template.expressions().next().is_some())
    }
}

impl HeaderTemplate {
    pub fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Append(name, _) | Self::Remove(name) => name,
        }
    }

    /// The expressions in its value.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let parts: &[Part] = match self {
            Self::Set(_, template) | Self::Append(_, template) => &template.0,
            Self::Remove(_) => &[],
        };
        parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Text(_) => None,
        })
    }

    pub fn fill<'s>(&'s self, scope: &'s Scope<'s>) -> Result<HeaderChange, EvaluationError> {
        Ok(match self {
            Self::Set(name, template) => {
                HeaderChange::Set { name: name.clone(), value: template.fill(scope)? }
            }
            Self::Append(name, template) => {
                HeaderChange::Append { name: name.clone(), value: template.fill(scope)? }
            }
            Self::Remove(name) => HeaderChange::Remove { name: name.clone() },
        })
    }
}

impl Template {
    fn fill<'s>(&'s self, scope: &'s Scope<'s>) -> Result<String, EvaluationError> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Expression(expression) => match expression.evaluate(scope)? {
                    Value::Text(text) => filled.push_str(&text),
                    _ => return Err(EvaluationError::Conversion("string")),
                },
            }
        }
        // A value from a body or claim must not smuggle in a second header.
        if filled.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(EvaluationError::Conversion("a header's value"));
        }
        Ok(filled)
    }
}
