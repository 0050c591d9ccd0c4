//! The encoders library: Base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::budget::Budget;
use super::super::types::Type;
use super::super::value::Value;
use super::builtin::{Applied, Builtin, Kind, invalid, no_overload, text};

/// The standard alphabet; what is decoded may lack its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub const BUILTINS: &[Builtin] = &[
    Builtin { name: "base64.encode", method: false, parameters: &[Kind::Bytes], result: text, apply: encode },
    Builtin {
        name: "base64.decode",
        method: false,
        parameters: &[Kind::Text],
        result: |_| Type::Bytes,
        apply: decode,
    },
];

fn encode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let [Value::Bytes(bytes)] = arguments else { return Err(no_overload("base64.encode", arguments)) };
    budget.allocate((bytes.len() / 3 + 1) * 4)?;
    Ok(Value::Text(Cow::Owned(BASE64.encode(bytes))))
}

fn decode<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    let [Value::Text(text)] = arguments else { return Err(no_overload("base64.decode", arguments)) };
    budget.allocate(text.len())?;
    let bytes =
        BASE64.decode(text.as_bytes()).map_err(|_| invalid("base64.decode", "the text is not Base64"))?;
    Ok(Value::Bytes(Cow::Owned(bytes)))
}
