//! Policies: YAML documents with CEL conditions, compiled once and evaluated for each call.
//!
//! Knows nothing of networks, storage or Envoy, and reads neither clock nor disk: texts in, decisions out.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::diagnostic::{self, Diagnostic, Sources};
use crate::mask;
use crate::request::Request;
use inputs::Inputs;
use plan::Plan;
use route::Index;
use rule::Policy;

pub mod call_file;
pub mod cases;
pub mod cel;
pub mod compare;
mod decide;
mod decision;
mod demand;
pub mod diff;
mod explain;
mod inputs;
mod lint;
pub mod masked_headers;
mod memo;
mod outline;
mod plan;
mod reads;
mod route;
mod rule;
mod source;

pub use decision::{
    Call, Decision, HeadersRead, HoldRule, MaskedParts, Needs, Outcome, ResponseHead, Said, Shadow,
};
pub use demand::Demand;
pub use explain::{Explanation, RuleExplanation};
pub use inputs::Unshareable;
#[cfg(test)]
pub(crate) use inputs::part;
pub use route::{Entry, HostPattern, PathPattern, Segment, TextPattern};
pub use source::hint::add as add_hint;

/// One policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub file: Arc<str>,
    pub text: Arc<str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether any listener is a gateway, where hosts are more than the caller's claim.
    pub gateway: bool,
}

/// What compiling came to: `set` is `None` when any finding is an error.
#[derive(Debug)]
pub struct Compiled {
    pub set: Option<PolicySet>,
    pub findings: Vec<Diagnostic>,
    pub sources: Sources,
}

/// Compiled policies; immutable.
#[derive(Debug)]
pub struct PolicySet {
    revision: Arc<str>,
    policies: Vec<Policy>,
    /// One for each policy.
    plans: Vec<Plan>,
    index: Index,
    /// What the rules of each policy read.
    inputs: Vec<Inputs>,
    /// Tells the sets of this process apart.
    number: u64,
}

/// The policies whose route matches one call. Some are kept without allocating.
#[derive(Clone, Debug, Default)]
pub struct Candidates(route::Candidates);

/// A condition could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}` could not be evaluated: {message}")]
pub struct ConditionError {
    pub rule: Arc<str>,
    pub message: String,
}

/// Compiles the files together, reporting every mistake of every one.
pub fn compile(files: &[SourceFile], options: &Options) -> Compiled {
    let mut sources = Sources::default();
    for source in files {
        sources.add(&source.file, &source.text);
    }
    let (policies, mut findings) = source::read(files, options);
    diagnostic::sort(&mut findings);
    let set = (!findings.iter().any(Diagnostic::is_error)).then(|| PolicySet::new(revision(files), policies));
    Compiled { set, findings, sources }
}

/// The first 16 hex digits of a SHA-256 over every file's name and text, each with its length, in sorted order.
/// What the policies say, whatever their files are called and wherever they lie: the same on every replica.
fn revision(files: &[SourceFile]) -> Arc<str> {
    let mut texts: Vec<_> = files.iter().map(|source| &*source.text).collect();
    texts.sort_unstable();
    let mut context = digest::Context::new(&digest::SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let hex = hex::encode(context.finish());
    hex.get(..16).unwrap_or(&hex).into()
}

impl PolicySet {
    /// No policies at all, which allow nothing.
    pub fn none() -> Self {
        Self::new("none".into(), Vec::new())
    }

    fn new(revision: Arc<str>, policies: Vec<Policy>) -> Self {
        let routes = policies.iter().map(|policy| (&*policy.entries, &*policy.captures));
        let index = Index::new(routes);
        let plans = plan::plans(&policies);
        let inputs = policies.iter().map(Inputs::of).collect();
        Self { revision, policies, plans, index, inputs, number: inputs::number() }
    }

    /// Names this exact set of texts.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Whether any rule can hold a call.
    pub fn holds_calls(&self) -> bool {
        self.policies.iter().any(|policy| policy.rules.iter().any(|rule| rule.enforce && rule.holds_calls()))
    }

    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The name of every rule, `policy/rule`.
    pub fn rule_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.policies.iter().flat_map(|policy| &policy.rules).map(|rule| &rule.name)
    }

    /// What the rule `policy/rule` says where it applies, and whether it is enforced.
    pub fn says(&self, name: &str) -> Option<(Said, bool)> {
        let mut rules = self.policies.iter().flat_map(|policy| &policy.rules);
        rules.find(|rule| &*rule.name == name).map(|rule| (explain::effect(rule), rule.enforce))
    }

    /// The policies that are about this call. On a listener that is no `gateway`, hosts alone match nothing.
    pub fn candidates(&self, request: &Request, gateway: bool) -> Candidates {
        Candidates(self.index.candidates(request, gateway))
    }

    pub fn needs(&self, candidates: &Candidates) -> Needs {
        decide::needs(self, &candidates.0)
    }

    pub fn decide(&self, candidates: &Candidates, call: &Call<'_>) -> Decision {
        decide::decide(self, &candidates.0, call)
    }

    /// Why `decide` says what it says.
    pub fn explain(&self, candidates: &Candidates, call: &Call<'_>) -> Explanation {
        explain::explain(self, &candidates.0, call)
    }

    /// Every mask of bodies that is enforced, whether or not its rule applies: what somebody wants hidden in any body of
    /// such calls.
    pub fn masks(&self, candidates: &Candidates) -> Vec<Arc<mask::Rule>> {
        let rules = decide::asked(self, &candidates.0).map(|asked| asked.rule);
        let masks = rules.filter(|rule| rule.enforce).flat_map(|rule| &rule.masks);
        masks.filter(|rule| rule.is_of_body()).cloned().collect()
    }

    /// Every mask that applies, those that read the response included; `call.response` is known by now.
    pub fn response_masks(
        &self,
        candidates: &Candidates,
        call: &Call<'_>,
    ) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
        decide::response_masks(self, &candidates.0, call)
    }

    /// The masks that apply whatever the response says, and whether others depend on it.
    pub fn request_masks(
        &self,
        candidates: &Candidates,
        call: &Call<'_>,
    ) -> Result<(Vec<Arc<mask::Rule>>, bool), ConditionError> {
        decide::request_masks(self, &candidates.0, call)
    }

    /// The masks that depend on the response, as far as they apply; `call.response` is known by now.
    pub fn dependent_masks(
        &self,
        candidates: &Candidates,
        call: &Call<'_>,
    ) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
        decide::dependent_masks(self, &candidates.0, call)
    }
}

#[cfg(test)]
mod tests;
