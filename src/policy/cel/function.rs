//! The functions of CEL, applied to values: here those of the core language, in the files below the libraries.

use std::borrow::Cow;

use super::budget::{CONVERSION, SEARCHED_BYTES_PER_STEP};
use super::expression::Function;
use super::value::Value;
use super::{EvaluationError, display, number, time};

pub mod builtin;
mod encoder;
pub mod format;
mod list;
pub mod math;
pub mod net;
mod optional;
mod set;
mod string;

pub use builtin::{Applied, Builtin};
pub use list::sorted_by;

impl Function {
    pub fn apply<'a>(self, arguments: &[Value<'a>]) -> Applied<'a> {
        match arguments {
            [one] => self.apply_to_one(one),
            [Value::Text(a), Value::Text(b)] => match self {
                Self::StartsWith => Ok(Value::Bool(a.starts_with(b.as_ref()))),
                Self::EndsWith => Ok(Value::Bool(a.ends_with(b.as_ref()))),
                Self::Contains => Ok(Value::Bool(a.contains(b.as_ref()))),
                _ => Err(self.no_overload(arguments)),
            },
            _ => Err(self.no_overload(arguments)),
        }
    }

    fn apply_to_one<'a>(self, value: &Value<'a>) -> Applied<'a> {
        match (self, value) {
            (Self::Size, _) => size(value).ok_or_else(|| self.no_overload(std::slice::from_ref(value))),
            (Self::LowerAscii, Value::Text(text)) => Ok(Value::Text(Cow::Owned(text.to_ascii_lowercase()))),
            (Self::UpperAscii, Value::Text(text)) => Ok(Value::Text(Cow::Owned(text.to_ascii_uppercase()))),
            (Self::TypeOf, _) => Ok(Value::Type(value.type_name())),
            (Self::Dyn, _) => Ok(value.clone()),
            (Self::ToInt, _) => to_int(value),
            (Self::ToUint, _) => to_uint(value),
            (Self::ToDouble, _) => to_double(value),
            (Self::ToText, _) => to_text(value),
            (Self::ToBool, Value::Bool(_)) | (Self::ToBytes, Value::Bytes(_)) => Ok(value.clone()),
            (Self::ToTimestamp, Value::Timestamp(_)) | (Self::ToDuration, Value::Duration(_)) => {
                Ok(value.clone())
            }
            (Self::ToBool, Value::Text(text)) => match text.as_ref() {
                "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
                "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
                _ => Err(EvaluationError::Conversion("bool")),
            },
            (Self::ToBytes, Value::Text(text)) => Ok(Value::Bytes(Cow::Owned(text.as_bytes().to_vec()))),
            (Self::ToTimestamp, Value::Text(text)) => time::parse_timestamp(text)
                .map(Value::Timestamp)
                .ok_or(EvaluationError::Conversion("timestamp")),
            (Self::ToTimestamp, Value::Int(seconds)) => jiff::Timestamp::from_second(*seconds)
                .ok()
                .and_then(time::in_range)
                .map(Value::Timestamp)
                .ok_or(EvaluationError::Conversion("timestamp")),
            (Self::ToDuration, Value::Text(text)) => {
                time::parse_duration(text).map(Value::Duration).ok_or(EvaluationError::Conversion("duration"))
            }
            (_, Value::Timestamp(at)) => {
                time::of_timestamp(self, *at).ok_or_else(|| self.no_overload(std::slice::from_ref(value)))
            }
            (_, Value::Duration(span)) => {
                time::of_duration(self, *span).ok_or_else(|| self.no_overload(std::slice::from_ref(value)))
            }
            _ => Err(self.no_overload(std::slice::from_ref(value))),
        }
    }

    /// What it costs, in steps, beyond going over its arguments once.
    pub fn cost(self, arguments: &[Value<'_>]) -> usize {
        match (self, arguments) {
            (Self::Contains, [Value::Text(text), _]) => text.len() / SEARCHED_BYTES_PER_STEP,
            (Self::ToText, [Value::Double(_)]) => format::double_cost(format::SHORTEST_DIGITS),
            // From the twentieth digit on, reading a double takes a number of as many digits.
            (Self::ToDouble, [Value::Text(text)]) if text.len() > 19 => {
                CONVERSION * (16 + text.len().min(800) / 8)
            }
            (Self::ToText, [Value::Timestamp(_) | Value::Duration(_) | Value::Ip(_) | Value::Cidr(_)]) => {
                3 * CONVERSION
            }
            (Self::ToDouble | Self::ToTimestamp | Self::ToDuration | Self::ToText, _) => CONVERSION,
            (_, [Value::Timestamp(_)]) => CONVERSION,
            _ => 0,
        }
    }

    /// Whether the result is a copy of the argument's content.
    pub fn copies(self) -> bool {
        matches!(self, Self::LowerAscii | Self::UpperAscii | Self::ToText | Self::ToBytes | Self::Dyn)
    }

    fn no_overload(self, arguments: &[Value<'_>]) -> EvaluationError {
        EvaluationError::overload(self.name(), &arguments.iter().collect::<Vec<_>>())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Contains => "contains",
            Self::LowerAscii => "lowerAscii",
            Self::UpperAscii => "upperAscii",
            Self::ToInt => "int",
            Self::ToUint => "uint",
            Self::ToDouble => "double",
            Self::ToText => "string",
            Self::ToBool => "bool",
            Self::ToBytes => "bytes",
            Self::ToTimestamp => "timestamp",
            Self::ToDuration => "duration",
            Self::TypeOf => "type",
            Self::Dyn => "dyn",
            Self::FullYear => "getFullYear",
            Self::Month => "getMonth",
            Self::Date => "getDate",
            Self::DayOfMonth => "getDayOfMonth",
            Self::DayOfWeek => "getDayOfWeek",
            Self::DayOfYear => "getDayOfYear",
            Self::Hours => "getHours",
            Self::Minutes => "getMinutes",
            Self::Seconds => "getSeconds",
            Self::Milliseconds => "getMilliseconds",
        }
    }
}

/// Characters of a text, bytes, elements, or entries.
fn size<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    let size = match value {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Headers(_) => value.keys()?.len(),
        _ => value.list_len().or_else(|| value.map_len())?,
    };
    i64::try_from(size).ok().map(Value::Int)
}

fn to_int<'a>(value: &Value<'a>) -> Applied<'a> {
    let converted = match value {
        Value::Int(n) => Some(*n),
        Value::Uint(n) => i64::try_from(*n).ok(),
        Value::Double(n) => number::truncate(*n),
        Value::Text(text) => text.parse().ok(),
        Value::Timestamp(at) => Some(at.as_second()),
        _ => None,
    };
    converted.map(Value::Int).ok_or(EvaluationError::Conversion("int"))
}

fn to_uint<'a>(value: &Value<'a>) -> Applied<'a> {
    const TWO_64: f64 = 18_446_744_073_709_551_616.0;
    let converted = match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::Uint(n) => Some(*n),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
        Value::Double(n) if *n > -1.0 && *n < TWO_64 => Some(n.trunc() as u64),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    converted.map(Value::Uint).ok_or(EvaluationError::Conversion("uint"))
}

fn to_double<'a>(value: &Value<'a>) -> Applied<'a> {
    let converted = match value {
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        Value::Int(n) => Some(*n as f64),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds to the nearest double")]
        Value::Uint(n) => Some(*n as f64),
        Value::Double(n) => Some(*n),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    converted.map(Value::Double).ok_or(EvaluationError::Conversion("double"))
}

fn to_text<'a>(value: &Value<'a>) -> Applied<'a> {
    let text = match value {
        Value::Text(_) => return Ok(value.clone()),
        Value::Bool(value) => value.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => display::double(*n),
        Value::Timestamp(at) => display::timestamp(*at),
        Value::Duration(span) => display::duration(*span),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(network) => network.to_string(),
        Value::Bytes(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|_| EvaluationError::Conversion("string"))?
        }
        _ => return Err(EvaluationError::Conversion("string")),
    };
    Ok(Value::Text(Cow::Owned(text)))
}
