//! What every section that names a service to ask about credentials has: where it is, and the limits of asking.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use crate::document::{Fields, Node, Reader};
use crate::outbound::{UrlFault, checked_url};

use super::non_empty;

/// A service to ask, and how much of it.
#[derive(Clone, Debug)]
pub struct CalloutConfig {
    pub url: Url,
    /// Certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take; a call also waits at most this long for its turn.
    pub timeout: Duration,
    /// Requests under way at the same time.
    pub concurrency: usize,
    pub cache: CacheConfig,
}

/// How long answers are remembered, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// For good credentials; they end with their own `exp` at the latest.
    pub max_ttl: Duration,
    /// For refused ones.
    pub negative_ttl: Duration,
    /// Good and refused ones each; one larger than 4 KiB counts for several.
    pub entries: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_ttl: Duration::from_secs(60), negative_ttl: Duration::from_secs(5), entries: 10_000 }
    }
}

impl CalloutConfig {
    /// Takes what it knows from the fields of a section. Without a `default_url` the section must have a `url`.
    pub fn read(
        fields: &mut Fields<'_>,
        default_url: Option<&Url>,
        folder: &Path,
        reader: &mut Reader,
    ) -> Option<Self> {
        let insecure = fields.optional("allow_insecure").map(|node| reader.boolean(node, "`allow_insecure`"));
        let url = match (fields.optional("url"), default_url) {
            (Some(node), _) => {
                insecure.unwrap_or(Some(false)).and_then(|insecure| url(node, insecure, reader))
            }
            (None, Some(default)) => Some(default.clone()),
            (None, None) => fields.required("url", reader).and(None),
        };
        let ca_file = path(fields.optional("ca_file"), "`ca_file`", folder, reader);
        let (one, longest) = (Duration::from_secs(1), Duration::from_millis(10)..=Duration::from_secs(10));
        let timeout = span(fields.optional("timeout"), "`timeout`", one, longest, reader);
        let concurrency = number(fields.optional("concurrency"), "`concurrency`", 64, 1..=10_000, reader);
        let cache = CacheConfig::read(fields.optional("cache"), reader);
        insecure.unwrap_or(Some(false))?;
        Some(Self {
            url: url?,
            ca_file: ca_file?,
            timeout: timeout?,
            concurrency: usize::try_from(concurrency?).ok()?,
            cache: cache?,
        })
    }
}

impl CacheConfig {
    fn read(node: Option<&Node>, reader: &mut Reader) -> Option<Self> {
        let default = Self::default();
        let Some(node) = node else { return Some(default) };
        let mut fields = reader.fields(node, "`cache`")?;
        let (hour, minute) = (Duration::from_secs(3_600), Duration::from_secs(60));
        let none = Duration::ZERO;
        let max_ttl = span(fields.optional("max_ttl"), "`max_ttl`", default.max_ttl, none..=hour, reader);
        let negative = fields.optional("negative_ttl");
        let negative_ttl = span(negative, "`negative_ttl`", default.negative_ttl, none..=minute, reader);
        let entries = number(fields.optional("entries"), "`entries`", 10_000, 1..=1_000_000, reader);
        fields.close(reader);
        Some(Self { max_ttl: max_ttl?, negative_ttl: negative_ttl?, entries: u64::try_from(entries?).ok()? })
    }
}

/// A path, which starts from `folder`; `Some(None)` where there is none.
pub fn path(node: Option<&Node>, what: &str, folder: &Path, reader: &mut Reader) -> Option<Option<PathBuf>> {
    let Some(node) = node else { return Some(None) };
    non_empty(node, what, reader).map(|path| Some(folder.join(path)))
}

/// A span of time within `range`.
pub fn span(
    node: Option<&Node>,
    what: &str,
    default: Duration,
    range: RangeInclusive<Duration>,
    reader: &mut Reader,
) -> Option<Duration> {
    let Some(node) = node else { return Some(default) };
    let span = reader.duration(node, what)?;
    if range.contains(&span) {
        return Some(span);
    }
    let (low, high) = (range.start(), range.end());
    reader.error(node.span, "out-of-range", format!("{what} is {span:?}, not in {low:?} to {high:?}"));
    None
}

/// A whole number within `range`.
pub fn number(
    node: Option<&Node>,
    what: &str,
    default: i64,
    range: RangeInclusive<i64>,
    reader: &mut Reader,
) -> Option<i64> {
    node.map_or(Some(default), |node| reader.integer(node, what, range))
}

/// Tokens are sent there, and whoever answers decides who callers are.
fn url(node: &Node, allow_insecure: bool, reader: &mut Reader) -> Option<Url> {
    let text = reader.string(node, "`url`")?;
    let fault = match checked_url(text, allow_insecure) {
        Ok(url) => return Some(url),
        Err(fault) => fault,
    };
    match fault {
        UrlFault::NotHttp => {
            reader.error(node.span, fault.code(), format!("`{text}` is not an `https://` URL"));
        }
        // Not repeated: it would be a password in a log.
        UrlFault::Credentials => {
            reader.error(node.span, fault.code(), "`url` must not hold a user name or password");
        }
        UrlFault::Metadata => {
            let message = "nothing is fetched from link-local addresses: clouds hand out credentials there";
            reader.error(node.span, fault.code(), message);
        }
        UrlFault::Insecure => {
            let message =
                "over `http://`, tokens can be read on the way, and whoever answers decides who callers are";
            let help = "use `https://`, or set `allow_insecure: true` beside the URL";
            reader.error_with_help(node.span, fault.code(), message, help);
        }
    }
    None
}

#[cfg(test)]
mod tests;
