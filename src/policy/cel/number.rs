//! Arithmetic: CEL has no wrap-around, so what does not fit is an error.

use std::borrow::Cow;

use super::EvaluationError;
use super::expression::Operator;
use super::value::Value;

/// Text of more bytes costs further steps.
const BYTES_PER_STEP: usize = 64;

impl<'a> Value<'a> {
    pub fn negate(&self) -> Result<Value<'a>, EvaluationError> {
        match self {
            Value::Int(n) => n.checked_neg().map(Value::Int).ok_or(EvaluationError::OutOfRange("-")),
            Value::Double(n) => Ok(Value::Double(-n)),
            Value::Duration(span) => {
                span.checked_neg().map(Value::Duration).ok_or(EvaluationError::OutOfRange("-"))
            }
            _ => Err(EvaluationError::overload("-", &[self])),
        }
    }

    pub fn arithmetic(&self, operator: Operator, other: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
        let out_of_range = || EvaluationError::OutOfRange(operator.symbol());
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => int(operator, *a, *b).map(Value::Int),
            (Value::Uint(a), Value::Uint(b)) => uint(operator, *a, *b).map(Value::Uint),
            (Value::Double(a), Value::Double(b)) => match operator {
                Operator::Add => Ok(Value::Double(a + b)),
                Operator::Subtract => Ok(Value::Double(a - b)),
                Operator::Multiply => Ok(Value::Double(a * b)),
                Operator::Divide => Ok(Value::Double(a / b)),
                _ => Err(EvaluationError::overload(operator.symbol(), &[self, other])),
            },
            (Value::Timestamp(at), Value::Timestamp(before)) if operator == Operator::Subtract => {
                Ok(Value::Duration(at.duration_since(*before)))
            }
            (Value::Timestamp(at), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(at))
                if operator == Operator::Add =>
            {
                at.checked_add(*span).map(Value::Timestamp).map_err(|_| out_of_range())
            }
            (Value::Timestamp(at), Value::Duration(span)) if operator == Operator::Subtract => {
                at.checked_sub(*span).map(Value::Timestamp).map_err(|_| out_of_range())
            }
            (Value::Duration(a), Value::Duration(b)) => match operator {
                Operator::Add => a.checked_add(*b).map(Value::Duration).ok_or_else(out_of_range),
                Operator::Subtract => a.checked_sub(*b).map(Value::Duration).ok_or_else(out_of_range),
                _ => Err(EvaluationError::overload(operator.symbol(), &[self, other])),
            },
            _ if operator == Operator::Add => self.concatenate(other),
            _ => Err(EvaluationError::overload(operator.symbol(), &[self, other])),
        }
    }

    fn concatenate(&self, other: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Ok(Value::Text(Cow::Owned(format!("{a}{b}")))),
            (Value::Bytes(a), Value::Bytes(b)) => {
                Ok(Value::Bytes(Cow::Owned([a.as_ref(), b.as_ref()].concat())))
            }
            _ => match (self.list_len(), other.list_len()) {
                (Some(a), Some(b)) => {
                    let items = (0..a).filter_map(|i| self.at(i)).chain((0..b).filter_map(|i| other.at(i)));
                    Ok(Value::List(items.collect()))
                }
                _ => Err(EvaluationError::overload("+", &[self, other])),
            },
        }
    }

    /// What it costs, in steps, to go over the value once.
    pub fn weight(&self) -> usize {
        match self {
            Value::Text(text) => text.len() / BYTES_PER_STEP,
            Value::Bytes(bytes) => bytes.len() / BYTES_PER_STEP,
            Value::Array(items) => items.iter().map(json_weight).sum(),
            Value::Object(map) => map.values().map(json_weight).sum(),
            Value::List(items) => items.iter().map(|item| 1 + item.weight()).sum(),
            Value::Map(entries) => entries.iter().map(|(key, value)| 1 + key.weight() + value.weight()).sum(),
            Value::Headers(headers) => headers.iter().count().saturating_pow(2) / 8,
            Value::Params(map) => map.len(),
            Value::TextMap(map) => map.len(),
            _ => self.list_len().unwrap_or(0),
        }
    }

    /// What it costs, in steps, to look up one entry of a map beyond a constant.
    pub fn lookup_cost(&self) -> usize {
        match self {
            Value::Headers(headers) => headers.iter().count() / 8,
            Value::Map(entries) => entries.len(),
            _ => 0,
        }
    }

    /// The value in an error message.
    pub fn shown(&self) -> String {
        match self.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

fn json_weight(json: &serde_json::Value) -> usize {
    1 + match json {
        serde_json::Value::String(text) => text.len() / BYTES_PER_STEP,
        serde_json::Value::Array(items) => items.iter().map(json_weight).sum(),
        serde_json::Value::Object(map) => map.values().map(json_weight).sum(),
        _ => 0,
    }
}

fn int(operator: Operator, a: i64, b: i64) -> Result<i64, EvaluationError> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide | Operator::Remainder if b == 0 => return Err(EvaluationError::DivisionByZero),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
        _ => None,
    };
    result.ok_or(EvaluationError::OutOfRange(operator.symbol()))
}

fn uint(operator: Operator, a: u64, b: u64) -> Result<u64, EvaluationError> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide | Operator::Remainder if b == 0 => return Err(EvaluationError::DivisionByZero),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
        _ => None,
    };
    result.ok_or(EvaluationError::OutOfRange(operator.symbol()))
}

/// The double as a whole number, truncated; `None` outside the range of `int`.
pub fn truncate(double: f64) -> Option<i64> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the range, checked here")]
    (double > -TWO_63 && double < TWO_63).then(|| double.trunc() as i64)
}

/// The double when it is a whole number.
pub fn whole(double: f64) -> Option<i64> {
    truncate(double).filter(|_| double.fract() == 0.0)
}
