//! Messages that stand for others: `Any`, and the JSON of `Struct`, `ListValue` and `Value`.

use prost_reflect::MessageDescriptor;

use super::wire::{self, Value, put_field};
use super::{Proto, UnknownFields};
use crate::json::ValueKind;
use crate::stand_in::{Replaced, StandIn};
use crate::unmaskable::Unmaskable;

pub const ANY: &str = "google.protobuf.Any";
pub const VALUE: &str = "google.protobuf.Value";

/// Whether a message is no step of a path: its fields stand where it does.
pub fn is_transparent(message: &MessageDescriptor) -> bool {
    ["google.protobuf.Struct", "google.protobuf.ListValue", VALUE].contains(&message.full_name())
}

/// The fields of a `Value`.
const NULL: u32 = 1;
const NUMBER: u32 = 2;
const TEXT: u32 = 3;
const BOOLEAN: u32 = 4;

impl Proto {
    /// An `Any` rewritten: its message stands where it does.
    pub(super) fn any(&mut self, level: usize, bytes: &[u8], depth: usize) -> Result<Vec<u8>, Unmaskable> {
        let (mut rest, mut name, mut message) = (bytes, None, None);
        while let Some(field) = wire::next(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Bytes(url)) if name.is_none() => name = Some(url),
                (2, Value::Bytes(bytes)) if message.is_none() => message = Some(bytes),
                (1 | 2, _) => return Err(wire::invalid("an `Any` has a field twice, or of another type")),
                _ if self.unknown == UnknownFields::Block => {
                    return Err(Unmaskable::UnknownField { number: field.number });
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        if let Some(name) = name {
            put_field(1, Value::Bytes(name), &mut out);
        }
        if let Some(message) = message {
            let level = self.level_of_any(level, name.unwrap_or_default())?;
            let rewritten = self.message(level, message, depth + 1)?.unwrap_or_default();
            put_field(2, Value::Bytes(&rewritten), &mut out);
        }
        Ok(out)
    }

    fn level_of_any(&mut self, level: usize, url: &[u8]) -> Result<usize, Unmaskable> {
        let at = self.levels.get(level).ok_or(Unmaskable::UnresolvableAny)?;
        let url = std::str::from_utf8(url).map_err(|_| Unmaskable::UnresolvableAny)?;
        let name = url.rsplit('/').next().unwrap_or_default();
        let message =
            at.message.parent_pool().get_message_by_name(name).ok_or(Unmaskable::UnresolvableAny)?;
        let place = at.place.clone();
        Ok(self.level(message, &place))
    }

    /// A `Value` rewritten as the JSON value that it is; `None` when it goes.
    pub(super) fn value(
        &mut self,
        level: usize,
        bytes: &[u8],
        depth: usize,
    ) -> Result<Option<Vec<u8>>, Unmaskable> {
        let (mut rest, mut is_leaf, mut is_null, mut is_text) = (bytes, false, true, true);
        while let Some(field) = wire::next(&mut rest)? {
            is_text &= field.number == TEXT;
            is_leaf |= (NUMBER..=BOOLEAN).contains(&field.number);
            is_null &= field.number == NULL;
        }
        let Some(at) = self.levels.get(level) else { return Ok(None) };
        let place = if is_text { at.place.clone() } else { at.place.of_structure(&self.plan) };
        let action = place.action(&self.plan, is_leaf).filter(|action| {
            // As in JSON: `null` holds nothing to mask.
            !is_null || matches!(action, crate::plan::Action::Remove)
        });
        if let Some(action) = action {
            self.masked += 1;
            let (kind, text) = text(bytes)?;
            let mut replaced = Replaced::start(action, kind, &self.plan);
            replaced.feed(&text);
            return Ok(stand_in(replaced.finish()));
        }
        let (mut rest, mut out) = (bytes, Vec::with_capacity(bytes.len()));
        while let Some(field) = wire::next(&mut rest)? {
            match self.known(level, field.number) {
                Some(known) => self.field(&known, field, depth, &mut out)?,
                None => self.unknown(field, &mut out)?,
            }
        }
        Ok(Some(out))
    }
}

/// What a method is fed of a `Value`.
fn text(bytes: &[u8]) -> Result<(ValueKind, Vec<u8>), Unmaskable> {
    let (mut rest, mut found) = (bytes, None);
    while let Some(field) = wire::next(&mut rest)? {
        // Of several the last counts, which is the one that readers see.
        found = match (field.number, field.value) {
            (TEXT, Value::Bytes(text)) if std::str::from_utf8(text).is_ok() => {
                Some((ValueKind::String, text.to_vec()))
            }
            (NUMBER, Value::Fixed64(bits)) => {
                Some((ValueKind::Number, f64::from_bits(bits).to_string().into_bytes()))
            }
            (BOOLEAN, Value::Varint(bits)) => {
                Some((ValueKind::Boolean, (bits != 0).to_string().into_bytes()))
            }
            _ => None,
        };
    }
    Ok(found.unwrap_or_else(|| (ValueKind::Object, bytes.to_vec())))
}

/// A `Value` that holds a stand-in.
fn stand_in(stand_in: StandIn) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match stand_in {
        StandIn::Gone => return None,
        StandIn::Text(text) => put_field(TEXT, Value::Bytes(&text), &mut out),
        StandIn::Null => put_field(NULL, Value::Varint(0), &mut out),
        StandIn::Literal(literal) => {
            let literal = String::from_utf8_lossy(&literal).into_owned();
            match (literal.parse::<f64>(), literal.parse::<bool>()) {
                (Ok(number), _) => put_field(NUMBER, Value::Fixed64(number.to_bits()), &mut out),
                (_, Ok(boolean)) => put_field(BOOLEAN, Value::Varint(u64::from(boolean)), &mut out),
                _ => put_field(NULL, Value::Varint(0), &mut out),
            }
        }
    }
    Some(out)
}
