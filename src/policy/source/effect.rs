//! Reads `allow`, `deny` and `hold`.

use std::sync::Arc;
use std::time::Duration;

use super::PolicyReader;
use crate::document::{Node, Value};
use crate::effect::{Approvers, DenyTerms, Grant, HoldTerms};
use crate::policy::decision::{HeadersRead, HoldRule};
use crate::policy::rule::Verdict;

const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
const DEFAULT_EXPIRY: Duration = Duration::from_secs(60 * 60);
const LONGEST_EXPIRY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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

    /// `rule` is the whole rule: its content names what was approved.
    pub(super) fn hold(
        &mut self,
        node: &Node,
        name: &str,
        rule: &Node,
        headers_read: HeadersRead,
    ) -> Option<Verdict> {
        let mut fields = self.reader.fields(node, "`hold`")?;
        let approvers = fields.required("approvers", self.reader).and_then(|node| self.approvers(node));
        let wait = fields.optional("wait");
        let wait = self.span_up_to(wait, "`wait`", DEFAULT_WAIT, LONGEST_WAIT);
        let expires = fields.optional("expires");
        let expires = self.span_up_to(expires, "`expires`", DEFAULT_EXPIRY, LONGEST_EXPIRY);
        let grant = fields.optional("grant").map_or(Some(Grant::Once), |node| self.grant(node));
        let because = fields.optional("because").and_then(|node| self.reader.string(node, "`because`"));
        fields.close(self.reader);
        let terms = HoldTerms { approvers: approvers?, wait: wait?, expires: expires?, grant: grant? };
        let because = because.unwrap_or_default().to_owned();
        let content = content(name, rule);
        Some(Verdict::Hold(Arc::new(HoldRule { name: name.into(), terms, content, headers_read, because })))
    }

    fn approvers(&mut self, node: &Node) -> Option<Approvers> {
        let mut fields = self.reader.fields(node, "`approvers`")?;
        let groups =
            fields.optional("groups").map_or(Some(Vec::new()), |node| self.reader.strings(node, "`groups`"));
        let people =
            fields.optional("people").map_or(Some(Vec::new()), |node| self.reader.strings(node, "`people`"));
        let count_node = fields.optional("count");
        let count = count_node.map_or(Some(1), |node| self.reader.integer(node, "`count`", 1..=20));
        fields.close(self.reader);
        let (groups, people, count) = (groups?, people?, u32::try_from(count?).unwrap_or(1));
        if groups.iter().chain(&people).any(|name| name.trim().is_empty()) {
            self.reader.error(node.span, "nobody-approves", "a group or person has an empty name");
            return None;
        }
        if groups.is_empty() && people.is_empty() {
            let help = "name `groups` or `people`";
            self.reader.error_with_help(node.span, "nobody-approves", "nobody could approve the call", help);
            return None;
        }
        let named = people.iter().collect::<std::collections::BTreeSet<_>>().len();
        if groups.is_empty() && usize::try_from(count).is_ok_and(|count| count > named) {
            let message = format!("{count} people must approve, and only {named} may");
            self.reader.error(node.span, "nobody-approves", message);
            return None;
        }
        Some(Approvers { groups, people, count })
    }

    fn grant(&mut self, node: &Node) -> Option<Grant> {
        match &node.value {
            Value::Map(_) => {
                let mut fields = self.reader.fields(node, "`grant`")?;
                let span = fields.required("for", self.reader);
                fields.close(self.reader);
                self.span_up_to(Some(span?), "`for`", DEFAULT_EXPIRY, LONGEST_EXPIRY).map(Grant::For)
            }
            Value::Str(word) if word == "once" => Some(Grant::Once),
            _ => {
                let message = "the grant is neither `once` nor `{for: SPAN}`";
                let help = "write `grant: once`, or `grant: {for: 1h}` for every same call within an hour";
                self.reader.error_with_help(node.span, "unknown-value", message, help);
                None
            }
        }
    }

    fn span_up_to(
        &mut self,
        node: Option<&Node>,
        what: &str,
        default: Duration,
        longest: Duration,
    ) -> Option<Duration> {
        let Some(node) = node else { return Some(default) };
        let span = self.reader.duration(node, what)?;
        if span.is_zero() || span > longest {
            let message = format!("{what} must be more than nothing and at most {}m", longest.as_secs() / 60);
            self.reader.error(node.span, "out-of-range", message);
            return None;
        }
        Some(span)
    }
}

/// SHA-256 of the rule's name and all that it says, whatever its layout.
fn content(name: &str, rule: &Node) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(name.as_bytes());
    context.update(&[0]);
    context.update(rule.to_json().to_string().as_bytes());
    let mut content = [0; 32];
    for (to, from) in content.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    content
}
