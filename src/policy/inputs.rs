//! What a decision depends on, as bytes that differ whenever the decision may.
//!
//! Each policy's conditions and header templates say, when they are compiled, what they read. A key holds that much of
//! a call and no more, so that calls which differ in nothing that is read share a decision. Every part has its length in
//! front, so that no two calls have the same key by running parts together.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cel::Reads;
use super::cel::attribute::Attribute;
use super::cel::{Scope, Value};
use super::rule::{Policy, Rule};
use super::{Call, Candidates, PolicySet};

pub(crate) mod part;

use part::{Part, left_out};

/// Longer keys cost more than they save.
const LONGEST_KEY: usize = 4 << 10;

/// Why two calls can't share a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unshareable {
    /// A rule reads the time of the call.
    Time,
    /// A rule reads the call's id.
    Id,
    /// A rule reads the body, or needs one that is not here.
    Body,
    /// A rule reads the headers by a computed name.
    Headers,
    /// A rule reads claims, metadata or context by a computed key, or as a whole.
    Map,
    /// What the rules read of this call is too long.
    TooLong,
}

/// What the rules of one policy read.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    unshareable: Option<Unshareable>,
    /// Captures of the path among them.
    attributes: Vec<Attribute>,
    /// Of claims, metadata and context.
    entries: Vec<(Attribute, String)>,
    headers: Vec<String>,
}

impl Inputs {
    pub fn of(policy: &Policy) -> Self {
        let mut reads = Reads::default();
        // A rule that reads the response is not asked before there is one.
        policy.rules.iter().filter(|rule| !rule.reads_response()).for_each(|rule: &Rule| {
            match &rule.condition {
                // Tests alone leave them out.
                Some(condition) if left_out(Part::Templates) => reads.extend(&condition.reads),
                _ => reads.extend(&rule.reads),
            }
        });
        reads.attributes.retain(|attribute| !left_out(Part::Attribute(*attribute)));
        let unshareable = reads.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Time => Some(Unshareable::Time),
            Attribute::Id => Some(Unshareable::Id),
            Attribute::Body | Attribute::RawBody | Attribute::Input => Some(Unshareable::Body),
            Attribute::Headers | Attribute::ResponseHeaders => {
                reads.all_headers.then_some(Unshareable::Headers)
            }
            Attribute::Claims | Attribute::Metadata | Attribute::Context => {
                reads.as_a_whole(*attribute).then_some(Unshareable::Map)
            }
            _ => None,
        });
        let by_entry = |attribute: &Attribute| {
            matches!(
                attribute,
                Attribute::Claims | Attribute::Metadata | Attribute::Context | Attribute::Headers
            )
        };
        let entries = reads.entries.iter().filter(|(attribute, _)| by_entry(attribute)).cloned();
        let headers = reads.headers.iter().filter(|_| !left_out(Part::Header)).cloned();
        Self {
            unshareable,
            attributes: reads.attributes.iter().filter(|attribute| !by_entry(attribute)).copied().collect(),
            entries: entries.filter(|(attribute, _)| !left_out(Part::Entry(*attribute))).collect(),
            headers: headers.collect(),
        }
    }
}

/// A number that no other set of this process has.
pub(super) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl PolicySet {
    /// Writes into `key` all that this set's decision about the call, its response unknown, depends on; or says why that
    /// can't be done. Calls of one key have equal decisions.
    pub fn key(
        &self,
        candidates: &Candidates,
        call: &Call<'_>,
        key: &mut Vec<u8>,
    ) -> Result<(), Unshareable> {
        key.clear();
        let incomplete = call.request.body.complete().is_none() && self.needs(candidates).body;
        if incomplete && !left_out(Part::IncompleteBody) {
            return Err(Unshareable::Body);
        }
        if !left_out(Part::Set) {
            key.extend_from_slice(&self.number.to_be_bytes());
        }
        if !left_out(Part::Authentication) {
            text(call.identity.method.as_str(), key);
        }
        let mut scope = Scope::of(*call);
        for candidate in &candidates.0 {
            if !left_out(Part::Candidates) {
                length(candidate.place(), key);
            }
            let Some(inputs) = self.inputs.get(candidate.place()) else { continue };
            if let Some(unshareable) = inputs.unshareable {
                return Err(unshareable);
            }
            scope.capture(self.index.captures(*candidate));
            inputs.write(&scope, call, key)?;
        }
        if key.len() > LONGEST_KEY { Err(Unshareable::TooLong) } else { Ok(()) }
    }

    /// A number for these policies together, by which what they cost is remembered. Others may share it.
    pub fn route_number(&self, candidates: &Candidates) -> u64 {
        // FNV-1a, over numbers in place of bytes.
        candidates.0.iter().fold(0xCBF2_9CE4_8422_2325 ^ self.number, |hash, candidate| {
            (hash ^ candidate.place() as u64).wrapping_mul(0x0100_0000_01B3)
        })
    }
}

impl Inputs {
    fn write(&self, scope: &Scope<'_>, call: &Call<'_>, key: &mut Vec<u8>) -> Result<(), Unshareable> {
        // What reading costs may spend the budget, and so decide: it is an input like any other. Each cost by itself:
        // two attributes may cost the same together, and not one by one.
        if !left_out(Part::ReadCost) {
            self.attributes.iter().for_each(|attribute| length(scope.read_cost(*attribute), key));
        }
        if !(self.headers.is_empty() || left_out(Part::HeaderCost)) {
            length(call.request.headers.iter().count() / 8, key);
        }
        for attribute in &self.attributes {
            match attribute {
                // In every key.
                Attribute::IdentityMethod => {}
                // What the parameters are read from.
                Attribute::Params => text(call.request.path.query(), key),
                attribute => value(scope, *attribute, key)?,
            }
        }
        for name in &self.headers {
            length(call.request.headers.all(name).count(), key);
            call.request.headers.all(name).for_each(|copy| bytes(copy, key));
        }
        for (attribute, name) in &self.entries {
            entry(scope, *attribute, name, key)?;
        }
        Ok(())
    }
}

/// Kinds of values, so that none is taken for another.
const ABSENT: u8 = 0;
const TEXT: u8 = 1;
const INT: u8 = 2;
const BOOL: u8 = 3;
const TEXTS: u8 = 4;
const JSON: u8 = 5;
const ERROR: u8 = 6;
const MADE: u8 = 7;

/// What a condition gets when it reads the attribute, an error included.
fn value(scope: &Scope<'_>, attribute: Attribute, key: &mut Vec<u8>) -> Result<(), Unshareable> {
    match scope.attribute(attribute) {
        // A text that is made takes memory wherever it is copied, and memory may decide.
        Ok(Value::Text(Cow::Owned(value))) if !left_out(Part::Made) => {
            key.push(MADE);
            bytes(value.as_bytes(), key);
        }
        Ok(Value::Text(value)) => text(&value, key),
        Ok(Value::Int(value)) => {
            key.push(INT);
            key.extend_from_slice(&value.to_be_bytes());
        }
        Ok(Value::Bool(value)) => key.extend_from_slice(&[BOOL, value.into()]),
        Ok(Value::Texts(values)) => {
            key.push(TEXTS);
            length(values.len(), key);
            values.iter().for_each(|value| bytes(value.as_bytes(), key));
        }
        Ok(_) => return Err(Unshareable::Map),
        Err(error) => {
            key.push(ERROR);
            bytes(error.to_string().as_bytes(), key);
        }
    }
    Ok(())
}

/// One entry of a map, with the order of what is in it.
fn entry(scope: &Scope<'_>, attribute: Attribute, name: &str, key: &mut Vec<u8>) -> Result<(), Unshareable> {
    match scope.attribute(attribute) {
        Ok(Value::Object(map)) => match map.get(name) {
            None => key.push(ABSENT),
            Some(found) => {
                key.push(JSON);
                let json = serde_json::to_vec(found).map_err(|_| Unshareable::Map)?;
                bytes(&json, key);
            }
        },
        Ok(Value::TextMap(map)) => match map.get(name) {
            None => key.push(ABSENT),
            Some(found) => text(found, key),
        },
        _ => return Err(Unshareable::Map),
    }
    Ok(())
}

fn text(value: &str, key: &mut Vec<u8>) {
    key.push(TEXT);
    bytes(value.as_bytes(), key);
}

fn bytes(value: &[u8], key: &mut Vec<u8>) {
    length(value.len(), key);
    key.extend_from_slice(value);
}

fn length(length: usize, key: &mut Vec<u8>) {
    // Nothing in a call is as long as the greatest of these.
    key.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}
