//! Values that are no messages: read as the text that JSON would have, and what takes their place.

use prost_reflect::Kind;

use super::wire::{self, Value};
use crate::json::ValueKind;
use crate::plan::{Action, Plan};
use crate::stand_in::StandIn;
use crate::unmaskable::Unmaskable;

/// A value of this kind that a rule takes: what takes its place, `None` when the field goes. Numbers, booleans and
/// enums can't be told to be anything else, so a text in their place is 0.
pub fn replaced<'s>(
    kind: &Kind,
    value: Value,
    action: &Action,
    plan: &Plan,
    room: &'s mut Vec<u8>,
) -> Option<Value<'s>> {
    let (json_kind, text) = text(kind, value);
    match StandIn::of(action, json_kind, plan, &text) {
        StandIn::Gone | StandIn::Null => None,
        StandIn::Text(text) => {
            *room = text;
            Some(if is_text(kind) { Value::Bytes(room) } else { zero(kind) })
        }
        StandIn::Literal(literal) => Some(number(kind, &literal).unwrap_or_else(|| zero(kind))),
    }
}

/// The values of a packed field, which stand one after the other.
pub fn unpack<'b>(kind: &Kind, bytes: &mut &'b [u8]) -> Result<Option<Value<'b>>, Unmaskable> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(match zero(kind) {
        Value::Varint(_) => Value::Varint(wire::varint(bytes)?),
        Value::Fixed64(_) => Value::Fixed64(u64::from_le_bytes(wire::fixed(bytes)?)),
        Value::Fixed32(_) => Value::Fixed32(u32::from_le_bytes(wire::fixed(bytes)?)),
        Value::Bytes(_) => return Ok(None),
    }))
}

/// The default of this kind, which also tells how it is written.
pub fn zero(kind: &Kind) -> Value<'static> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Value::Fixed64(0),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Value::Fixed32(0),
        Kind::String | Kind::Bytes | Kind::Message(_) => Value::Bytes(&[]),
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => Value::Varint(0),
    }
}

/// Whether a value is written as this kind is.
pub fn is_written_as(kind: &Kind, value: &Value) -> bool {
    std::mem::discriminant(&zero(kind)) == std::mem::discriminant(value)
}

pub fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::String | Kind::Bytes)
}

/// A value's text: a map's key, or what is fed to a method.
pub fn text(kind: &Kind, value: Value) -> (ValueKind, Vec<u8>) {
    let number = |text: String| (ValueKind::Number, text.into_bytes());
    match (kind, value) {
        (Kind::Double, Value::Fixed64(bits)) => float(f64::from_bits(bits)),
        (Kind::Float, Value::Fixed32(bits)) => float(f64::from(f32::from_bits(bits))),
        (Kind::Sfixed64 | Kind::Int64, Value::Fixed64(bits) | Value::Varint(bits)) => {
            number(bits.cast_signed().to_string())
        }
        (Kind::Sfixed32, Value::Fixed32(bits)) => number(bits.cast_signed().to_string()),
        (Kind::Int32, Value::Varint(bits)) => number(low(bits).cast_signed().to_string()),
        (Kind::Uint32, Value::Varint(bits)) => number(low(bits).to_string()),
        (Kind::Sint32, Value::Varint(bits)) => {
            let bits = low(bits);
            number(((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()).to_string())
        }
        (Kind::Sint64, Value::Varint(bits)) => {
            number(((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()).to_string())
        }
        (Kind::Bool, Value::Varint(bits)) => (ValueKind::Boolean, (bits != 0).to_string().into_bytes()),
        (Kind::Enum(_), Value::Varint(bits)) => (ValueKind::Boolean, low(bits).to_string().into_bytes()),
        (_, Value::Varint(bits) | Value::Fixed64(bits)) => number(bits.to_string()),
        (_, Value::Fixed32(bits)) => number(bits.to_string()),
        // What is no text has no characters to show.
        (_, Value::Bytes(bytes)) => {
            let readable = is_text(kind) && std::str::from_utf8(bytes).is_ok();
            (if readable { ValueKind::String } else { ValueKind::Boolean }, bytes.to_vec())
        }
    }
}

fn float(value: f64) -> (ValueKind, Vec<u8>) {
    let kind = if value.is_finite() { ValueKind::Number } else { ValueKind::Boolean };
    (kind, value.to_string().into_bytes())
}

/// The low half: readers of 32-bit numbers cut off the rest.
fn low(bits: u64) -> u32 {
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default()
}

/// A number or boolean as JSON writes it, as a value of this kind; `None` where it doesn't fit.
fn number(kind: &Kind, literal: &[u8]) -> Option<Value<'static>> {
    let text = std::str::from_utf8(literal).ok()?;
    let zigzag = |value: i64| (value << 1 ^ value >> 63).cast_unsigned();
    let signed = || text.parse::<i64>().ok();
    let signed_32 = || text.parse::<i32>().ok();
    Some(match kind {
        Kind::Double => Value::Fixed64(text.parse::<f64>().ok()?.to_bits()),
        Kind::Float => Value::Fixed32(text.parse::<f32>().ok()?.to_bits()),
        Kind::Int32 => Value::Varint(i64::from(signed_32()?).cast_unsigned()),
        Kind::Int64 => Value::Varint(signed()?.cast_unsigned()),
        Kind::Uint32 => Value::Varint(u64::from(text.parse::<u32>().ok()?)),
        Kind::Uint64 => Value::Varint(text.parse().ok()?),
        Kind::Sint32 => Value::Varint(zigzag(i64::from(signed_32()?))),
        Kind::Sint64 => Value::Varint(zigzag(signed()?)),
        Kind::Fixed32 => Value::Fixed32(text.parse().ok()?),
        Kind::Fixed64 => Value::Fixed64(text.parse().ok()?),
        Kind::Sfixed32 => Value::Fixed32(signed_32()?.cast_unsigned()),
        Kind::Sfixed64 => Value::Fixed64(signed()?.cast_unsigned()),
        Kind::Bool => Value::Varint(u64::from(text == "true")),
        Kind::Enum(_) | Kind::String | Kind::Bytes | Kind::Message(_) => return None,
    })
}
