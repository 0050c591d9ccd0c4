//! Optional values: those of their functions that evaluate all their arguments.

use std::rc::Rc;

use super::super::EvaluationError;
use super::super::budget::Budget;
use super::super::types::Type;
use super::super::value::{ELEMENT_BYTES, Value};
use super::builtin::{Applied, Builtin, Kind, boolean, no_overload};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "optional.none",
        method: false,
        parameters: &[],
        result: |_| Type::optional(Type::Dyn),
        apply: |_, _| Ok(Value::Optional(None)),
    },
    Builtin { name: "optional.of", method: false, parameters: &[Kind::Any], result: optional, apply: of },
    Builtin {
        name: "optional.ofNonZeroValue",
        method: false,
        parameters: &[Kind::Any],
        result: optional,
        apply: of_non_zero,
    },
    Builtin {
        name: "hasValue",
        method: true,
        parameters: &[Kind::Optional],
        result: boolean,
        apply: has_value,
    },
    Builtin { name: "value", method: true, parameters: &[Kind::Optional], result: element, apply: value },
];

fn optional(arguments: &[Type]) -> Type {
    Type::optional(arguments.first().cloned().unwrap_or(Type::Dyn))
}

fn element(arguments: &[Type]) -> Type {
    arguments.first().map_or(Type::Dyn, Type::element)
}

fn of<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let [value] = arguments else { return Err(no_overload("optional.of", arguments)) };
    budget.allocate(ELEMENT_BYTES + value.owned_bytes())?;
    Ok(Value::Optional(Some(Rc::new(value.clone()))))
}

fn of_non_zero<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    match arguments {
        [value] if is_zero(value) => Ok(Value::Optional(None)),
        _ => of(arguments, budget),
    }
}

/// Whether it is what a field is that nobody set.
fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Int(n) => *n == 0,
        Value::Uint(n) => *n == 0,
        Value::Double(n) => *n == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Duration(span) => span.is_zero(),
        Value::Timestamp(_) | Value::Type(_) | Value::Ip(_) | Value::Cidr(_) => false,
        Value::Optional(value) => value.is_none(),
        _ => value.list_len().or_else(|| value.map_len()) == Some(0),
    }
}

fn has_value<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(no_overload("hasValue", arguments)),
    }
}

fn value<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Optional(Some(value))] => {
            budget.allocate(value.owned_bytes())?;
            Ok((**value).clone())
        }
        [Value::Optional(None)] => Err(EvaluationError::NoValue),
        _ => Err(no_overload("value", arguments)),
    }
}
