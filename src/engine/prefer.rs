//! What a caller prefers to waiting: the header `prefer` of RFC 7240.

use std::time::Duration;

use crate::request::Headers;

/// How long a caller that prefers a ticket (`respond-async`) waits before it gets one: its `wait`, in seconds, or not at
/// all. `None`: it has no such preference. A preference that can't be read counts for nothing, as the RFC wants it; of
/// several with one name the first counts.
pub(super) fn respond_async(headers: &Headers) -> Option<Duration> {
    let values = headers.all("prefer").filter_map(|value| std::str::from_utf8(value).ok());
    // Neither preference has a value that could hold a comma or a semicolon.
    let preferences = values.flat_map(|value| value.split(',')).map(|preference| {
        let named = preference.split(';').next().unwrap_or_default();
        let (name, value) = named.split_once('=').unwrap_or((named, ""));
        (name.trim(), value.trim().trim_matches('"'))
    });
    let (mut preferred, mut wait) = (false, None);
    for (name, value) in preferences {
        if name.eq_ignore_ascii_case("respond-async") {
            preferred = true;
        } else if name.eq_ignore_ascii_case("wait") && wait.is_none() {
            wait = value.parse().ok();
        }
    }
    preferred.then(|| Duration::from_secs(wait.unwrap_or(0)))
}

/// What a value of `prefer` says besides how long the caller likes to wait; `None` where that is all.
pub(super) fn besides_waiting(value: &[u8]) -> Option<Vec<u8>> {
    let is_waiting = |preference: &&[u8]| {
        let name = preference.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
        let name = name.trim_ascii();
        name.is_empty() || [&b"respond-async"[..], b"wait"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    // What is quoted may hold a comma that separates nothing.
    if value.contains(&b'"') {
        return Some(value.to_vec());
    }
    let rest: Vec<_> = value.split(|byte| *byte == b',').filter(|one| !is_waiting(one)).collect();
    (!rest.is_empty()).then(|| rest.join(&b','))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Header;

    #[test]
    fn what_is_preferred_besides_is_told_apart_from_waiting() {
        for (value, expected) in [
            ("respond-async", None),
            ("Respond-Async, wait=5", None),
            ("wait = 5 ; x=1,", None),
            ("respond-async, tx=commit", Some(" tx=commit")),
            ("return=minimal,wait=5,tx=rollback", Some("return=minimal,tx=rollback")),
            (r#"x="a,wait=1""#, Some(r#"x="a,wait=1""#)),
        ] {
            let rest = besides_waiting(value.as_bytes());
            assert_eq!(rest.as_deref(), expected.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn a_caller_prefers_a_ticket_at_once_or_after_its_wait() {
        let prefer = |values: &[&str]| {
            respond_async(&values.iter().map(|value| Header::new("prefer", *value)).collect())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (values, expected) in [
            (&["respond-async"][..], seconds(0)),
            (&["Respond-Async, wait=10"], seconds(10)),
            (&["wait=\"7\"", "return=minimal, respond-async; foo=bar"], seconds(7)),
            (&["respond-async, wait=3, wait=9"], seconds(3)),
            (&["respond-async, wait=soon"], seconds(0)),
            (&["respond-async, wait=-1"], seconds(0)),
            (&["wait=10"], None),
            (&["respond-asynchronously"], None),
            (&["return=respond-async"], None),
            (&[], None),
        ] {
            assert_eq!(prefer(values), expected, "{values:?}");
        }
    }
}
