//! Field paths such as `**.card.number`: how they are written, and what their segments mean.
//!
//! | segment | matches |
//! |---|---|
//! | `name`, `"any.text"` | the member of exactly that name: case and Unicode form count, escapes in the document don't |
//! | `*` | any one member, or any one array element |
//! | `**` | any number of members and elements, also none |
//! | `[3]` | the fourth element of an array that stands at this very place |
//! | `[json]` | the JSON in a string |
//! | `[?type=="credit" && paid!=true]` | the object, if its members say so; see [`Filter`] for what happens in doubt |
//!
//! Arrays are transparent: `cards.number` reaches `number` in each element of an array `cards`, however deeply
//! arrays nest; `cards.*.number` does too. A path that ends in `**` matches the leaves below (strings, numbers,
//! booleans), not the objects and arrays around them: `customer.**` keeps the shape and masks all it holds.

use std::fmt;
use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use super::json::is_number;
use super::sibling::{Condition, Filter, Scalar};

/// More segments than any sensible path has.
const MAX_SEGMENTS: usize = 64;
const MAX_CONDITIONS: usize = 8;
const MAX_INDEX_DIGITS: usize = 9;

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
    /// `[3]`
    Index(u32),
    /// `[?name=="value"]`; never twice in a row.
    Filter(Filter),
    /// `[json]`: a string is read as the JSON in it. Never behind `**` or a filter.
    Text,
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
            let segment = self.segment(segments.is_empty())?;
            if matches!((segments.last(), &segment), (Some(Segment::Filter(_)), Segment::Filter(_))) {
                return Err(self.error("one filter follows another: join them with `&&`"));
            }
            match (segments.last(), &segment) {
                (Some(Segment::Deep), Segment::Text) => {
                    return Err(
                        self.error("`**[json]` would take every string for JSON: name those that are")
                    );
                }
                (Some(Segment::Filter(_)), Segment::Text) => {
                    return Err(self.error("a filter is about an object, and `[json]` about a string"));
                }
                _ => {}
            }
            // `**.**` says no more than `**`.
            if segment != Segment::Deep || segments.last() != Some(&Segment::Deep) {
                segments.push(segment);
            }
            match self.rest.peek() {
                None => return Ok(FieldPath { text: self.text.to_owned(), segments }),
                Some((_, '.')) => {
                    self.rest.next();
                    if let Some((_, '[')) = self.rest.peek() {
                        return Err(self.error("`[` follows a name or `]` without a dot"));
                    }
                }
                Some((_, '[')) => {}
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

    fn segment(&mut self, is_first: bool) -> Result<Segment, PathError> {
        match self.rest.peek() {
            None if is_first => Err(self.error("the path is empty")),
            None => Err(self.error("the path ends in a dot")),
            Some((_, '.')) => Err(self.error("a segment is empty; write `\"\"` for the empty name")),
            Some((_, '[')) => self.bracket(),
            Some((_, '*')) => Ok(self.wildcard()),
            Some((_, '"')) => self.quoted().map(Segment::Name),
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

    fn quoted(&mut self) -> Result<String, PathError> {
        let unclosed = self.error("the quoted name or text is not closed");
        self.rest.next();
        let mut name = String::new();
        loop {
            match self.rest.next().map(|(_, c)| c) {
                None => return Err(unclosed),
                Some('"') => return Ok(name),
                Some('\\') => match self.rest.next_if(|(_, c)| matches!(c, '"' | '\\')) {
                    Some((_, escaped)) => name.push(escaped),
                    None => return Err(self.error("between quotes `\\` stands before `\"` or `\\` only")),
                },
                Some(other) => name.push(other),
            }
        }
    }

    fn bare(&mut self) -> Result<Segment, PathError> {
        let start = self.error("");
        let name = self.bare_name();
        if name == "$" {
            return Err(PathError { message: "a path starts with a name, without `$`".to_owned(), ..start });
        }
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!(
                "`{name}` looks like an array index: write `[{name}]` after the array for one element, `*` for any, or `\"{name}\"` for a member of that name"
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

    fn bare_name(&mut self) -> String {
        let mut name = String::new();
        while let Some((_, c)) = self.rest.next_if(|(_, c)| c.is_alphanumeric() || "_-$@".contains(*c)) {
            name.push(c);
        }
        name
    }

    /// An index or filter, from its bracket on.
    fn bracket(&mut self) -> Result<Segment, PathError> {
        self.rest.next();
        match self.rest.peek() {
            Some((_, '?')) => {
                self.rest.next();
                self.filter().map(Segment::Filter)
            }
            Some((_, '0'..='9')) => self.index().map(Segment::Index),
            Some((_, 'j')) => {
                self.expect("json]", "`[json]` reads a string as the JSON in it")?;
                Ok(Segment::Text)
            }
            Some((_, '-')) => Err(self.error(
                "an index counts from 0: where an array ends is not known while its elements pass; `*` is any element",
            )),
            Some((_, '*')) => Err(self.error("any element is written `.*`, without brackets")),
            _ => Err(self.error("`[` begins an index such as `[0]`, or a filter such as `[?type==\"credit\"]`")),
        }
    }

    fn index(&mut self) -> Result<u32, PathError> {
        let too_large = self.error(format!("an index has at most {MAX_INDEX_DIGITS} digits"));
        let mut digits = String::new();
        while let Some((_, digit)) = self.rest.next_if(|(_, c)| c.is_ascii_digit()) {
            digits.push(digit);
        }
        if digits.len() > MAX_INDEX_DIGITS {
            return Err(too_large);
        }
        self.expect("]", "`]` must follow the index")?;
        digits.parse().map_err(|_| too_large)
    }

    /// Comparisons, up to the closing bracket.
    fn filter(&mut self) -> Result<Filter, PathError> {
        let mut conditions = Vec::new();
        loop {
            if conditions.len() == MAX_CONDITIONS {
                return Err(self.error(format!("a filter has at most {MAX_CONDITIONS} comparisons")));
            }
            conditions.push(self.condition()?);
            self.blanks();
            match self.rest.peek() {
                Some((_, '&')) => self.expect("&&", "comparisons are joined by `&&`")?,
                Some((_, '|')) => {
                    return Err(self.error("only `&&` joins comparisons: write a rule for each"));
                }
                _ => break,
            }
        }
        self.expect("]", "`&&` or `]` must follow the comparison")?;
        Ok(Filter { conditions })
    }

    fn condition(&mut self) -> Result<Condition, PathError> {
        self.blanks();
        let name = match self.rest.peek() {
            Some((_, '"')) => self.quoted()?,
            _ => self.bare_name(),
        };
        if name.is_empty() {
            return Err(self.error("a comparison begins with the name of a member"));
        }
        self.blanks();
        let equal = match self.rest.peek() {
            Some((_, '!')) => {
                self.expect("!=", "members are compared by `==` or `!=`")?;
                false
            }
            _ => {
                self.expect("==", "members are compared by `==` or `!=`")?;
                true
            }
        };
        self.blanks();
        Ok(Condition { name, equal, value: self.scalar()? })
    }

    fn scalar(&mut self) -> Result<Scalar, PathError> {
        if let Some((_, '"')) = self.rest.peek() {
            return self.quoted().map(Scalar::Text);
        }
        let unknown =
            self.error("a member is compared with a text in double quotes, a number, `true` or `false`");
        let mut word = String::new();
        while let Some((_, c)) = self.rest.next_if(|(_, c)| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
            word.push(c);
        }
        match word.as_str() {
            "true" => Ok(Scalar::Boolean(true)),
            "false" => Ok(Scalar::Boolean(false)),
            number if is_number(number) => Ok(Scalar::Number(word)),
            _ => Err(unknown),
        }
    }

    fn blanks(&mut self) {
        while self.rest.next_if(|(_, c)| *c == ' ').is_some() {}
    }

    fn expect(&mut self, signs: &str, else_say: &str) -> Result<(), PathError> {
        for sign in signs.chars() {
            if self.rest.next_if(|(_, c)| *c == sign).is_none() {
                return Err(self.error(else_say));
            }
        }
        Ok(())
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

    fn filter(conditions: &[(&str, bool, Scalar)]) -> Segment {
        let conditions = conditions.iter().cloned().map(|(name, equal, value)| Condition {
            name: name.to_owned(),
            equal,
            value,
        });
        Segment::Filter(Filter { conditions: conditions.collect() })
    }

    #[test]
    fn reads_names_wildcards_quotes_indexes_and_filters() {
        use Segment::{Any, Deep, Index};
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
            ("a[0][12].b", vec![name("a"), Index(0), Index(12), name("b")]),
            ("[7]", vec![Index(7)]),
            ("**[0].*[1]", vec![Deep, Index(0), Any, Index(1)]),
            ("a[json].b", vec![name("a"), Segment::Text, name("b")]),
            ("[json]", vec![Segment::Text]),
            ("*[json][0][json].**", vec![Any, Segment::Text, Index(0), Segment::Text, Deep]),
            (
                r#"a[?type=="x]\"" && "b c" != -1.5e3&&c==true].d"#,
                vec![
                    name("a"),
                    filter(&[
                        ("type", true, Scalar::Text("x]\"".to_owned())),
                        ("b c", false, Scalar::Number("-1.5e3".to_owned())),
                        ("c", true, Scalar::Boolean(true)),
                    ]),
                    name("d"),
                ],
            ),
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
            ("cards[-1].number", 7, "counts from 0"),
            ("cards[*]", 7, "written `.*`"),
            ("cards[]", 7, "begins an index"),
            ("cards[x]", 7, "begins an index"),
            ("a[jsn]", 5, "reads a string as the JSON"),
            ("a[json", 7, "reads a string as the JSON"),
            ("a.[json]", 3, "without a dot"),
            ("**[json].a", 9, "every string"),
            ("a[?b==1][json]", 15, "about a string"),
            ("cards.[0]", 7, "without a dot"),
            ("cards[0", 8, "`]` must follow"),
            ("cards[0]x", 9, "unexpected `x`"),
            ("cards[1234567890]", 7, "at most 9 digits"),
            ("cards[?]", 8, "begins with the name"),
            ("cards[?type]", 12, "`==` or `!=`"),
            ("cards[?type=1]", 13, "`==` or `!=`"),
            ("cards[?type>1]", 12, "`==` or `!=`"),
            ("cards[?type==credit]", 14, "in double quotes"),
            ("cards[?type==null]", 14, "in double quotes"),
            ("cards[?type==01]", 14, "in double quotes"),
            ("cards[?type==1", 15, "must follow the comparison"),
            ("cards[?a==1||b==2]", 12, "only `&&`"),
            ("cards[?a==1&b==2]", 13, "joined by `&&`"),
            ("cards[?a==1][?b==2]", 20, "join them"),
            ("cards[?a==\"x]", 11, "not closed"),
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
