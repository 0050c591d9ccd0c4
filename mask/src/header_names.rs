//! The names of headers and trailers that rules are about.

use std::fmt;

/// One name, or all that begin in the same way: `set-cookie`, `x-internal-*`, `*`. In lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames(String);

/// Why a text names no headers that can be masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNamesError {
    #[error("`{0}` is not the name of a header")]
    NotAName(String),
    #[error("`{0}` has a `*` before its end: only what names begin with can be given")]
    Star(String),
    #[error("`{0}` is a pseudo-header, which says what the message is and can't be masked")]
    Pseudo(String),
    #[error("`{0}` frames the message, or says how it is read, and can't be masked")]
    Framing(String),
}

/// Without these, or with others, readers find another message, or none. No `*` covers them.
const FRAMING: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "grpc-status",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderNames {
    /// Reads a name, in small or capital letters, or the beginning of names with a `*` after it.
    pub fn parse(text: &str) -> Result<Self, HeaderNamesError> {
        let names = text.to_ascii_lowercase();
        let (name, is_prefix) = match names.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (names.as_str(), false),
        };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
        let error = if name.starts_with(':') {
            HeaderNamesError::Pseudo
        } else if name.contains('*') {
            HeaderNamesError::Star
        } else if name.is_empty() && !is_prefix || !name.bytes().all(token) {
            HeaderNamesError::NotAName
        } else if !is_prefix && FRAMING.contains(&name) {
            HeaderNamesError::Framing
        } else {
            return Ok(Self(names));
        };
        Err(error(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name`, in lower case, is among them.
    pub fn matches(&self, name: &str) -> bool {
        let among = match self.0.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.0,
        };
        among && !FRAMING.contains(&name)
    }
}

impl fmt::Display for HeaderNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole_or_by_how_they_begin() {
        for (text, name, among) in [
            ("Set-Cookie", "set-cookie", true),
            ("set-cookie", "set-cookie2", false),
            ("x-internal-*", "x-internal-id", true),
            ("x-internal-*", "x-internal-", true),
            ("x-internal-*", "x-intern", false),
            ("*", "location", true),
            ("*", "content-length", false),
            ("content-*", "content-type", false),
            ("content-*", "content-location", true),
            ("*", "grpc-status", false),
            ("*", "grpc-message", true),
        ] {
            assert_eq!(HeaderNames::parse(text).unwrap().matches(name), among, "{text} {name}");
        }
    }

    #[test]
    fn what_frames_a_message_has_no_mask() {
        use HeaderNamesError::*;
        for (text, error) in [
            (":status", Pseudo as fn(String) -> HeaderNamesError),
            (":*", Pseudo),
            ("Content-Length", Framing),
            ("connection", Framing),
            ("grpc-status", Framing),
            ("x-*-id", Star),
            ("**", Star),
            ("", NotAName),
            ("a b", NotAName),
            ("é", NotAName),
        ] {
            assert_eq!(HeaderNames::parse(text), Err(error(text.to_owned())), "{text}");
        }
    }
}
