//! What an approval covers, as one SHA-256: change any byte of it and the approval is for another call.

use aws_lc_rs::digest::{Context, SHA256};

use crate::approval::CallSummary;
use crate::identity::Identity;
use crate::policy::{HeadersRead, HoldRule};
use crate::request::{Peer, Request};

/// The digest of a call, in hex, and the part of the call that it covers, as approvers see it.
#[derive(Debug)]
pub(super) struct Covered {
    pub digest: String,
    pub call: CallSummary,
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

/// Headers that differ when the same call is sent again, or that carry the token: never covered.
fn is_fleeting(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "authorization",
        "date",
        "idempotency-key",
        "proxy-authorization",
        "traceparent",
        "tracestate",
        "x-request-id",
    ];
    NAMES.contains(&name) || name.starts_with("x-b3-")
}

/// Headers of the caller's program and of the way here: covered only where they are named, by a rule or by the
/// configuration.
fn is_circumstance(name: &str) -> bool {
    name == "user-agent" || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Digests a held call: identity, target, covered headers, raw body, and the rules that held it. Of the headers that are
/// `credentials` it covers none: they are nobody else's business, and new with each login.
pub(super) fn digest<'a>(
    request: &Request,
    identity: &Identity,
    rules: impl Iterator<Item = &'a HoldRule>,
    always: &[String],
    credentials: &[String],
) -> Covered {
    let mut rules: Vec<_> = rules.collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let names = covered_headers(request, &rules, always, credentials);
    let headers: Vec<(&str, &[u8])> = names
        .iter()
        .flat_map(|name| request.headers.all(name).map(move |value| (name.as_str(), value)))
        .collect();
    let body = request.body.complete().map(|bytes| &bytes[..]).unwrap_or_default();

    let mut hash = Fields(Context::new(&SHA256));
    hash.add(b"portcullis approval 1");
    for field in [&identity.issuer, &identity.subject, &identity.spiffe] {
        hash.add(field.as_bytes());
    }
    let destination = destination(request);
    for field in [request.method.as_str(), &request.host, request.path.raw(), &destination] {
        hash.add(field.as_bytes());
    }
    hash.count(headers.len());
    for (name, value) in &headers {
        hash.add(name.as_bytes());
        hash.add(value);
    }
    hash.add(body);
    hash.count(rules.len());
    for rule in &rules {
        hash.add(rule.name.as_bytes());
        hash.add(&rule.content);
    }

    let shown =
        |(name, value): &(&str, &[u8])| ((*name).to_owned(), String::from_utf8_lossy(value).into_owned());
    let call = CallSummary {
        method: request.method.clone(),
        host: request.host.clone(),
        path: request.path.raw().to_owned(),
        destination,
        headers: headers.iter().map(shown).collect(),
        body: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body),
    };
    Covered { digest: hex::encode(hash.0.finish()), call }
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
fn covered_headers(
    request: &Request,
    rules: &[&HoldRule],
    always: &[String],
    credentials: &[String],
) -> Vec<String> {
    let mut names: Vec<String> = always.to_vec();
    for rule in rules {
        match &rule.headers_read {
            HeadersRead::Named(read) => names.extend(read.iter().cloned()),
            HeadersRead::All => {
                let all = request.headers.iter().map(|header| &header.name);
                names.extend(all.filter(|name| !is_circumstance(name)).cloned());
            }
        }
    }
    names.retain(|name| !is_fleeting(name) && !credentials.contains(name));
    names.sort();
    names.dedup();
    names
}

/// Length-prefixed fields, so that no two lists of fields run together to the same bytes.
struct Fields(Context);

impl Fields {
    fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.update(field);
    }

    fn count(&mut self, count: usize) {
        self.0.update(&u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::effect::{Approvers, Grant, HoldTerms};
    use crate::request::{Body, Header, Headers, Limits, Parts};

    fn rule(content: u8) -> HoldRule {
        HoldRule {
            name: "p/r".into(),
            terms: HoldTerms {
                approvers: Approvers { groups: vec!["g".into()], people: vec![], count: 1 },
                wait: Duration::from_secs(1),
                expires: Duration::from_secs(1),
                grant: Grant::Once,
            },
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
        let (mut parts, mut identity, mut rule) = (parts(), (*Identity::anonymous()).clone(), rule(1));
        edit(&mut parts, &mut identity, &mut rule);
        let always: Vec<_> = DEFAULT_HEADERS.iter().map(|name| (*name).to_owned()).collect();
        let request = Request::assemble(parts, &Limits::default());
        digest(&request, &identity, std::iter::once(&rule), &always, &["x-token".to_owned()]).digest
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
}
