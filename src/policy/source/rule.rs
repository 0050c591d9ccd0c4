//! Reads `rules`.

use std::collections::HashMap;
use std::sync::Arc;

use super::PolicyReader;
use super::hold::Held;
use crate::diagnostic::Diagnostic;
use crate::document::{Node, Value};
use crate::effect::{Class, Part};
use crate::policy::cel::{Expression, Reads};
use crate::policy::decision::HeadersRead;
use crate::policy::lint::Formula;
use crate::policy::outline::{RuleOutline, When};
use crate::policy::rule::{HeaderTemplates, Rule, Verdict};

const EFFECTS: [&str; 5] = ["allow", "deny", "hold", "mask", "headers"];

impl PolicyReader<'_> {
    pub(super) fn rules(
        &mut self,
        policy: &str,
        node: &Node,
        enforce: bool,
        captures: &[String],
    ) -> Option<(Vec<Rule>, Vec<RuleOutline>)> {
        let items = self.reader.list(node, "`rules`")?;
        if items.is_empty() {
            self.reader.error(node.span, "no-rule", "the policy has no rule");
        }
        let mut names = HashMap::new();
        let rules: Vec<_> =
            items.iter().map(|item| self.rule(policy, item, enforce, captures, &mut names)).collect();
        rules.into_iter().collect::<Option<Vec<_>>>().map(|rules| rules.into_iter().unzip())
    }

    fn rule(
        &mut self,
        policy: &str,
        node: &Node,
        enforce: bool,
        captures: &[String],
        names: &mut HashMap<String, u32>,
    ) -> Option<(Rule, RuleOutline)> {
        let errors_before = self.errors();
        let mut fields = self.reader.fields(node, "the rule")?;
        let name_node = fields.required("name", self.reader);
        let name = name_node.and_then(|node| self.name(node, "the rule's name"));
        let when = fields.optional("when");
        let condition = when.and_then(|node| self.condition(node, captures));
        let name = format!("{policy}/{}", name.as_deref().unwrap_or("?"));
        let allow = fields.optional("allow").map(|node| self.allow(node));
        let deny = fields.optional("deny").and_then(|node| self.deny(node));
        let headers_read = condition.as_ref().map(|condition| condition.reads.headers_read());
        let held = fields.optional("hold").and_then(|effect| {
            let headers_read = headers_read.unwrap_or(HeadersRead::Named(Vec::new()));
            self.hold(effect, &Held { name: &name, rule: node, headers_read, captures })
        });
        let (hold, auto_approve) = held.unzip();
        let auto_approve = auto_approve.flatten();
        let masks = fields.optional("mask").map(|node| self.masks(node)).unwrap_or_default();
        let headers = fields.optional("headers").map(|node| self.headers(node, captures)).unwrap_or_default();
        let enforce = self.enforce(fields.optional("enforce")) && enforce;
        fields.close(self.reader);
        if let Some(node) = name_node
            && let Some(line) = names.insert(name.clone(), node.span.line)
        {
            let message = format!("there is a rule `{name}` already, in line {line}");
            let help = "rules are named in audit records and approvals: give each its own name";
            self.reader.error_with_help(node.span, "duplicate-rule", message, help);
        }
        let verdict = self.one_verdict(node, allow, deny, hold);
        let mut reads = reads(condition.as_ref(), &headers);
        auto_approve.iter().for_each(|condition| reads.extend(&condition.reads));
        reads.headers.extend(verdict.iter().flat_map(class_headers));
        let rule =
            Rule { name: name.into(), enforce, condition, verdict, auto_approve, masks, headers, reads };
        if self.errors() > errors_before {
            return None;
        }
        self.check_effects(&rule, node);
        let outline = self.outline(&rule, node)?;
        (self.errors() == errors_before).then_some((rule, outline))
    }

    /// What the rule says; `None` only for a rule without a name.
    fn outline(&self, rule: &Rule, node: &Node) -> Option<RuleOutline> {
        let place = |node: &Node| node.span.place(&self.reader.file);
        let written = |key: &str| node.get(key).map(Node::to_json).unwrap_or_default();
        let when = node.get("when").zip(rule.condition.as_ref()).and_then(|(node, condition)| {
            let text = match &node.value {
                Value::Str(text) => text.clone(),
                Value::Bool(value) => value.to_string(),
                _ => return None,
            };
            // A condition that is not understood is still a condition: without one a rule would always apply.
            let formula = Formula::parse(&text).unwrap_or_else(|| Formula::opaque(&text));
            Some(When { text, place: place(node), formula, constant: condition.reads.nothing() })
        });
        let says_enforce = node.get("enforce").filter(|node| node.value == Value::Bool(true)).map(place);
        Some(RuleOutline {
            name: rule.name.clone(),
            place: place(node.get("name")?),
            enforce: rule.enforce,
            says_enforce,
            when,
            verdict: rule.verdict.clone(),
            needs_body: rule.enforce && (rule.reads.body() || rule.holds_calls()),
            reads_captures: rule.reads.captures(),
            fills_headers: rule.headers.any_expression(),
            masks: written("mask"),
            headers: written("headers"),
        })
    }

    pub(super) fn errors(&self) -> usize {
        self.reader.findings.iter().filter(|finding| finding.is_error()).count()
    }

    fn one_verdict(
        &mut self,
        node: &Node,
        allow: Option<Verdict>,
        deny: Option<Verdict>,
        hold: Option<Verdict>,
    ) -> Option<Verdict> {
        let mut given: Vec<_> = [allow, deny, hold].into_iter().flatten().collect();
        if given.len() > 1 {
            let message = "a rule has one of `allow`, `deny` and `hold`";
            let help = "make two rules of it, each with a `when` of its own";
            self.reader.error_with_help(node.span, "several-verdicts", message, help);
        }
        given.pop()
    }

    fn check_effects(&mut self, rule: &Rule, node: &Node) {
        // A field without a value was reported as such.
        let empty =
            EFFECTS.iter().any(|effect| node.get(effect).is_some_and(|node| node.value == Value::Null));
        if rule.verdict.is_none() && rule.masks.is_empty() && rule.headers.is_empty() && !empty {
            let help = "give it `allow`, `deny`, `hold`, `mask` or `headers`";
            self.reader.error_with_help(node.span, "no-effect", "the rule has no effect", help);
        }
        if rule.reads_response() && (rule.verdict.is_some() || !rule.headers.is_empty()) {
            let span = node.get("when").map_or(node.span, |when| when.span);
            let message = "`response` may be read only by rules that do nothing but mask";
            let help = "the other effects are decided before there is a response";
            self.reader.error_with_help(span, "response-too-early", message, help);
        }
        if matches!(rule.verdict, Some(Verdict::Deny(_)))
            && !(rule.masks.is_empty() && rule.headers.is_empty())
        {
            let message = "a rule that denies has nothing to mask and no headers to change";
            self.reader.error(node.span, "several-verdicts", message);
        }
    }

    fn masks(&mut self, node: &Node) -> Vec<Arc<crate::mask::Rule>> {
        self.warn_of_passing(node);
        crate::mask::response_rules_from_node(node, self.reader).into_iter().map(Arc::new).collect()
    }

    fn warn_of_passing(&mut self, node: &Node) {
        let Value::Seq(items) = &node.value else { return };
        for done in items.iter().filter_map(|item| item.get("on_unmaskable")) {
            if matches!(&done.value, Value::Str(word) if word == "pass") {
                let message = "a body that this mask can't be kept in reaches the caller as it is";
                let help = "leave `on_unmaskable` out to block it, or write `redact_all`";
                let finding = Diagnostic::warning("unmaskable-passes", message).help(help);
                self.reader.findings.push(finding.at(done.span.place(&self.reader.file)));
            }
        }
    }
}

/// The headers that make a call one of the class that an approval is for: the proxy must show them.
fn class_headers(verdict: &Verdict) -> Vec<String> {
    let class = match verdict {
        Verdict::Hold(hold) => hold.terms.same.as_ref(),
        Verdict::Allow | Verdict::Deny(_) => None,
    };
    let named = class.into_iter().flat_map(Class::parts).filter_map(|part| match part {
        Part::Header(name) => Some(name.clone()),
        _ => None,
    });
    named.collect()
}

fn reads(condition: Option<&Expression>, headers: &HeaderTemplates) -> Reads {
    let mut reads = condition.map(|condition| condition.reads.clone()).unwrap_or_default();
    for template in headers.request.iter().chain(&headers.response) {
        for expression in template.expressions() {
            reads.extend(&expression.reads);
        }
    }
    reads
}
