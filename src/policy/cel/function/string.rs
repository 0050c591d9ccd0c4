//! The strings library. Positions count characters, as in all of CEL.

use std::borrow::Cow;

use super::super::EvaluationError;
use super::super::budget::{Budget, SEARCHED_BYTES_PER_STEP};
use super::super::types::Type;
use super::super::value::{ELEMENT_BYTES, Value};
use super::builtin::{Applied, Builtin, Kind, int, invalid, no_overload, same, text};
use super::list;

const fn method(
    name: &'static str,
    parameters: &'static [Kind],
    result: fn(&[Type]) -> Type,
    apply: for<'a> fn(&[Value<'a>], &mut Budget) -> Applied<'a>,
) -> Builtin {
    Builtin { name, method: true, parameters, result, apply }
}

pub const BUILTINS: &[Builtin] = &[
    method("charAt", &[Kind::Text, Kind::Int], text, char_at),
    method("indexOf", &[Kind::Text, Kind::Text], int, index_of),
    method("indexOf", &[Kind::Text, Kind::Text, Kind::Int], int, index_of),
    method("lastIndexOf", &[Kind::Text, Kind::Text], int, last_index_of),
    method("lastIndexOf", &[Kind::Text, Kind::Text, Kind::Int], int, last_index_of),
    method("substring", &[Kind::Text, Kind::Int], text, substring),
    method("substring", &[Kind::Text, Kind::Int, Kind::Int], text, substring),
    method("replace", &[Kind::Text, Kind::Text, Kind::Text], text, replace),
    method("replace", &[Kind::Text, Kind::Text, Kind::Text, Kind::Int], text, replace),
    method("split", &[Kind::Text, Kind::Text], texts, split),
    method("split", &[Kind::Text, Kind::Text, Kind::Int], texts, split),
    method("join", &[Kind::TextList], text, join),
    method("join", &[Kind::TextList, Kind::Text], text, join),
    method("trim", &[Kind::Text], text, trim),
    method("reverse", &[Kind::TextOrList], same, reverse),
    Builtin { name: "strings.quote", method: false, parameters: &[Kind::Text], result: text, apply: quote },
];

fn texts(_: &[Type]) -> Type {
    Type::list(Type::Text)
}

/// The byte at which the character of an index begins; the end is the index after the last character.
fn offset(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    text.char_indices().map(|(offset, _)| offset).chain([text.len()]).nth(index)
}

fn offset_in(function: &'static str, text: &str, index: i64) -> Result<usize, EvaluationError> {
    offset(text, index).ok_or_else(|| invalid(function, format!("the index {index} is out of range")))
}

/// The characters before a byte.
fn characters(text: &str, offset: usize) -> Value<'static> {
    let count = text.get(..offset).unwrap_or_default().chars().count();
    i64::try_from(count).map_or(Value::Null, Value::Int)
}

/// A part of a text: borrowed when the text is.
fn part<'a>(text: &Cow<'a, str>, start: usize, end: usize, budget: &mut Budget) -> Applied<'a> {
    Ok(Value::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(start..end).unwrap_or_default()),
        Cow::Owned(text) => {
            let part = text.get(start..end).unwrap_or_default();
            budget.allocate(part.len())?;
            Cow::Owned(part.to_owned())
        }
    }))
}

/// Pays for going over the first argument letter by letter, or looking for another text in it.
fn spend_on_search(arguments: &[Value<'_>], budget: &mut Budget) -> Result<(), EvaluationError> {
    match arguments.first() {
        Some(Value::Text(text)) => budget.spend(text.len() / SEARCHED_BYTES_PER_STEP),
        _ => Ok(()),
    }
}

fn char_at<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let [Value::Text(text), Value::Int(index)] = arguments else {
        return Err(no_overload("charAt", arguments));
    };
    let start = offset_in("charAt", text, *index)?;
    let len = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    part(text, start, start + len, budget)
}

fn index_of<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let (text, wanted, from) = match arguments {
        [Value::Text(text), Value::Text(wanted)] => (text, wanted, 0),
        [Value::Text(text), Value::Text(wanted), Value::Int(from)] => {
            (text, wanted, offset_in("indexOf", text, *from)?)
        }
        _ => return Err(no_overload("indexOf", arguments)),
    };
    let found = text.get(from..).and_then(|rest| rest.find(wanted.as_ref()));
    Ok(found.map_or(Value::Int(-1), |found| characters(text, from + found)))
}

/// The last place at or before the index where the text stands.
fn last_index_of<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let (text, wanted, until) = match arguments {
        [Value::Text(text), Value::Text(wanted)] => (text, wanted, text.len()),
        [Value::Text(text), Value::Text(wanted), Value::Int(until)] => {
            (text, wanted, offset_in("lastIndexOf", text, *until)?)
        }
        _ => return Err(no_overload("lastIndexOf", arguments)),
    };
    let end = until.saturating_add(wanted.len()).min(text.len());
    // The window may end within a character, which then can't be part of the text that is looked for.
    let window = (0..4).find_map(|back| text.get(..end.saturating_sub(back))).unwrap_or_default();
    let found = window.rfind(wanted.as_ref());
    Ok(found.map_or(Value::Int(-1), |found| characters(text, found)))
}

fn substring<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let (text, start, end) = match arguments {
        [Value::Text(text), Value::Int(start)] => (text, *start, None),
        [Value::Text(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(no_overload("substring", arguments)),
    };
    let first = offset_in("substring", text, start)?;
    let last = end.map_or(Ok(text.len()), |end| offset_in("substring", text, end))?;
    if last < first {
        return Err(invalid("substring", "the end stands before the start"));
    }
    part(text, first, last, budget)
}

/// How often to do something: a negative number means without limit.
fn limit(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn replace<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let (text, from, to, limit) = match arguments {
        [Value::Text(text), Value::Text(from), Value::Text(to)] => (text, from, to, usize::MAX),
        [Value::Text(text), Value::Text(from), Value::Text(to), Value::Int(count)] => {
            (text, from, to, limit(*count))
        }
        _ => return Err(no_overload("replace", arguments)),
    };
    // A match costs a step; those beyond what is left need not be counted.
    let affordable = budget.steps_left().saturating_add(1);
    let count = text.matches(from.as_ref()).take(limit.min(affordable)).count();
    budget.spend(count)?;
    if count == 0 {
        return part(text, 0, text.len(), budget);
    }
    let made = (text.len() - count * from.len()).saturating_add(count.saturating_mul(to.len()));
    budget.allocate(made)?;
    Ok(Value::Text(Cow::Owned(text.replacen(from.as_ref(), to, count))))
}

fn split<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let (text, separator, limit) = match arguments {
        [Value::Text(text), Value::Text(separator)] => (text, separator, usize::MAX),
        [Value::Text(text), Value::Text(separator), Value::Int(count)] => (text, separator, limit(*count)),
        _ => return Err(no_overload("split", arguments)),
    };
    // Those beyond what memory is left need not be counted.
    let affordable = budget.bytes_left() / ELEMENT_BYTES + 1;
    let pieces = pieces(text, separator).take(limit.min(affordable)).count();
    budget.allocate(pieces.saturating_mul(ELEMENT_BYTES))?;
    let mut made = Vec::with_capacity(pieces);
    for (count, (start, end)) in self::pieces(text, separator).take(limit).enumerate() {
        let end = if count + 1 == limit { text.len() } else { end };
        made.push(part(text, start, end, budget)?);
    }
    Ok(Value::List(made.into()))
}

/// Where the pieces between separators begin and end; an empty separator stands between all characters.
fn pieces<'t>(text: &'t str, separator: &'t str) -> Box<dyn Iterator<Item = (usize, usize)> + 't> {
    if separator.is_empty() {
        return Box::new(text.char_indices().map(|(start, c)| (start, start + c.len_utf8())));
    }
    let mut start = 0;
    let ends = text.match_indices(separator).map(|(at, _)| at).chain([text.len()]);
    Box::new(ends.map(move |end| {
        let piece = (start, end);
        start = end + separator.len();
        piece
    }))
}

fn join<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, separator) = match arguments {
        [items] => (items, ""),
        [items, Value::Text(separator)] => (items, separator.as_ref()),
        _ => return Err(no_overload("join", arguments)),
    };
    let len = items.list_len().ok_or_else(|| no_overload("join", arguments))?;
    let mut joined = String::new();
    for index in 0..len {
        let Some(Value::Text(item)) = items.at(index) else {
            return Err(invalid("join", "every element must be a string"));
        };
        let before = if index == 0 { "" } else { separator };
        budget.spend(1)?;
        budget.allocate(2 * (before.len() + item.len()))?;
        joined.push_str(before);
        joined.push_str(&item);
    }
    Ok(Value::Text(Cow::Owned(joined)))
}

fn trim<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    // From the front, and from both ends.
    spend_on_search(arguments, budget)?;
    spend_on_search(arguments, budget)?;
    let [Value::Text(text)] = arguments else { return Err(no_overload("trim", arguments)) };
    let start = text.len() - text.trim_start().len();
    part(text, start, start + text.trim().len(), budget)
}

fn reverse<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    match arguments {
        [Value::Text(text)] => {
            budget.allocate(text.len())?;
            Ok(Value::Text(Cow::Owned(text.chars().rev().collect())))
        }
        [items] => list::reversed(items, budget),
        _ => Err(no_overload("reverse", arguments)),
    }
}

/// The text as a literal that reads back as itself.
fn quote<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    spend_on_search(arguments, budget)?;
    let [Value::Text(text)] = arguments else { return Err(no_overload("strings.quote", arguments)) };
    budget.allocate(2 * text.len() + 2)?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0B' => quoted.push_str("\\v"),
            '\x0C' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(Value::Text(Cow::Owned(quoted)))
}
