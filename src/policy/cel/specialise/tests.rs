use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;
use crate::identity::{Identity, Method};
use crate::policy::Call;
use crate::policy::cel::{Environment, EvaluationError, Expression, Scope};
use crate::request::{Body, Header, Limits, Part, Parts, Request};

fn compiled(text: &str) -> (Expression, Expression) {
    let captures = ["id".to_owned(), "rest".to_owned()];
    let environment = Environment { captures: &captures, input: false };
    let plain = Expression::lowered(text, &environment);
    let plain = plain.unwrap_or_else(|mistakes| panic!("{text}: {}", mistakes[0].finding));
    (plain, Expression::compile(text, &environment).unwrap())
}

#[test]
fn frequent_conditions_have_nodes_of_their_own() {
    let root = |text: &str| compiled(text).1.root;
    for text in [
        "request.method == 'GET'",
        "'GET' == request.method",
        "request.url_path.startsWith('/v1/')",
        "request.headers['x-a'].endsWith('b')",
        "request.headers.x == 'b'",
        "context.route == 'a'",
        "context['route'].contains('a')",
        "path.id == 'x'",
    ] {
        assert!(matches!(root(text), Expr::TextIs(_)), "{text}");
    }
    assert!(matches!(root("request.method in ['GET', 'HEAD']"), Expr::TextIn(_)));
    assert!(matches!(root("'staff' in identity.groups"), Expr::TextsHold(..)));
    assert!(matches!(root("identity.claims.a['b'].c == 'x'"), Expr::JsonIs(_)));
    assert!(matches!(root("'x' in request.body.list"), Expr::JsonHolds(_)));
    assert!(matches!(root("identity.claims.level"), Expr::Json(_)));
    let Expr::All(all) = root("true && 1 < 2 && (false && true)") else { panic!("no list") };
    assert_eq!(all.len(), 4);
}

#[test]
fn many_literals_are_hashed_and_few_are_not() {
    let texts = |count: usize| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>();
    for count in [1, 8, 9, 40] {
        let set = TextSet::new(texts(count));
        assert_eq!(set.hashed.is_some(), count > 8);
        assert!(
            texts(count).iter().all(|text| set.contains(text)) && !set.contains("t") && !set.contains("t99")
        );
    }
}

#[test]
fn captures_are_paid_for_at_every_read() {
    let loops = "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(a, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(b, [1, 2, 3, 4, 5].all(c, CONDITION)))";
    let parts = Parts { path: format!("/{}", "%C3%BC".repeat(1_300)), ..Parts::default() };
    let (request, identity) = (Request::assemble(parts, &Limits::default()), Identity::anonymous());
    let mut scope = Scope::of(Call { request: &request, identity: &identity, response: None });
    scope.capture(&[Part::Segment(0), Part::From(0)]);
    for condition in ["path.id != 'x'", "path.id in ['x'] == false", "size(path.rest) > 1"] {
        let (plain, special) = compiled(&loops.replace("CONDITION", condition));
        for expression in [plain, special] {
            assert_eq!(expression.evaluate(&scope).unwrap_err(), EvaluationError::BudgetSpent, "{condition}");
        }
    }
}

const TEXTS: [&str; 14] = [
    "request.method",
    "request.url_path",
    "request.host",
    "request.query",
    "request.headers['x-a']",
    "request.headers.x",
    "request.headers['x-raw']",
    "identity.subject",
    "identity.method",
    "path.id",
    "path.rest",
    "context.route",
    "context['other']",
    "grpc.service",
];
const FIELDS: [&str; 10] = [
    "identity.claims.list",
    "identity.claims.text",
    "identity.claims['team'].lead",
    "identity.claims.team.name",
    "identity.claims.missing",
    "identity.claims.number",
    "request.body.list",
    "request.body.text",
    "request.body.deep['a'].b",
    "metadata.filter.text",
];
const LITERALS: [&str; 9] = ["''", "'a'", "'b'", "'GET'", "'/a'", "'a.example'", "'ana'", "'ab'", "'team'"];

fn atom() -> impl Strategy<Value = String> {
    let (text, field, literal) = (select(&TEXTS[..]), select(&FIELDS[..]), select(&LITERALS[..]));
    let method = select(&["startsWith", "endsWith", "contains"][..]);
    let list = proptest::collection::vec(select(&LITERALS[..]), 0..12).prop_map(|list| list.join(", "));
    prop_oneof![
        (text.clone(), literal.clone()).prop_map(|(text, literal)| format!("{text} == {literal}")),
        (text.clone(), literal.clone()).prop_map(|(text, literal)| format!("{literal} != {text}")),
        (text.clone(), method.clone(), literal.clone()).prop_map(|(t, m, l)| format!("{t}.{m}({l})")),
        (text.clone(), list.clone()).prop_map(|(text, list)| format!("{text} in [{list}]")),
        (text.clone(), literal.clone())
            .prop_map(|(text, literal)| format!("!({text} in [{literal}, {text}])")),
        (field.clone(), literal.clone()).prop_map(|(field, literal)| format!("{field} == {literal}")),
        (field.clone(), literal.clone()).prop_map(|(field, literal)| format!("{literal} != {field}")),
        (field.clone(), literal.clone()).prop_map(|(field, literal)| format!("{literal} in {field}")),
        (field.clone(), method, literal.clone()).prop_map(|(f, m, l)| format!("{f}.{m}({l})")),
        (field.clone(), list).prop_map(|(field, list)| format!("{field} in [{list}]")),
        field.clone().prop_map(|field| format!("has({field})")),
        field.clone().prop_map(|field| format!("{field} > 2")),
        (field, literal.clone())
            .prop_map(|(f, l)| format!("{f}.exists(x, x == {l} || {l} == request.method)")),
        literal.clone().prop_map(|literal| format!("{literal} in identity.groups")),
        literal.prop_map(|literal| format!("identity.groups.all(g, g != {literal})")),
        text.prop_map(|text| format!("size({text}) > 1 ? {text} < 'b' : {text} == 'a'")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    atom().prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(" && "))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(|any| format!("({})", any.join(" || "))),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

/// A call of which any part may be missing, odd or as conditions expect it.
fn call() -> impl Strategy<Value = (Request, Identity)> {
    let method = select(&["GET", "PUT"][..]);
    let host = select(&["a.example", "A.Example:80", "b"][..]);
    let path = select(&["/", "/a", "/a/b", "/%C3%BC/b", "/a/%C3?a=b", "/ab/b/c"][..]);
    let body = select(
        &[
            "",
            "null",
            "[]",
            "{}",
            r#"{"list": ["a", 1], "text": "a", "deep": {"a": {"b": "ab"}}}"#,
            r#"{"list": {"a": 1}, "text": 3}"#,
        ][..],
    );
    let claims = select(vec![
        json!({}),
        json!({"list": ["a", "b", 3], "text": "ab", "number": 3, "team": {"lead": "ana", "name": null}}),
        json!({"list": {"a": 1}, "text": ["a"], "team": "a", "number": "2"}),
        json!({"list": "ab", "team": {"lead": {}}}),
    ]);
    let many = any::<bool>();
    let groups = select(vec![vec![], vec!["a"], vec!["b", "team"]]);
    (method, host, path, body, claims, many, groups, any::<bool>()).prop_map(
        |(method, host, path, body, claims, many, groups, there)| {
            let mut claims = claims.as_object().unwrap().clone();
            claims.extend((0..20).filter(|_| many).map(|n| (format!("c{n}"), json!(n))));
            let headers = [
                ("x-a", &b"ab"[..]),
                ("x-a", b"b"),
                ("x", b""),
                ("x-raw", b"\xff"),
                ("content-type", b"application/grpc"),
            ];
            let headers = headers.iter().filter(|_| there).map(|(name, value)| Header::new(name, *value));
            let body = if there { Body::Complete(body.to_owned().into()) } else { Body::Absent };
            let metadata = json!({"filter": {"text": "a"}});
            let parts = Parts {
                method: method.into(),
                host: host.into(),
                path: path.into(),
                headers: headers.collect(),
                body,
                context: there.then(|| ("route".to_owned(), "a".to_owned())).into_iter().collect(),
                metadata: if there { metadata.as_object().unwrap().clone() } else { serde_json::Map::new() },
                ..Parts::default()
            };
            let identity = Identity {
                method: Method::Jwt,
                subject: if there { "ana".into() } else { String::new() },
                groups: groups.into_iter().map(str::to_owned).collect(),
                claims,
                ..Arc::unwrap_or_clone(Identity::anonymous())
            };
            (Request::assemble(parts, &Limits::default()), identity)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// What has been specialised has the value that the expression has as written, or no value where that has none.
    #[test]
    fn a_specialised_expression_has_the_same_value(text in condition(), (request, identity) in call()) {
        let (plain, special) = compiled(&text);
        let mut scope = Scope::of(Call { request: &request, identity: &identity, response: None });
        scope.capture(&[Part::Segment(0), Part::From(1)]);
        let json = |expression: &Expression| expression.evaluate(&scope).map(|value| value.to_json()).ok();
        prop_assert_eq!(json(&plain), json(&special), "{}", text);
        prop_assert_eq!(plain.holds(&scope).ok(), special.holds(&scope).ok(), "{}", text);
    }
}
