//! Headers in the order they came, names in lower case, values as raw bytes.

use std::borrow::Cow;

/// A call's or answer's headers, pseudo-headers left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    pub value: Vec<u8>,
}

/// A header's value is not UTF-8, so no condition may read it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header is not UTF-8")]
pub struct NotText;

impl Header {
    pub fn new(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_ascii_lowercase(), value: value.into() }
    }
}

impl Headers {
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    pub fn push(&mut self, header: Header) {
        self.0.push(header);
    }

    /// Every value of `name` (in lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |header| header.name == name).map(|header| header.value.as_slice())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Whether the message says that it is one of gRPC, in whatever format.
    pub fn is_grpc(&self) -> bool {
        self.is_of_type("application/grpc")
    }

    /// Whether it says that it is one of gRPC-web, whose trailers are in its body.
    pub fn is_grpc_web(&self) -> bool {
        self.is_of_type("application/grpc-web")
    }

    /// Whether it says how a call of gRPC ended, as trailers do.
    pub fn says_how_grpc_ended(&self) -> bool {
        self.contains("grpc-status")
    }

    fn is_of_type(&self, prefix: &str) -> bool {
        let content_type = self.joined("content-type").ok().flatten().unwrap_or_default();
        content_type.trim_start().to_ascii_lowercase().starts_with(prefix)
    }

    /// The header as text when it comes once; of repeated copies, the first. For singletons, see
    /// `Request::assemble`, which refuses repetition.
    pub fn text(&self, name: &str) -> Result<Option<&str>, NotText> {
        let first = self.0.iter().find(|header| header.name == name);
        first.map(|header| std::str::from_utf8(&header.value).map_err(|_| NotText)).transpose()
    }

    /// The header as policies read it: repeated copies joined by commas, as Envoy and RFC 9110 do.
    pub fn joined(&self, name: &str) -> Result<Option<Cow<'_, str>>, NotText> {
        let mut values = self.0.iter().filter(|header| header.name == name);
        let Some(first) = values.next() else { return Ok(None) };
        let mut joined = Cow::Borrowed(std::str::from_utf8(&first.value).map_err(|_| NotText)?);
        for header in values {
            let value = std::str::from_utf8(&header.value).map_err(|_| NotText)?;
            let text = joined.to_mut();
            text.push(',');
            text.push_str(value);
        }
        Ok(Some(joined))
    }
}

impl From<Vec<Header>> for Headers {
    fn from(headers: Vec<Header>) -> Self {
        Self(headers)
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<I: IntoIterator<Item = Header>>(headers: I) -> Self {
        Self(headers.into_iter().collect())
    }
}
