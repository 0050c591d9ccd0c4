//! Which headers of a call an approval covers, and what of them.

use std::borrow::Cow;

use super::{Asked, Scope};
use crate::effect::{Class, Part, is_fleeting_header};
use crate::engine::prefer;
use crate::policy::HeadersRead;
use crate::request::Request;

/// Headers that change what a call does, whether or not a rule reads them: what its body means, which method, action,
/// target or state an upstream takes it for, for whom it is done, and what it copies or overwrites there. `*` at the end
/// stands for any rest.
pub const DEFAULT_HEADERS: [&str; 38] = [
    "accept-profile",
    "authorization",
    "content-encoding",
    "content-profile",
    "content-range",
    "content-type",
    "depth",
    "destination",
    "forwarded",
    "grpc-encoding",
    "if",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "impersonate-*",
    "lock-token",
    "overwrite",
    "prefer",
    "range",
    "soapaction",
    "x-amz-*",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-goog-*",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-ms-*",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-replaced-path",
    "x-rewrite-uri",
    "x-rewrite-url",
];

/// Headers of the caller's program and of the way here: covered only where they are named, by a rule or by the
/// configuration.
fn is_circumstance(name: &str) -> bool {
    name == "user-agent" || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
}

/// The names of the headers that the digest covers, sorted.
pub(super) fn covered(request: &Request, asked: &Asked<'_>, scope: Scope<'_>) -> Vec<String> {
    let sent = || request.headers.iter().map(|header| &header.name);
    let mut names = Vec::new();
    for listed in scope.headers {
        match listed.strip_suffix('*') {
            None => names.push(listed.clone()),
            Some("") => names.extend(sent().filter(|name| !is_circumstance(name)).cloned()),
            Some(prefix) => names.extend(sent().filter(|name| name.starts_with(prefix)).cloned()),
        }
    }
    names.extend(asked.same.into_iter().flat_map(Class::parts).filter_map(|part| match part {
        Part::Header(name) => Some(name.clone()),
        _ => None,
    }));
    for rule in asked.rules {
        match &rule.headers_read {
            HeadersRead::Named(read) => names.extend(read.iter().cloned()),
            HeadersRead::All => names.extend(sent().filter(|name| !is_circumstance(name)).cloned()),
        }
    }
    names.retain(|name| !is_fleeting_header(name) && !scope.proves(name));
    names.sort();
    names.dedup();
    names
}

/// One value of a covered header.
pub(super) struct Value<'v> {
    pub name: &'v str,
    pub raw: Cow<'v, [u8]>,
}

impl<'v> Value<'v> {
    pub fn all(request: &'v Request, name: &'v str) -> impl Iterator<Item = Self> {
        request.headers.all(name).filter_map(move |raw| {
            let value = |raw| Self { name, raw };
            match name {
                // How long the caller likes to wait changes nothing of the call.
                "prefer" => prefer::besides_waiting(raw).map(Cow::Owned).map(value),
                _ => Some(value(Cow::Borrowed(raw))),
            }
        })
    }

    /// What is no text is shown in escapes, so that no byte of it is lost.
    pub fn text(&self) -> Cow<'_, str> {
        std::str::from_utf8(&self.raw)
            .map_or_else(|_| Cow::Owned(self.raw.escape_ascii().to_string()), Cow::Borrowed)
    }
}
