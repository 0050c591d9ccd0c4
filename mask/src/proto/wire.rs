//! The wire format of Protocol Buffers: fields as they stand in a message's bytes, and writing them.

use crate::unmaskable::Unmaskable;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'b> {
    pub number: u32,
    pub value: Value<'b>,
    /// The field with its tag.
    pub raw: &'b [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

impl Value<'_> {
    fn wire_type(&self) -> u64 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        }
    }
}

/// The next field, which is taken off `bytes`; `None` at their end. Groups are refused.
pub fn next<'b>(bytes: &mut &'b [u8]) -> Result<Option<Field<'b>>, Unmaskable> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let start = *bytes;
    let tag = u32::try_from(varint(bytes)?).map_err(|_| invalid("a field's number is too large"))?;
    let (number, wire_type) = (tag >> 3, tag & 7);
    if number == 0 {
        return Err(invalid("a field has the number 0"));
    }
    let value = match wire_type {
        0 => Value::Varint(varint(bytes)?),
        1 => Value::Fixed64(u64::from_le_bytes(fixed(bytes)?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| CUT_SHORT())?;
            let (value, rest) = bytes.split_at_checked(length).ok_or_else(CUT_SHORT)?;
            *bytes = rest;
            Value::Bytes(value)
        }
        5 => Value::Fixed32(u32::from_le_bytes(fixed(bytes)?)),
        3 | 4 => return Err(invalid("it has a group, which can't be masked")),
        _ => return Err(invalid("a field has an unknown wire type")),
    };
    let raw = start.get(..start.len() - bytes.len()).unwrap_or_default();
    Ok(Some(Field { number, value, raw }))
}

/// The next varint, which is taken off `bytes`.
pub fn varint(bytes: &mut &[u8]) -> Result<u64, Unmaskable> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(CUT_SHORT)?;
        *bytes = rest;
        if shift == 63 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(invalid("a number is longer than 64 bits"))
}

/// The next bytes of that many, which are taken off `bytes`.
pub fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Unmaskable> {
    let (value, rest) = bytes.split_first_chunk::<N>().ok_or_else(CUT_SHORT)?;
    *bytes = rest;
    Ok(*value)
}

pub fn put_field(number: u32, value: Value, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | value.wire_type(), out);
    put_value(value, out);
}

/// A value without its tag, as it stands in a packed field.
pub fn put_value(value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Varint(value) => put_varint(value, out),
        Value::Fixed64(value) => out.extend(value.to_le_bytes()),
        Value::Fixed32(value) => out.extend(value.to_le_bytes()),
        Value::Bytes(bytes) => {
            put_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
            out.extend_from_slice(bytes);
        }
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

pub fn invalid(what: &'static str) -> Unmaskable {
    Unmaskable::InvalidProtobuf { what }
}

const CUT_SHORT: fn() -> Unmaskable = || invalid("a field is cut short");
