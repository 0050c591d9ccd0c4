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

/// A part of a path, by the place of its segments from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Segment(usize),
    /// This segment and all that follow, also none.
    From(usize),
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

    /// `url_path` without its first `/`; `None` when nothing is left, so that the path has no segments.
    pub fn inner(&self) -> Option<&str> {
        Some(self.url_path.strip_prefix('/').unwrap_or(&self.url_path)).filter(|inner| !inner.is_empty())
    }

    /// The segments of `url_path`: `/` has none, `/a/` has `a` and an empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.inner().into_iter().flat_map(|inner| inner.split('/'))
    }

    /// A part of `url_path`; `None` when the path has no such segment.
    pub fn part(&self, part: Part) -> Option<&str> {
        let mut rest = self.inner();
        let (Part::Segment(place) | Part::From(place)) = part;
        for _ in 0..place {
            rest = rest?.split_once('/').map(|(_, rest)| rest);
        }
        match part {
            Part::Segment(_) => rest.map(|rest| rest.split_once('/').map_or(rest, |(first, _)| first)),
            Part::From(_) => Some(rest.unwrap_or_default()),
        }
    }
}

/// Decodes `%XX`, and `+` where it stands for a space; `None` when an escape is broken or does not make UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
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
                    _ if is_plain(decoded) => out.push(decoded.into()),
                    // A control byte, or one that some backend takes for structure after decoding it.
                    0..=0x1F | 0x7F | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                        return Err(Reason::PathAmbiguous);
                    }
                    _ => out.push_str(&format!("%{decoded:02X}")),
                }
            }
            b'\\' | b';' | b'#' => return Err(Reason::PathAmbiguous),
            b'/' => out.push('/'),
            _ if is_plain(byte) => out.push(byte.into()),
            // No URI has these bytes plain (RFC 3986 section 3.3). Senders encode them, and so do proxies on the way.
            0x21..=0x7E => out.push_str(&format!("%{byte:02X}")),
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

/// Whether a byte has one spelling, the plain one. That is so for unreserved characters (RFC 3986 section 2.3), and for those
/// that a segment may have plain and that backends decode all the same: `%3A` is `:` to them.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
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
            ("/orders%3acancel", "/orders:cancel", vec!["orders:cancel"]),
            ("/%21%24%26%27%28%29%2A%2b%2C%3D%40", "/!$&'()*+,=@", vec!["!$&'()*+,=@"]),
            (
                "/q\"u<o>t|e^[`{}]",
                "/q%22u%3Co%3Et%7Ce%5E%5B%60%7B%7D%5D",
                vec!["q%22u%3Co%3Et%7Ce%5E%5B%60%7B%7D%5D"],
            ),
            ("/q%22%3c%5b", "/q%22%3C%5B", vec!["q%22%3C%5B"]),
        ] {
            let (path, defect) = Path::parse(raw.into());
            assert_eq!(defect, None, "{raw}");
            assert_eq!(path.url_path(), url_path);
            assert_eq!(path.segments().collect::<Vec<_>>(), segments);
        }
        assert_eq!(Path::parse("/a?b?c".into()).0.query(), "b?c");
    }

    #[test]
    fn parts_are_found_by_their_place() {
        let path = |raw: &str| Path::parse(raw.into()).0;
        for (raw, part, wanted) in [
            ("/a/b/c", Part::Segment(0), Some("a")),
            ("/a/b/c", Part::Segment(2), Some("c")),
            ("/a/b/c", Part::Segment(3), None),
            ("/a/b/c", Part::From(1), Some("b/c")),
            ("/a/b/c", Part::From(3), Some("")),
            ("/a/b/c", Part::From(4), None),
            ("/a/", Part::Segment(1), Some("")),
            ("/", Part::Segment(0), None),
            ("/", Part::From(0), Some("")),
        ] {
            assert_eq!(path(raw).part(part), wanted, "{raw} {part:?}");
        }
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
