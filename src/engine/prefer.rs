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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Header;

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
