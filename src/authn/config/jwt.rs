//! `identity.jwt`: the issuers of tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::authn::algorithm::Algorithm;
use crate::authn::place::Place;
use crate::document::{Fields, Node, Reader, Span, Value};
use crate::outbound::{UrlFault, checked_url};

use super::{MAX_LEEWAY, names, non_empty};

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
    /// Where tokens may stand in a request; at least one place.
    pub places: Vec<Place>,
    /// Whether the upstream is to see the token too.
    pub forward_token: bool,
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
    Remote(Remote),
}

/// Keys behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub url: String,
    /// Set when `url` is the issuer's configuration (OpenID Connect Discovery 1.0), which names the keys' URL: the issuer that
    /// it must be of.
    pub discovery_of: Option<String>,
    /// Whether `http://` is accepted beyond this host.
    pub allow_insecure: bool,
    /// The certificates to trust in place of the system's (PEM).
    pub ca_file: Option<PathBuf>,
}

/// The claims that become fields of the identity: names, or dotted paths such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    pub subject: String,
    pub groups: String,
    /// Words in one string, or a list.
    pub scopes: String,
    /// Without a name, tokens name no tenant.
    pub tenant: Option<String>,
    /// The human being behind the login; without a name, tokens name nobody.
    pub person: Option<String>,
    pub email: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".into(),
            groups: "groups".into(),
            scopes: "scope".into(),
            tenant: None,
            person: None,
            email: "email".into(),
        }
    }
}

/// Reads `jwt`, a list of issuers; relative paths start from `folder`.
pub fn issuers(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Vec<IssuerConfig>> {
    let items = reader.list(node, "`jwt`")?;
    let read: Vec<_> = items.iter().map(|item| IssuerConfig::read(item, folder, reader)).collect();
    let unique = refuse_duplicates(items, reader);
    read.into_iter().collect::<Option<Vec<_>>>().filter(|_| unique)
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
    fn read(node: &Node, folder: &Path, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "the issuer")?;
        let issuer = fields.required("issuer", reader).and_then(|node| non_empty(node, "`issuer`", reader));
        let audiences =
            fields.required("audiences", reader).and_then(|node| names(node, "`audiences`", reader));
        let algorithms = fields.required("algorithms", reader).and_then(|node| algorithms(node, reader));
        let name = issuer.unwrap_or_default();
        let jwks = fields.required("jwks", reader).and_then(|node| read_jwks(node, name, folder, reader));
        let from = fields.optional("from");
        let places = from.map_or(Some(vec![Place::Authorization]), |node| read_places(node, reader));
        let forward = fields.optional("forward_token");
        let forward_token = forward.map_or(Some(true), |node| reader.boolean(node, "`forward_token`"));
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
            places: places?,
            forward_token: forward_token?,
            leeway: leeway?,
            max_stale,
            refresh,
        })
    }
}

impl ClaimNames {
    pub(super) fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`claims`")?;
        let mut name = |field: &'static str, reader: &mut Reader| match fields.optional(field) {
            Some(node) => non_empty(node, "the claim", reader).map(|name| Some(name.to_owned())),
            None => Some(None),
        };
        let (subject, groups, scopes) =
            (name("subject", reader), name("groups", reader), name("scopes", reader));
        let (tenant, person, email) = (name("tenant", reader), name("person", reader), name("email", reader));
        fields.close(reader);
        let default = Self::default();
        Some(Self {
            subject: subject?.unwrap_or(default.subject),
            groups: groups?.unwrap_or(default.groups),
            scopes: scopes?.unwrap_or(default.scopes),
            tenant: tenant?,
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

fn read_jwks(node: &Node, issuer: &str, folder: &Path, reader: &mut Reader) -> Option<Jwks> {
    let mut fields = reader.fields(node, "`jwks`")?;
    let (file, url) = (fields.optional("file"), fields.optional("url"));
    let discovery = fields.optional("discovery");
    let discover = discovery.map_or(Some(false), |node| reader.boolean(node, "`discovery`"));
    let ca = fields.optional("ca_file");
    let ca_file = ca
        .map_or(Some(None), |node| non_empty(node, "`ca_file`", reader).map(|path| Some(folder.join(path))));
    let insecure = match fields.optional("allow_insecure") {
        Some(node) => reader.boolean(node, "`allow_insecure`"),
        None => Some(false),
    };
    let (refresh_node, stale_node) = (fields.optional("refresh"), fields.optional("max_stale"));
    let refresh = read_duration(refresh_node, "`refresh`", Duration::from_secs(300), reader);
    let max_stale = read_duration(stale_node, "`max_stale`", Duration::from_secs(3_600), reader);
    let span = fields.span;
    fields.close(reader);
    let (discover, ca_file, insecure) = (discover?, ca_file?, insecure?);
    let remote = |url: String, discovery_of| {
        JwksSource::Remote(Remote { url, discovery_of, allow_insecure: insecure, ca_file: ca_file.clone() })
    };
    let source = match (file, url, discover) {
        (Some(file), None, false) if ca.is_none() => {
            non_empty(file, "`file`", reader).map(|path| JwksSource::File(folder.join(path)))
        }
        (None, Some(url), false) => {
            let text = reader.string(url, "`url`")?;
            check_url(url.span, text, insecure, reader).then(|| remote(text.to_owned(), None))
        }
        (None, None, true) => {
            // Section 4.1: any slash at the end of the issuer is left out.
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            let place = discovery.unwrap_or(node).span;
            check_url(place, &url, insecure, reader).then(|| remote(url, Some(issuer.to_owned())))
        }
        _ => {
            let message = "`jwks` needs either a `file`, a `url` or `discovery: true`; `ca_file` goes with the last two";
            reader.error(span, "jwks-source", message);
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

/// Whether `url` is one whose answers can be believed: who can answer a plain HTTP request in the issuer's place can
/// sign any token.
fn check_url(place: Span, url: &str, allow_insecure: bool, reader: &mut Reader) -> bool {
    let Err(fault) = checked_url(url, allow_insecure) else { return true };
    let message = key_set_url(url, fault);
    match fault {
        UrlFault::Insecure => {
            let help = "use `https://`, or set `allow_insecure: true` beside the URL";
            reader.error_with_help(place, fault.code(), message, help);
        }
        UrlFault::NotHttp | UrlFault::Credentials | UrlFault::Metadata => {
            reader.error(place, fault.code(), message);
        }
    }
    false
}

/// Why no key set is fetched from `url`.
pub fn key_set_url(url: &str, fault: UrlFault) -> String {
    match fault {
        UrlFault::NotHttp => format!("`{url}` is not an `https://` URL"),
        UrlFault::Credentials => "the URL of a key set must not hold a user name or password".to_owned(),
        UrlFault::Insecure => "keys fetched over `http://` can be replaced on the way".to_owned(),
        UrlFault::Metadata => {
            "nothing is fetched from link-local addresses: clouds hand out credentials there".to_owned()
        }
    }
}

fn read_places(node: &Node, reader: &mut Reader) -> Option<Vec<Place>> {
    let items = reader.list(node, "`from`")?;
    if items.is_empty() {
        reader.error(node.span, "empty-list", "`from` must name at least one place");
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| read_place(item, reader)).collect();
    read.into_iter().collect()
}

/// `authorization`, or a map that names a header, a cookie or a parameter.
fn read_place(node: &Node, reader: &mut Reader) -> Option<Place> {
    if let Value::Str(_) = node.value {
        return reader.word(node, "place of tokens", &[("authorization", ())]).map(|()| Place::Authorization);
    }
    let mut fields = reader.fields(node, "the place of tokens")?;
    let named = [fields.optional("header"), fields.optional("cookie"), fields.optional("query")];
    let span = fields.span;
    fields.close(reader);
    match named {
        [Some(node), None, None] => {
            let name = non_empty(node, "`header`", reader)?.to_ascii_lowercase();
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() || matches!(&*name, "cookie" | "host") {
                reader.error(node.span, "invalid-header", format!("`{name}` can't be the header of a token"));
                return None;
            }
            // The header as a whole would be the token, and never one.
            Some(if name == "authorization" { Place::Authorization } else { Place::Header(name) })
        }
        [None, Some(node), None] => {
            let name = non_empty(node, "`cookie`", reader)?;
            let token = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
            if !token {
                reader.error(node.span, "invalid-cookie", format!("`{name}` is not the name of a cookie"));
            }
            token.then(|| Place::Cookie(name.to_owned()))
        }
        [None, None, Some(node)] => {
            non_empty(node, "`query`", reader).map(|name| Place::Query(name.to_owned()))
        }
        _ => {
            let message = "a place of tokens is `authorization`, or one of `header`, `cookie` and `query`";
            reader.error(span, "token-place", message);
            None
        }
    }
}

pub(super) fn read_leeway(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<Duration> {
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
