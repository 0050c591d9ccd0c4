//! YAML as a tree that remembers where each value stands, and a reader that gathers every mistake in it.
//!
//! serde stops at the first mistake; a person who edits a policy wants all of them. So `serde-saphyr` parses
//! (with its limits against alias bombs and deep nesting) and `Reader` walks the tree.

use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::Location;

use crate::diagnostic::{Diagnostic, Place, closest};

mod hint;
mod parse;

/// One file's YAML documents (`---` separates them).
#[derive(Clone, Debug)]
pub struct Document {
    pub file: Arc<str>,
    pub text: Arc<str>,
    pub roots: Vec<Node>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Where a value stands: `line` and `column` from 1 in characters, `offset` and `len` in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub offset: usize,
    pub len: usize,
}

/// Two nodes are equal when their values are, wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Document {
    /// Parses `text`; a syntax error, a duplicate key or a breached limit is the one `Diagnostic` returned.
    pub fn parse(file: &Arc<str>, text: &Arc<str>) -> Result<Self, Diagnostic> {
        // One anchor may be meant in many places. How much all aliases come to has a limit of its own.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { enforce_alias_anchor_ratio: false },
        };
        let roots = serde_saphyr::from_multiple_with_options::<Node>(text, options).map_err(|error| {
            let error = error.without_snippet();
            let message = error.to_string();
            let mut finding = Diagnostic::error("invalid-yaml", in_our_words(&message));
            finding.help = hint::of(&message).map(str::to_owned);
            if text.contains("{{") {
                finding.help = Some(hint::TEMPLATE.to_owned());
            }
            match error.location() {
                Some(location) => finding.at(Span::of_mistake(location, text).place(file)),
                None => finding,
            }
        })?;
        Ok(Self { file: file.clone(), text: text.clone(), roots })
    }
}

/// The library ends its messages in ` at line L, column C`, which is shown apart, and names its own options.
fn in_our_words(message: &str) -> &str {
    let cut = |text: &str| message.rfind(text).and_then(|at| message.get(..at));
    cut(", set DuplicateKeyPolicy").or_else(|| cut(" at line ")).unwrap_or(message)
}

impl Span {
    /// Where the parser stopped; it gives no byte offsets for syntax errors, so they are counted here.
    fn of_mistake(location: Location, text: &str) -> Self {
        let span = Self::from(location);
        let wanted = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1);
        let before: usize = text.split_inclusive('\n').take(wanted(span.line)).map(str::len).sum();
        let line = text.get(before..).and_then(|rest| rest.split('\n').next()).unwrap_or_default();
        let within: usize = line.chars().take(wanted(span.column)).map(char::len_utf8).sum();
        Self { offset: before + within, len: 1, ..span }
    }

    pub fn place(self, file: &Arc<str>) -> Place {
        Place { file: file.clone(), line: self.line, column: self.column, offset: self.offset, len: self.len }
    }
}

impl From<Location> for Span {
    fn from(location: Location) -> Self {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let bytes = |n: Option<u64>| usize::try_from(n.unwrap_or(0)).unwrap_or(0);
        let span = location.span();
        Self {
            line: narrow(location.line()),
            column: narrow(location.column()),
            offset: bytes(span.byte_offset()),
            len: bytes(span.byte_len()),
        }
    }
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// What kind of value this is, in a user's words.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// A JSON value whose every part stands at this place. A number that no `i64` holds becomes a float.
    pub fn from_json(value: serde_json::Value, span: Span) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Str(text),
            Json::Array(items) => {
                Value::Seq(items.into_iter().map(|item| Self::from_json(item, span)).collect())
            }
            Json::Object(fields) => {
                let entry = |(key, value)| Entry { key, key_span: span, value: Self::from_json(value, span) };
                Value::Map(fields.into_iter().map(entry).collect())
            }
        };
        Self { value, span }
    }

    /// The value as JSON, places forgotten.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Float(n) => (*n).into(),
            Value::Str(s) => s.as_str().into(),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }
}

/// Reads one file's tree, gathering what is wrong with it in `findings`. Every method that returns `None` has
/// said why there, except where an absent optional value is what `None` means.
#[derive(Debug)]
pub struct Reader {
    pub file: Arc<str>,
    pub findings: Vec<Diagnostic>,
}

impl Reader {
    pub fn new(file: &Arc<str>) -> Self {
        Self { file: file.clone(), findings: Vec::new() }
    }

    pub fn error(&mut self, span: Span, code: &'static str, message: impl Into<String>) {
        self.findings.push(Diagnostic::error(code, message).at(span.place(&self.file)));
    }

    pub fn error_with_help(
        &mut self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(Diagnostic::error(code, message).at(span.place(&self.file)).help(help));
    }

    /// The fields of a map, to be asked for by name and then `close`d, which reports those never asked for.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &'static str) -> Option<Fields<'n>> {
        match &node.value {
            Value::Map(entries) => Some(Fields { entries, span: node.span, what, known: Vec::new() }),
            _ => self.wrong_kind(node, what, "a map"),
        }
    }

    pub fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::Seq(items) => Some(items),
            _ => self.wrong_kind(node, what, "a list"),
        }
    }

    pub fn string<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Str(text) => Some(text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                // `no`, `y` and `1.0` are not strings to YAML.
                let message = format!("{what} must be a string, not {}", node.kind());
                self.error_with_help(node.span, "wrong-type", message, "put it in quotes");
                None
            }
            _ => self.wrong_kind(node, what, "a string"),
        }
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.wrong_kind(node, what, "`true` or `false`"),
        }
    }

    pub fn integer(&mut self, node: &Node, what: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match node.value {
            Value::Int(n) if range.contains(&n) => Some(n),
            Value::Int(n) => {
                let (low, high) = (range.start(), range.end());
                self.error(node.span, "out-of-range", format!("{what} is {n}, not in {low} to {high}"));
                None
            }
            _ => self.wrong_kind(node, what, "an integer"),
        }
    }

    pub fn strings(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        let items = self.list(node, what)?;
        let read: Vec<_> = items.iter().map(|item| self.string(item, what).map(str::to_owned)).collect();
        read.into_iter().collect()
    }

    /// A span of time such as `250ms`, `30s`, `5m`, `1h30m` or `2d`.
    pub fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let parsed = match &node.value {
            Value::Str(text) => parse_duration(text),
            _ => None,
        };
        if parsed.is_none() {
            let message = format!("{what} is not a span of time");
            self.error_with_help(
                node.span,
                "invalid-duration",
                message,
                "write it as `250ms`, `30s`, `5m`, `1h30m` or `2d`",
            );
        }
        parsed
    }

    /// One of a closed set of words.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.string(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let message = format!("unknown {what} `{text}`");
            let help = match closest(text, words.iter().map(|(word, _)| *word)) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it is one of {}", all.join(", ")),
            };
            self.error_with_help(node.span, "unknown-value", message, help);
        }
        found
    }

    pub fn wrong_kind<T>(&mut self, node: &Node, what: &str, wanted: &str) -> Option<T> {
        self.error(node.span, "wrong-type", format!("{what} must be {wanted}, not {}", node.kind()));
        None
    }
}

/// The fields of one map. See [`Reader::fields`].
#[derive(Debug)]
pub struct Fields<'n> {
    entries: &'n [Entry],
    pub span: Span,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The field, if it is there. A field that is `null` counts as absent.
    pub fn optional(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        (entry.value.value != Value::Null).then_some(&entry.value)
    }

    /// The field; reported when it is absent.
    pub fn required(&mut self, name: &'static str, reader: &mut Reader) -> Option<&'n Node> {
        let found = self.optional(name);
        if found.is_none() {
            reader.error(self.span, "missing-field", format!("{} lacks the field `{name}`", self.what));
        }
        found
    }

    /// Reports every field that was never asked for.
    pub fn close(self, reader: &mut Reader) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let message = format!("unknown field `{}` in {}", entry.key, self.what);
            let help = match closest(&entry.key, self.known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            reader.error_with_help(entry.key_span, "unknown-field", message, help);
        }
    }
}

/// `1h30m` and the like: whole numbers, each with a unit of `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, Diagnostic> {
        Document::parse(&"test.yaml".into(), &text.into())
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let document = parse("port: high\nhots: a\nwait: 5 minutes\n").unwrap();
        let mut reader = Reader::new(&document.file);
        let mut fields = reader.fields(&document.roots[0], "the server").unwrap();
        let port = fields.required("port", &mut reader).unwrap();
        assert_eq!(reader.integer(port, "port", 0..=65_535), None);
        let wait = fields.optional("wait").unwrap();
        assert_eq!(reader.duration(wait, "wait"), None);
        assert!(fields.required("hosts", &mut reader).is_none());
        fields.close(&mut reader);
        let shown: Vec<_> = reader.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "test.yaml:1:7: error[wrong-type]: port must be an integer, not a string",
                "test.yaml:3:7: error[invalid-duration]: wait is not a span of time (write it as `250ms`, `30s`, `5m`, `1h30m` or `2d`)",
                "test.yaml:1:1: error[missing-field]: the server lacks the field `hosts`",
                "test.yaml:2:1: error[unknown-field]: unknown field `hots` in the server (did you mean `hosts`?)",
            ]
        );
    }

    #[test]
    fn durations_need_units() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "5", "m", "5 m", "-5m", "5y", "99999999999999999999s", "9999999999999999999d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_anchor_may_stand_for_much_and_a_bomb_of_them_is_refused() {
        let aliases = "- *a\n".repeat(500);
        assert_eq!(parse(&format!("- &a {{x: 1}}\n{aliases}")).unwrap().roots.len(), 1);
        let level = |n: u32| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
        let bomb: String = (1..9).map(level).collect();
        assert_eq!(parse(&format!("a0: &a0 x\n{bomb}")).unwrap_err().code, "invalid-yaml");
    }

    #[test]
    fn duplicate_keys_and_broken_syntax_are_refused() {
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().place.unwrap().line, 2);
        for text in ["a: 1\nb: [1\nc: 2\n", "a: 1\né: \"x\" == 1\n", "a: 1\n  b: 2\n"] {
            let place = parse(text).unwrap_err().place.unwrap();
            let lines_before = text[..place.offset].matches('\n').count();
            assert!(place.line > 1, "{text:?}");
            assert_eq!(
                u32::try_from(lines_before).unwrap() + 1,
                place.line,
                "the excerpt shows the line, {text:?}"
            );
        }
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().message, "duplicate mapping key: a");
    }
}
