//! The lists library.

use std::cmp::Ordering;
use std::rc::Rc;

use super::super::EvaluationError;
use super::super::budget::Budget;
use super::super::types::Type;
use super::super::value::{ELEMENT_BYTES, Value};
use super::builtin::{Applied, Builtin, Kind, invalid, no_overload, same};

/// How deep `flatten` goes at most: deeper data is an error, like a body that nests too deeply.
const MAX_FLATTEN: i64 = 100;

const fn method(
    name: &'static str,
    parameters: &'static [Kind],
    result: fn(&[Type]) -> Type,
    apply: for<'a> fn(&[Value<'a>], &mut Budget) -> Applied<'a>,
) -> Builtin {
    Builtin { name, method: true, parameters, result, apply }
}

pub const BUILTINS: &[Builtin] = &[
    method("slice", &[Kind::List, Kind::Int, Kind::Int], same, slice),
    method("flatten", &[Kind::List], flat, flatten),
    method("flatten", &[Kind::List, Kind::Int], flat, flatten),
    method("distinct", &[Kind::List], same, distinct),
    method("sort", &[Kind::List], same, sort),
    method("first", &[Kind::List], optional_element, first),
    method("last", &[Kind::List], optional_element, last),
    Builtin {
        name: "lists.range",
        method: false,
        parameters: &[Kind::Int],
        result: |_| Type::list(Type::Int),
        apply: range,
    },
];

fn flat(_: &[Type]) -> Type {
    Type::list(Type::Dyn)
}

fn optional_element(arguments: &[Type]) -> Type {
    Type::optional(arguments.first().map_or(Type::Dyn, Type::element))
}

/// The list and its length.
fn list<'v, 'a>(
    name: &'static str,
    arguments: &'v [Value<'a>],
) -> Result<(&'v Value<'a>, usize), EvaluationError> {
    let list = arguments.first().and_then(|list| Some((list, list.list_len()?)));
    list.ok_or_else(|| no_overload(name, arguments))
}

/// Pays for a list of copies.
fn pay(
    items: &Value<'_>,
    indexes: impl Iterator<Item = usize>,
    budget: &mut Budget,
) -> Result<(), EvaluationError> {
    for index in indexes {
        let owned = match items {
            Value::List(items) => items.get(index).map_or(0, Value::owned_bytes),
            _ => 0,
        };
        budget.allocate(ELEMENT_BYTES + owned)?;
    }
    Ok(())
}

fn slice<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, len) = list("slice", arguments)?;
    let [_, Value::Int(start), Value::Int(end)] = arguments else {
        return Err(no_overload("slice", arguments));
    };
    let bounds = usize::try_from(*start).ok().zip(usize::try_from(*end).ok());
    let Some((start, end)) = bounds.filter(|(start, end)| start <= end && *end <= len) else {
        return Err(invalid("slice", format!("{start}..{end} is not within the list's {len} elements")));
    };
    pay(items, start..end, budget)?;
    Ok(Value::List((start..end).filter_map(|index| items.at(index)).collect()))
}

fn flatten<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, _) = list("flatten", arguments)?;
    let depth = match arguments {
        [_] => 1,
        [_, Value::Int(depth)] if (0..=MAX_FLATTEN).contains(depth) => *depth,
        _ => return Err(invalid("flatten", format!("the depth must be between 0 and {MAX_FLATTEN}"))),
    };
    let mut flat = Vec::new();
    flatten_into(&mut flat, items, depth, budget)?;
    Ok(Value::List(flat.into()))
}

fn flatten_into<'a>(
    flat: &mut Vec<Value<'a>>,
    items: &Value<'a>,
    depth: i64,
    budget: &mut Budget,
) -> Result<(), EvaluationError> {
    for index in 0..items.list_len().unwrap_or(0) {
        pay(items, std::iter::once(index), budget)?;
        budget.spend(1)?;
        let Some(item) = items.at(index) else { continue };
        if depth > 0 && item.list_len().is_some() {
            flatten_into(flat, &item, depth - 1, budget)?;
        } else {
            flat.push(item);
        }
    }
    Ok(())
}

fn distinct<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, len) = list("distinct", arguments)?;
    let mut kept: Vec<Value<'a>> = Vec::new();
    for index in 0..len {
        let Some(item) = items.at(index) else { continue };
        let weight = 1 + item.weight(budget.steps_left());
        budget.spend(kept.len().saturating_mul(weight))?;
        if !kept.iter().any(|known| known.equals(&item)) {
            pay(items, std::iter::once(index), budget)?;
            kept.push(item);
        }
    }
    Ok(Value::List(kept.into()))
}

fn sort<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, len) = list("sort", arguments)?;
    pay(items, 0..len, budget)?;
    let keys: Vec<_> = (0..len).filter_map(|index| items.at(index)).collect();
    let order = sorted_by("sort", &keys, budget)?;
    Ok(Value::List(order.into_iter().filter_map(|index| keys.get(index).cloned()).collect()))
}

/// The indexes of `keys` in their order; equal ones stay as they stand. All keys must be of one type that has an
/// order.
pub fn sorted_by(
    name: &'static str,
    keys: &[Value<'_>],
    budget: &mut Budget,
) -> Result<Vec<usize>, EvaluationError> {
    let comparisons =
        keys.len().saturating_mul(1 + usize::BITS.saturating_sub(keys.len().leading_zeros()) as usize);
    let limit = budget.steps_left();
    let longest = keys.iter().map(|key| 1 + key.weight(limit)).max().unwrap_or(0);
    budget.spend(comparisons.saturating_mul(longest))?;
    budget.allocate(keys.len().saturating_mul(2 * size_of::<usize>()))?;
    if let Some(first) = keys.first() {
        for key in keys {
            if first.type_name() != key.type_name() {
                return Err(invalid(name, "the elements must be of one type"));
            }
            first.order(key, name)?;
        }
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| match (keys.get(*a), keys.get(*b)) {
        (Some(a), Some(b)) => total_order(a, b, name),
        _ => Ordering::Equal,
    });
    Ok(order)
}

/// An order of all values, as sorting needs: a NaN comes after the other numbers.
fn total_order(a: &Value<'_>, b: &Value<'_>, name: &'static str) -> Ordering {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) if a.is_nan() || b.is_nan() => a.is_nan().cmp(&b.is_nan()),
        _ => a.order(b, name).ok().flatten().unwrap_or(Ordering::Equal),
    }
}

fn first<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, _) = list("first", arguments)?;
    pay(items, std::iter::once(0), budget)?;
    Ok(Value::Optional(items.at(0).map(Rc::new)))
}

fn last<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let (items, len) = list("last", arguments)?;
    let index = len.checked_sub(1);
    pay(items, index.into_iter(), budget)?;
    Ok(Value::Optional(index.and_then(|index| items.at(index)).map(Rc::new)))
}

pub fn reversed<'a>(items: &Value<'a>, budget: &mut Budget) -> Applied<'a> {
    let (items, len) = list("reverse", std::slice::from_ref(items))?;
    pay(items, 0..len, budget)?;
    Ok(Value::List((0..len).rev().filter_map(|index| items.at(index)).collect()))
}

fn range<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let [Value::Int(end)] = arguments else { return Err(no_overload("lists.range", arguments)) };
    let len = usize::try_from(*end).unwrap_or(0);
    budget.allocate(len.saturating_mul(ELEMENT_BYTES))?;
    Ok(Value::List((0..(*end).max(0)).map(Value::Int).collect()))
}
