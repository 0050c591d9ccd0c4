//! Every rule, a file each.

use super::rule::Rule;

mod fail_open;

/// Every rule, sorted by id.
pub static RULES: &[&Rule] = &[&fail_open::RULE];

pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}
