//! What the policies say about one call: plain values, made by `decide`, read by the engine.

use std::sync::Arc;

use crate::effect::{DenyTerms, HeaderChanges, HoldTerms};
use crate::identity::Identity;
use crate::mask;
use crate::reason::Reason;
use crate::request::{Headers, Request};

/// All that conditions may read of one call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub request: &'a Request,
    pub identity: &'a Identity,
    /// The head of the answer, once it is known.
    pub response: Option<&'a ResponseHead>,
}

/// Status and headers of an upstream's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub code: u16,
    pub headers: Headers,
}

/// What the candidate rules must be given, or may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The complete request body: a rule reads it, or may hold the call.
    pub body: bool,
    pub may_hold: bool,
    pub may_mask: bool,
    /// What of the response those masks are about.
    pub masked: MaskedParts,
}

/// Which parts of a response masks are about, besides its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskedParts {
    pub body: bool,
    pub trailers: bool,
}

impl MaskedParts {
    pub fn of<'r>(rules: impl IntoIterator<Item = &'r Arc<mask::Rule>>) -> Self {
        rules.into_iter().fold(Self::default(), |parts, rule| {
            parts.and(Self {
                body: matches!(rule.part, mask::Part::Body),
                trailers: matches!(rule.part, mask::Part::Trailer(_)),
            })
        })
    }

    pub fn and(self, other: Self) -> Self {
        Self { body: self.body | other.body, trailers: self.trailers | other.trailers }
    }
}

/// The verdict of the policies. There is no default: whoever makes one names the outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub outcome: Outcome,
    pub reason: Reason,
    /// `policy/rule` that determined the outcome; of several, the first by name.
    pub rule: Option<Arc<str>>,
    /// At least one enforced mask applies, or may apply once the response is known.
    pub may_mask: bool,
    /// Absent when there is nothing in it: most decisions are small, and pass through many hands.
    pub(super) rare: Option<Box<Rare>>,
}

/// What few decisions have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rare {
    pub headers: HeaderChanges,
    /// The hold rules that approve the call by themselves, with their reasons.
    pub auto_approved: Vec<(Arc<str>, Arc<str>)>,
    pub shadow: Vec<Shadow>,
    pub errors: Vec<(Arc<str>, String)>,
}

impl Rare {
    /// `None` when there is nothing in it.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Decision {
    /// A denial for `reason`, whatever the rules say.
    pub fn refused(reason: Reason) -> Self {
        let outcome = Outcome::Deny(DenyTerms { status: reason.status(), because: None });
        Self { outcome, reason, rule: None, may_mask: false, rare: None }
    }

    /// What is changed of the headers when the call goes on.
    pub fn headers(&self) -> &HeaderChanges {
        static NONE: HeaderChanges = HeaderChanges { request: Vec::new(), response: Vec::new() };
        self.rare.as_ref().map_or(&NONE, |rare| &rare.headers)
    }

    /// The rules that hold the call and approve it by themselves, in the order of their names, each with its reason.
    pub fn auto_approved(&self) -> &[(Arc<str>, Arc<str>)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.auto_approved)
    }

    /// What rules with `enforce: false` would have changed.
    pub fn shadow(&self) -> &[Shadow] {
        self.rare.as_ref().map_or(&[], |rare| &rare.shadow)
    }

    /// Rules that could not be evaluated, and why: for the log, never for the caller.
    pub fn errors(&self) -> &[(Arc<str>, String)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.errors)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Allow,
    Deny(DenyTerms),
    /// Every hold rule that fired: each must be satisfied.
    Hold(Vec<Arc<HoldRule>>),
    Indeterminate,
}

impl Outcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::Hold(_) => "hold",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// A rule that holds calls, with all that an approval's digest covers of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRule {
    /// `policy/rule`.
    pub name: Arc<str>,
    pub terms: HoldTerms,
    /// SHA-256 of the rule as written: an approval does not outlive a change of its rule.
    pub content: [u8; 32],
    pub headers_read: HeadersRead,
    /// Shown to the caller and to the approvers; may be empty.
    pub because: String,
}

/// Which request headers a condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadersRead {
    /// These, in lower case, sorted.
    Named(Vec<String>),
    /// Any: the key is computed, or the map is read as a whole.
    All,
}

impl HeadersRead {
    /// What both read.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Named(mut names), Self::Named(more)) => {
                names.extend(more);
                names.sort();
                names.dedup();
                Self::Named(names)
            }
            _ => Self::All,
        }
    }
}

/// A rule in shadow mode (`enforce: false`) that would have mattered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// `policy/rule`.
    pub rule: Arc<str>,
    pub said: Said,
}

/// What one rule says about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    Deny,
    Hold,
    Allow,
    Mask,
    Headers,
    /// It could not be evaluated.
    Error,
}

impl Said {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::Allow => "allow",
            Self::Mask => "mask",
            Self::Headers => "headers",
            Self::Error => "error",
        }
    }
}
