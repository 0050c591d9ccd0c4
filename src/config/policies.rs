//! The section `policies`: a list of files and folders, or a map that says where policies come from and whose
//! signatures they need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::value::{duration, flag};
use crate::bundle::{self, Remote, Source};
use crate::document::{Fields, Node, Reader, Value};
use crate::outbound::{UrlFault, checked_url};

/// More often would be a load on the server for nothing.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// A bundle is read into memory as a whole.
const LARGEST_BUNDLE: i64 = 1 << 30;

pub(super) fn policies(node: &Node, folder: &Path, reader: &mut Reader) -> Option<bundle::Config> {
    if !matches!(node.value, Value::Map(_)) {
        let source = paths(node, folder, reader)?;
        return Some(bundle::Config {
            source,
            keys: Vec::new(),
            watch: true,
            max_bytes: None,
            candidate: None,
        });
    }
    let mut fields = reader.fields(node, "`policies`")?;
    let from = [
        ("paths", fields.optional("paths")),
        ("bundle", fields.optional("bundle")),
        ("url", fields.optional("url")),
    ];
    let from = one_of(from, &fields, reader);
    let max_node = fields.optional("max_bytes");
    let max_bytes =
        max_node.map(|node| Some(reader.integer(node, "`max_bytes`", 1..=LARGEST_BUNDLE)?.unsigned_abs()));
    let keys_node = fields.optional("keys");
    // Keys beside `paths` are a mistake already: what they are does not matter then.
    let read_keys = keys_node.filter(|_| from.is_none_or(|(kind, _)| kind != "paths"));
    let keys = read_keys.map_or(Some(Vec::new()), |node| files(node, "`keys`", folder, reader));
    let watch_node = fields.optional("watch");
    let watch = flag(&mut fields, "watch", true, reader);
    let candidate = match fields.optional("candidate") {
        Some(node) => super::candidate::candidate(node, folder, reader).map(Some),
        None => Some(None),
    };
    let remote = remote_fields(&mut fields, folder, reader);
    fields.close(reader);
    let (kind, node) = from?;
    let source = match kind {
        "paths" => paths(node, folder, reader),
        "bundle" => reader.string(node, "`bundle`").map(|path| Source::File(folder.join(path))),
        _ => url(node, reader).zip(remote).map(|(url, remote)| Source::Url(Remote { url, ..remote })),
    };
    let stray = |names: &[(&str, Option<&Node>)], wanted: &str, reader: &mut Reader| {
        for (name, node) in names.iter().filter_map(|(name, node)| Some((name, (*node)?))) {
            let message = format!("`{name}` goes with {wanted}, not with `{kind}`");
            reader.error(node.span, "wrong-source", message);
        }
    };
    match kind {
        "paths" => stray(&[("max_bytes", max_node)], "`bundle` and `url`", reader),
        "url" => stray(&[("watch", watch_node)], "`paths` and `bundle`", reader),
        _ => {}
    }
    if let ("paths", Some(node)) = (kind, keys_node) {
        let message = "`keys` don't go with `paths`: plain files have no signature";
        let help = "build and sign a bundle, and name it with `bundle` or `url`";
        reader.error_with_help(node.span, "wrong-source", message, help);
    }
    let (max_bytes, candidate) = (max_bytes.unwrap_or(None), candidate?);
    Some(bundle::Config { source: source?, keys: keys?, watch: watch?, max_bytes, candidate })
}

/// The one source that the map names.
fn one_of<'n>(
    from: [(&'static str, Option<&'n Node>); 3],
    fields: &Fields<'_>,
    reader: &mut Reader,
) -> Option<(&'static str, &'n Node)> {
    let named: Vec<_> = from.iter().filter_map(|(name, node)| Some((*name, (*node)?))).collect();
    match named.as_slice() {
        [one] => Some(*one),
        _ => {
            let message = "`policies` needs one of `paths`, `bundle` and `url`";
            reader.error(fields.span, "policies-source", message);
            None
        }
    }
}

/// The fields that go with `url` alone, in a `Remote` whose URL is filled in later.
fn remote_fields(fields: &mut Fields<'_>, folder: &Path, reader: &mut Reader) -> Option<Remote> {
    let nodes = [
        ("poll", fields.optional("poll")),
        ("token_file", fields.optional("token_file")),
        ("ca_file", fields.optional("ca_file")),
    ];
    if fields.optional("url").is_none() {
        for (name, node) in nodes.iter().filter_map(|(name, node)| Some((name, (*node)?))) {
            reader.error(node.span, "wrong-source", format!("`{name}` goes with `url` only"));
        }
        return None;
    }
    let poll = duration(fields, "poll", Duration::from_secs(30), reader);
    if let (Some(poll), Some(node)) = (poll, fields.optional("poll"))
        && poll < SHORTEST_POLL
    {
        reader.error(node.span, "out-of-range", "`poll` must be at least `1s`");
        return None;
    }
    let mut file = |name: &'static str, what: &str| match fields.optional(name) {
        None => Some(None),
        Some(node) => reader.string(node, what).map(|path| Some(folder.join(path))),
    };
    let (token_file, ca_file) = (file("token_file", "`token_file`"), file("ca_file", "`ca_file`"));
    Some(Remote { url: blank()?, poll: poll?, token_file: token_file?, ca_file: ca_file? })
}

fn blank() -> Option<Url> {
    Url::parse("https://localhost").ok()
}

fn paths(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Source> {
    let paths = files(node, "`policies`", folder, reader)?;
    if paths.is_empty() {
        reader.error(node.span, "empty-list", "`policies` names no file or folder");
    }
    Some(Source::Paths(paths))
}

fn files(node: &Node, what: &str, folder: &Path, reader: &mut Reader) -> Option<Vec<PathBuf>> {
    let paths = reader.strings(node, what)?;
    Some(paths.iter().map(|path| folder.join(path)).collect())
}

/// Whoever can answer a plain HTTP request in the server's place can decide every call, or go back to an old version.
fn url(node: &Node, reader: &mut Reader) -> Option<Url> {
    let text = reader.string(node, "`url`")?;
    let fault = match checked_url(text, false) {
        Ok(url) => return Some(url),
        Err(fault) => fault,
    };
    match fault {
        UrlFault::NotHttp => {
            reader.error(node.span, fault.code(), format!("`{text}` is not an `https://` URL"));
        }
        UrlFault::Credentials => {
            let message = "the URL of a bundle must not hold a user name or password";
            reader.error_with_help(node.span, fault.code(), message, "put a bearer token in a `token_file`");
        }
        UrlFault::Metadata => {
            let message = "nothing is fetched from link-local addresses: clouds hand out credentials there";
            reader.error(node.span, fault.code(), message);
        }
        UrlFault::Insecure => {
            let message = "policies fetched over `http://` can be replaced on the way";
            reader.error_with_help(node.span, fault.code(), message, "use `https://`");
        }
    }
    None
}
