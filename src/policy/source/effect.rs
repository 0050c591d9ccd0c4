//! Reads `allow` and `deny`.

use super::PolicyReader;
use crate::document::{Node, Value};
use crate::effect::DenyTerms;
use crate::policy::rule::Verdict;

impl PolicyReader<'_> {
    pub(super) fn allow(&mut self, node: &Node) -> Verdict {
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("`allow` must be a map, not {}", node.kind());
            self.reader.error_with_help(node.span, "wrong-type", message, "write `allow: {}`");
            return Verdict::Allow;
        }
        if let Some(fields) = self.reader.fields(node, "`allow`") {
            fields.close(self.reader);
        }
        Verdict::Allow
    }

    pub(super) fn deny(&mut self, node: &Node) -> Option<Verdict> {
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("`deny` must be a map, not {}", node.kind());
            let help = "write `deny: {}`, or `deny: {status: 403, because: the reason}`";
            self.reader.error_with_help(node.span, "wrong-type", message, help);
            return None;
        }
        let mut fields = self.reader.fields(node, "`deny`")?;
        let status = match fields.optional("status") {
            Some(node) => self.reader.integer(node, "the status", 400..=599),
            None => Some(403),
        };
        let because = fields.optional("because").and_then(|node| self.reader.string(node, "`because`"));
        fields.close(self.reader);
        let status = u16::try_from(status?).unwrap_or(403);
        let because = because.filter(|text| !text.is_empty()).map(Into::into);
        Some(Verdict::Deny(DenyTerms { status, because }))
    }
}
