//! What an approval covers, as one SHA-256: change any byte of it and the approval is for another call.

use std::borrow::Cow;
use std::sync::Arc;

use crate::approval::{CallSummary, Shown};
use crate::authn::{Redaction, SHOWN_FOR_TOKENS};
use crate::effect::{Class, HeaderChange};
use crate::identity::{Identity, Method};
use crate::policy::HoldRule;
use crate::request::{Peer, Request};

mod fields;
mod headers;
#[cfg(test)]
mod tests;

pub use headers::DEFAULT_HEADERS;

use fields::Fields;
use headers::Value;

/// What an approval of a held call covers: identity, target, covered headers, those that the policies set, raw body, and the
/// rules that held it; of a class of calls the parts that make it one, with identity, destination and rules. The token that proved the caller is not
/// covered; what merely stands where a token could is an input like any other.
pub(super) struct Covered<'c> {
    request: &'c Request,
    identity: &'c Identity,
    asked: Asked<'c>,
    scope: Scope<'c>,
    /// The names of the headers.
    names: Vec<String>,
    target: Target<'c>,
}

/// Stands in the digest for the token that proved the caller. No header or path can hold it.
const COVERED_FOR_TOKENS: &str = "\0";

/// What an approval covers and shows beside the target and the body.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    /// Headers that are always covered.
    pub headers: &'s [String],
    /// Headers that hold a credential: never covered or shown, being nobody else's business, and new with each login.
    pub credentials: &'s [String],
    /// Whether the credential that proved the caller stands in `authorization`. Else that header is for the upstream, and
    /// covered.
    pub by_authorization: bool,
    /// What the policies change of the request's headers, but for what differs when the same call is sent again.
    pub sets: &'s [&'s HeaderChange],
    /// Hides the tokens in query and cookies likewise.
    pub redaction: &'s Redaction,
}

impl Scope<'_> {
    /// Whether the header proves who calls, or would.
    fn proves(&self, name: &str) -> bool {
        match name {
            "authorization" => self.by_authorization,
            _ => self.credentials.iter().any(|credential| credential == name),
        }
    }
}

/// What is asked for: by which rules, of which of them no person, and for which calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// In the order of their names.
    pub rules: &'a [Arc<HoldRule>],
    /// The rules that approve by themselves: such an approval is for one call, and stands for no other answer of theirs.
    pub auto_approved: &'a [(Arc<str>, Arc<str>)],
    /// `None`: the same call, byte by byte.
    pub same: Option<&'a Class>,
}

impl<'c> Covered<'c> {
    pub fn of(request: &'c Request, identity: &'c Identity, asked: Asked<'c>, scope: Scope<'c>) -> Self {
        let names = headers::covered(request, &asked, scope);
        let target = Target::of(request, identity, scope.redaction);
        Self { request, identity, asked, scope, names, target }
    }

    fn values(&self) -> Vec<Value<'_>> {
        self.names.iter().flat_map(|name| Value::all(self.request, name)).collect()
    }

    /// The digest, in hex: of the class of calls, where approvals are for one.
    pub fn digest(&self) -> String {
        match self.asked.same {
            None => self.of_the_call(),
            Some(class) => self.of_the_class(class),
        }
    }

    /// The digest of this very call, where approvals are for a class of calls.
    pub fn exact(&self) -> Option<String> {
        self.asked.same.map(|_| self.of_the_call())
    }

    fn of_the_call(&self) -> String {
        let Self { request, target, .. } = self;
        let mut hash = Fields::of("portcullis approval 2");
        hash.identity(self.identity);
        hash.add_texts([&*request.method, &*request.host, &*target.path, &*target.destination]);
        hash.values(&self.values(), target);
        hash.sets(self.scope.sets);
        hash.add(target.body);
        hash.rules(&self.asked);
        hash.finish()
    }

    fn of_the_class(&self, class: &Class) -> String {
        let Self { request, target, .. } = self;
        let mut hash = Fields::of("portcullis approval of a class 2");
        hash.identity(self.identity);
        hash.add(target.destination.as_bytes());
        hash.count(class.parts().count());
        for part in class.parts() {
            hash.add(part.to_string().as_bytes());
            hash.part(part, request, target);
        }
        hash.rules(&self.asked);
        hash.finish()
    }

    /// The call as approvers see it. No token is shown.
    pub fn summary(&self) -> CallSummary {
        let Self { request, scope, target, .. } = self;
        let tokens = scope.redaction.tokens(request);
        let shown = |value: &Value<'_>| {
            let text = scope.redaction.header(value.name, &value.text(), &tokens, SHOWN_FOR_TOKENS);
            (value.name.to_owned(), text)
        };
        // What the upstream gets in place of what the caller sent, or beside it.
        let set = |name: &str| scope.sets.iter().any(|change| change.name() == name && !change.appends());
        let sent = self.values().into_iter().filter(|value| !set(value.name));
        let sets = scope
            .sets
            .iter()
            .filter_map(|change| Some((change.name().to_owned(), change.value()?.to_owned())));
        CallSummary {
            method: request.method.clone(),
            host: request.host.clone(),
            path: scope.redaction.path(request, SHOWN_FOR_TOKENS).into_owned(),
            headers: sent.map(|value| shown(&value)).chain(sets).collect(),
            body: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, target.body),
            destination: target.destination.clone(),
            shown: Shown::Whole,
        }
    }
}

/// The call as digests cover it: without the token that proved the caller.
struct Target<'r> {
    path: Cow<'r, str>,
    destination: String,
    body: &'r [u8],
    /// Hides the token in headers too; `None` where no token proved the caller. Of tokens a call has one, if one proves it:
    /// `Issuers::presented`.
    redacted: Option<&'r Redaction>,
    request: &'r Request,
}

impl<'r> Target<'r> {
    fn of(request: &'r Request, identity: &Identity, redaction: &'r Redaction) -> Self {
        let redacted = (identity.method == Method::Jwt).then_some(redaction);
        let path = match redacted {
            Some(redaction) => redaction.path(request, COVERED_FOR_TOKENS),
            None => request.path.raw().into(),
        };
        let body = request.body.complete().map(|bytes| &bytes[..]).unwrap_or_default();
        Self { path, destination: destination(request), body, redacted, request }
    }
}

/// Where the proxy takes the call: behind a sidecar the same host and path can be asked of another workload. Its
/// address is left out, because replicas differ by it.
fn destination(request: &Request) -> String {
    let Peer { principal, port, .. } = &request.destination;
    let principal = if principal.is_empty() { "-" } else { principal };
    let context = request.context.iter().map(|(key, value)| format!(" {key:?}={value:?}"));
    std::iter::once(format!("{principal} {port}")).chain(context).collect()
}
