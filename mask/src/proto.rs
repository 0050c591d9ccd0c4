//! Messages of Protocol Buffers, rewritten in their wire format.
//!
//! Rules name fields as for JSON: by their names in the `.proto` file or those of the JSON mapping. Lists are
//! transparent, the keys of maps are names, and `google.protobuf.Struct` and `Value` are the JSON that they hold. A
//! field's number is resolved once for a stream. What a rule takes is replaced: strings and bytes by text, numbers,
//! booleans and enums by 0, messages by an empty one; `null` and `remove` take the field out. Lengths are written
//! anew, all else stays as it is.
//!
//! Messages that no rule can match in pass unread. Elsewhere fields that the schema does not know (newer ones, and
//! extensions) are dropped unless told otherwise: nobody knows what is in them. What is in an `Any` must be in the
//! schema. Groups are refused.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::detect::Active;
use super::place::Place;
use super::plan::{Action, Plan};
use super::search::Search;
use super::unmaskable::{Limits, Unmaskable};
use wire::{Field, Value, put_field};

mod scalar;
mod schema;
mod well_known;
mod wire;

pub use schema::{Message, Schema, SchemaError};

/// What happens to fields that the schema does not know, in messages that rules can match in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownFields {
    #[default]
    Drop,
    Pass,
    Block,
}

/// Rewrites the messages of one stream.
#[derive(Debug)]
pub struct Proto {
    plan: Arc<Plan>,
    unknown: UnknownFields,
    limits: Limits,
    max_depth: usize,
    /// The kinds of message met so far, and where; the first is that of the stream.
    levels: Vec<Level>,
    search: Search,
    masked: u64,
}

/// A message's type at a place of the document.
#[derive(Debug)]
struct Level {
    message: MessageDescriptor,
    place: Place,
    fields: HashMap<u32, Option<Arc<Known>>>,
}

/// A field of the schema, and what the rules say about it.
#[derive(Debug)]
struct Known {
    field: FieldDescriptor,
    /// Of each element, if it is a list.
    place: Place,
    action: Option<Action>,
    /// What looks into values that no action takes.
    active: Option<Active>,
    /// Of texts that are read as JSON.
    text: Option<Place>,
    /// For a message.
    level: usize,
}

/// Readers of Protocol Buffers nest no deeper.
const MAX_DEPTH: usize = 100;

impl Proto {
    pub fn new(plan: Arc<Plan>, message: &Message, unknown: UnknownFields, limits: &Limits) -> Self {
        let place = Place::root(&plan);
        let root = Level { message: message.descriptor().clone(), place, fields: HashMap::new() };
        let (max_depth, search) = (limits.depth.min(MAX_DEPTH), Search::new(&plan));
        Self { plan, unknown, limits: *limits, max_depth, levels: vec![root], search, masked: 0 }
    }

    /// Appends a message rewritten.
    pub fn rewrite(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        out.extend(self.message(0, message, 0)?.unwrap_or_default());
        Ok(())
    }

    pub fn masked_fields(&self) -> u64 {
        self.masked + self.search.masked()
    }

    /// A message rewritten; `None` when it goes.
    fn message(&mut self, level: usize, bytes: &[u8], depth: usize) -> Result<Option<Vec<u8>>, Unmaskable> {
        if depth == self.max_depth {
            return Err(Unmaskable::TooDeep { limit: self.max_depth });
        }
        let Some(at) = self.levels.get(level) else { return Ok(None) };
        if at.place.is_clear(&self.plan) {
            return Ok(Some(bytes.to_vec()));
        }
        match at.message.full_name() {
            well_known::ANY => return self.any(level, bytes, depth).map(Some),
            well_known::VALUE => return self.value(level, bytes, depth),
            _ => {}
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

    fn field(
        &mut self,
        known: &Known,
        field: Field,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unmaskable> {
        let kind = known.field.kind();
        match (&kind, field.value) {
            (Kind::Message(_), Value::Bytes(entry)) if known.field.is_map() => {
                if let Some(entry) = self.entry(known, entry, depth)? {
                    put_field(field.number, Value::Bytes(&entry), out);
                }
                Ok(())
            }
            (_, Value::Bytes(packed)) if known.field.is_list() && !is_bytes(&kind) => {
                self.packed(known, &kind, field, packed, out)
            }
            (_, value) if scalar::is_written_as(&kind, &value) => {
                self.single(known, &kind, field, depth, out)
            }
            // Readers take a field of another wire type for one that they don't know.
            _ => self.unknown(field, out),
        }
    }

    /// A field that is no map and not packed.
    fn single(
        &mut self,
        known: &Known,
        kind: &Kind,
        field: Field,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Unmaskable> {
        let (mut room, plan) = (Vec::new(), self.plan.clone());
        let value = match (kind, field.value, &known.action) {
            (Kind::Message(_), Value::Bytes(bytes), action) => {
                // A `Value` decides by what it holds.
                let action = action.as_ref().filter(|_| !is_value(kind));
                let rewritten = match action {
                    Some(action) => {
                        self.masked += 1;
                        let goes = matches!(action, Action::Remove) || writes_null(action);
                        (!goes).then(Vec::new)
                    }
                    None => self.message(known.level, bytes, depth + 1)?,
                };
                rewritten.map(|message| {
                    room = message;
                    Value::Bytes(&room)
                })
            }
            (_, value, Some(action)) => {
                self.masked += 1;
                scalar::replaced(kind, value, action, &plan, &mut room)
            }
            (Kind::String | Kind::Bytes, Value::Bytes(bytes), None) if known.text.is_some() => {
                self.text(known, bytes, &mut room)?;
                Some(Value::Bytes(&room))
            }
            (_, value, None) => {
                match self.searched(known, kind, value, &mut room) {
                    Some(value) => put_field(field.number, value, out),
                    None => out.extend_from_slice(field.raw),
                }
                return Ok(());
            }
        };
        match value {
            Some(value) => put_field(field.number, value, out),
            // Readers refuse a message without it.
            None if known.field.is_required() => put_field(field.number, scalar::zero(kind), out),
            None => {}
        }
        Ok(())
    }

    fn packed(
        &mut self,
        known: &Known,
        kind: &Kind,
        field: Field,
        mut packed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unmaskable> {
        if known.action.is_none() && known.active.is_none() {
            out.extend_from_slice(field.raw);
            return Ok(());
        }
        let mut values = Vec::new();
        while let Some(value) = scalar::unpack(kind, &mut packed)? {
            let mut room = Vec::new();
            let value = match &known.action {
                Some(action) => {
                    self.masked += 1;
                    scalar::replaced(kind, value, action, &self.plan, &mut room)
                }
                None => Some(self.searched(known, kind, value, &mut room).unwrap_or(value)),
            };
            value.into_iter().for_each(|value| wire::put_value(value, &mut values));
        }
        if !values.is_empty() {
            put_field(field.number, Value::Bytes(&values), out);
        }
        Ok(())
    }

    /// A text that is read as JSON, rewritten.
    fn text(&mut self, known: &Known, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let text = known.text.as_ref().and_then(|place| place.text(&self.plan, self.limits));
        let Some(mut text) = text else { return Ok(()) };
        text.push(bytes, out)?;
        text.finish(out)?;
        self.masked += text.masked_fields();
        Ok(())
    }

    /// What takes the place of a value in which a detector found something.
    fn searched<'r>(
        &mut self,
        known: &Known,
        kind: &Kind,
        value: Value,
        room: &'r mut Vec<u8>,
    ) -> Option<Value<'r>> {
        let text = scalar::text(kind, value).1;
        *room = self.search.whole(known.active.as_ref()?, known.field.name().as_bytes(), &text)?;
        Some(if scalar::is_text(kind) { Value::Bytes(room) } else { scalar::zero(kind) })
    }

    /// An entry of a map rewritten; `None` when it goes.
    fn entry(&mut self, map: &Known, bytes: &[u8], depth: usize) -> Result<Option<Vec<u8>>, Unmaskable> {
        if map.action.is_some() {
            self.masked += 1;
            return Ok(None);
        }
        let Kind::Message(entry) = map.field.kind() else { return Ok(None) };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let place = self.place_in_map(map, &key.kind(), bytes)?;
        let value = self.resolve(value, place);
        if matches!(value.action, Some(Action::Remove)) {
            self.masked += 1;
            return Ok(None);
        }
        let (mut rest, mut out) = (bytes, Vec::with_capacity(bytes.len()));
        while let Some(field) = wire::next(&mut rest)? {
            match field.number {
                1 => out.extend_from_slice(field.raw),
                2 => {
                    let before = out.len();
                    self.field(&value, field, depth, &mut out)?;
                    // JSON has no member without a value.
                    if out.len() == before && is_value(&value.field.kind()) {
                        return Ok(None);
                    }
                }
                _ => self.unknown(field, &mut out)?,
            }
        }
        Ok(Some(out))
    }

    /// Where an entry's value stands: at each of its keys, should there be several.
    fn place_in_map(&self, map: &Known, kind: &Kind, bytes: &[u8]) -> Result<Place, Unmaskable> {
        let member = |value| map.place.member(&self.plan, &scalar::text(kind, value).1);
        let (mut rest, mut place) = (bytes, None);
        while let Some(field) = wire::next(&mut rest)? {
            if field.number == 1 && scalar::is_written_as(kind, &field.value) {
                let here = member(field.value);
                place = Some(place.map_or_else(|| here.clone(), |place: Place| place.and(&here)));
            } else if field.number == 1 {
                return Err(wire::invalid("a map's key has another type than its schema says"));
            }
        }
        Ok(place.unwrap_or_else(|| member(scalar::zero(kind))))
    }

    fn unknown(&mut self, field: Field, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match self.unknown {
            UnknownFields::Drop => Ok(()),
            UnknownFields::Block => Err(Unmaskable::UnknownField { number: field.number }),
            UnknownFields::Pass => {
                out.extend_from_slice(field.raw);
                Ok(())
            }
        }
    }

    // === the schema ===

    fn known(&mut self, level: usize, number: u32) -> Option<Arc<Known>> {
        let at = self.levels.get(level)?;
        if let Some(known) = at.fields.get(&number) {
            return known.clone();
        }
        let known = at.message.get_field(number).map(|field| {
            let place = if well_known::is_transparent(&at.message) {
                at.place.clone()
            } else {
                let by_json = at.place.member(&self.plan, field.json_name().as_bytes());
                at.place.member(&self.plan, field.name().as_bytes()).and(&by_json)
            };
            (field, place)
        });
        let known = known.map(|(field, place)| Arc::new(self.resolve(field, place)));
        if let Some(at) = self.levels.get_mut(level) {
            at.fields.insert(number, known.clone());
        }
        known
    }

    /// What the rules say about a field that stands there.
    fn resolve(&mut self, field: FieldDescriptor, place: Place) -> Known {
        let place = if field.is_list() { place.element(&self.plan) } else { place };
        let is_leaf = !matches!(field.kind(), Kind::Message(_));
        let is_text = matches!(field.kind(), Kind::String | Kind::Bytes);
        // A `Value` may hold a text, and stands where that does.
        let is_place_of_text = is_text || is_value(&field.kind());
        let place = if is_place_of_text { place } else { place.of_structure(&self.plan) };
        let parsed = is_text && place.text(&self.plan, self.limits).is_some();
        let text = parsed.then(|| place.clone());
        // The map of a `Struct` is the place that the struct is, of which was decided before.
        let decided = well_known::is_transparent(field.parent_message());
        let action = if decided { None } else { place.action(&self.plan, is_leaf).cloned() };
        let active = if is_leaf { place.active(&self.plan) } else { None };
        let level = match field.kind() {
            Kind::Message(message) if !field.is_map() => self.level(message, &place),
            _ => 0,
        };
        Known { field, place, action, active, text, level }
    }

    fn level(&mut self, message: MessageDescriptor, place: &Place) -> usize {
        let same = |level: &Level| level.place == *place && level.message == message;
        if let Some(found) = self.levels.iter().position(same) {
            return found;
        }
        self.levels.push(Level { message, place: place.clone(), fields: HashMap::new() });
        self.levels.len() - 1
    }
}

fn is_bytes(kind: &Kind) -> bool {
    matches!(scalar::zero(kind), Value::Bytes(_))
}

fn is_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(message) if message.full_name() == well_known::VALUE)
}

fn writes_null(action: &Action) -> bool {
    matches!(action, Action::Write(json) if **json == *b"null")
}
