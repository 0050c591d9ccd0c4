//! What takes a masked value's place.

/// Ordered from the mildest to the strictest by `strictness`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Remove,
    Null,
    Redact,
    Hash,
    Last4,
}
