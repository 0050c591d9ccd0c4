//! Field paths such as `**.card.number`: how they are written, and what their segments mean.
//!
//! | segment | matches |
//! |---|---|
//! | `name`, `"any.text"` | the member of exactly that name: case and Unicode form count, escapes in the document don't |
//! | `*` | any one member, or any one array element |
//! | `**` | any number of members and elements, also none |
//!
//! Arrays are transparent: `cards.number` reaches `number` in each element of an array `cards`, however deeply
//! arrays nest; `cards.*.number` does too. A path that ends in `**` matches the leaves below (strings, numbers,
//! booleans), not the objects and arrays around them: `customer.**` keeps the shape and masks all it holds.

use std::fmt;
use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

/// More segments than any sensible path has.
const MAX_SEGMENTS: usize = 64;

/// A path to fields of a document. `Display` gives back the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Name(String),
    /// `*`
    Any,
    /// `**`; never twice in a row.
    Deep,
}

/// Why a field path can't be read; `column` counts characters from 1 within it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PathError {
    pub column: usize,
    pub message: String,
}

impl FieldPath {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Parser { text, rest: text.char_indices().peekable() }.path()
    }

    /// `**`: every leaf.
    pub fn everything() -> Self {
        Self { text: "**".to_owned(), segments: vec![Segment::Deep] }
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

impl Parser<'_> {
    fn path(mut self) -> Result<FieldPath, PathError> {
        let mut segments = Vec::new();
        loop {
            if segments.len() == MAX_SEGMENTS {
                return Err(self.error(format!("a path has at most {MAX_SEGMENTS} segments")));
            }
            let segment = self.segment()?;
            // `**.**` says no more than `**`.
            if segment != Segment::Deep || segments.last() != Some(&Segment::Deep) {
                segments.push(segment);
            }
            match self.rest.peek() {
                None => return Ok(FieldPath { text: self.text.to_owned(), segments }),
                Some((_, '.')) => {
                    self.rest.next();
                }
                Some((_, '[')) => return Err(self.index()),
                Some((_, '*')) => return Err(self.error("`*` and `**` stand alone between dots")),
                Some((_, other)) => {
                    let message = format!(
                        "unexpected `{}`: put a name with such characters in double quotes",
                        other.escape_debug()
                    );
                    return Err(self.error(message));
                }
            }
        }
    }

    fn segment(&mut self) -> Result<Segment, PathError> {
        match self.rest.peek() {
            None if self.text.is_empty() => Err(self.error("the path is empty")),
            None => Err(self.error("the path ends in a dot")),
            Some((_, '.')) => Err(self.error("a segment is empty; write `\"\"` for the empty name")),
            Some((_, '[')) => Err(self.index()),
            Some((_, '*')) => Ok(self.wildcard()),
            Some((_, '"')) => self.quoted(),
            Some(_) => self.bare(),
        }
    }

    fn wildcard(&mut self) -> Segment {
        self.rest.next();
        match self.rest.next_if(|(_, c)| *c == '*') {
            Some(_) => Segment::Deep,
            None => Segment::Any,
        }
    }

    fn quoted(&mut self) -> Result<Segment, PathError> {
        let unclosed = self.error("the quoted name is not closed");
        self.rest.next();
        let mut name = String::new();
        loop {
            match self.rest.next().map(|(_, c)| c) {
                None => return Err(unclosed),
                Some('"') => return Ok(Segment::Name(name)),
                Some('\\') => match self.rest.next_if(|(_, c)| matches!(c, '"' | '\\')) {
                    Some((_, escaped)) => name.push(escaped),
                    None => return Err(self.error("in a quoted name `\\` stands before `\"` or `\\` only")),
                },
                Some(other) => name.push(other),
            }
        }
    }

    fn bare(&mut self) -> Result<Segment, PathError> {
        let start = self.error("");
        let mut name = String::new();
        while let Some((_, c)) = self.rest.next_if(|(_, c)| c.is_alphanumeric() || "_-$@".contains(*c)) {
            name.push(c);
        }
        if name == "$" {
            return Err(PathError { message: "a path starts with a name, without `$`".to_owned(), ..start });
        }
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!(
                "`{name}` looks like an array index: write `*` for any element, or `\"{name}\"` for a member of that name"
            );
            return Err(PathError { message, ..start });
        }
        match (name.is_empty(), self.rest.peek()) {
            (true, Some((_, other))) => {
                let message = format!(
                    "unexpected `{}`: put a name with such characters in double quotes",
                    other.escape_debug()
                );
                Err(PathError { message, ..start })
            }
            _ => Ok(Segment::Name(name)),
        }
    }

    fn index(&mut self) -> PathError {
        self.error("array indexes are not supported: leave them out, or write `.*` for any element")
    }

    /// An error at the next character.
    fn error(&mut self, message: impl Into<String>) -> PathError {
        let offset = self.rest.peek().map_or(self.text.len(), |(offset, _)| *offset);
        let before = self.text.get(..offset).unwrap_or(self.text);
        PathError { column: before.chars().count() + 1, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Segment {
        Segment::Name(text.to_owned())
    }

    #[test]
    fn reads_names_wildcards_and_quotes() {
        use Segment::{Any, Deep};
        let table = [
            ("a", vec![name("a")]),
            (
                "a.b-c.$ref.@type.größe_2",
                vec![name("a"), name("b-c"), name("$ref"), name("@type"), name("größe_2")],
            ),
            ("**.card.number", vec![Deep, name("card"), name("number")]),
            ("cards.*.number", vec![name("cards"), Any, name("number")]),
            (r#"cards."a.b".number"#, vec![name("cards"), name("a.b"), name("number")]),
            (r#""*"."say \"hi\" \\"."""#, vec![name("*"), name("say \"hi\" \\"), name("")]),
            (r#""0""#, vec![name("0")]),
            ("**", vec![Deep]),
            ("a.**.**.b", vec![name("a"), Deep, name("b")]),
        ];
        for (text, segments) in table {
            let path = FieldPath::parse(text).unwrap();
            assert_eq!(path.segments(), segments, "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let table = [
            ("", 1, "empty"),
            ("a.", 3, "ends in a dot"),
            (".a", 1, "segment is empty"),
            ("a..b", 3, "segment is empty"),
            ("cards[3].number", 6, "array indexes are not supported"),
            ("[0]", 1, "array indexes are not supported"),
            ("cards.0.number", 7, "looks like an array index"),
            ("$.a", 1, "without `$`"),
            ("a*", 2, "stand alone"),
            ("***", 3, "stand alone"),
            ("*a", 2, "double quotes"),
            ("ü b", 2, "double quotes"),
            ("a b", 2, "double quotes"),
            ("a. b", 3, "double quotes"),
            ("\"a", 1, "not closed"),
            ("\"a\\n\"", 4, "`\\` stands before"),
            ("\"a\"b", 4, "double quotes"),
        ];
        for (text, column, part) in table {
            let error = FieldPath::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn has_an_end() {
        assert!(FieldPath::parse(&vec!["a"; 64].join(".")).is_ok());
        assert!(FieldPath::parse(&vec!["a"; 65].join(".")).is_err());
    }
}
