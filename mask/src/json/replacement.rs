//! What takes one value's place, made while the value passes by: nothing of it is kept but what will be shown.

use std::sync::Arc;

use super::ValueKind;
use super::ends::Ends;
use crate::bucket::Bucket;
use crate::hash::{Digest, HashKey};
use crate::json_string;
use crate::method::Method;
use crate::plan::Action;

#[derive(Debug)]
pub enum Replacement {
    Nothing,
    /// Ready JSON.
    Fixed(Arc<[u8]>),
    /// Ready JSON, the same in every plan.
    Static(&'static str),
    Digest(Box<Digest>),
    Ends(Box<Ends>),
    /// The value so far, up to one byte more than any that has a range.
    Bucket(Arc<Bucket>, Vec<u8>),
}

impl Replacement {
    /// The replacement of a value of that kind; `is_document` for the value that is a whole document, which can't
    /// be removed.
    pub fn start(action: &Action, kind: ValueKind, is_document: bool, key: &HashKey) -> Self {
        let has_text = matches!(kind, ValueKind::String | ValueKind::Number);
        match action {
            Action::Remove if is_document => Self::Static("null"),
            Action::Remove => Self::Nothing,
            Action::Write(json) => Self::Fixed(json.clone()),
            Action::KeepType => Self::Static(empty(kind)),
            Action::Hash => Self::Digest(Box::new(key.digest())),
            Action::Bucket(bucket)
                if kind == ValueKind::String || kind == ValueKind::Number && bucket.takes_numbers() =>
            {
                Self::Bucket(bucket.clone(), Vec::new())
            }
            Action::Bucket(_) => Self::redacted(),
            Action::Partial { first, last } if has_text => Self::Ends(Box::new(Ends::new(*first, *last))),
            Action::Partial { .. } => Self::Static("\"****\""),
        }
    }

    fn redacted() -> Self {
        let mut json = Vec::new();
        json_string::write(Method::DEFAULT_TEXT.as_bytes(), &mut json);
        Self::Fixed(json.into())
    }

    /// Whether it depends on what the value says.
    pub fn reads(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Fixed(_) | Self::Static(_))
    }

    /// The value's next bytes: a string's decoded, everything else's as written, without white space.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Nothing | Self::Fixed(_) | Self::Static(_) => {}
            Self::Digest(digest) => digest.update(bytes),
            Self::Ends(ends) => ends.feed(bytes),
            Self::Bucket(_, value) => {
                let room = (Bucket::MAX_BYTES + 1).saturating_sub(value.len()).min(bytes.len());
                value.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
        }
    }

    /// Writes the replacement; tells whether there was one.
    pub fn finish(self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Nothing => return false,
            Self::Fixed(json) => out.extend_from_slice(&json),
            Self::Static(json) => out.extend_from_slice(json.as_bytes()),
            Self::Digest(digest) => json_string::write(digest.text().as_bytes(), out),
            Self::Ends(ends) => json_string::write(&ends.text(), out),
            Self::Bucket(bucket, value) => {
                let value = std::str::from_utf8(&value).ok().filter(|value| value.len() <= Bucket::MAX_BYTES);
                let range = value.and_then(|value| bucket.range(value));
                json_string::write(range.as_deref().unwrap_or(Method::DEFAULT_TEXT).as_bytes(), out);
            }
        }
        true
    }
}

/// The value of that type that says nothing.
fn empty(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Object => "{}",
        ValueKind::Array => "[]",
        ValueKind::String => "\"\"",
        ValueKind::Number => "0",
        ValueKind::Boolean => "false",
        ValueKind::Null => "null",
    }
}
