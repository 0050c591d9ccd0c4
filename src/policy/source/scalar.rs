//! Finds the place of a byte of a YAML scalar's value in the file: quotes, escapes, indentation and folding stand
//! between the two.

use crate::document::{Node, Span, Value};
use crate::policy::cel::At;

/// Where the bytes `at` of `node`'s value stand in `text`; the whole node where that can't be told.
pub fn span(text: &str, node: &Node, at: At) -> Span {
    let Value::Str(value) = &node.value else { return node.span };
    let source = text.get(node.span.offset..).unwrap_or_default();
    let start = offset_in_source(source, value, at.offset);
    let end = offset_in_source(source, value, (at.offset + at.len).saturating_sub(1).max(at.offset));
    let (Some(start), Some(end)) = (start, end) else { return node.span };
    let (start, end) = (node.span.offset + start, node.span.offset + end + 1);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: count(before.matches('\n').count() + 1),
        column: count(before.get(line_start..).unwrap_or_default().chars().count() + 1),
        offset: start,
        len: end - start,
    }
}

/// Walks value and source together. Whitespace is passed over on both sides, since folding changes it.
fn offset_in_source(source: &str, value: &str, offset: usize) -> Option<usize> {
    let quote = source.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let mut rest = match source.chars().next()? {
        '\'' | '"' => source.get(1..)?,
        '|' | '>' => source.split_once('\n')?.1,
        _ => source,
    };
    for (index, wanted) in value.char_indices() {
        if wanted.is_whitespace() {
            continue;
        }
        rest = rest.trim_start();
        if index >= offset {
            return Some(source.len() - rest.len());
        }
        rest = after_char(rest, wanted, quote)?;
    }
    Some(source.len() - rest.len())
}

/// What follows `wanted` at the beginning of `rest`, as the quoting style writes it.
fn after_char(rest: &str, wanted: char, quote: Option<char>) -> Option<&str> {
    match (quote, wanted) {
        (Some('\''), '\'') => rest.strip_prefix("''"),
        (Some('"'), '"' | '\\') => rest.strip_prefix('\\')?.strip_prefix(wanted),
        _ => rest.strip_prefix(wanted),
    }
}
