//! What an approval covers, as one SHA-256: change any byte of it and the approval is for another call.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::approval::{CallSummary, Shown};
use crate::authn::{Redaction, SHOWN_FOR_TOKENS};
use crate::effect::{Class, Part, is_fleeting_header};
use crate::identity::{Identity, Method};
use crate::policy::{HeadersRead, HoldRule};
use crate::request::{Peer, Request};

/// What an approval of a held call covers: identity, target, covered headers, raw body, and the rules that held it; of a
/// class of calls the parts that make it one, with identity, destination and rules. The token that proved the caller is not
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

/// Headers that change what a call does, whether or not a rule reads them: what its body means, which method,
/// action or target an upstream takes it for, and what it copies or overwrites there.
pub const DEFAULT_HEADERS: [&str; 19] = [
    "content-encoding",
    "content-range",
    "content-type",
    "depth",
    "destination",
    "overwrite",
    "soapaction",
    "x-amz-copy-source",
    "x-amz-target",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-goog-copy-source",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-ms-copy-source",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

/// Headers of the caller's program and of the way here: covered only where they are named, by a rule or by the
/// configuration.
fn is_circumstance(name: &str) -> bool {
    name == "user-agent" || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
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
    /// Hides the tokens in query and cookies likewise.
    pub redaction: &'s Redaction,
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
        let names = covered_headers(request, &asked, scope);
        let target = Target::of(request, identity, scope.redaction);
        Self { request, identity, asked, scope, names, target }
    }

    fn values(&self) -> Vec<Value<'_>> {
        self.names.iter().flat_map(|name| Value::all(self.request, name)).collect()
    }

    /// The digest, in hex.
    pub fn digest(&self) -> String {
        let Self { request, identity, target, .. } = self;
        let mut hash = Fields(Context::new(&SHA256));
        match self.asked.same {
            None => {
                hash.add(b"portcullis approval 1");
                hash.add_texts([&*identity.issuer, &*identity.subject, &*identity.spiffe]);
                hash.add_texts([&*request.method, &*request.host, &*target.path, &*target.destination]);
                hash.values(&self.values(), target);
                hash.add(target.body);
            }
            Some(class) => {
                hash.add(b"portcullis approval of a class 1");
                hash.add_texts([
                    &*identity.issuer,
                    &*identity.subject,
                    &*identity.spiffe,
                    &*target.destination,
                ]);
                hash.count(class.parts().count());
                for part in class.parts() {
                    hash.add(part.to_string().as_bytes());
                    hash.part(part, request, target);
                }
            }
        }
        hash.rules(&self.asked);
        hex::encode(hash.0.finish())
    }

    /// The call as approvers see it. No token is shown.
    pub fn summary(&self) -> CallSummary {
        let Self { request, scope, target, .. } = self;
        let tokens = scope.redaction.tokens(request);
        let shown = |Value { name, text, .. }: &Value<'_>| {
            ((*name).to_owned(), scope.redaction.header(name, text, &tokens, SHOWN_FOR_TOKENS))
        };
        CallSummary {
            method: request.method.clone(),
            host: request.host.clone(),
            path: scope.redaction.path(request, SHOWN_FOR_TOKENS).into_owned(),
            headers: self.values().iter().map(shown).collect(),
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

/// One value of a covered header.
struct Value<'v> {
    name: &'v str,
    raw: &'v [u8],
    /// Borrowed when it is text.
    text: Cow<'v, str>,
}

impl<'v> Value<'v> {
    fn all(request: &'v Request, name: &'v str) -> impl Iterator<Item = Self> {
        request.headers.all(name).map(move |raw| {
            // What is no text is shown in escapes, so that no byte of it is lost.
            let text = std::str::from_utf8(raw)
                .map_or_else(|_| Cow::Owned(raw.escape_ascii().to_string()), Cow::Borrowed);
            Self { name, raw, text }
        })
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

/// The names of the headers that the digest covers, sorted.
fn covered_headers(request: &Request, asked: &Asked<'_>, scope: Scope<'_>) -> Vec<String> {
    let mut names: Vec<String> = scope.headers.to_vec();
    names.extend(asked.same.into_iter().flat_map(Class::parts).filter_map(|part| match part {
        Part::Header(name) => Some(name.clone()),
        _ => None,
    }));
    for rule in asked.rules {
        match &rule.headers_read {
            HeadersRead::Named(read) => names.extend(read.iter().cloned()),
            HeadersRead::All => {
                let all = request.headers.iter().map(|header| &header.name);
                names.extend(all.filter(|name| !is_circumstance(name)).cloned());
            }
        }
    }
    names.retain(|name| !is_fleeting_header(name) && !scope.credentials.contains(name));
    names.sort();
    names.dedup();
    names
}

/// Length-prefixed fields, so that no two lists of fields run together to the same bytes.
struct Fields(Context);

impl Fields {
    fn add_texts<'f>(&mut self, fields: impl IntoIterator<Item = &'f str>) {
        fields.into_iter().for_each(|field| self.add(field.as_bytes()));
    }

    fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.update(field);
    }

    fn values(&mut self, values: &[Value<'_>], target: &Target<'_>) {
        self.count(values.len());
        let tokens = target.redacted.map(|redaction| (redaction, redaction.tokens(target.request)));
        for Value { name, raw, text } in values {
            self.add(name.as_bytes());
            match (text, &tokens) {
                (Cow::Borrowed(text), Some((redaction, tokens))) => {
                    self.add(redaction.header(name, text, tokens, COVERED_FOR_TOKENS).as_bytes());
                }
                _ => self.add(raw),
            }
        }
    }

    /// One part of a call that makes it one of a class.
    fn part(&mut self, part: &Part, request: &Request, target: &Target<'_>) {
        let (path, query) = match target.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target.path, None),
        };
        match part {
            Part::Method => self.add(request.method.as_bytes()),
            Part::Host => self.add(request.host.as_bytes()),
            Part::Path => self.add(path.as_bytes()),
            Part::Query => {
                self.count(usize::from(query.is_some()));
                self.add(query.unwrap_or_default().as_bytes());
            }
            Part::Body => self.add(target.body),
            // A credential too: the class is then narrower than its author thought, and never wider.
            Part::Header(name) => {
                let values: Vec<_> = Value::all(request, name).collect();
                self.values(&values, target);
            }
        }
    }

    fn rules(&mut self, asked: &Asked<'_>) {
        self.count(asked.rules.len());
        for rule in asked.rules {
            self.add(rule.name.as_bytes());
            self.add(&rule.content);
        }
        // Nothing is added without any, so that approvals outlive the version that did not know them.
        if !asked.auto_approved.is_empty() {
            self.add(b"approved by");
            for (rule, _) in asked.auto_approved {
                self.add(rule.as_bytes());
            }
        }
    }

    fn count(&mut self, count: usize) {
        self.0.update(&u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::Place;
    use crate::effect::{Approvers, HoldTerms};
    use crate::request::{Body, Header, Headers, Limits, Parts};

    fn rule(content: u8) -> HoldRule {
        HoldRule {
            name: "p/r".into(),
            terms: HoldTerms::of(vec![Approvers { groups: vec!["g".into()], people: vec![], count: 1 }]),
            content: [content; 32],
            headers_read: HeadersRead::Named(vec!["x-read".into()]),
            because: String::new(),
        }
    }

    fn parts() -> Parts {
        let header = |name: &str, value: &str| Header::new(name, value);
        Parts {
            method: "POST".into(),
            host: "api".into(),
            path: "/a?b=1".into(),
            headers: Headers::from(vec![
                header("content-type", "application/json"),
                header("x-read", "1"),
                header("authorization", "Bearer one"),
                header("traceparent", "one"),
                header("x-other", "one"),
            ]),
            body: Body::Complete("{}".into()),
            ..Parts::default()
        }
    }

    fn digest_of(edit: impl FnOnce(&mut Parts, &mut Identity, &mut HoldRule)) -> String {
        covered_by(&Redaction::default(), edit).0
    }

    fn digest_in(
        same: Option<&Class>,
        edit: impl FnOnce(&mut Parts, &mut Identity, &mut HoldRule),
    ) -> String {
        covered_in(same, &Redaction::default(), edit).0
    }

    fn covered_by(
        redaction: &Redaction,
        edit: impl FnOnce(&mut Parts, &mut Identity, &mut HoldRule),
    ) -> (String, CallSummary) {
        covered_in(None, redaction, edit)
    }

    fn covered_in(
        same: Option<&Class>,
        redaction: &Redaction,
        edit: impl FnOnce(&mut Parts, &mut Identity, &mut HoldRule),
    ) -> (String, CallSummary) {
        let (mut parts, mut identity, mut rule) = (parts(), (*Identity::anonymous()).clone(), rule(1));
        edit(&mut parts, &mut identity, &mut rule);
        let always: Vec<_> = DEFAULT_HEADERS.iter().map(|name| (*name).to_owned()).collect();
        let request = Request::assemble(parts, &Limits::default());
        let scope = Scope { headers: &always, credentials: &["x-token".to_owned()], redaction };
        let rules = [Arc::new(rule)];
        let asked = Asked { rules: &rules, auto_approved: &[], same };
        let covered = Covered::of(&request, &identity, asked, scope);
        (covered.digest(), covered.summary())
    }

    fn set(parts: &mut Parts, name: &str, value: &str) {
        let mut headers: Vec<_> =
            parts.headers.iter().filter(|header| header.name != name).cloned().collect();
        headers.push(Header::new(name, value));
        parts.headers = headers.into();
    }

    #[test]
    fn any_change_of_what_is_covered_changes_it() {
        let same = digest_of(|_, _, _| ());
        let changed = [
            digest_of(|parts, _, _| parts.method = "PUT".into()),
            digest_of(|parts, _, _| parts.host = "api2".into()),
            digest_of(|parts, _, _| parts.path = "/a?b=2".into()),
            digest_of(|parts, _, _| parts.body = Body::Complete("{} ".into())),
            digest_of(|parts, _, _| set(parts, "content-type", "text/plain")),
            digest_of(|parts, _, _| set(parts, "x-read", "2")),
            digest_of(|parts, _, _| set(parts, "x-http-method-override", "DELETE")),
            digest_of(|parts, _, _| set(parts, "destination", "/b")),
            digest_of(|parts, _, _| parts.destination.principal = "spiffe://example.com/prod".into()),
            digest_of(|parts, _, _| parts.destination.port = 8443),
            digest_of(|parts, _, _| parts.context = [("env".into(), "prod".into())].into()),
            digest_of(|parts, _, _| set(parts, "x-original-url", "/b")),
            digest_of(|_, identity, _| identity.issuer = "i".into()),
            digest_of(|_, identity, _| identity.subject = "s".into()),
            digest_of(|_, identity, _| identity.spiffe = "spiffe://x".into()),
            digest_of(|_, _, rule| rule.content = [2; 32]),
            digest_of(|_, _, rule| rule.name = "p/q".into()),
        ];
        let distinct: std::collections::BTreeSet<_> = changed.iter().collect();
        assert_eq!(distinct.len(), changed.len());
        assert!(!distinct.contains(&same));
    }

    #[test]
    fn the_same_call_with_a_fresh_token_is_the_same_call() {
        let same = digest_of(|_, _, _| ());
        for (name, value) in
            [("authorization", "Bearer two"), ("traceparent", "two"), ("x-other", "two"), ("date", "x")]
        {
            assert_eq!(digest_of(|parts, _, _| set(parts, name, value)), same, "{name}");
        }
    }

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl";

    /// Tokens in the query and in a cookie, where a rule reads the cookies and a proxy copies the URL.
    fn with_token(token: &str, method: Method, edit: impl FnOnce(&mut Parts)) -> (String, CallSummary) {
        let redaction = Redaction::of(&[Place::Query("access_token".into()), Place::Cookie("id".into())]);
        covered_by(&redaction, |parts, identity, rule| {
            identity.method = method;
            rule.headers_read = HeadersRead::Named(vec!["cookie".into()]);
            parts.path = format!("/a?b=1&%61ccess_token={token}&c");
            set(parts, "cookie", &format!("a=1; id={token};z"));
            set(parts, "x-original-url", &format!("/b?access_token={token}"));
            edit(parts);
        })
    }

    #[test]
    fn a_token_in_the_query_or_a_cookie_is_neither_shown_nor_covered() {
        let other = TOKEN.replace("c2l", "d2l");
        let [one, two] = [TOKEN, &other].map(|token| with_token(token, Method::Jwt, |_| ()));
        assert_eq!(one.0, two.0, "the same call with a fresh token");
        for covered in [&one, &two, &with_token(TOKEN, Method::ApiKey, |_| ())] {
            let shown = format!("{:?}", covered.1);
            assert!(!shown.contains("c2lnb") && !shown.contains("d2lnb"), "{shown}");
            assert_eq!(covered.1.path, "/a?b=1&%61ccess_token=REDACTED&c");
            assert!(
                shown.contains("a=1; id=REDACTED;z") && shown.contains("/b?access_token=REDACTED"),
                "{shown}"
            );
        }
    }

    /// Whatever stands around the token counts, and so does what stands in its place and proves nobody.
    #[test]
    fn only_the_token_itself_is_left_out() {
        let of = |edit: fn(&mut Parts)| with_token(TOKEN, Method::Jwt, edit).0;
        let same = of(|_| ());
        for edit in [
            (|parts| parts.path = parts.path.replace("b=1", "b=2")) as fn(&mut Parts),
            |parts| parts.path = parts.path.replace("ccess", "xcess"),
            |parts| parts.path = parts.path.replace("&c", "&access_token"),
            |parts| set(parts, "cookie", &format!("a=2; id={TOKEN};z")),
            |parts| set(parts, "cookie", &format!("a=1; ie={TOKEN};z")),
            |parts| set(parts, "x-original-url", "/b?access_token=REDACTED"),
            |parts| set(parts, "x-original-url", &format!("/c?access_token={TOKEN}")),
        ] {
            assert_ne!(of(edit), same);
        }
        let of_key = |token: &str| with_token(token, Method::ApiKey, |_| ()).0;
        assert_ne!(of_key(TOKEN), of_key("delete"), "no token proved this caller");
        let shown = with_token("a", Method::ApiKey, |_| ()).1;
        assert_eq!(
            shown.path, "/a?b=1&%61ccess_token=REDACTED&c",
            "what is short is not looked for elsewhere"
        );
    }

    /// What a rule or the configuration names is covered, also where a rule that reads any header leaves it out.
    #[test]
    fn named_circumstances_are_covered() {
        let read = |headers: HeadersRead, name: &str, value: &str| {
            digest_of(|parts, _, rule| {
                rule.headers_read = headers;
                set(parts, name, value);
            })
        };
        for name in ["user-agent", "x-forwarded-for", "x-envoy-peer"] {
            let named = || HeadersRead::Named(vec![name.into()]);
            assert_ne!(read(named(), name, "one"), read(named(), name, "two"), "{name}");
            assert_eq!(read(HeadersRead::All, name, "one"), read(HeadersRead::All, name, "two"), "{name}");
        }
        let named = || HeadersRead::Named(vec!["authorization".into()]);
        assert_eq!(
            read(named(), "authorization", "Bearer one"),
            read(named(), "authorization", "Bearer two")
        );
        assert_ne!(read(HeadersRead::All, "x-other", "one"), read(HeadersRead::All, "x-other", "two"));
    }

    #[test]
    fn fields_do_not_run_together() {
        let a = digest_of(|_, identity, _| (identity.issuer, identity.subject) = ("ab".into(), "c".into()));
        let b = digest_of(|_, identity, _| (identity.issuer, identity.subject) = ("a".into(), "bc".into()));
        assert_ne!(a, b);
    }

    #[test]
    fn of_a_class_only_the_chosen_parts_count_with_caller_destination_and_rules() {
        type Edit = fn(&mut Parts, &mut Identity, &mut HoldRule);
        let parts: [(Part, Edit); 6] = [
            (Part::Method, |parts, _, _| parts.method = "PUT".into()),
            (Part::Host, |parts, _, _| parts.host = "api2".into()),
            (Part::Path, |parts, _, _| parts.path = "/c?b=1".into()),
            (Part::Query, |parts, _, _| parts.path = "/a?b=2".into()),
            (Part::Body, |parts, _, _| parts.body = Body::Complete("{} ".into())),
            (Part::Header("x-other".into()), |parts, _, _| set(parts, "x-other", "2")),
        ];
        for (chosen, _) in &parts {
            let class = Class::new([chosen.clone()]).unwrap();
            let same = digest_in(Some(&class), |_, _, _| ());
            assert_ne!(same, digest_of(|_, _, _| ()));
            for (part, edit) in &parts {
                assert_eq!(digest_in(Some(&class), edit) != same, part == chosen, "{chosen} {part}");
            }
            let always: [Edit; 6] = [
                |_, identity, _| identity.subject = "s".into(),
                |_, identity, _| identity.issuer = "i".into(),
                |_, identity, _| identity.spiffe = "spiffe://x".into(),
                |parts, _, _| parts.destination.port = 8443,
                |parts, _, _| parts.context = [("env".into(), "prod".into())].into(),
                |_, _, rule| rule.content = [2; 32],
            ];
            for edit in always {
                assert_ne!(digest_in(Some(&class), edit), same, "{chosen}");
            }
        }
        let no_query = digest_in(Class::new([Part::Query]).as_ref(), |parts, _, _| parts.path = "/a".into());
        let empty_query =
            digest_in(Class::new([Part::Query]).as_ref(), |parts, _, _| parts.path = "/a?".into());
        assert_ne!(no_query, empty_query);
    }

    #[test]
    fn an_approval_by_rules_is_for_no_call_that_they_do_not_approve() {
        let rules = [Arc::new(rule(1))];
        let request = Request::assemble(parts(), &Limits::default());
        let of = |auto_approved: &[(Arc<str>, Arc<str>)]| {
            let asked = Asked { rules: &rules, auto_approved, same: None };
            let redaction = Redaction::default();
            let scope = Scope { headers: &[], credentials: &[], redaction: &redaction };
            Covered::of(&request, &Identity::anonymous(), asked, scope).digest()
        };
        assert_ne!(of(&[]), of(&[("p/r".into(), "small".into())]));
        assert_eq!(
            of(&[("p/r".into(), "a".into())]),
            of(&[("p/r".into(), "b".into())]),
            "the rule's content is covered anyway"
        );
    }
}
