//! Policies: YAML documents with CEL conditions, compiled once and evaluated for each call.
//!
//! Knows nothing of networks, storage or Envoy, and reads neither clock nor disk: texts in, decisions out.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Sources};
use crate::mask;
use crate::reason::Reason;
use crate::request::Request;

pub mod cel;
mod decision;

pub use decision::{Call, Decision, HeadersRead, HoldRule, Needs, Outcome, ResponseHead, Said, Shadow};

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
}

/// The policies whose route matches one call.
#[derive(Clone, Debug, Default)]
pub struct Candidates {}

/// A condition could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}` could not be evaluated: {message}")]
pub struct ConditionError {
    pub rule: Arc<str>,
    pub message: String,
}

/// Compiles the files together, reporting every mistake of every one.
pub fn compile(files: &[SourceFile], _options: &Options) -> Compiled {
    let mut sources = Sources::default();
    for source in files {
        sources.add(&source.file, &source.text);
    }
    Compiled { set: Some(PolicySet { revision: "".into() }), findings: Vec::new(), sources }
}

impl PolicySet {
    /// Names this exact set of texts.
    pub fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn candidates(&self, _request: &Request, _gateway: bool) -> Candidates {
        Candidates {}
    }

    pub fn needs(&self, _candidates: &Candidates) -> Needs {
        Needs::default()
    }

    pub fn decide(&self, _candidates: &Candidates, _call: &Call<'_>) -> Decision {
        Decision {
            outcome: Outcome::Indeterminate,
            reason: Reason::InternalError,
            rule: None,
            may_mask: false,
            headers: crate::effect::HeaderChanges::default(),
            shadow: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Every mask that applies, those that read the response included; `call.response` is known by now.
    pub fn response_masks(
        &self,
        _candidates: &Candidates,
        _call: &Call<'_>,
    ) -> Result<Vec<Arc<mask::Rule>>, ConditionError> {
        Ok(Vec::new())
    }
}
