//! What is known of a request's body.

use bytes::Bytes;

/// A request's body. A rule that reads the body is satisfied by `Complete` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// The proxy has not sent it: not configured to, or not yet.
    #[default]
    Absent,
    /// The proxy cut it off at its own limit.
    Partial,
    /// All of it; empty when the request ends with its headers.
    Complete(Bytes),
}

impl Body {
    /// The bytes, when all of them are here.
    pub fn complete(&self) -> Option<&Bytes> {
        match self {
            Self::Complete(bytes) => Some(bytes),
            Self::Absent | Self::Partial => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.complete().map_or(0, Bytes::len)
    }
}
