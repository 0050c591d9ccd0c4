//! Arithmetic: CEL has no wrap-around, so what does not fit is an error.

use std::borrow::Cow;

use super::budget::BYTES_PER_STEP;
use super::expression::Operator;
use super::value::Value;
use super::{EvaluationError, time};

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
                time::between(*at, *before).map(Value::Duration).ok_or_else(out_of_range)
            }
            (Value::Timestamp(at), Value::Duration(span)) | (Value::Duration(span), Value::Timestamp(at))
                if operator == Operator::Add =>
            {
                let sum = at.checked_add(*span).ok().and_then(time::in_range);
                sum.map(Value::Timestamp).ok_or_else(out_of_range)
            }
            (Value::Timestamp(at), Value::Duration(span)) if operator == Operator::Subtract => {
                let difference = at.checked_sub(*span).ok().and_then(time::in_range);
                difference.map(Value::Timestamp).ok_or_else(out_of_range)
            }
            (Value::Duration(a), Value::Duration(b)) => {
                let span = match operator {
                    Operator::Add => a.checked_add(*b),
                    Operator::Subtract => a.checked_sub(*b),
                    _ => return Err(EvaluationError::overload(operator.symbol(), &[self, other])),
                };
                span.and_then(time::span_in_range).map(Value::Duration).ok_or_else(out_of_range)
            }
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

    /// What it costs, in steps, to go over the value once. Stops counting soon after `limit`.
    pub fn weight(&self, limit: usize) -> usize {
        match self {
            Value::Text(text) => text.len() / BYTES_PER_STEP,
            Value::Bytes(bytes) => bytes.len() / BYTES_PER_STEP,
            Value::Array(items) => total(items.iter(), limit, json_weight),
            Value::Object(map) => total(map.iter(), limit, member_weight),
            Value::List(items) => total(items.iter(), limit, |item, left| 1 + item.weight(left)),
            Value::Map(entries) => {
                let pair =
                    |(key, value): &(Value<'_>, Value<'_>), left| 1 + key.weight(left) + value.weight(left);
                total(entries.iter(), limit, pair)
            }
            Value::Optional(Some(value)) => 1 + value.weight(limit),
            // Each is looked for among all, after their names have been sorted.
            Value::Headers(headers) => {
                let bytes: usize = headers.iter().map(|header| header.name.len() + header.value.len()).sum();
                headers.iter().count().saturating_pow(2) / 4 + self.keys_cost() + bytes / BYTES_PER_STEP
            }
            Value::Params(map) => map.len(),
            Value::TextMap(map) => map.len(),
            _ => self.list_len().unwrap_or(0),
        }
    }

    /// What it costs, in steps, to look up an entry of a map.
    pub fn lookup_cost(&self, key: &Value<'_>, limit: usize) -> usize {
        match (self, key) {
            (Value::Map(entries), _) => entries.len().saturating_mul(1 + key.weight(limit)),
            (_, Value::Text(name)) => self.field_cost(name),
            _ => key.weight(limit),
        }
    }

    /// The same where the key is text.
    pub fn field_cost(&self, name: &str) -> usize {
        let weight = 1 + name.len() / BYTES_PER_STEP;
        match self {
            Value::Map(entries) => entries.len().saturating_mul(weight),
            Value::Object(_) | Value::Params(_) | Value::TextMap(_) => 2 + 2 * weight,
            Value::Headers(headers) => {
                let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
                let bytes: usize = named.map(|header| header.value.len()).sum();
                weight + headers.iter().count() / 2 + bytes / BYTES_PER_STEP
            }
            _ => weight,
        }
    }

    /// What it costs, in steps, to list the keys of a map. The names of headers are sorted for it.
    pub fn keys_cost(&self) -> usize {
        match self {
            Value::Headers(headers) => {
                let len = headers.iter().count();
                len.saturating_mul(1 + usize::BITS.saturating_sub(len.leading_zeros()) as usize)
            }
            _ => self.map_len().unwrap_or(0),
        }
    }

    /// The value in an error message: only its type when it is long.
    pub fn shown(&self) -> String {
        const LONGEST: usize = 8;
        if self.weight(LONGEST) > LONGEST {
            return format!("a long {}", self.type_name());
        }
        match self.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        }
    }
}

fn json_weight(json: &serde_json::Value, limit: usize) -> usize {
    1 + match json {
        serde_json::Value::String(text) => text.len() / BYTES_PER_STEP,
        serde_json::Value::Array(items) => total(items.iter(), limit, json_weight),
        serde_json::Value::Object(map) => total(map.iter(), limit, member_weight),
        _ => 0,
    }
}

/// A member with its name, which is hashed to be found.
fn member_weight((name, json): (&String, &serde_json::Value), limit: usize) -> usize {
    2 + name.len() / BYTES_PER_STEP + json_weight(json, limit)
}

/// The sum of the items' weights, until it exceeds `limit`.
fn total<T>(items: impl Iterator<Item = T>, limit: usize, weight: impl Fn(T, usize) -> usize) -> usize {
    let mut sum = 0_usize;
    for item in items {
        if sum > limit {
            break;
        }
        sum = sum.saturating_add(weight(item, limit - sum));
    }
    sum
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
