//! The same masking by way of libraries: the document is parsed, the fields are changed, the document is written into
//! a buffer that is used again, as the masker's is.

use portcullis_mask::{FieldPath, Method, Rule};
use serde_json::Value;
use simd_json::prelude::*;

type Failed = Box<dyn std::error::Error>;

/// The three rules of the comparison, as the masker has them.
pub fn rules() -> Result<Vec<Rule>, Failed> {
    let rule = |field: &str, method| FieldPath::parse(field).map(|field| Rule::new(field, method));
    Ok(vec![
        rule("**.card.number", Method::Last4)?,
        rule("**.email", Method::redact())?,
        rule("**.ssn", Method::Remove)?,
    ])
}

/// What `last4` makes of a number.
fn last4(number: &str) -> String {
    let hidden = number.len().saturating_sub(4);
    format!("{}{}", "*".repeat(hidden), number.get(hidden..).unwrap_or_default())
}

/// What a library is given for one body after the other, so that no one pays for memory that can be kept.
#[derive(Default)]
pub struct Kept {
    pub out: Vec<u8>,
    /// `simd-json` parses in place.
    body: Vec<u8>,
    parsing: simd_json::Buffers,
}

pub fn serde_json(body: &[u8], kept: &mut Kept) -> Result<usize, Failed> {
    fn mask(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(mask),
            Value::Object(members) => {
                members.shift_remove("ssn");
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("email", value) => *value = Method::DEFAULT_TEXT.into(),
                        ("card", Value::Object(card)) => {
                            if let Some(number) = card.get_mut("number") {
                                *number = last4(number.as_str().unwrap_or_default()).into();
                            }
                        }
                        (_, value) => mask(value),
                    }
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_slice(body)?;
    mask(&mut value);
    kept.out.clear();
    serde_json::to_writer(&mut kept.out, &value)?;
    Ok(kept.out.len())
}

pub fn simd_json(body: &[u8], kept: &mut Kept) -> Result<usize, Failed> {
    use simd_json::borrowed::Value;
    fn mask(value: &mut Value<'_>) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(mask),
            Value::Object(members) => {
                members.remove("ssn");
                for (name, value) in members.iter_mut() {
                    match (&**name, value) {
                        ("email", value) => *value = Method::DEFAULT_TEXT.into(),
                        ("card", Value::Object(card)) => {
                            if let Some(number) = card.get_mut("number") {
                                *number = last4(number.as_str().unwrap_or_default()).into();
                            }
                        }
                        (_, value) => mask(value),
                    }
                }
            }
            _ => {}
        }
    }
    let Kept { out, body: copy, parsing } = kept;
    copy.clear();
    copy.extend_from_slice(body);
    let mut value = simd_json::to_borrowed_value_with_buffers(copy, parsing)?;
    mask(&mut value);
    out.clear();
    value.write(out)?;
    Ok(out.len())
}

pub fn sonic_rs(body: &[u8], kept: &mut Kept) -> Result<usize, Failed> {
    use sonic_rs::{JsonValueMutTrait as _, JsonValueTrait as _, Value};
    fn mask(value: &mut Value) {
        if let Some(items) = value.as_array_mut() {
            items.iter_mut().for_each(mask);
        } else if let Some(members) = value.as_object_mut() {
            members.remove(&"ssn");
            for (name, value) in members.iter_mut() {
                match name {
                    "email" => *value = Value::from(Method::DEFAULT_TEXT),
                    "card" => {
                        if let Some(number) = value.as_object_mut().and_then(|card| card.get_mut(&"number")) {
                            *number = Value::from(last4(number.as_str().unwrap_or_default()).as_str());
                        }
                    }
                    _ => mask(value),
                }
            }
        }
    }
    let mut value = sonic_rs::from_slice(body)?;
    mask(&mut value);
    kept.out.clear();
    sonic_rs::to_writer(&mut kept.out, &value)?;
    Ok(kept.out.len())
}
