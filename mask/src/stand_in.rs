//! What takes a value's place where nothing is JSON: in forms, Protocol Buffers, headers.

use super::json::{Replacement, ValueKind};
use super::json_string::Scanner;
use super::plan::{Action, Plan};

/// What a method made of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// The field goes.
    Gone,
    Null,
    Text(Vec<u8>),
    /// A number or boolean as JSON writes it, or an empty object or array.
    Literal(Vec<u8>),
}

/// A value on its way out.
#[derive(Debug)]
pub struct Replaced {
    replacement: Replacement,
}

impl Replaced {
    pub fn start(action: &Action, kind: ValueKind, plan: &Plan) -> Self {
        Self { replacement: Replacement::start(action, kind, false, plan.key()) }
    }

    /// What a replacement made of a value, given at once.
    pub fn of(mut replacement: Replacement, value: &[u8]) -> StandIn {
        replacement.feed(value);
        Self { replacement }.finish()
    }

    /// The value's next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.replacement.feed(bytes);
    }

    pub fn finish(self) -> StandIn {
        let mut json = Vec::new();
        if !self.replacement.finish(&mut json) {
            return StandIn::Gone;
        }
        match json.split_first() {
            Some((b'"', rest)) => {
                let mut text = Vec::new();
                // A replacement is valid JSON; what would not be is left out, not passed.
                if Scanner::default().scan(rest, |piece| text.extend_from_slice(piece)).is_err() {
                    text.clear();
                }
                StandIn::Text(text)
            }
            _ if json == b"null" => StandIn::Null,
            _ => StandIn::Literal(json),
        }
    }
}

impl StandIn {
    /// What a value was replaced with, at once.
    pub fn of(action: &Action, kind: ValueKind, plan: &Plan, value: &[u8]) -> Self {
        let mut replaced = Replaced::start(action, kind, plan);
        replaced.feed(value);
        replaced.finish()
    }

    /// As a text; nothing is an empty one.
    pub fn into_text(self) -> Vec<u8> {
        match self {
            Self::Gone | Self::Null => Vec::new(),
            Self::Text(text) | Self::Literal(text) => text,
        }
    }
}
