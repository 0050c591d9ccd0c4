//! What people are shown of a request that may carry a token inside something else: a parameter of the query, a cookie.

use std::borrow::Cow;

use super::place::{self, Place};
use crate::request::Request;

/// What approvers see in place of a token.
pub const SHOWN: &str = "REDACTED";

/// The shortest text that is looked for elsewhere: no token that was accepted is shorter.
const LEAST: usize = 16;

/// The parameters and cookies that tokens may stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    parameters: Vec<String>,
    cookies: Vec<String>,
}

impl Redaction {
    pub fn of<'p>(places: impl IntoIterator<Item = &'p Place>) -> Self {
        let mut names = Self::default();
        for place in places {
            match place {
                Place::Query(name) => names.parameters.push(name.clone()),
                Place::Cookie(name) => names.cookies.push(name.clone()),
                Place::Authorization | Place::Header(_) => {}
            }
        }
        names
    }

    /// Path and query as sent, with `instead` for each token in it.
    pub fn path<'r>(&self, request: &'r Request, instead: &str) -> Cow<'r, str> {
        let raw = request.path.raw();
        let Some((path, query)) = raw.split_once('?').filter(|_| !self.parameters.is_empty()) else {
            return raw.into();
        };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if place::is_parameter(pair, &self.parameters) => {
                format!("{name}={instead}").into()
            }
            _ => Cow::Borrowed(pair),
        });
        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&")).into()
    }

    /// A header's value with `instead` for each token in its cookies, and for `tokens` wherever they stand: proxies put the
    /// whole URL of a call into headers.
    pub fn header(&self, name: &str, value: &str, tokens: &[&str], instead: &str) -> String {
        let mut shown = match name {
            "cookie" if !self.cookies.is_empty() => {
                let pairs = value.split(';').map(|pair| match pair.split_once('=') {
                    Some((cookie, _)) if self.cookies.iter().any(|name| name == place::trimmed(cookie)) => {
                        format!("{cookie}={instead}").into()
                    }
                    _ => Cow::Borrowed(pair),
                });
                pairs.collect::<Vec<_>>().join(";")
            }
            _ => value.to_owned(),
        };
        for token in tokens {
            if shown.contains(token) {
                shown = shown.replace(token, instead);
            }
        }
        shown
    }

    /// The tokens in query and cookies, as they are written there.
    pub fn tokens<'r>(&self, request: &'r Request) -> Vec<&'r str> {
        let parameters = request.path.query().split('&').filter_map(|pair| {
            let (_, value) = pair.split_once('=')?;
            place::is_parameter(pair, &self.parameters).then_some(value)
        });
        let cookies = place::cookies(request)
            .filter(|(cookie, _)| self.cookies.iter().any(|name| name == cookie))
            .map(|(_, value)| value);
        parameters.chain(cookies).filter(|token| token.len() >= LEAST).collect()
    }

    /// Path and query as sent, without the parameters that tokens stand in.
    pub fn path_without_tokens(&self, request: &Request) -> String {
        place::without_parameters(request, &self.parameters)
    }
}
