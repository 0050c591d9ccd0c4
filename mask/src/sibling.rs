//! Filters by sibling, such as `?type=="credit" && active!=false`: whether an object's other members say that a rule
//! is about it.
//!
//! A filter is there to leave values unmasked, so all doubt is an answer that masks: a filter fails only where a sibling
//! is there, is a string, number or boolean, and says so each time it is there.

use super::json::scan;
use super::json_string::Scanner;

/// Comparisons that must all hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    pub conditions: Vec<Condition>,
}

/// A member compared with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    pub name: String,
    /// `==`, not `!=`.
    pub equal: bool,
    pub value: Scalar,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    Text(String),
    /// As JSON writes it.
    Number(String),
    Boolean(bool),
}

/// A member's value.
enum Sibling {
    Text(Vec<u8>),
    /// A number or boolean, as written.
    Plain(Vec<u8>),
    /// Nothing that a scalar can be compared with: `null`, an object or an array.
    Other,
}

/// Up to so many digits, numbers that a double can't tell apart are equal.
const EXACT_DIGITS: usize = 15;

impl Filter {
    /// Whether the rule is about that object, which must be whole; one that is no JSON is taken to be.
    pub fn holds(&self, object: &[u8]) -> bool {
        let mut refuted: Vec<Option<bool>> = vec![None; self.conditions.len()];
        let read = members(object, |name, sibling| {
            for (condition, refuted) in self.conditions.iter().zip(&mut refuted) {
                if condition.name.as_bytes() == name {
                    *refuted = Some(refuted.unwrap_or(true) && condition.is_refuted_by(sibling));
                }
            }
        });
        read.is_none() || !refuted.contains(&Some(true))
    }
}

impl Condition {
    /// Whether the comparison certainly fails. A value of another type that reads the same may or may not be equal.
    fn is_refuted_by(&self, sibling: &Sibling) -> bool {
        let (text, is_text) = match sibling {
            Sibling::Text(text) => (text, true),
            Sibling::Plain(text) => (text, false),
            Sibling::Other => return false,
        };
        let (wanted, same_type) = match &self.value {
            Scalar::Text(wanted) => (wanted.as_str(), is_text),
            Scalar::Number(wanted) => (wanted.as_str(), !is_text),
            Scalar::Boolean(wanted) => (if *wanted { "true" } else { "false" }, !is_text),
        };
        let same_text = wanted.as_bytes() == text;
        let same_number =
            matches!(self.value, Scalar::Number(_)) && number(text) == number(wanted.as_bytes());
        if self.equal {
            !same_text && !same_number
        } else {
            let exact = wanted.len().max(text.len()) <= EXACT_DIGITS;
            same_type && (same_text || same_number && exact)
        }
    }
}

/// The number that a text writes; NaN, which equals nothing, for any other text.
fn number(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Shows every member of an object, names decoded; `None` when it can't be read.
fn members(object: &[u8], mut visit: impl FnMut(&[u8], &Sibling)) -> Option<()> {
    let mut at = 1;
    loop {
        let (token, byte) = scan::token(object, at)?;
        match byte {
            b'}' => return Some(()),
            b',' => at = token + 1,
            b'"' => {
                let (name, end) = decoded(object, token + 1)?;
                let (colon, b':') = scan::token(object, end)? else { return None };
                let (start, first) = scan::token(object, colon + 1)?;
                let (sibling, end) = value(object, start, first)?;
                visit(&name, &sibling);
                at = end;
            }
            _ => return None,
        }
    }
}

/// The value that begins at `at`, and its end.
fn value(object: &[u8], at: usize, first: u8) -> Option<(Sibling, usize)> {
    let plain = |end| Some((Sibling::Plain(object.get(at..end)?.to_vec()), end));
    match first {
        b'"' => decoded(object, at + 1).map(|(text, end)| (Sibling::Text(text), end)),
        b'{' | b'[' => Some((Sibling::Other, at + Outline::default().end(object.get(at..)?)?)),
        b'n' => scan::literal(object, at).map(|end| (Sibling::Other, end)),
        b't' | b'f' => plain(scan::literal(object, at)?),
        _ => plain(scan::number(object, at)?),
    }
}

/// The text of the string whose opening quote stands before `at`, and its end.
fn decoded(object: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let mut text = Vec::new();
    let scanned = Scanner::default().scan(object.get(at..)?, |piece| text.extend_from_slice(piece));
    let (taken, closed) = scanned.ok()?;
    closed.then_some((text, at + taken))
}

/// Finds the end of an object or array that arrives in pieces by its brackets alone: whether the rest is in order is
/// for others to tell.
#[derive(Debug, Default)]
pub struct Outline {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Outline {
    /// How many of these bytes belong to it, if it ends in them.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.quoted => self.escaped = true,
                b'"' => self.quoted = !self.quoted,
                _ if self.quoted => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Segment;
    use crate::{FieldPath, PathError};

    fn filter(text: &str) -> Result<Filter, PathError> {
        let path = FieldPath::parse(&format!("[?{text}]"))?;
        match path.segments() {
            [Segment::Filter(filter)] => Ok(filter.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_fails_only_where_the_siblings_say_so() {
        let table = [
            (r#"t=="x""#, r#"{"t":"x"}"#, true),
            (r#"t=="x""#, r#"{"t":"y"}"#, false),
            (r#"t=="x""#, r#"{"a":{"t":"x"},"t":"y","b":[{"t":"x"}]}"#, false),
            (r#"t=="x""#, r#"{"a":"}\"]","t" : "y" }"#, false),
            (r#"t=="x""#, r#"{"\u0074":"\u0078"}"#, true),
            // Missing, or nothing to compare with.
            (r#"t=="x""#, "{}", true),
            (r#"t=="x""#, r#"{"t":null}"#, true),
            (r#"t=="x""#, r#"{"t":["y"]}"#, true),
            (r#"t=="x""#, r#"{"t":{}}"#, true),
            (r#"t!="x""#, "{}", true),
            // Again and again.
            (r#"t=="x""#, r#"{"t":"y","t":"x"}"#, true),
            (r#"t=="x""#, r#"{"t":"x","t":"y"}"#, true),
            (r#"t=="x""#, r#"{"t":"y","t":"z"}"#, false),
            (r#"t=="x""#, r#"{"t":"y","t":null}"#, true),
            (r#"t!="x""#, r#"{"t":"x"}"#, false),
            (r#"t!="x""#, r#"{"t":"x","t":"y"}"#, true),
            (r#"t!="x""#, r#"{"t":"y"}"#, true),
            // Other types.
            ("n==100", r#"{"n":100}"#, true),
            ("n==100", r#"{"n":1e2}"#, true),
            ("n==100", r#"{"n":"100"}"#, true),
            ("n==100", r#"{"n":101}"#, false),
            ("n==100", r#"{"n":true}"#, false),
            ("n!=100", r#"{"n":100.0}"#, false),
            ("n!=100", r#"{"n":"100"}"#, true),
            ("n!=9007199254740993", r#"{"n":9007199254740992}"#, true),
            ("b==true", r#"{"b":true}"#, true),
            ("b==true", r#"{"b":false}"#, false),
            ("b!=true", r#"{"b":true}"#, false),
            // Several.
            (r#"t=="x" && n==1"#, r#"{"t":"x","n":1}"#, true),
            (r#"t=="x" && n==1"#, r#"{"t":"x","n":2}"#, false),
            (r#"t=="x" && n==1"#, r#"{"n":2}"#, false),
            (r#"t=="x" && n==1"#, r#"{"n":1}"#, true),
            // No JSON.
            (r#"t=="x""#, r#"{"t":"y","#, true),
            (r#"t=="x""#, r#"{"t":y}"#, true),
            (r#"t=="x""#, r#"{"t" "y"}"#, true),
        ];
        for (text, object, holds) in table {
            assert_eq!(filter(text).unwrap().holds(object.as_bytes()), holds, "{text} on {object}");
        }
    }

    #[test]
    fn an_object_ends_at_its_last_bracket_however_it_is_cut() {
        let object = br#"{"a":"}","b":["]\"}\\",{}]}"#;
        let with_more = [&object[..], b",1]}"].concat();
        for cut in 0..object.len() {
            let mut outline = Outline::default();
            assert_eq!(outline.end(&with_more[..cut]), None);
            assert_eq!(outline.end(&with_more[cut..]), Some(object.len() - cut));
        }
    }
}
