//! `notify`: who is told of requests for approval.
//!
//! A receiver's URL is often its only secret, so no finding repeats one, and `hide_urls` takes them out of the texts that
//! findings quote from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;

use super::value::{duration, flag, number};
use crate::document::{Fields, Node, Reader, Value};
use crate::notice::{Event, Subscription};
use crate::notify::{Config, Kind, Limits, TargetConfig, UrlSource};
use crate::outbound::Reach;
use crate::secret::Secret;

const MAX_TARGETS: usize = 50;

/// Reads the section; `None` when a mistake was reported. `page` is what `admin.url` says.
pub(super) fn notify(
    node: &Node,
    page: Option<&Url>,
    folder: &Path,
    reader: &mut Reader,
) -> Option<Option<Config>> {
    let items = reader.list(node, "`notify`")?;
    if items.len() > MAX_TARGETS {
        reader.error(node.span, "out-of-range", format!("`notify` has more than {MAX_TARGETS} targets"));
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| target(item, folder, reader)).collect();
    let targets = read.into_iter().collect::<Option<Vec<_>>>()?;
    for (index, (target, item)) in targets.iter().zip(items).enumerate() {
        if targets.iter().take(index).any(|other| other.name == target.name) {
            reader.error(item.span, "duplicate-name", format!("two targets are named `{}`", target.name));
            return None;
        }
    }
    if targets.is_empty() {
        return Some(None);
    }
    let Some(page) = page else {
        let message = "notifications link to the request, and the server does not know its own address";
        let help = "set `admin.url` to where people reach it, as `https://portcullis.example.com`";
        reader.error_with_help(node.span, "missing-admin-url", message, help);
        return None;
    };
    Some(Some(Config { page: page.clone(), targets }))
}

fn target(node: &Node, folder: &Path, reader: &mut Reader) -> Option<TargetConfig> {
    let mut fields = reader.fields(node, "a target of `notify`")?;
    let name = fields.required("name", reader).and_then(|node| name(node, reader));
    let words = [("slack", 0), ("teams", 1), ("webhook", 2)];
    let kind = fields.required("type", reader).and_then(|node| reader.word(node, "`type`", &words));
    let keys = fields.optional("signing_keys");
    let kind = kind.and_then(|kind| self::kind(kind, node, keys, folder, reader));
    let url = url(&mut fields, node, folder, reader);
    let subscription = subscription(&mut fields, reader);
    let ca_file = fields.optional("ca_file").map(|node| reader.string(node, "`ca_file`"));
    let allow_insecure = flag(&mut fields, "allow_insecure", false, reader);
    let reach = reach(&mut fields, reader);
    let limits = limits(&mut fields, node, reader);
    fields.close(reader);
    let ca_file = ca_file.map_or(Some(None), |path| path.map(|path| Some(folder.join(path))));
    let name = name?;
    Some(TargetConfig {
        kind: kind?,
        url: url?,
        subscription: Subscription { target: name.clone(), ..subscription? },
        ca_file: ca_file?,
        allow_insecure: allow_insecure?,
        reach: reach?,
        limits: limits?,
        name,
    })
}

/// It becomes a label of metrics.
fn name(node: &Node, reader: &mut Reader) -> Option<String> {
    let name = reader.string(node, "`name`")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=40).contains(&name.len()) && name.bytes().all(plain) {
        return Some(name.to_owned());
    }
    let message = "`name` is 1 to 40 letters, digits, `-` and `_`";
    reader.error(node.span, "invalid-name", message);
    None
}

fn kind(kind: u8, target: &Node, keys: Option<&Node>, folder: &Path, reader: &mut Reader) -> Option<Kind> {
    let files = match keys {
        None => None,
        Some(node) => Some((node.span, reader.strings(node, "`signing_keys`")?)),
    };
    match (kind, files) {
        (0, None) => Some(Kind::Slack),
        (1, None) => Some(Kind::Teams),
        (2, Some((_, files))) if !files.is_empty() => {
            Some(Kind::Webhook(files.iter().map(|path| folder.join(path)).collect::<Vec<PathBuf>>()))
        }
        (2, files) => {
            let message = "a webhook is signed, so that its receiver knows whom it is from";
            let help = "name files in `signing_keys`; make one with `echo whsec_$(openssl rand -base64 32)`";
            let span = files.map_or(target.span, |(span, _)| span);
            reader.error_with_help(span, "missing-keys", message, help);
            None
        }
        (_, files) => {
            let span = files.map_or(target.span, |(span, _)| span);
            reader.error(span, "wrong-type", "`signing_keys` are of `type: webhook`");
            None
        }
    }
}

/// One of `url` and `url_file`; the URL itself is looked at when the server loads.
fn url(fields: &mut Fields<'_>, target: &Node, folder: &Path, reader: &mut Reader) -> Option<UrlSource> {
    match (fields.optional("url"), fields.optional("url_file")) {
        (Some(node), None) => {
            let url = reader.string(node, "`url`")?;
            Some(UrlSource::Given(Secret::new(url.to_owned())))
        }
        (None, Some(node)) => {
            let path = reader.string(node, "`url_file`")?;
            Some(UrlSource::File(folder.join(path)))
        }
        _ => {
            reader.error(target.span, "notify-url", "a target needs one of `url` and `url_file`");
            None
        }
    }
}

fn subscription(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Subscription> {
    let events = fields.optional("events").map_or(Some(Vec::new()), |node| {
        let items = reader.list(node, "`events`")?;
        let words = Event::ALL.map(|event| (event.as_str(), event));
        let read: Vec<_> = items.iter().map(|item| reader.word(item, "an event", &words)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let mut texts = |name: &'static str, what: &str, reader: &mut Reader| {
        fields.optional(name).map_or(Some(Vec::new()), |node| reader.strings(node, what))
    };
    let rules = texts("rules", "`rules`", reader);
    let groups = texts("groups", "`groups`", reader);
    Some(Subscription { target: String::new(), events: events?, rules: rules?, groups: groups? })
}

fn reach(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Reach> {
    let private = flag(fields, "allow_private", false, reader);
    let allowed = fields.optional("allow_addresses").map_or(Some(Vec::new()), |node| {
        let items = reader.list(node, "`allow_addresses`")?;
        let read: Vec<_> = items.iter().map(|item| network(item, reader)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    Some(Reach { private: private?, allowed: allowed? })
}

fn network(node: &Node, reader: &mut Reader) -> Option<IpNet> {
    let text = reader.string(node, "a network")?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message = format!("`{text}` is not a network");
        reader.error_with_help(
            node.span,
            "invalid-address",
            message,
            "write it as 10.1.0.0/16 or 10.1.2.3/32",
        );
    }
    parsed
}

fn limits(fields: &mut Fields<'_>, target: &Node, reader: &mut Reader) -> Option<Limits> {
    let default = Limits::default();
    let timeout = duration(fields, "timeout", default.timeout, reader);
    let max_age = duration(fields, "max_age", default.max_age, reader);
    let concurrency = number(fields, "concurrency", 4, 1..=100, reader);
    let max_waiting = number(fields, "max_waiting", i64::from(default.max_waiting), 1..=1_000_000, reader);
    let max_attempts = number(fields, "max_attempts", i64::from(default.max_attempts), 1..=10_000, reader);
    let mut within = |what: &str, value: Option<Duration>, least: u64, most: u64| {
        let value = value?;
        let good = (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&value);
        if !good {
            let message = format!("`{what}` is {value:?}, not in {least} s to {most} s");
            reader.error(target.span, "out-of-range", message);
        }
        good.then_some(value)
    };
    let timeout = within("timeout", timeout, 1, 60);
    let max_age = within("max_age", max_age, 60, 7 * 24 * 3_600);
    Some(Limits {
        timeout: timeout?,
        concurrency: usize::try_from(concurrency?).ok()?,
        max_attempts: u32::try_from(max_attempts?).ok()?,
        max_age: max_age?,
        max_waiting: u32::try_from(max_waiting?).ok()?,
    })
}

/// `admin.url`: a place of our own, and nothing else in it.
pub(super) fn page(node: &Node, reader: &mut Reader) -> Option<Url> {
    let text = reader.string(node, "`url`")?;
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let page = parsed.filter(plain);
    if page.is_none() {
        let message = "`url` is not where people reach this server";
        let help = "write it as `https://portcullis.example.com`, without a user name, query or fragment";
        reader.error_with_help(node.span, "invalid-url", message, help);
    }
    page
}

/// The text with every `url` of `notify` blanked out, byte by byte, so that places stay where they are.
pub(super) fn hide_urls(root: &Node, text: &Arc<str>) -> Arc<str> {
    let targets = match root.get("notify").map(|node| &node.value) {
        Some(Value::Seq(targets)) => targets.as_slice(),
        _ => return text.clone(),
    };
    let mut bytes = text.as_bytes().to_vec();
    for url in targets.iter().filter_map(|target| target.get("url")) {
        let span = url.span.offset..url.span.offset.saturating_add(url.span.len);
        for byte in bytes.get_mut(span).into_iter().flatten().filter(|byte| **byte != b'\n') {
            *byte = b'*';
        }
    }
    String::from_utf8(bytes).map_or_else(|_| "".into(), Into::into)
}

#[cfg(test)]
mod tests;
