//! Equality and order, also across number types, as CEL defines them.

use std::cmp::Ordering;

use super::EvaluationError;
use super::value::Value;

/// 2^63, which an `f64` holds exactly.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

impl Value<'_> {
    /// CEL's `==`: values of different types are not equal, numbers compare by what they stand for.
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a), Value::Cidr(b)) => a == b,
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| Value::from(a).equals(&Value::from(b)))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, a)| b.get(key).is_some_and(|b| Value::from(a).equals(&Value::from(b))))
            }
            _ => match compare_numbers(self, other) {
                Some(order) => order == Ordering::Equal,
                None => self.equal_collections(other),
            },
        }
    }

    fn equal_collections(&self, other: &Value<'_>) -> bool {
        if let (Some(a), Some(b)) = (self.list_len(), other.list_len()) {
            return a == b
                && (0..a).all(|index| match (self.at(index), other.at(index)) {
                    (Some(a), Some(b)) => a.equals(&b),
                    _ => false,
                });
        }
        let (Some(keys), Some(other_keys)) = (self.keys(), other.keys()) else { return false };
        keys.len() == other_keys.len()
            && keys.iter().all(|key| match (self.entry(key), other.entry(key)) {
                (Ok(Some(a)), Ok(Some(b))) => a.equals(&b),
                _ => false,
            })
    }

    /// CEL's `<` and its kin. `None` when a NaN takes part.
    pub fn order(
        &self,
        other: &Value<'_>,
        operator: &'static str,
    ) -> Result<Option<Ordering>, EvaluationError> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
            (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
            (Value::Bytes(a), Value::Bytes(b)) => Ok(Some(a.cmp(b))),
            (Value::Timestamp(a), Value::Timestamp(b)) => Ok(Some(a.cmp(b))),
            (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
            _ if self.is_number() && other.is_number() => Ok(compare_numbers(self, other)),
            _ => Err(EvaluationError::overload(operator, &[self, other])),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Uint(_) | Value::Double(_))
    }
}

fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Int(a), Value::Double(b)) => whole_to_double(i128::from(*a), *b),
        (Value::Uint(a), Value::Double(b)) => whole_to_double(i128::from(*a), *b),
        (Value::Double(a), Value::Int(b)) => whole_to_double(i128::from(*b), *a).map(Ordering::reverse),
        (Value::Double(a), Value::Uint(b)) => whole_to_double(i128::from(*b), *a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact: a whole number is not rounded to the double's precision first.
fn whole_to_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 2.0 * TWO_63 {
        return Some(Ordering::Less);
    }
    if double < -TWO_63 {
        return Some(Ordering::Greater);
    }
    let truncated = double.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "within -2^63..2^64, checked above")]
    let order = whole.cmp(&(truncated as i128));
    let fraction = double - truncated;
    Some(order.then(if fraction > 0.0 {
        Ordering::Less
    } else if fraction < 0.0 {
        Ordering::Greater
    } else {
        Ordering::Equal
    }))
}
