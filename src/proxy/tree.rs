//! A proxy's configuration as it is written, walked by protobuf's rules: a field is found under its snake-case and its
//! camel-case name, what is absent has the place where it is missing, and every value knows its path.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Place};
use crate::document::{Document, Entry, Node, Span, Value};

/// One file, or the answer of one URL: YAML documents, or JSON.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path or URL, as it was given.
    pub name: Arc<str>,
    pub text: Arc<str>,
    pub roots: Vec<Node>,
    /// Whether lines are worth telling: those of a YAML file are, those of a dump in JSON are not.
    pub has_lines: bool,
}

/// A value of a configuration, or where it is missing.
#[derive(Clone, Debug)]
pub struct At<'a> {
    source: &'a Source,
    node: Option<&'a Node>,
    /// Its own place, or that of what would hold it.
    span: Span,
    /// `static_resources.listeners[0].name`, with the names that the file uses.
    path: String,
}

impl Source {
    /// Reads a text. It is JSON when it begins with `{` or `[`, else YAML.
    ///
    /// # Errors
    /// A syntax error, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostic> {
        let (name, text): (Arc<str>, Arc<str>) = (name.into(), text.into());
        if text.trim_start().starts_with(['{', '['])
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(&text)
        {
            return Ok(Self {
                name,
                text,
                roots: vec![Node::from_json(value, Span::default())],
                has_lines: false,
            });
        }
        let document = Document::parse(&name, &text)?;
        Ok(Self { name, text, roots: document.roots, has_lines: true })
    }

    /// Each document of the source.
    pub fn documents(&self) -> impl Iterator<Item = At<'_>> {
        self.roots.iter().filter(|root| root.value != Value::Null).map(|root| At {
            source: self,
            node: Some(root),
            span: root.span,
            path: String::new(),
        })
    }
}

impl<'a> At<'a> {
    /// A field by its snake-case name; also found under its camel-case one. A field that is `null` is absent.
    pub fn get(&self, name: &str) -> At<'a> {
        let found = self.entries().iter().find(|entry| is_field(name, &entry.key));
        match found.filter(|entry| entry.value.value != Value::Null) {
            Some(entry) => self.field(entry),
            None => self.absent(name),
        }
    }

    /// The field that a path of names leads to.
    pub fn at(&self, names: &[&str]) -> At<'a> {
        names.iter().fold(self.clone(), |at, name| at.get(name))
    }

    /// The elements of a list; none when it is absent or no list.
    pub fn items(&self) -> Vec<At<'a>> {
        let items = match self.node.map(|node| &node.value) {
            Some(Value::Seq(items)) => items.as_slice(),
            _ => &[],
        };
        let item = |(index, node): (usize, &'a Node)| At {
            source: self.source,
            node: Some(node),
            span: node.span,
            path: format!("{}[{index}]", self.path),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The fields of a map with their names; none when it is absent or no map.
    pub fn fields(&self) -> Vec<(&'a str, At<'a>)> {
        self.entries().iter().map(|entry| (entry.key.as_str(), self.field(entry))).collect()
    }

    /// The message in an `Any`, and its type without `type.googleapis.com/`; a `TypedStruct` is unwrapped.
    pub fn typed(&self) -> (String, At<'a>) {
        let name = self.get("@type").text().unwrap_or_default();
        let short = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        if name.ends_with(".TypedStruct") {
            let inner = self.get("type_url").text().unwrap_or_default();
            return (short(inner), self.get("value"));
        }
        (short(name), self.clone())
    }

    pub fn exists(&self) -> bool {
        self.node.is_some()
    }

    pub fn node(&self) -> Option<&'a Node> {
        self.node
    }

    pub fn text(&self) -> Option<&'a str> {
        match self.node.map(|node| &node.value) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// A boolean; `None` when it is absent. Envoy also takes the words of YAML 1.1 and, quoted, those of its parser of
    /// text, in any case: `"yes"` is true.
    pub fn flag(&self) -> Option<bool> {
        match self.node.map(|node| &node.value) {
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::Str(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether this boolean is there and true.
    pub fn is_true(&self) -> bool {
        self.flag() == Some(true)
    }

    /// A whole number; protobuf's JSON writes those of 64 bits as strings.
    pub fn number(&self) -> Option<u64> {
        match self.node.map(|node| &node.value) {
            Some(Value::Int(number)) => u64::try_from(*number).ok(),
            Some(Value::Float(number)) if *number >= 0.0 && number.fract() == 0.0 => {
                format!("{number:.0}").parse().ok()
            }
            Some(Value::Str(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// A span of time, as protobuf (`1.5s`) or Kubernetes (`1h30m`) writes it. What can't be read is `None`.
    pub fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        match seconds {
            Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            None => crate::document::parse_duration(text),
        }
    }

    /// An enum's value among these, where the first is 0: Envoy takes names in any case, and numbers, also as text. A
    /// name that is not among them is given as it is.
    pub fn word(&self, names: &[&'a str]) -> Option<&'a str> {
        let by_number = || names.get(usize::try_from(self.number()?).ok()?).copied();
        let Some(text) = self.text() else { return by_number() };
        names.iter().copied().find(|name| name.eq_ignore_ascii_case(text)).or_else(by_number).or(Some(text))
    }

    /// Its path in the file, or that of what would hold it.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Where to point a person: nowhere in a dump, whose lines say nothing.
    pub fn place(&self) -> Option<Place> {
        self.source.has_lines.then(|| self.span.place(&self.source.name))
    }

    fn entries(&self) -> &'a [Entry] {
        match self.node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    fn field(&self, entry: &'a Entry) -> At<'a> {
        // A field's place is its key: its value may be a whole page, or an alias to another place.
        At {
            source: self.source,
            node: Some(&entry.value),
            span: entry.key_span,
            path: self.joined(&entry.key),
        }
    }

    fn absent(&self, name: &str) -> At<'a> {
        At { source: self.source, node: None, span: self.span, path: self.joined(name) }
    }

    fn joined(&self, name: &str) -> String {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'@');
        match (self.path.is_empty(), plain) {
            (true, true) => name.to_owned(),
            (false, true) => format!("{}.{name}", self.path),
            (_, false) => format!("{}[{name:?}]", self.path),
        }
    }
}

/// Its path.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// Whether a key stands for the field of this snake-case name.
pub fn is_field(name: &str, key: &str) -> bool {
    key == name || is_camel(name, key)
}

/// Whether `camel` is protobuf's JSON name of the snake-case `name`.
fn is_camel(name: &str, camel: &str) -> bool {
    let mut wanted = camel.chars();
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
            continue;
        }
        let letter = if upper { letter.to_ascii_uppercase() } else { letter };
        upper = false;
        if wanted.next() != Some(letter) {
            return false;
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_either_name_with_their_path_and_line() {
        let text = "a:\n  - max_bytes: 5\n    typed_config:\n      \"@type\": type.googleapis.com/x.Y\n  - maxBytes: '7'\n";
        let source = Source::parse("f.yaml", text).unwrap();
        let root = source.documents().next().unwrap();
        let items = root.get("a").items();
        assert_eq!(items[0].get("max_bytes").number(), Some(5));
        assert_eq!(items[1].get("max_bytes").number(), Some(7));
        assert_eq!(items[1].get("max_bytes").path(), "a[1].maxBytes");
        assert_eq!(items[1].get("max_bytes").place().unwrap().line, 5);
        assert_eq!(items[0].get("typed_config").typed().0, "x.Y");
        let missing = items[0].at(&["one", "two.three"]);
        assert!(!missing.exists());
        assert_eq!(missing.path(), "a[0].one[\"two.three\"]");
        assert_eq!(missing.place().unwrap().line, 2, "that of what would hold it");
    }

    #[test]
    fn json_has_paths_and_no_lines_and_typed_structs_are_unwrapped() {
        let text = r#"{"c": {"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "type.googleapis.com/x.Y", "value": {"timeout": "0.200s", "mode": 1}}}"#;
        let source = Source::parse("dump.json", text).unwrap();
        let (name, inner) = source.documents().next().unwrap().get("c").typed();
        assert_eq!(name, "x.Y");
        assert_eq!(inner.get("timeout").duration(), Some(Duration::from_millis(200)));
        assert_eq!(inner.get("mode").word(&["NONE", "SEND"]), Some("SEND"));
        assert_eq!(inner.get("mode").path(), "c.value.mode");
        assert_eq!(inner.place(), None);
    }

    #[test]
    fn enums_are_read_in_any_case_and_by_number_as_envoy_reads_them() {
        let text = "a: [skip, Skip, SKIP, 2, '2', other, 9, sk-ip]";
        let source = Source::parse("f.yaml", text).unwrap();
        let items = source.documents().next().unwrap().get("a").items();
        let words: Vec<_> = items.iter().map(|at| at.word(&["DEFAULT", "SEND", "SKIP"])).collect();
        let skip = Some("SKIP");
        assert_eq!(words, [skip, skip, skip, skip, skip, Some("other"), None, Some("sk-ip")]);
    }

    #[test]
    fn booleans_are_read_in_every_spelling_that_envoy_takes() {
        let text = "{yes: [true, 'true', TRUE, yes, 'Yes', y, on, '1', 't'], no: [false, 'False', NO, 'n', off, '0'], x: [maybe, 1]}";
        let source = Source::parse("f.yaml", text).unwrap();
        let root = source.documents().next().unwrap();
        for (name, wanted) in [("yes", Some(true)), ("no", Some(false)), ("x", None)] {
            for item in root.get(name).items() {
                assert_eq!(item.flag(), wanted, "{item} of {name}");
            }
        }
    }

    #[test]
    fn aliases_are_read_as_what_they_stand_for() {
        let source = Source::parse("f.yaml", "a: &x {n: 1}\nb: *x\n").unwrap();
        let root = source.documents().next().unwrap();
        assert_eq!(root.at(&["b", "n"]).number(), Some(1));
        assert_eq!(root.get("b").place().unwrap().line, 2);
    }
}
