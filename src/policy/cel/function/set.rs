//! The sets library: lists read as sets.

use super::super::EvaluationError;
use super::super::budget::Budget;
use super::super::value::Value;
use super::builtin::{Applied, Builtin, Kind, boolean, no_overload};

const LISTS: &[Kind] = &[Kind::List, Kind::List];

pub const BUILTINS: &[Builtin] = &[
    Builtin { name: "sets.contains", method: false, parameters: LISTS, result: boolean, apply: contains },
    Builtin { name: "sets.equivalent", method: false, parameters: LISTS, result: boolean, apply: equivalent },
    Builtin { name: "sets.intersects", method: false, parameters: LISTS, result: boolean, apply: intersects },
];

/// Two lists with their lengths, when comparing each element with each is paid for.
fn lists<'v, 'a>(
    name: &'static str,
    arguments: &'v [Value<'a>],
    budget: &mut Budget,
) -> Result<(Elements<'v, 'a>, Elements<'v, 'a>), EvaluationError> {
    let both = match arguments {
        [a, b] => Elements::of(a).zip(Elements::of(b)),
        _ => None,
    };
    let (a, b) = both.ok_or_else(|| no_overload(name, arguments))?;
    let limit = budget.steps_left();
    budget.spend(a.list.weight(limit).max(a.len).saturating_mul(b.len.max(1)))?;
    budget.spend(b.list.weight(limit).max(b.len).saturating_mul(a.len.max(1)))?;
    Ok((a, b))
}

/// A list.
struct Elements<'v, 'a> {
    list: &'v Value<'a>,
    len: usize,
}

impl<'v, 'a> Elements<'v, 'a> {
    fn of(list: &'v Value<'a>) -> Option<Self> {
        list.list_len().map(|len| Self { list, len })
    }

    fn has(&self, item: &Value<'_>) -> bool {
        (0..self.len).any(|index| self.list.at(index).is_some_and(|known| known.equals(item)))
    }

    fn has_all(&self, other: &Self) -> bool {
        (0..other.len).all(|index| other.list.at(index).is_some_and(|item| self.has(&item)))
    }
}

fn contains<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (a, b) = lists("sets.contains", arguments, budget)?;
    Ok(Value::Bool(a.has_all(&b)))
}

fn equivalent<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (a, b) = lists("sets.equivalent", arguments, budget)?;
    Ok(Value::Bool(a.has_all(&b) && b.has_all(&a)))
}

fn intersects<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (a, b) = lists("sets.intersects", arguments, budget)?;
    Ok(Value::Bool((0..a.len).any(|index| a.list.at(index).is_some_and(|item| b.has(&item)))))
}
