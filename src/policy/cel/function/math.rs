//! The math library.

use std::cmp::Ordering;

use super::super::EvaluationError;
use super::super::budget::Budget;
use super::super::types::Type;
use super::super::value::Value;
use super::builtin::{Applied, Builtin, Kind, boolean, double, invalid, no_overload, same};

const fn function(
    name: &'static str,
    parameters: &'static [Kind],
    result: fn(&[Type]) -> Type,
    apply: for<'a> fn(&[Value<'a>], &mut Budget) -> Applied<'a>,
) -> Builtin {
    Builtin { name, method: false, parameters, result, apply }
}

const DOUBLE: &[Kind] = &[Kind::Double];
const WHOLES: &[Kind] = &[Kind::Whole, Kind::Whole];
const SHIFT: &[Kind] = &[Kind::Whole, Kind::Int];

/// `math.greatest` and `math.least` take one list here: with several arguments they are lowered to that.
pub const BUILTINS: &[Builtin] = &[
    function("math.greatest", &[Kind::NumberList], element, greatest),
    function("math.least", &[Kind::NumberList], element, least),
    function("math.ceil", DOUBLE, double, |arguments, _| rounded("math.ceil", arguments, f64::ceil)),
    function("math.floor", DOUBLE, double, |arguments, _| rounded("math.floor", arguments, f64::floor)),
    function("math.round", DOUBLE, double, |arguments, _| rounded("math.round", arguments, f64::round)),
    function("math.trunc", DOUBLE, double, |arguments, _| rounded("math.trunc", arguments, f64::trunc)),
    function("math.abs", &[Kind::Number], same, abs),
    function("math.sign", &[Kind::Number], same, sign),
    function("math.sqrt", &[Kind::Number], double, sqrt),
    function("math.isNaN", DOUBLE, boolean, |arguments, _| asked("math.isNaN", arguments, f64::is_nan)),
    function("math.isInf", DOUBLE, boolean, |arguments, _| asked("math.isInf", arguments, f64::is_infinite)),
    function("math.isFinite", DOUBLE, boolean, |arguments, _| {
        asked("math.isFinite", arguments, f64::is_finite)
    }),
    function("math.bitAnd", WHOLES, same, |arguments, _| bits("math.bitAnd", arguments, |a, b| a & b)),
    function("math.bitOr", WHOLES, same, |arguments, _| bits("math.bitOr", arguments, |a, b| a | b)),
    function("math.bitXor", WHOLES, same, |arguments, _| bits("math.bitXor", arguments, |a, b| a ^ b)),
    function("math.bitNot", &[Kind::Whole], same, bit_not),
    function("math.bitShiftLeft", SHIFT, same, |arguments, _| {
        shifted("math.bitShiftLeft", arguments, u64::checked_shl)
    }),
    function("math.bitShiftRight", SHIFT, same, |arguments, _| {
        shifted("math.bitShiftRight", arguments, u64::checked_shr)
    }),
];

/// Whether the function takes any number of arguments.
pub fn is_variadic(name: &str) -> bool {
    matches!(name, "math.greatest" | "math.least")
}

fn element(arguments: &[Type]) -> Type {
    arguments.first().map_or(Type::Dyn, Type::element)
}

fn greatest<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    extreme("math.greatest", arguments, Ordering::Greater)
}

fn least<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    extreme("math.least", arguments, Ordering::Less)
}

fn extreme<'a>(name: &'static str, arguments: &[Value<'a>], wanted: Ordering) -> Applied<'a> {
    let list = arguments.first().and_then(|list| Some((list, list.list_len()?)));
    let (list, len) = list.ok_or_else(|| no_overload(name, arguments))?;
    let mut best: Option<Value<'a>> = None;
    for item in (0..len).filter_map(|index| list.at(index)) {
        if !matches!(item, Value::Int(_) | Value::Uint(_) | Value::Double(_)) {
            return Err(no_overload(name, std::slice::from_ref(&item)));
        }
        let better = match &best {
            Some(best) => item.order(best, name)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| invalid(name, "the list is empty"))
}

fn rounded<'a>(name: &'static str, arguments: &[Value<'a>], round: fn(f64) -> f64) -> Applied<'a> {
    match arguments {
        [Value::Double(n)] => Ok(Value::Double(round(*n))),
        _ => Err(no_overload(name, arguments)),
    }
}

fn asked<'a>(name: &'static str, arguments: &[Value<'a>], ask: fn(f64) -> bool) -> Applied<'a> {
    match arguments {
        [Value::Double(n)] => Ok(Value::Bool(ask(*n))),
        _ => Err(no_overload(name, arguments)),
    }
}

fn abs<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Int(n)] => n.checked_abs().map(Value::Int).ok_or(EvaluationError::OutOfRange("math.abs")),
        [Value::Uint(n)] => Ok(Value::Uint(*n)),
        [Value::Double(n)] => Ok(Value::Double(n.abs())),
        _ => Err(no_overload("math.abs", arguments)),
    }
}

fn sign<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Int(n)] => Ok(Value::Int(n.signum())),
        [Value::Uint(n)] => Ok(Value::Uint((*n).min(1))),
        [Value::Double(n)] if *n == 0.0 || n.is_nan() => Ok(Value::Double(*n)),
        [Value::Double(n)] => Ok(Value::Double(n.signum())),
        _ => Err(no_overload("math.sign", arguments)),
    }
}

fn sqrt<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Double(n)] => Ok(Value::Double(n.sqrt())),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        [Value::Int(n)] => Ok(Value::Double((*n as f64).sqrt())),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        [Value::Uint(n)] => Ok(Value::Double((*n as f64).sqrt())),
        _ => Err(no_overload("math.sqrt", arguments)),
    }
}

fn bits<'a>(name: &'static str, arguments: &[Value<'a>], combine: fn(u64, u64) -> u64) -> Applied<'a> {
    match arguments {
        [Value::Int(a), Value::Int(b)] => {
            Ok(Value::Int(combine(a.cast_unsigned(), b.cast_unsigned()).cast_signed()))
        }
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(combine(*a, *b))),
        _ => Err(no_overload(name, arguments)),
    }
}

fn bit_not<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Int(n)] => Ok(Value::Int(!n)),
        [Value::Uint(n)] => Ok(Value::Uint(!n)),
        _ => Err(no_overload("math.bitNot", arguments)),
    }
}

/// Shifts the bits; zeros come in, also from the left. From 64 places on nothing is left.
fn shifted<'a>(
    name: &'static str,
    arguments: &[Value<'a>],
    shift: fn(u64, u32) -> Option<u64>,
) -> Applied<'a> {
    let (value, places) = match arguments {
        [value, Value::Int(places)] => (value, *places),
        _ => return Err(no_overload(name, arguments)),
    };
    if places < 0 {
        return Err(invalid(name, "the number of places is negative"));
    }
    let shift = |bits| u32::try_from(places).ok().and_then(|places| shift(bits, places)).unwrap_or(0);
    match value {
        Value::Int(n) => Ok(Value::Int(shift(n.cast_unsigned()).cast_signed())),
        Value::Uint(n) => Ok(Value::Uint(shift(*n))),
        _ => Err(no_overload(name, arguments)),
    }
}
