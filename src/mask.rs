//! Rewriting bodies so that sensitive fields never reach the caller. Fails closed: a body that must be masked
//! and can't be understood is refused, never passed.
//!
//! Knows nothing of policies, HTTP or Envoy: bytes in, bytes out.

use std::sync::Arc;

mod method;
mod path;

pub use method::Method;
pub use path::{FieldPath, PathError};

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

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Ndjson,
    Sse,
}
