//! Rewriting bodies so that sensitive fields never reach the caller. Fails closed: a body that must be masked
//! and can't be understood is refused, never passed.
//!
//! Knows nothing of policies, HTTP or Envoy: bytes in, bytes out.

use std::sync::Arc;

mod format;
mod key;
mod method;
mod path;
mod rules;

pub use format::Format;
pub use key::{HashKey, WeakKey};
pub use method::Method;
pub use path::{FieldPath, PathError, Segment};
pub use rules::rules_from_node;

/// One mask obligation: which fields, and what takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub field: FieldPath,
    pub method: Method,
}

/// The rules that apply to one body, compiled together. Cheap to share between bodies.
#[derive(Debug)]
pub struct Plan {
    rules: Vec<Arc<Rule>>,
}

impl Plan {
    /// Whether no rule applies, so that the body may pass as it is.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}
