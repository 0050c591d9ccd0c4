//! Reads `headers`: changes to request and response headers, with `${...}` expressions in their values.

use super::PolicyReader;
use crate::document::{Entry, Node, Value};
use crate::policy::cel::Type;
use crate::policy::rule::{HeaderTemplate, HeaderTemplates, Part, Template};

/// Headers that frame or route the message: changing them makes two readers see two messages.
const FORBIDDEN: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
];

impl PolicyReader<'_> {
    pub(super) fn headers(&mut self, node: &Node, captures: &[String]) -> HeaderTemplates {
        let before = self.reader.findings.len();
        let Some(mut fields) = self.reader.fields(node, "`headers`") else {
            return HeaderTemplates::default();
        };
        let (request, response) = (fields.optional("request"), fields.optional("response"));
        fields.close(self.reader);
        let request = request.map(|node| self.changes(node, captures)).unwrap_or_default();
        let response = response.map(|node| self.changes(node, captures)).unwrap_or_default();
        let templates = HeaderTemplates { request, response };
        if templates.is_empty() && self.reader.findings.len() == before {
            self.reader.error(node.span, "no-effect", "`headers` changes nothing");
        }
        templates
    }

    fn changes(&mut self, node: &Node, captures: &[String]) -> Vec<HeaderTemplate> {
        let Some(mut fields) = self.reader.fields(node, "the header changes") else { return Vec::new() };
        let (set, append, remove) =
            (fields.optional("set"), fields.optional("append"), fields.optional("remove"));
        fields.close(self.reader);
        let mut changes = Vec::new();
        for entry in self.entries(set) {
            let change = self.value_of(entry, captures);
            changes.extend(change.map(|(name, template)| HeaderTemplate::Set(name, template)));
        }
        for entry in self.entries(append) {
            let change = self.value_of(entry, captures);
            changes.extend(change.map(|(name, template)| HeaderTemplate::Append(name, template)));
        }
        let removed = remove.and_then(|node| self.reader.list(node, "`remove`")).unwrap_or_default();
        for item in removed {
            if let Some(name) = self.reader.string(item, "a header's name") {
                let name = self.header_name(name, item.span);
                changes.extend(name.map(HeaderTemplate::Remove));
            }
        }
        changes
    }

    fn entries<'n>(&mut self, node: Option<&'n Node>) -> &'n [Entry] {
        match node.map(|node| (&node.value, node)) {
            None => &[],
            Some((Value::Map(entries), _)) => entries,
            Some((_, node)) => {
                self.reader.wrong_kind(node, "the header changes", "a map").unwrap_or_default()
            }
        }
    }

    fn value_of(&mut self, entry: &Entry, captures: &[String]) -> Option<(String, Template)> {
        let name = self.header_name(&entry.key, entry.key_span);
        let template = self.template(&entry.value, captures);
        Some((name?, template?))
    }

    fn header_name(&mut self, name: &str, span: crate::document::Span) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if lower.is_empty() || !lower.bytes().all(token) {
            self.reader.error(span, "invalid-header", format!("`{name}` is not the name of a header"));
            return None;
        }
        if FORBIDDEN.contains(&lower.as_str()) {
            let message = format!("`{name}` frames or routes the message and can't be changed");
            self.reader.error(span, "invalid-header", message);
            return None;
        }
        Some(lower)
    }

    /// Splits the value at its `${...}` and compiles those.
    fn template(&mut self, node: &Node, captures: &[String]) -> Option<Template> {
        let text = self.reader.string(node, "a header's value")?;
        if text.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            self.reader.error(node.span, "invalid-header", "a header's value has no control characters");
            return None;
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(start) = rest.find("${") else {
                parts.push(Part::Text(rest.to_owned()));
                break;
            };
            if start > 0 {
                parts.push(Part::Text(rest.get(..start)?.to_owned()));
            }
            let inner = rest.get(start + 2..)?;
            let Some(end) = closing_brace(inner) else {
                self.reader.error(node.span, "invalid-template", "a `${` is not closed");
                return None;
            };
            let expression = self.expression(node, at + start + 2, inner.get(..end)?, captures)?;
            if !expression.ty.fits(&Type::Text) {
                let message =
                    format!("a template's expression must be a string, and this is {:#}", expression.ty);
                let help = "convert it with `string(...)`";
                self.reader.error_with_help(node.span, "type-mismatch", message, help);
                return None;
            }
            parts.push(Part::Expression(expression));
            at += start + 2 + end + 1;
        }
        Some(Template(parts))
    }
}

/// The `}` that ends the expression: not one in a string or of a map inside it.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (index, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) => quote = (c != open).then_some(open),
            None => match c {
                '\'' | '"' => quote = Some(c),
                '{' => depth += 1,
                '}' if depth == 0 => return Some(index),
                '}' => depth -= 1,
                _ => {}
            },
        }
    }
    None
}
