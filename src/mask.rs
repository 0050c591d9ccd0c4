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

/// Reads the list under `mask:`; mistakes go to the reader's findings.
pub fn rules_from_node(node: &crate::document::Node, reader: &mut crate::document::Reader) -> Vec<Rule> {
    let mut rules = Vec::new();
    for item in reader.list(node, "`mask`").unwrap_or_default() {
        let Some(mut fields) = reader.fields(item, "the mask") else { continue };
        let field = fields.required("field", reader).and_then(|node| {
            let text = reader.string(node, "`field`")?;
            FieldPath::parse(text)
                .map_err(|error| reader.error(node.span, "invalid-field", error.to_string()))
                .ok()
        });
        let words = [("remove", 0), ("null", 1), ("redact", 2), ("hash", 3), ("last4", 4)];
        let with = fields.required("with", reader).and_then(|node| reader.word(node, "method", &words));
        fields.close(reader);
        let method = match with {
            Some(0) => Method::Remove,
            Some(1) => Method::Null,
            Some(3) => Method::Hash,
            Some(4) => Method::Last4,
            _ => Method::Redact { text: method::REDACTED.to_owned() },
        };
        rules.extend(field.map(|field| Rule { field, method }));
    }
    rules
}
