//! Headers around a body that is masked: what is asked of the upstream, and what may still be said of the response.

use crate::effect::HeaderChange;
use crate::mask::Encoding;
use crate::request::Headers;

/// In which encodings the upstream may answer where masks may apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptEncoding {
    /// Not encoded, which costs nothing to mask. An upstream that encodes nevertheless is masked all the same.
    #[default]
    Identity,
    /// As the caller asks, less what can't be masked.
    Supported,
}

/// Wishes that make a part of a response, or a difference to another one.
const PARTS: [&str; 3] = ["range", "if-range", "a-im"];

/// Of a body that was rewritten these are untrue, and digests let callers try what was masked against them.
const STALE: [&str; 11] = [
    "accept-ranges",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
    "x-checksum-sha256",
    "x-goog-hash",
    "x-ms-content-crc64",
];

/// More of them, by how their names begin.
const STALE_PREFIXES: [&str; 2] = ["x-amz-checksum-", "x-checksum-"];

/// What caches between the caller and the proxy obey in place of `cache-control`.
const CACHES_OWN: [&str; 2] = ["surrogate-control", "x-accel-expires"];

/// May hold what the messages hold, and no rule sees it.
const STATUS_DETAILS: &str = "grpc-status-details-bin";

/// What the upstream is asked, so that it gives what can be masked.
pub fn wishes(request: &Headers, accept: AcceptEncoding) -> Vec<HeaderChange> {
    let mut changes: Vec<_> = PARTS.iter().map(|name| remove(name)).collect();
    let asked = |name| request.joined(name).ok().flatten();
    let encodings = match accept {
        AcceptEncoding::Identity => "identity".to_owned(),
        AcceptEncoding::Supported => {
            asked("accept-encoding").map_or_else(|| "identity".to_owned(), |value| Encoding::narrowed(&value))
        }
    };
    changes.push(set("accept-encoding", encodings));
    if let Some(value) = asked("grpc-accept-encoding") {
        changes.push(set("grpc-accept-encoding", Encoding::narrowed(&value)));
    }
    changes
}

/// What changes around a body that is masked.
pub fn masked(response: &Headers) -> Vec<HeaderChange> {
    let stale = |name: &&str| STALE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let more = response.iter().map(|header| header.name.as_str()).filter(stale);
    let mut changes: Vec<_> = STALE.into_iter().chain(more).map(remove).collect();
    if response.is_grpc() {
        changes.push(remove(STATUS_DETAILS));
    }
    changes.extend(for_one_caller(response));
    changes
}

/// What changes around a body that another one takes the place of, not encoded; `content_type` when that is another too.
pub fn redacted(response: &Headers, content_type: Option<&str>) -> Vec<HeaderChange> {
    let mut changes = masked(response);
    changes.push(remove("content-encoding"));
    changes.extend(content_type.map(|value| set("content-type", value.to_owned())));
    changes
}

/// What changes where others may see other bytes, masked or not: no cache may give one caller's response to
/// another.
pub fn for_one_caller(response: &Headers) -> Vec<HeaderChange> {
    let mut changes = Vec::new();
    let control = response.joined("cache-control");
    // What is no text can't be added to.
    let control = private(control.ok().flatten().as_deref().unwrap_or_default());
    changes.extend(control.map(|value| set("cache-control", value)));
    let own = |name: &&str| CACHES_OWN.contains(name) || name.ends_with("-cache-control");
    changes.extend(response.iter().map(|header| header.name.as_str()).filter(own).map(remove));
    changes
}

/// What changes around a gRPC error that ends with its headers.
pub fn without_details(response: &Headers) -> Vec<HeaderChange> {
    let mut changes = for_one_caller(response);
    changes.push(remove(STATUS_DETAILS));
    changes
}

/// The `cache-control` that keeps a response for its caller; `None` where the present one does.
fn private(present: &str) -> Option<String> {
    let directives = directives(present);
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let shared = |directive: &str| ["public", "s-maxage", "private"].contains(&name(directive).as_str());
    if directives.iter().any(|directive| name(directive) == "no-store") {
        return None;
    }
    let kept: Vec<&str> = directives.iter().copied().filter(|directive| !shared(directive)).collect();
    let is_private = directives.iter().any(|directive| directive.eq_ignore_ascii_case("private"));
    if is_private && kept.len() + 1 == directives.len() {
        return None;
    }
    Some(std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", "))
}

/// The directives of a `cache-control`, split at the commas outside of quotes.
fn directives(value: &str) -> Vec<&str> {
    let mut quoted = false;
    let parts = value.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn remove(name: &str) -> HeaderChange {
    HeaderChange::Remove { name: name.to_owned() }
}

fn set(name: &str, value: String) -> HeaderChange {
    HeaderChange::Set { name: name.to_owned(), value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Header;

    fn headers(list: &[(&str, &str)]) -> Headers {
        list.iter().map(|(name, value)| Header::new(name, *value)).collect()
    }

    fn set_to(changes: &[HeaderChange], wanted: &str) -> Option<String> {
        changes.iter().find_map(|change| match change {
            HeaderChange::Set { name, value } if name == wanted => Some(value.clone()),
            _ => None,
        })
    }

    fn removes(changes: &[HeaderChange], wanted: &str) -> bool {
        changes.contains(&remove(wanted))
    }

    #[test]
    fn the_upstream_is_asked_for_what_can_be_masked() {
        let request = headers(&[
            ("range", "bytes=0-9"),
            ("accept-encoding", "gzip, dcb"),
            ("accept-encoding", "br"),
            ("grpc-accept-encoding", "snappy, gzip"),
        ]);
        for (accept, encodings) in
            [(AcceptEncoding::Identity, "identity"), (AcceptEncoding::Supported, "gzip, br")]
        {
            let changes = wishes(&request, accept);
            for name in PARTS {
                assert!(removes(&changes, name), "{name}");
            }
            assert_eq!(set_to(&changes, "accept-encoding").as_deref(), Some(encodings));
            assert_eq!(set_to(&changes, "grpc-accept-encoding").as_deref(), Some("gzip"));
        }
        let none = wishes(&headers(&[]), AcceptEncoding::Supported);
        assert_eq!(set_to(&none, "accept-encoding").as_deref(), Some("identity"));
        assert_eq!(set_to(&none, "grpc-accept-encoding"), None);
    }

    #[test]
    fn what_describes_the_unmasked_bytes_is_removed() {
        let response = headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("etag", "W/\"1\""),
            ("x-amz-checksum-crc32c", "x"),
            ("x-checksum-md5", "x"),
            ("cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
        ]);
        let changes = masked(&response);
        for name in STALE {
            assert!(removes(&changes, name), "{name}");
        }
        for name in ["x-amz-checksum-crc32c", "x-checksum-md5", "cdn-cache-control", "surrogate-control"] {
            assert!(removes(&changes, name), "{name}");
        }
        for name in ["content-type", "content-encoding", STATUS_DETAILS] {
            assert!(!removes(&changes, name), "{name}");
        }
        assert!(removes(&masked(&headers(&[("content-type", "application/grpc")])), STATUS_DETAILS));
        assert!(removes(&without_details(&headers(&[])), STATUS_DETAILS));
    }

    #[test]
    fn no_cache_shares_what_callers_see_differently() {
        for (present, changed) in [
            ("", Some("private")),
            ("public, max-age=60", Some("private, max-age=60")),
            ("max-age=60,s-maxage=600", Some("private, max-age=60")),
            ("Public", Some("private")),
            ("private", None),
            ("max-age=5, Private", None),
            ("private, public", Some("private")),
            ("private=\"set-cookie, public\", max-age=5", Some("private, max-age=5")),
            ("no-store", None),
            ("no-cache, NO-STORE", None),
            ("no-cache=\"no-store\"", Some("private, no-cache=\"no-store\"")),
            ("no-cache", Some("private, no-cache")),
        ] {
            let response = headers(&[("cache-control", present)]);
            assert_eq!(set_to(&for_one_caller(&response), "cache-control").as_deref(), changed, "{present}");
        }
        let several = headers(&[("cache-control", "max-age=5"), ("cache-control", "public")]);
        let changes = for_one_caller(&several);
        assert_eq!(set_to(&changes, "cache-control").as_deref(), Some("private, max-age=5"));
        assert_eq!(set_to(&for_one_caller(&headers(&[])), "cache-control").as_deref(), Some("private"));
    }
}
