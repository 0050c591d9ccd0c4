//! Field paths such as `**.card.number`: their grammar. Knows nothing of documents; `plan` matches them.
//!
//! Segments are joined by `.`: a name; `"a name"` in double quotes when it holds dots, quotes (`\"`), backslashes
//! (`\\`), brackets or `*`; `*`, one key or any array element; `**`, any depth, also none. Arrays are transparent
//! and addressable: `cards.number` and `cards.*.number` both match `number` in each element of an array `cards`.
//! A `**` at the end matches from depth none on: `a.**` masks all of `a`, a lone `**` the whole document.

use std::fmt;

/// A path to fields of a document. `Display` gives back the text it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: String,
    segments: Vec<Segment>,
}

/// One step of a path: a key, one key or element, any number of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    Name(String),
    Any,
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
    pub fn parse(text: &str) -> Result<FieldPath, PathError> {
        let mut parser = Parser { text, at: 0 };
        let mut segments = vec![parser.segment()?];
        while let Some(c) = parser.peek() {
            if c != '.' {
                return Err(parser.error(format!("`.` expected before `{c}`")));
            }
            parser.advance(c);
            segments.push(parser.segment()?);
        }
        Ok(FieldPath { text: text.to_owned(), segments })
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn segment(&mut self) -> Result<Segment, PathError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '.' => break,
                '[' | ']' => {
                    let message =
                        "an index such as `[3]` is not a supported segment; `*` matches every element";
                    return Err(self.error(message.to_owned()));
                }
                '"' | '\\' => return Err(self.error(format!("`{c}` is allowed in a quoted name only"))),
                c if c.is_whitespace() || c.is_control() => {
                    return Err(self.error("a name with spaces is written in double quotes".to_owned()));
                }
                c => name.push(c),
            }
            self.advance(c);
        }
        match name.as_str() {
            "" => Err(self.error("a segment is empty".to_owned())),
            "*" => Ok(Segment::Any),
            "**" => Ok(Segment::Deep),
            _ if name.contains('*') => {
                self.at = start;
                Err(self
                    .error(format!("`*` stands alone in a segment; quote the name `{name}` if it is meant")))
            }
            _ => Ok(Segment::Name(name)),
        }
    }

    fn quoted(&mut self) -> Result<Segment, PathError> {
        let start = self.at;
        self.advance('"');
        let mut name = String::new();
        while let Some(c) = self.peek() {
            self.advance(c);
            match c {
                '"' => return Ok(Segment::Name(name)),
                '\\' => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        self.advance(escaped);
                        name.push(escaped);
                    }
                    _ => {
                        return Err(
                            self.error(r#"only `\"` and `\\` are escapes in a quoted name"#.to_owned())
                        );
                    }
                },
                c => name.push(c),
            }
        }
        self.at = start;
        Err(self.error("the quoted name is not closed".to_owned()))
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn advance(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    fn error(&self, message: String) -> PathError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        PathError { column: before.chars().count() + 1, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_into_segments() {
        let name = |text: &str| Segment::Name(text.to_owned());
        for (text, segments) in [
            ("note", vec![name("note")]),
            ("**.card.number", vec![Segment::Deep, name("card"), name("number")]),
            ("cards.*.x-y_z", vec![name("cards"), Segment::Any, name("x-y_z")]),
            (r#"cards."a.b".number"#, vec![name("cards"), name("a.b"), name("number")]),
            (r#""a\"\\*".é"#, vec![name(r#"a"\*"#), name("é")]),
            (r#""""#, vec![name("")]),
            ("a.**", vec![name("a"), Segment::Deep]),
            ("**", vec![Segment::Deep]),
        ] {
            let path = FieldPath::parse(text).unwrap();
            assert_eq!(path.segments(), segments, "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, column) in [
            ("", 1),
            ("a.", 3),
            (".a", 1),
            ("a..b", 3),
            ("é.b[3]", 4),
            ("a b", 2),
            ("a.b*", 3),
            ("***", 1),
            (r#"a."b"#, 3),
            (r#""a"b"#, 4),
            (r#""a\n""#, 4),
            (r#"a"b""#, 2),
        ] {
            assert_eq!(FieldPath::parse(text).map_err(|error| error.column), Err(column), "{text}");
        }
        assert!(FieldPath::parse("a[3]").unwrap_err().message.contains("not a supported segment"));
    }
}
