//! A path that every reader reads alike, or a reason to refuse it.
//!
//! Backends disagree on dot segments, repeated slashes, backslashes, `;` parameters and doubly encoded bytes, and
//! each disagreement has been a bypass of somebody's authorizer. So a path on which they could disagree is
//! refused (`path_ambiguous`), and what is left has one meaning. Envoy's `normalize_path` and `merge_slashes`
//! tidy honest callers' paths before they get here.

use crate::reason::Reason;

/// A request's target: the raw bytes as sent, and the path that rules match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    raw: String,
    url_path: String,
}

impl Path {
    /// Parses an origin-form target (RFC 9112 section 3.2.1). The path is kept whatever it is, for the record;
    /// the reason says why it must be refused.
    pub fn parse(raw: String) -> (Self, Option<Reason>) {
        let path = raw.split('?').next().unwrap_or_default();
        let (url_path, defect) = match normalise(path) {
            Ok(url_path) => (url_path, None),
            Err(reason) => (path.to_owned(), Some(reason)),
        };
        (Self { raw, url_path }, defect)
    }

    /// Path and query as sent: Envoy's `request.path`.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The path without the query; bytes that need no encoding are decoded, the others' hex is upper case.
    pub fn url_path(&self) -> &str {
        &self.url_path
    }

    /// What follows the first `?`, as sent; empty without one.
    pub fn query(&self) -> &str {
        self.raw.split_once('?').map_or("", |(_, query)| query)
    }

    /// The segments of `url_path`: `/` has none, `/a/` has `a` and an empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let inner = self.url_path.strip_prefix('/').unwrap_or(&self.url_path);
        inner.split('/').take(if inner.is_empty() { 0 } else { usize::MAX })
    }
}

fn normalise(path: &str) -> Result<String, Reason> {
    if !path.starts_with('/') {
        return Err(Reason::PathInvalid);
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (hex(rest.next())?, hex(rest.next())?);
                let decoded = high << 4 | low;
                match decoded {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        out.push(decoded.into())
                    }
                    // A control byte, or one that some backend takes for structure after decoding it.
                    0..=0x1F | 0x7F | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                        return Err(Reason::PathAmbiguous);
                    }
                    _ => out.push_str(&format!("%{decoded:02X}")),
                }
            }
            b'\\' | b';' | b'#' => return Err(Reason::PathAmbiguous),
            0x21..=0x7E => out.push(byte.into()),
            _ => return Err(Reason::PathInvalid),
        }
    }
    let inner = out.get(1..).unwrap_or_default();
    let segments = inner.split('/');
    let last = segments.clone().count() - 1;
    for (index, segment) in segments.enumerate() {
        if segment == "." || segment == ".." || (segment.is_empty() && index != last) {
            return Err(Reason::PathAmbiguous);
        }
    }
    Ok(out)
}

fn hex(digit: Option<u8>) -> Result<u8, Reason> {
    let value =
        digit.and_then(|digit| char::from(digit).to_digit(16)).and_then(|value| u8::try_from(value).ok());
    value.ok_or(Reason::PathAmbiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_paths_pass() {
        for (raw, url_path, segments) in [
            ("/", "/", vec![]),
            ("/v1/orders/7?x=/../", "/v1/orders/7", vec!["v1", "orders", "7"]),
            ("/a/", "/a/", vec!["a", ""]),
            ("/%61%7e%C3%bc", "/a~%C3%BC", vec!["a~%C3%BC"]),
            ("/a.b/..c/d..", "/a.b/..c/d..", vec!["a.b", "..c", "d.."]),
        ] {
            let (path, defect) = Path::parse(raw.into());
            assert_eq!(defect, None, "{raw}");
            assert_eq!(path.url_path(), url_path);
            assert_eq!(path.segments().collect::<Vec<_>>(), segments);
        }
        assert_eq!(Path::parse("/a?b?c".into()).0.query(), "b?c");
    }

    #[test]
    fn whatever_backends_read_differently_is_refused() {
        for raw in [
            "/a/../admin",
            "/a/./b",
            "//admin",
            "/a//b",
            "/a/%2e%2e/admin",
            "/a/%2E/b",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/admin;x=1",
            "/admin%3bx",
            "/%2561dmin",
            "/a%00",
            "/a%0a",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a#b",
            "/a%23",
            "/a%3f",
            "/..",
            "/.",
        ] {
            assert_eq!(Path::parse(raw.into()).1, Some(Reason::PathAmbiguous), "{raw}");
        }
        for raw in ["", "admin", "*", "http://h/a", "/a b", "/ü", "?x"] {
            assert_eq!(Path::parse(raw.into()).1, Some(Reason::PathInvalid), "{raw}");
        }
    }
}
