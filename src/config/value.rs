//! Single values, each with its default and its mistakes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::{Fields, Node, Reader, Span, Value};

pub(super) fn empty_map() -> Node {
    Node { value: Value::Map(Vec::new()), span: Span::default() }
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(super) fn address(node: &Node, what: &str, reader: &mut Reader) -> Option<SocketAddr> {
    let text = reader.string(node, what)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message = format!("{what} is not an address: `{text}`");
        reader.error_with_help(
            node.span,
            "invalid-address",
            message,
            "write it as 127.0.0.1:9191 or [::1]:9191",
        );
    }
    parsed
}

pub(super) fn flag(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: bool,
    reader: &mut Reader,
) -> Option<bool> {
    fields.optional(name).map_or(Some(default), |node| reader.boolean(node, &format!("`{name}`")))
}

pub(super) fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
    reader: &mut Reader,
) -> Option<i64> {
    fields.optional(name).map_or(Some(default), |node| reader.integer(node, &format!("`{name}`"), range))
}

pub(super) fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    reader: &mut Reader,
) -> Option<Duration> {
    fields.optional(name).map_or(Some(default), |node| reader.duration(node, &format!("`{name}`")))
}

pub(super) fn path(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: &str,
    folder: &Path,
    reader: &mut Reader,
) -> Option<PathBuf> {
    let text =
        fields.optional(name).map_or(Some(default), |node| reader.string(node, &format!("`{name}`")))?;
    Some(folder.join(text))
}

pub(super) fn lower_case(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

pub(super) fn wide(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
