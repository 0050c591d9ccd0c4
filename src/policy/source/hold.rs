//! Reads `hold`: who may release a call, when, and what for.

use std::sync::Arc;
use std::time::Duration;

use super::PolicyReader;
use crate::diagnostic::Diagnostic;
use crate::document::{Fields, Node, Value};
use crate::effect::{
    Approvers, AutoApproval, Class, Escalation, Grant, HoldTerms, Members, OnExpiry, Part, is_fleeting_header,
};
use crate::policy::cel::{Expression, Type};
use crate::policy::decision::{HeadersRead, HoldRule};
use crate::policy::rule::Verdict;

const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
const LONGEST_EXPIRY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most groups of approvers that one rule asks for.
const MOST_PARTS: usize = 10;

/// The rule that holds calls.
pub(super) struct Held<'n> {
    /// `policy/rule`.
    pub name: &'n str,
    /// The whole rule: its content names what was approved.
    pub rule: &'n Node,
    /// Which headers its condition reads.
    pub headers_read: HeadersRead,
    pub captures: &'n [String],
}

impl PolicyReader<'_> {
    /// The verdict, and the condition under which it needs no person.
    pub(super) fn hold(&mut self, node: &Node, held: &Held<'_>) -> Option<(Verdict, Option<Expression>)> {
        let errors = self.errors();
        let mut fields = self.reader.fields(node, "`hold`")?;
        let approvers = fields.required("approvers", self.reader);
        let approvers = approvers.and_then(|node| self.all_approvers(node));
        let mut terms = HoldTerms::of(approvers.unwrap_or_default());
        self.times(&mut fields, &mut terms);
        self.escalation(&mut fields, &mut terms);
        if let Some(node) = fields.optional("grant") {
            (terms.grant, terms.same) = self.grant(node).unwrap_or((Grant::Once, None));
        }
        terms.break_glass =
            fields.optional("break_glass").and_then(|node| self.members(node, "`break_glass`"));
        terms.hours = fields.optional("hours").and_then(|node| self.hours(node));
        let auto = fields.optional("auto_approve").and_then(|node| self.auto_approve(node, held.captures));
        let (auto_approve, condition) = auto.unzip();
        terms.auto_approve = auto_approve;
        let because = fields.optional("because").and_then(|node| self.reader.string(node, "`because`"));
        fields.close(self.reader);
        if self.errors() > errors {
            return None;
        }
        self.doubts(node, &terms);
        let mut headers_read = held.headers_read.clone();
        if let Some(condition) = &condition {
            headers_read = headers_read.and(condition.reads.headers_read());
        }
        let name = held.name;
        let (content, because) = (content(name, held.rule), because.unwrap_or_default().to_owned());
        let rule = HoldRule { name: name.into(), terms, content, headers_read, because };
        Some((Verdict::Hold(Arc::new(rule)), condition))
    }

    fn times(&mut self, fields: &mut Fields<'_>, terms: &mut HoldTerms) {
        let wait = fields.optional("wait");
        let wait = self.span_up_to(wait, "`wait`", LONGEST_WAIT);
        let expires = fields.optional("expires");
        let expires = self.span_up_to(expires, "`expires`", LONGEST_EXPIRY);
        (terms.wait, terms.expires) = (wait.unwrap_or(terms.wait), expires.unwrap_or(terms.expires));
        let words = [("deny", OnExpiry::Deny), ("escalate", OnExpiry::Escalate)];
        let on_expiry = fields.optional("on_expiry");
        let on_expiry = on_expiry.and_then(|node| self.reader.word(node, "`on_expiry`", &words));
        terms.on_expiry = on_expiry.unwrap_or(OnExpiry::Deny);
        if let Some(node) = fields.optional("remind_after") {
            terms.remind_after = self.in_time(node, "`remind_after`", terms.open_for());
        }
    }

    /// A span after which the request is still open.
    fn in_time(&mut self, node: &Node, what: &str, open_for: Duration) -> Option<Duration> {
        let span = self.span_up_to(Some(node), what, LONGEST_EXPIRY.saturating_mul(2))?;
        if span >= open_for {
            let message =
                format!("{what} is never over: the request lapses after {}", crate::effect::span(open_for));
            let help = "make it shorter than `expires`, or `expires` longer";
            self.reader.error_with_help(node.span, "never-in-time", message, help);
            return None;
        }
        Some(span)
    }

    fn escalation(&mut self, fields: &mut Fields<'_>, terms: &mut HoldTerms) {
        let at_expiry = terms.on_expiry == OnExpiry::Escalate;
        let Some(node) = fields.optional("escalate") else {
            if at_expiry {
                let help = "add `escalate: {approvers: {groups: [...]}}`";
                let message = "`on_expiry: escalate` needs to know to whom";
                self.reader.error_with_help(fields.span, "escalation-conflict", message, help);
            }
            return;
        };
        let Some(mut fields) = self.reader.fields(node, "`escalate`") else { return };
        let after = fields.optional("after");
        let to = fields.required("approvers", self.reader);
        let to = to.and_then(|node| self.members(node, "`escalate.approvers`"));
        fields.close(self.reader);
        let after = match (after, at_expiry) {
            (Some(node), true) => {
                let message = "the rule escalates with `on_expiry`, so there is no other time for it";
                let help = "leave out `after`, or `on_expiry: escalate`";
                self.reader.error_with_help(node.span, "escalation-conflict", message, help);
                None
            }
            (Some(node), false) => self.in_time(node, "`escalate.after`", terms.open_for()),
            (None, true) => Some(terms.expires),
            (None, false) => {
                let help = "write `after: 30m`, or `on_expiry: escalate` beside `escalate`";
                let message = "`escalate` does not say when";
                self.reader.error_with_help(node.span, "escalation-conflict", message, help);
                None
            }
        };
        terms.escalate = after.zip(to).map(|(after, to)| Escalation { after, to });
    }

    /// One group of approvers, or several with `all_of`.
    fn all_approvers(&mut self, node: &Node) -> Option<Vec<Approvers>> {
        let Some(list) = node.get("all_of") else { return self.approvers(node).map(|one| vec![one]) };
        let mut fields = self.reader.fields(node, "`approvers` with `all_of`")?;
        fields.optional("all_of");
        fields.close(self.reader);
        let items = self.reader.list(list, "`all_of`")?;
        if items.is_empty() || items.len() > MOST_PARTS {
            let message = format!("`all_of` has {} entries, not 1 to {MOST_PARTS}", items.len());
            self.reader.error(list.span, "out-of-range", message);
            return None;
        }
        let read: Vec<_> = items.iter().map(|item| self.approvers(item)).collect();
        let parts: Vec<Approvers> = read.into_iter().collect::<Option<_>>()?;
        if !crate::approval::can_be_met(&parts) {
            let message = "fewer people are named than must approve: one person counts for one entry only";
            self.reader.error_with_help(list.span, "nobody-approves", message, "name groups, or more people");
            return None;
        }
        Some(parts)
    }

    fn approvers(&mut self, node: &Node) -> Option<Approvers> {
        let mut fields = self.reader.fields(node, "`approvers`")?;
        let Members { groups, people } = self.named(&mut fields)?;
        let count = fields.optional("count");
        let count = count.map_or(Some(1), |node| self.reader.integer(node, "`count`", 1..=20));
        fields.close(self.reader);
        let count = u32::try_from(count?).unwrap_or(1);
        if groups.is_empty() && people.is_empty() {
            let help = "name `groups` or `people`";
            self.reader.error_with_help(node.span, "nobody-approves", "nobody could approve the call", help);
            return None;
        }
        let approvers = Approvers { groups, people, count };
        if !crate::approval::can_be_met(std::slice::from_ref(&approvers)) {
            let named: std::collections::BTreeSet<_> =
                approvers.people.iter().map(|name| crate::effect::person_key(name)).collect();
            let message = format!("{count} people must approve, and only {} may", named.len());
            self.reader.error(node.span, "nobody-approves", message);
            return None;
        }
        Some(approvers)
    }

    /// Groups and people without a number.
    fn members(&mut self, node: &Node, what: &'static str) -> Option<Members> {
        let mut fields = self.reader.fields(node, what)?;
        let members = self.named(&mut fields);
        fields.close(self.reader);
        let members = members?;
        if members.groups.is_empty() && members.people.is_empty() {
            let message = format!("{what} names nobody");
            self.reader.error_with_help(node.span, "nobody-approves", message, "name `groups` or `people`");
            return None;
        }
        Some(members)
    }

    fn named(&mut self, fields: &mut Fields<'_>) -> Option<Members> {
        let mut names = |name: &'static str, what: &str| {
            fields.optional(name).map_or(Some(Vec::new()), |node| self.reader.strings(node, what))
        };
        let (groups, people) = (names("groups", "`groups`"), names("people", "`people`"));
        let (groups, people) = (groups?, people?);
        if groups.iter().chain(&people).any(|name| name.trim().is_empty()) {
            self.reader.error(fields.span, "nobody-approves", "a group or person has an empty name");
            return None;
        }
        Some(Members { groups, people })
    }

    fn grant(&mut self, node: &Node) -> Option<(Grant, Option<Class>)> {
        match &node.value {
            Value::Map(_) => {
                let mut fields = self.reader.fields(node, "`grant`")?;
                let span = fields.required("for", self.reader);
                let same = fields.optional("same");
                fields.close(self.reader);
                let span = self.span_up_to(Some(span?), "`for`", LONGEST_EXPIRY)?;
                let same = match same {
                    Some(node) => Some(self.class(node)?),
                    None => None,
                };
                Some((Grant::For(span), same))
            }
            Value::Str(word) if word == "once" => Some((Grant::Once, None)),
            _ => {
                let message = "the grant is neither `once` nor `{for: SPAN}`";
                let help = "write `grant: once`, or `grant: {for: 1h}` for every same call within an hour";
                self.reader.error_with_help(node.span, "unknown-value", message, help);
                None
            }
        }
    }

    /// The parts in which calls must be the same.
    fn class(&mut self, node: &Node) -> Option<Class> {
        let items = self.reader.list(node, "`same`")?;
        let parts: Vec<_> = items.iter().map(|item| self.part(item)).collect();
        let class = Class::new(parts.into_iter().collect::<Option<Vec<_>>>()?);
        if class.is_none() {
            let message = "`same` is empty: an approval would be for whatever call the rule holds";
            let help =
                "name what must be the same, as `[method, host, path]`; leave `same` out for all of it";
            self.reader.error_with_help(node.span, "out-of-range", message, help);
        }
        class
    }

    fn part(&mut self, node: &Node) -> Option<Part> {
        let text = self.reader.string(node, "a part of `same`")?;
        match text.parse::<Part>() {
            Ok(Part::Header(name))
                if is_fleeting_header(&name) || ["authorization", "prefer"].contains(&name.as_str()) =>
            {
                let message =
                    format!("`{name}` is never covered: it differs each time, or carries the credential");
                self.reader.error(node.span, "never-covered", message);
                None
            }
            Ok(part) => Some(part),
            Err(error) => {
                let help = "it is one of `method`, `host`, `path`, `query`, `body` and `header:NAME`";
                self.reader.error_with_help(node.span, "unknown-value", error.to_string(), help);
                None
            }
        }
    }

    fn auto_approve(&mut self, node: &Node, captures: &[String]) -> Option<(AutoApproval, Expression)> {
        let mut fields = self.reader.fields(node, "`auto_approve`")?;
        let when = fields.required("when", self.reader);
        let because = fields.optional("because").and_then(|node| self.reader.string(node, "`because`"));
        fields.close(self.reader);
        let node = when?;
        let text = self.reader.string(node, "`auto_approve.when`")?;
        let condition = self.expression(node, 0, text, captures)?;
        if !condition.ty.fits(&Type::Bool) {
            let message =
                format!("`auto_approve.when` must be true or false, and this is {:#}", condition.ty);
            self.reader.error(node.span, "type-mismatch", message);
            return None;
        }
        if condition.reads.nothing() {
            let message = "`auto_approve.when` reads nothing of the call: it is the same for all of them";
            let help = "use `allow` if nobody needs to be asked, or leave `auto_approve` out";
            self.reader.error_with_help(node.span, "constant-condition", message, help);
            return None;
        }
        Some((
            AutoApproval { when: text.to_owned(), because: because.unwrap_or_default().to_owned() },
            condition,
        ))
    }

    /// What is valid, and says less than it seems to.
    fn doubts(&mut self, node: &Node, terms: &HoldTerms) {
        let place =
            |field: &str| node.get(field).map_or(node.span, |node| node.span).place(&self.reader.file);
        let several = terms.approvers.len() > 1 || terms.approvers.iter().any(|part| part.count > 1);
        let mut findings = Vec::new();
        if let Some(members) = terms.break_glass.as_ref().filter(|_| several) {
            let all = members.names();
            let alone = |part: &Approvers| {
                part.groups.iter().chain(&part.people).any(|name| all.contains(name.as_str()))
            };
            if terms.approvers.iter().any(alone) {
                let message =
                    "approvers of this rule may also break the glass: each could release the call alone";
                let help = "give `break_glass` groups of its own";
                findings.push(
                    Diagnostic::warning("break-glass-approver", message).at(place("break_glass")).help(help),
                );
            }
        }
        if let Some(class) = &terms.same
            && !class.contains(&Part::Method)
            && !class.contains(&Part::Path)
        {
            let message = "an approval is for calls with any method and any path that the rule holds";
            let help = "add `method` or `path` to `same`";
            findings.push(Diagnostic::warning("wide-class", message).at(place("grant")).help(help));
        }
        self.reader.findings.extend(findings);
    }

    fn span_up_to(&mut self, node: Option<&Node>, what: &str, longest: Duration) -> Option<Duration> {
        let node = node?;
        let span = self.reader.duration(node, what)?;
        if span.is_zero() || span > longest {
            let message =
                format!("{what} must be more than nothing and at most {}", crate::effect::span(longest));
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
