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

/// Whether a body that ext_authz shows, or does not show, is all of it: `listen.request_body`. The messages don't tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodySource {
    /// Every filter that calls is configured `with_request_body`: no body means an empty one.
    Buffered,
    /// None is.
    NotBuffered,
    /// Those routes are that say so in `context_extensions`, by [`BodySource::MARK`].
    #[default]
    ByRoute,
}

impl BodySource {
    /// The key and the value by which a route's `context_extensions` say that it buffers. Callers can't write there.
    pub const MARK: (&str, &str) = ("portcullis.request_body", "buffered");

    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::NotBuffered => "not_buffered",
            Self::ByRoute => "by_route",
        }
    }
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
