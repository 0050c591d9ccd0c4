//! What the `identity:` section of the configuration says: whose tokens are accepted, and how they are read.
//!
//! Knows the shape of the section and what is never acceptable in it; opens no file and no connection.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use crate::document::{Fields, Node, Reader};

use super::algorithm::Algorithm;

/// A clock of ours and one of an issuer may differ by this much at most, whatever is configured.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// Who may prove an identity, and how.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub issuers: Vec<IssuerConfig>,
    /// Whether the peer certificate that the proxy verified is an identity.
    pub mtls: bool,
}

/// One issuer of tokens.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What `iss` must say, byte for byte.
    pub issuer: String,
    /// `aud` must name one of these; without any, every token is refused.
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub jwks: JwksSource,
    pub claims: ClaimNames,
    pub leeway: Duration,
    /// For how long the last keys are used while the issuer can't be reached.
    pub max_stale: Duration,
    /// How often the keys are fetched.
    pub refresh: Duration,
}

/// Where an issuer publishes its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    File(PathBuf),
    Url(String),
}

/// The claims that become fields of the identity: names, or dotted paths such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    pub groups: String,
    /// The human being behind the login; without a name, tokens name nobody.
    pub person: Option<String>,
    pub email: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { groups: "groups".into(), person: None, email: "email".into() }
    }
}

impl Config {
    /// Reads the `identity:` section; every mistake is left with `reader`.
    pub fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`identity`")?;
        let jwt = fields.optional("jwt");
        let mtls = fields.optional("mtls").map(|node| reader.boolean(node, "`mtls`"));
        fields.close(reader);
        let items = match jwt {
            Some(list) => reader.list(list, "`jwt`")?,
            None => &[],
        };
        let read: Vec<_> = items.iter().map(|item| IssuerConfig::read(item, reader)).collect();
        let unique = refuse_duplicates(items, reader);
        let issuers = read.into_iter().collect::<Option<Vec<_>>>()?;
        unique.then_some(Self { issuers, mtls: mtls.unwrap_or(Some(false))? })
    }
}

/// Two sections for one issuer would leave open which of them judges its tokens.
fn refuse_duplicates(items: &[Node], reader: &mut Reader) -> bool {
    let mut seen = Vec::new();
    let mut unique = true;
    for node in items.iter().filter_map(|item| item.get("issuer")) {
        if seen.contains(&&node.value) {
            reader.error(node.span, "duplicate-issuer", "this issuer is already configured above");
            unique = false;
        }
        seen.push(&node.value);
    }
    unique
}

impl IssuerConfig {
    /// Reads one item of `identity.jwt`.
    pub fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "the issuer")?;
        let issuer = fields.required("issuer", reader).and_then(|node| non_empty(node, "`issuer`", reader));
        let audiences =
            fields.required("audiences", reader).and_then(|node| names(node, "`audiences`", reader));
        let algorithms = fields.required("algorithms", reader).and_then(|node| algorithms(node, reader));
        let jwks = fields.required("jwks", reader).and_then(|node| read_jwks(node, reader));
        let claims = match fields.optional("claims") {
            Some(node) => ClaimNames::read(node, reader),
            None => Some(ClaimNames::default()),
        };
        let leeway = read_leeway(&mut fields, reader);
        fields.close(reader);
        let Jwks { source, max_stale, refresh } = jwks?;
        Some(Self {
            issuer: issuer?.to_owned(),
            audiences: audiences?,
            algorithms: algorithms?,
            jwks: source,
            claims: claims?,
            leeway: leeway?,
            max_stale,
            refresh,
        })
    }
}

impl ClaimNames {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`claims`")?;
        let mut name = |field: &'static str, reader: &mut Reader| match fields.optional(field) {
            Some(node) => non_empty(node, "the claim", reader).map(|name| Some(name.to_owned())),
            None => Some(None),
        };
        let (groups, person, email) = (name("groups", reader), name("person", reader), name("email", reader));
        fields.close(reader);
        let default = Self::default();
        Some(Self {
            groups: groups?.unwrap_or(default.groups),
            person: person?,
            email: email?.unwrap_or(default.email),
        })
    }
}

struct Jwks {
    source: JwksSource,
    max_stale: Duration,
    refresh: Duration,
}

fn read_jwks(node: &Node, reader: &mut Reader) -> Option<Jwks> {
    let mut fields = reader.fields(node, "`jwks`")?;
    let (file, url) = (fields.optional("file"), fields.optional("url"));
    let insecure = match fields.optional("allow_insecure") {
        Some(node) => reader.boolean(node, "`allow_insecure`"),
        None => Some(false),
    };
    let (refresh_node, stale_node) = (fields.optional("refresh"), fields.optional("max_stale"));
    let refresh = read_duration(refresh_node, "`refresh`", Duration::from_secs(300), reader);
    let max_stale = read_duration(stale_node, "`max_stale`", Duration::from_secs(3_600), reader);
    let span = fields.span;
    fields.close(reader);
    let source = match (file, url) {
        (Some(file), None) => non_empty(file, "`file`", reader).map(|path| beside(reader, path)),
        (None, Some(url)) => read_url(url, insecure?, reader),
        _ => {
            reader.error(span, "jwks-source", "`jwks` needs either a `file` or a `url`");
            None
        }
    };
    let (refresh, max_stale) = (refresh?, max_stale?);
    if refresh < Duration::from_secs(1) {
        let node = refresh_node.unwrap_or(node);
        reader.error(node.span, "out-of-range", "`refresh` must be at least `1s`");
        return None;
    }
    if max_stale < refresh {
        let node = stale_node.unwrap_or(node);
        reader.error(node.span, "out-of-range", "`max_stale` must not be shorter than `refresh`");
        return None;
    }
    Some(Jwks { source: source?, max_stale, refresh })
}

/// Relative paths start where the configuration file lies.
fn beside(reader: &Reader, path: &str) -> JwksSource {
    let folder = Path::new(&*reader.file).parent().unwrap_or(Path::new(""));
    JwksSource::File(folder.join(path))
}

/// Whoever can answer a plain HTTP request in the issuer's place can sign any token.
fn read_url(node: &Node, allow_insecure: bool, reader: &mut Reader) -> Option<JwksSource> {
    let text = reader.string(node, "`url`")?;
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        reader.error(node.span, "invalid-url", format!("`{text}` is not an `https://` URL"));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        reader.error(node.span, "invalid-url", "the URL of a key set must not hold a user name or password");
        return None;
    }
    if url.scheme() == "http" && !allow_insecure && !is_loopback(&url) {
        let message = "keys fetched over `http://` can be replaced on the way";
        let help = "use `https://`, or set `allow_insecure: true` beside the URL";
        reader.error_with_help(node.span, "insecure-url", message, help);
        return None;
    }
    Some(JwksSource::Url(text.to_owned()))
}

/// Whether nobody between here and there could read or change what is fetched.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_leeway(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Duration> {
    let Some(node) = fields.optional("leeway") else { return Some(Duration::from_secs(30)) };
    let leeway = reader.duration(node, "`leeway`")?;
    if leeway > MAX_LEEWAY {
        reader.error(node.span, "out-of-range", "`leeway` must be at most `60s`");
        return None;
    }
    Some(leeway)
}

fn read_duration(
    node: Option<&Node>,
    what: &str,
    default: Duration,
    reader: &mut Reader,
) -> Option<Duration> {
    node.map_or(Some(default), |node| reader.duration(node, what))
}

fn algorithms(node: &Node, reader: &mut Reader) -> Option<Vec<Algorithm>> {
    let items = reader.list(node, "`algorithms`")?;
    let words = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
    let read: Vec<_> = items.iter().map(|item| reader.word(item, "signature algorithm", &words)).collect();
    if items.is_empty() {
        reader.error(node.span, "empty-list", "`algorithms` must name at least one signature algorithm");
        return None;
    }
    read.into_iter().collect()
}

fn names(node: &Node, what: &str, reader: &mut Reader) -> Option<Vec<String>> {
    let items = reader.list(node, what)?;
    if items.is_empty() {
        reader.error(node.span, "empty-list", format!("{what} must not be empty"));
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| non_empty(item, what, reader).map(str::to_owned)).collect();
    read.into_iter().collect()
}

fn non_empty<'n>(node: &'n Node, what: &str, reader: &mut Reader) -> Option<&'n str> {
    let text = reader.string(node, what)?;
    if text.is_empty() {
        reader.error(node.span, "empty-string", format!("{what} must not be empty"));
        return None;
    }
    Some(text)
}
