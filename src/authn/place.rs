//! Where in a request a token may stand, and how it is taken out of there.

use std::borrow::Cow;

use crate::reason::Reason;
use crate::request::{Request, percent_decode};

/// A part of a request that holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    Authorization,
    /// A header of this name, in lower case, that holds the token and nothing else.
    Header(String),
    /// A cookie of this name (RFC 6265).
    Cookie(String),
    /// A parameter of the query (RFC 6750 section 2.3): it ends up in logs, so it must be asked for.
    Query(String),
}

/// How the token is kept from the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The header goes.
    Header(String),
    /// The header `cookie` becomes this; it goes when nothing is left.
    Cookie(String),
    /// Path and query become this.
    Query(String),
}

impl Place {
    /// The token that stands here. Two of them, or one that is no text, are refused: they could be shown to two readers.
    pub fn token<'r>(&'r self, request: &'r Request) -> Result<Option<Cow<'r, str>>, Reason> {
        match self {
            Self::Authorization => {
                Ok(authorization(request, "bearer")?.map(|token| token.trim_matches(' ').into()))
            }
            Self::Header(name) => header(request, name).map(|value| value.map(Cow::Borrowed)),
            Self::Cookie(name) => {
                // What can't be read may hold the token that somebody else reads there.
                if request.headers.all("cookie").any(|value| std::str::from_utf8(value).is_err()) {
                    return Err(Reason::TokenMalformed);
                }
                one(cookies(request).filter(|(cookie, _)| cookie == name).map(|(_, value)| Ok(value.into())))
            }
            Self::Query(name) => one(parameters(request).filter_map(|(parameter, value)| {
                let decoded = percent_decode(parameter, true);
                match decoded {
                    Some(decoded) if decoded == *name => {
                        Some(percent_decode(value, true).map(Cow::Owned).ok_or(Reason::TokenMalformed))
                    }
                    _ => None,
                }
            })),
        }
    }

    /// The header that the token stands in, in lower case; `None` in the query.
    pub fn header_name(&self) -> Option<&str> {
        match self {
            Self::Authorization => Some("authorization"),
            Self::Header(name) => Some(name),
            Self::Cookie(_) => Some("cookie"),
            Self::Query(_) => None,
        }
    }

    /// What takes the token away that `token` found here.
    pub fn removal(&self, request: &Request) -> Removal {
        match self {
            Self::Authorization => Removal::Header("authorization".into()),
            Self::Header(name) => Removal::Header(name.clone()),
            Self::Cookie(name) => {
                let others = cookies(request).filter(|(cookie, _)| cookie != name);
                let others: Vec<_> = others.map(|(cookie, value)| format!("{cookie}={value}")).collect();
                Removal::Cookie(others.join("; "))
            }
            Self::Query(name) => Removal::Query(without_parameters(request, std::slice::from_ref(name))),
        }
    }
}

/// What follows the authentication scheme in the one `authorization` header, when it has this scheme (in lower case).
pub fn authorization<'r>(request: &'r Request, scheme: &str) -> Result<Option<&'r str>, Reason> {
    let Some(value) = header(request, "authorization")? else { return Ok(None) };
    match value.split_once(' ') {
        Some((word, rest)) if word.eq_ignore_ascii_case(scheme) => Ok(Some(rest)),
        _ => Ok(None),
    }
}

/// The value of a header that must not come twice.
pub fn header<'r>(request: &'r Request, name: &'r str) -> Result<Option<&'r str>, Reason> {
    let mut values = request.headers.all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Reason::HeaderDuplicate);
    }
    std::str::from_utf8(value).map(Some).map_err(|_| Reason::TokenMalformed)
}

fn one<'r>(
    mut found: impl Iterator<Item = Result<Cow<'r, str>, Reason>>,
) -> Result<Option<Cow<'r, str>>, Reason> {
    let first = found.next().transpose()?;
    if found.next().is_some() { Err(Reason::TokenRepeated) } else { Ok(first) }
}

/// The cookies of all `cookie` headers, of which HTTP/2 allows several.
pub fn cookies(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let texts = request.headers.all("cookie").filter_map(|value| std::str::from_utf8(value).ok());
    texts.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((trimmed(name), trimmed(value)))
    })
}

/// A cookie's name or value without the blanks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Path and query as sent, without the parameters of these names.
pub fn without_parameters(request: &Request, names: &[String]) -> String {
    let raw = request.path.raw();
    let Some((path, query)) = raw.split_once('?') else { return raw.to_owned() };
    let others: Vec<_> = query.split('&').filter(|pair| !is_parameter(pair, names)).collect();
    let question = if others.is_empty() { "" } else { "?" };
    format!("{path}{question}{}", others.join("&"))
}

/// Whether a pair such as `a=b`, as it is written in a query, is a parameter of one of these names.
pub fn is_parameter(pair: &str, names: &[String]) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    percent_decode(name, true).is_some_and(|name| names.contains(&name))
}

fn parameters(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let pairs = request.path.query().split('&');
    pairs.filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
