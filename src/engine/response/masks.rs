//! Which masks a response gets.

use std::sync::Arc;

use super::body::BodyForm;
use crate::mask::{self, OnUnmaskable};
use crate::policy::{self, Candidates, ConditionError, MaskedParts, PolicySet, ResponseHead};

/// The masks of one response.
pub struct Masks {
    /// Those that count: about a body where it has one.
    pub rules: Vec<Arc<mask::Rule>>,
    /// The form of a body that rules are about, or the code of the reason why it has none that can be masked: only where
    /// that does not block it.
    pub form: Option<Result<BodyForm, &'static str>>,
}

/// Which masks a response gets, or the code of the reason to block it.
pub fn masks(
    policies: &PolicySet,
    candidates: &Candidates,
    call: &policy::Call<'_>,
    has_body: bool,
) -> Result<Masks, &'static str> {
    let rules = policies.response_masks(candidates, call).map_err(|error| condition_error(&error))?;
    match call.response {
        Some(head) => of_form(rules, head, has_body),
        None => Ok(Masks { rules: Vec::new(), form: None }),
    }
}

/// The code of the reason to block a response for it.
pub fn condition_error(error: &ConditionError) -> &'static str {
    tracing::warn!(%error, "a mask rule could not be evaluated");
    "condition_error"
}

/// Which of these masks count for a response, or the code of the reason to block it.
pub fn of_form(
    mut rules: Vec<Arc<mask::Rule>>,
    head: &ResponseHead,
    has_body: bool,
) -> Result<Masks, &'static str> {
    let parts = MaskedParts::of(&rules);
    if !has_body {
        // What looks everywhere looks into the message of a gRPC error too.
        rules.retain(|rule| !rule.is_of_body() || head.headers.is_grpc() && rule.detect.is_some());
        return Ok(Masks { rules, form: None });
    }
    if !parts.body {
        // Nobody looks into that body, and its trailers are in it.
        let unseen = parts.trailers && head.headers.is_grpc_web();
        return if unseen { Err("trailers_in_body") } else { Ok(Masks { rules, form: None }) };
    }
    match (BodyForm::of(head), OnUnmaskable::of(&rules)) {
        (Err(code), OnUnmaskable::Block) => Err(code),
        (form, _) => Ok(Masks { rules, form: Some(form) }),
    }
}
