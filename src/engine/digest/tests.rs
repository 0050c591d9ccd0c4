use super::*;
use crate::authn::Place;
use crate::effect::{Approvers, HoldTerms, Part};
use crate::policy::HeadersRead;
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

fn digest_in(same: Option<&Class>, edit: impl FnOnce(&mut Parts, &mut Identity, &mut HoldRule)) -> String {
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
    identity.method = Method::Jwt;
    edit(&mut parts, &mut identity, &mut rule);
    let always: Vec<_> = DEFAULT_HEADERS.iter().map(|name| (*name).to_owned()).collect();
    let request = Request::assemble(parts, &Limits::default());
    let by_authorization = identity.method == Method::Jwt;
    let scope = Scope {
        headers: &always,
        credentials: &["x-token".to_owned()],
        by_authorization,
        redaction,
        sets: &[],
    };
    let rules = [Arc::new(rule)];
    let asked = Asked { rules: &rules, auto_approved: &[], same };
    let covered = Covered::of(&request, &identity, asked, scope);
    (covered.digest(), covered.summary())
}

fn set(parts: &mut Parts, name: &str, value: &str) {
    let mut headers: Vec<_> = parts.headers.iter().filter(|header| header.name != name).cloned().collect();
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
        digest_of(|_, identity, _| identity.person = Some("bob".into())),
        digest_of(|_, identity, _| identity.tenant = "production".into()),
        digest_of(|_, identity, _| identity.email = "bob@example.com".into()),
        digest_of(|_, identity, _| identity.groups = vec!["admin".into()]),
        digest_of(|_, identity, _| identity.scopes = vec!["admin".into()]),
        digest_of(|parts, _, _| set(parts, "prefer", "respond-async, tx=commit")),
        digest_of(|parts, _, _| set(parts, "x-amz-acl", "public-read")),
        digest_of(|parts, _, _| set(parts, "impersonate-user", "root")),
        digest_of(|parts, _, _| set(parts, "if-match", "*")),
        digest_of(|parts, _, _| set(parts, "x-original-uri", "/b")),
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
    for (name, value) in [
        ("authorization", "Bearer two"),
        ("traceparent", "two"),
        ("x-other", "two"),
        ("date", "x"),
        ("prefer", "Respond-Async, wait=5"),
        ("x-amz-date", "20261122T000000Z"),
    ] {
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
    assert_eq!(shown.path, "/a?b=1&%61ccess_token=REDACTED&c", "what is short is not looked for elsewhere");
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
    assert_eq!(read(named(), "authorization", "Bearer one"), read(named(), "authorization", "Bearer two"));
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
    let empty_query = digest_in(Class::new([Part::Query]).as_ref(), |parts, _, _| parts.path = "/a?".into());
    assert_ne!(no_query, empty_query);
}

#[test]
fn an_approval_by_rules_is_for_no_call_that_they_do_not_approve() {
    let rules = [Arc::new(rule(1))];
    let request = Request::assemble(parts(), &Limits::default());
    let of = |auto_approved: &[(Arc<str>, Arc<str>)]| {
        let asked = Asked { rules: &rules, auto_approved, same: None };
        let redaction = Redaction::default();
        let scope = Scope {
            headers: &[],
            credentials: &[],
            by_authorization: true,
            redaction: &redaction,
            sets: &[],
        };
        Covered::of(&request, &Identity::anonymous(), asked, scope).digest()
    };
    assert_ne!(of(&[]), of(&[("p/r".into(), "small".into())]));
    assert_eq!(
        of(&[("p/r".into(), "a".into())]),
        of(&[("p/r".into(), "b".into())]),
        "the rule's content is covered anyway"
    );
}

#[test]
fn the_order_of_groups_and_scopes_is_nothing() {
    let of =
        |groups: [&str; 2]| digest_of(|_, identity, _| identity.groups = groups.map(String::from).into());
    assert_eq!(of(["a", "b"]), of(["b", "a"]));
    assert_ne!(of(["a", "b"]), of(["a", "c"]));
}

/// What the header holds is for the upstream then.
#[test]
fn authorization_is_covered_where_it_did_not_prove_the_caller() {
    let of = |method, value: &str| {
        digest_of(|parts, identity, _| {
            identity.method = method;
            set(parts, "authorization", value);
        })
    };
    assert_ne!(of(Method::ApiKey, "Basic harmless"), of(Method::ApiKey, "Basic stolen"));
    assert_eq!(of(Method::Jwt, "Bearer one"), of(Method::Jwt, "Bearer two"));
}

#[test]
fn all_headers_are_covered_where_the_configuration_says_so() {
    let listed = |pattern: &str, value: &str| {
        let mut parts = parts();
        set(&mut parts, "x-other", value);
        set(&mut parts, "user-agent", value);
        let request = Request::assemble(parts, &Limits::default());
        let (headers, redaction) = ([pattern.to_owned()], Redaction::default());
        let scope = Scope {
            headers: &headers,
            credentials: &[],
            by_authorization: true,
            redaction: &redaction,
            sets: &[],
        };
        let asked = Asked { rules: &[], auto_approved: &[], same: None };
        Covered::of(&request, &Identity::anonymous(), asked, scope).digest()
    };
    for pattern in ["*", "x-*", "x-other"] {
        assert_ne!(listed(pattern, "1"), listed(pattern, "2"), "{pattern}");
    }
    for pattern in ["y-*", "x-othe"] {
        assert_eq!(listed(pattern, "1"), listed(pattern, "2"), "{pattern}");
    }
}

#[test]
fn what_the_policies_set_is_covered_and_shown_in_place_of_what_was_sent() {
    let with = |value: &str| {
        let (headers, redaction) = (["x-tenant".to_owned()], Redaction::default());
        let change = HeaderChange::Set { name: "x-tenant".into(), value: value.into() };
        let sets = [&change];
        let scope = Scope {
            headers: &headers,
            credentials: &[],
            by_authorization: true,
            redaction: &redaction,
            sets: &sets,
        };
        let mut parts = parts();
        set(&mut parts, "x-tenant", "what the caller says");
        let request = Request::assemble(parts, &Limits::default());
        let asked = Asked { rules: &[], auto_approved: &[], same: None };
        let nobody = Identity::anonymous();
        let covered = Covered::of(&request, &nobody, asked, scope);
        (covered.digest(), covered.summary().headers)
    };
    assert_ne!(with("sandbox").0, with("production").0);
    assert_eq!(with("sandbox").1, [("x-tenant".to_owned(), "sandbox".to_owned())]);
}

#[test]
fn of_a_class_the_very_call_has_a_digest_too() {
    let class = Class::new([Part::Method]).unwrap();
    let of = |body: &str| {
        let mut parts = parts();
        parts.body = Body::Complete(body.to_owned().into());
        let request = Request::assemble(parts, &Limits::default());
        let redaction = Redaction::default();
        let scope = Scope {
            headers: &[],
            credentials: &[],
            by_authorization: true,
            redaction: &redaction,
            sets: &[],
        };
        let asked = Asked { rules: &[], auto_approved: &[], same: Some(&class) };
        let nobody = Identity::anonymous();
        let covered = Covered::of(&request, &nobody, asked, scope);
        (covered.digest(), covered.exact().unwrap())
    };
    let (one, other) = (of("1"), of("2"));
    assert_eq!(one.0, other.0);
    assert_ne!(one.1, other.1);
}
