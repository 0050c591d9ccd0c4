//! Reads `spec.match`.

use std::collections::BTreeMap;

use super::{Entry, HostPattern, PathPattern, TextPattern};
use crate::diagnostic::Diagnostic;
use crate::document::{Node, Reader, Value};

/// The entries of `match`; `None` when a mistake was reported in one.
pub fn entries(node: &Node, gateway: bool, reader: &mut Reader) -> Option<Vec<Entry>> {
    let items = reader.list(node, "`match`")?;
    if items.is_empty() {
        reader.error_with_help(
            node.span,
            "empty-match",
            "`match` has no entry",
            "leave it out to match every call",
        );
        return None;
    }
    let entries: Vec<_> = items.iter().map(|item| entry(item, gateway, reader)).collect();
    entries.into_iter().collect()
}

fn entry(node: &Node, gateway: bool, reader: &mut Reader) -> Option<Entry> {
    let before = reader.findings.len();
    let mut fields = reader.fields(node, "an entry of `match`")?;
    let mut entry = Entry::default();
    if let Some(node) = fields.optional("hosts") {
        entry.hosts = patterns(node, "hosts", reader, host);
    }
    if let Some(node) = fields.optional("paths") {
        entry.paths = patterns(node, "paths", reader, PathPattern::parse);
    }
    if let Some(node) = fields.optional("methods") {
        entry.methods = patterns(node, "methods", reader, method);
    }
    if let Some(node) = fields.optional("destinations") {
        entry.destinations = patterns(node, "destinations", reader, text);
    }
    if let Some(node) = fields.optional("ports") {
        let items = reader.list(node, "`ports`").unwrap_or_default();
        let ports = items.iter().filter_map(|item| reader.integer(item, "a port", 1..=65_535));
        entry.ports = ports.filter_map(|port| u16::try_from(port).ok()).collect();
        refuse_empty(node, items, reader);
    }
    if let Some(node) = fields.optional("context") {
        entry.context = context(node, reader);
    }
    fields.close(reader);
    if reader.findings.len() > before {
        return None;
    }
    if entry == Entry::default() {
        reader.error_with_help(
            node.span,
            "empty-match",
            "the entry asks for nothing",
            "name hosts, paths, methods, destinations, ports or context",
        );
        return None;
    }
    if entry.trusts_host() && !gateway {
        let message = "the host alone is the caller's claim: on a listener that is no gateway this entry matches nothing";
        let place = node.get("hosts").map_or(node.span, |hosts| hosts.span).place(&reader.file);
        let help = "match destinations, ports or context as well, or declare the listener `gateway: true`";
        reader.findings.push(Diagnostic::warning("host-only-match", message).at(place).help(help));
    }
    Some(entry)
}

fn patterns<T>(
    node: &Node,
    what: &str,
    reader: &mut Reader,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    let Some(items) = reader.list(node, &format!("`{what}`")) else { return parsed };
    refuse_empty(node, items, reader);
    for item in items {
        let Some(text) = reader.string(item, &format!("an element of `{what}`")) else { continue };
        match parse(text) {
            Ok(pattern) => parsed.push(pattern),
            Err(why) => {
                reader.error(item.span, "invalid-pattern", format!("`{text}` matches nothing: {why}"))
            }
        }
    }
    parsed
}

/// An empty list would match everything or nothing, depending on who reads it.
fn refuse_empty(node: &Node, items: &[Node], reader: &mut Reader) {
    if items.is_empty() && matches!(node.value, Value::Seq(_)) {
        reader.error(node.span, "empty-match", "the list is empty");
    }
}

fn host(text: &str) -> Result<HostPattern, String> {
    let name = text.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b))
    };
    if name == "*" {
        return Ok(HostPattern::Any);
    }
    if name.contains(':') && name.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("hosts are matched without their port".into());
    }
    match name.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') && plain(suffix) => {
            Ok(HostPattern::Suffix(suffix.to_owned()))
        }
        None if plain(name) => Ok(HostPattern::Exact(name.to_owned())),
        _ => Err("write a host name, or `*.` and one".into()),
    }
}

fn method(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_') {
        Ok(text.to_owned())
    } else {
        Err("methods are written in capitals, as in `GET`".into())
    }
}

fn text(text: &str) -> Result<TextPattern, String> {
    let pattern = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => TextPattern::Present,
        (Some(suffix), None) => TextPattern::Suffix(suffix.to_owned()),
        (None, Some(prefix)) => TextPattern::Prefix(prefix.to_owned()),
        (None, None) if !text.is_empty() => TextPattern::Exact(text.to_owned()),
        _ => return Err("one `*` may stand first or last".into()),
    };
    match &pattern {
        TextPattern::Suffix(inner) | TextPattern::Prefix(inner) | TextPattern::Exact(inner)
            if inner.contains('*') =>
        {
            Err("one `*` may stand first or last".into())
        }
        _ => Ok(pattern),
    }
}

fn context(node: &Node, reader: &mut Reader) -> BTreeMap<String, String> {
    let Value::Map(entries) = &node.value else {
        reader.wrong_kind::<()>(node, "`context`", "a map");
        return BTreeMap::new();
    };
    if entries.is_empty() {
        reader.error(node.span, "empty-match", "the map is empty");
    }
    let read = entries.iter().filter_map(|entry| {
        reader.string(&entry.value, "a value of `context`").map(|value| (entry.key.clone(), value.to_owned()))
    });
    read.collect()
}
