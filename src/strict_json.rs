//! JSON that every reader reads alike: an object with a repeated key is refused at any depth, since some readers take
//! its first value and some its last, and some (Go's among them) take `Amount` for `amount`. serde_json bounds the
//! nesting (128 levels).

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Parses `bytes` as one JSON value.
pub fn value(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

/// Parses `bytes` as one JSON object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match value(bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(de::Error::custom("it is not a JSON object")),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> de::Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
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
    fn one_object_without_duplicates() {
        assert!(value(br#"{"a": {"A": 1}, "b": [{"a": 1}, {"A": 2}]}"#).is_ok());
        assert!(object(br#" {"a": [1, {"b": null}], "c": 1.5} "#).is_ok());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for bad in [
            "",
            "null",
            "[]",
            "{",
            "{}{}",
            "{\"a\":1,}",
            "\u{feff}{}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"amount": 1, "Amount": 700}"#,
            r#"{"amount": 1, "\u0041mount": 700}"#,
            r#"{"a": [{"is": 1, "iſ": 2}]}"#,
            r#"{"kind": 1, "\u212aind": 2}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e400}"#,
            &deep,
        ] {
            assert!(object(bad.as_bytes()).is_err(), "{bad:.40}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }
}
