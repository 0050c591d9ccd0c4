//! Listings are handed out in pages: how long one is, and where the next one begins.

use super::fault::Fault;

const DEFAULT_LIMIT: u32 = 50;

/// The most that one page holds.
pub(super) const MAX_LIMIT: u32 = 500;

/// How many to list and after which id, as a request asks: 0 for 50, and an empty token for the first page. A token that
/// no page handed out is refused.
pub(super) fn page(limit: u32, token: &str) -> Result<(u32, Option<&str>), Fault> {
    let limit = if limit == 0 { DEFAULT_LIMIT } else { limit.min(MAX_LIMIT) };
    // Tokens are ids.
    if !token.is_empty() && uuid::Uuid::try_parse(token).is_err() {
        let message =
            "`pageToken` is not one that a page gave as its `nextPageToken`; leave it out for the first page";
        return Err(Fault::Invalid(message.to_owned()));
    }
    Ok((limit, Some(token).filter(|token| !token.is_empty())))
}

/// The token of the page after one that ends with `last`; empty where this one is not full, and so the last.
pub(super) fn next_page(limit: u32, count: usize, last: Option<&String>) -> String {
    let full = u32::try_from(count).is_ok_and(|count| count == limit);
    last.filter(|_| full).cloned().unwrap_or_default()
}
