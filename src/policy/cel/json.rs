//! JSON that every reader reads alike: an object with a repeated key is refused, since some take its first value
//! and some its last, and some (Go's among them) take `Amount` for `amount`. Nesting is bounded by serde_json (128 levels).

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

pub fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut folded = HashSet::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if !folded.insert(fold(&key)) {
                return Err(de::Error::custom("a key is repeated"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// The same for keys that differ in case only. By way of capitals, so that `ſ` and the Kelvin sign fold too.
fn fold(key: &str) -> String {
    if key.is_ascii() { key.to_ascii_lowercase() } else { key.to_uppercase().to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_read_differently_is_refused() {
        for text in [
            r#"{"amount": 1, "amount": 700}"#,
            r#"{"amount": 1, "Amount": 700}"#,
            r#"{"amount": 1, "\u0041mount": 700}"#,
            r#"{"a": [{"is": 1, "iſ": 2}]}"#,
            r#"{"kind": 1, "\u212aind": 2}"#,
            r#"{"a": 1} {"a": 2}"#,
            r#"{"a": 1e400}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(r#"{"a": {"A": 1}, "b": [{"a": 1}, {"A": 2}]}"#.as_bytes()).is_ok());
    }
}
