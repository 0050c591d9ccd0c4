//! Values while a condition is evaluated: borrowed from the call wherever they can be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::expression::Literal;
use super::{EvaluationError, display};
use crate::request::Headers;

/// What an element of a list takes while the list is made: the element, and the copy when it is complete.
pub const ELEMENT_BYTES: usize = 2 * size_of::<Value<'static>>();

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Type(&'static str),
    Ip(IpAddr),
    Cidr(IpNet),
    Optional(Option<Rc<Value<'a>>>),
    // lists
    List(Rc<[Value<'a>]>),
    Array(&'a [Json]),
    Texts(&'a [String]),
    // maps
    Map(Rc<[(Value<'a>, Value<'a>)]>),
    Object(&'a serde_json::Map<String, Json>),
    TextMap(&'a BTreeMap<String, String>),
    Params(&'a BTreeMap<String, Vec<String>>),
    Headers(&'a Headers),
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => Self::Int(n),
                (None, Some(n)) => Self::Uint(n),
                (None, None) => Self::Double(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => Self::Text(Cow::Borrowed(s)),
            Json::Array(items) => Self::Array(items),
            Json::Object(map) => Self::Object(map),
        }
    }
}

impl<'a> From<&'a Literal> for Value<'a> {
    fn from(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(b) => Self::Bool(*b),
            Literal::Int(n) => Self::Int(*n),
            Literal::Uint(n) => Self::Uint(*n),
            Literal::Double(n) => Self::Double(*n),
            Literal::Text(s) => Self::Text(Cow::Borrowed(s)),
            Literal::Bytes(b) => Self::Bytes(Cow::Borrowed(b)),
            Literal::Type(name) => Self::Type(name),
            Literal::Timestamp(at) => Self::Timestamp(*at),
            Literal::Duration(span) => Self::Duration(*span),
            Literal::Ip(address) => Self::Ip(*address),
            Literal::Cidr(network) => Self::Cidr(*network),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> Value<'a> {
    /// The CEL name of the value's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Optional(_) => "optional_type",
            Self::List(_) | Self::Array(_) | Self::Texts(_) => "list",
            Self::Map(_) | Self::Object(_) | Self::TextMap(_) | Self::Params(_) | Self::Headers(_) => "map",
        }
    }

    /// The length of a list.
    pub fn list_len(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Array(items) => Some(items.len()),
            Self::Texts(items) => Some(items.len()),
            _ => None,
        }
    }

    /// The element of a list.
    pub fn at(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::Array(items) => items.get(index).map(Value::from),
            Self::Texts(items) => items.get(index).map(|text| Value::from(text.as_str())),
            _ => None,
        }
    }

    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Object(_) | Self::TextMap(_) | Self::Params(_) | Self::Headers(_))
    }

    /// How many entries a map has, at most: header names are counted with their copies.
    pub fn map_len(&self) -> Option<usize> {
        match self {
            Self::Map(entries) => Some(entries.len()),
            Self::Object(map) => Some(map.len()),
            Self::TextMap(map) => Some(map.len()),
            Self::Params(map) => Some(map.len()),
            Self::Headers(headers) => Some(headers.iter().count()),
            _ => None,
        }
    }

    /// The bytes that a copy of the value takes of its own, beyond the value itself.
    pub fn owned_bytes(&self) -> usize {
        match self {
            Self::Text(Cow::Owned(text)) => text.len(),
            Self::Bytes(Cow::Owned(bytes)) => bytes.len(),
            _ => 0,
        }
    }

    /// The bytes that its content would take in a new text or list.
    pub fn footprint(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => self.list_len().map_or(0, |len| len.saturating_mul(ELEMENT_BYTES)),
        }
    }

    /// The keys of a map.
    pub fn keys(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.clone()).collect()),
            Self::Object(map) => Some(map.keys().map(|key| Value::from(key.as_str())).collect()),
            Self::TextMap(map) => Some(map.keys().map(|key| Value::from(key.as_str())).collect()),
            Self::Params(map) => Some(map.keys().map(|key| Value::from(key.as_str())).collect()),
            Self::Headers(headers) => {
                let mut names: Vec<_> = headers.iter().map(|header| header.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                Some(names.into_iter().map(Value::from).collect())
            }
            _ => None,
        }
    }

    /// The entry of a map. `Err` when the value is no map, or the entry can't be read.
    pub fn entry(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, EvaluationError> {
        match (self, key) {
            (Self::Map(entries), _) => {
                Ok(entries.iter().find(|(k, _)| k.equals(key)).map(|(_, value)| value.clone()))
            }
            (_, Value::Text(name)) => self.field(name),
            (Self::Object(_) | Self::TextMap(_) | Self::Params(_) | Self::Headers(_), _) => Ok(None),
            _ => Err(EvaluationError::overload("[]", &[self, key])),
        }
    }

    /// The entry of a map whose key is text.
    pub fn field(&self, name: &str) -> Result<Option<Value<'a>>, EvaluationError> {
        match self {
            Self::Object(map) => Ok(map.get(name).map(Value::from)),
            Self::TextMap(map) => Ok(map.get(name).map(|text| Value::from(text.as_str()))),
            Self::Params(map) => Ok(map.get(name).map(|values| Value::Texts(values))),
            Self::Headers(headers) => header(headers, &name.to_ascii_lowercase()),
            Self::Map(_) => self.entry(&Value::Text(Cow::Owned(name.to_owned()))),
            _ => Err(EvaluationError::NotAMap { name: name.to_owned(), found: self.type_name() }),
        }
    }

    /// As JSON, for people to read; values that JSON lacks become their text.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => (*n).into(),
            Self::Uint(n) => (*n).into(),
            Self::Double(n) => {
                serde_json::Number::from_f64(*n).map_or_else(|| n.to_string().into(), Json::from)
            }
            Self::Text(text) => text.as_ref().into(),
            Self::Bytes(bytes) => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(bytes).into()
            }
            Self::Timestamp(at) => display::timestamp(*at).into(),
            Self::Duration(span) => display::duration(*span).into(),
            Self::Type(name) => (*name).into(),
            Self::Ip(address) => address.to_string().into(),
            Self::Cidr(network) => network.to_string().into(),
            Self::Optional(value) => value.as_ref().map_or(Json::Null, |value| value.to_json()),
            Self::Object(map) => Json::Object((*map).clone()),
            _ => match (self.list_len(), self.keys()) {
                (Some(len), _) => (0..len).filter_map(|i| self.at(i)).map(|item| item.to_json()).collect(),
                (None, keys) => {
                    let entries = keys.unwrap_or_default().into_iter().map(|key| {
                        let value =
                            self.entry(&key).ok().flatten().map_or(Json::Null, |value| value.to_json());
                        (
                            key.to_json().as_str().map_or_else(|| key.to_json().to_string(), str::to_owned),
                            value,
                        )
                    });
                    Json::Object(entries.collect())
                }
            },
        }
    }
}

/// A header as conditions read it: copies joined by commas; not readable when it is not UTF-8.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Result<Option<Value<'a>>, EvaluationError> {
    match headers.joined(name) {
        Ok(value) => Ok(value.map(Value::Text)),
        Err(_) => Err(EvaluationError::HeaderNotText(name.to_owned())),
    }
}
