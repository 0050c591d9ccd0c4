//! Listings are handed out in pages: how long one is, and where the next one begins.

const DEFAULT_LIMIT: u32 = 50;

/// The most that one page holds.
pub(super) const MAX_LIMIT: u32 = 500;

/// How many to list and after which id, as a request asks: 0 for 50, and an empty token for the first page.
pub(super) fn page(limit: u32, token: &str) -> (u32, Option<&str>) {
    let limit = if limit == 0 { DEFAULT_LIMIT } else { limit.min(MAX_LIMIT) };
    (limit, Some(token).filter(|token| !token.is_empty()))
}

/// The token of the page after one that ends with `last`; empty where this one is not full, and so the last.
pub(super) fn next_page(limit: u32, count: usize, last: Option<&String>) -> String {
    let full = u32::try_from(count).is_ok_and(|count| count == limit);
    last.filter(|_| full).cloned().unwrap_or_default()
}
