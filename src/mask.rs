//! The masker, and its rules as people write them.
//!
//! `portcullis-mask` (`mask/`) rewrites bytes and knows nothing of YAML, policies, HTTP or Envoy.

pub use portcullis_mask::*;

mod detect;
mod rules;

pub use rules::{response_rules_from_node, rule_to_json, rules_from_node};
