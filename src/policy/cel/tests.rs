use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::identity::{Identity, Method};
use crate::policy::{Call, ResponseHead};
use crate::request::{Body, Header, Limits, Part, Parts, Peer, Request};

fn request() -> Request {
    Request::assemble(
        Parts {
            id: "r-1".into(),
            time: "2026-11-21T07:30:15.250Z".parse().unwrap(),
            method: "POST".into(),
            host: "API.example.com:8443".into(),
            path: "/v1/refunds/7?dry=1&tag=a&tag=b%20c".into(),
            headers: vec![
                Header::new("Content-Type", "application/json"),
                Header::new("X-Tag", "a"),
                Header::new("x-tag", "b"),
                Header::new("x-raw", vec![0xFF]),
            ]
            .into(),
            body: Body::Complete(r#"{"amount": 700, "items": [{"n": 1}, {"n": 2}], "note": null}"#.into()),
            source: Peer { address: "10.0.0.7".into(), port: 4_711, principal: "spiffe://x/web".into() },
            context: [("route".to_owned(), "payments".to_owned())].into(),
            ..Parts::default()
        },
        &Limits::default(),
    )
}

fn identity() -> Identity {
    let anonymous = Arc::unwrap_or_clone(Identity::anonymous());
    let claims = json!({"team": {"lead": true}, "level": 3});
    Identity {
        method: Method::Jwt,
        subject: "ana".into(),
        groups: vec!["staff".into(), "ops".into()],
        claims: claims.as_object().unwrap().clone(),
        ..anonymous
    }
}

fn evaluate_on(request: &Request, text: &str) -> Result<serde_json::Value, String> {
    let captures = ["id".to_owned()];
    let environment = Environment { captures: &captures, input: false };
    let expression = Expression::compile(text, &environment).map_err(|mistakes| {
        mistakes.iter().map(|mistake| mistake.finding.to_string()).collect::<Vec<_>>().join("; ")
    })?;
    let identity = identity();
    let response = ResponseHead { code: 404, ..ResponseHead::default() };
    let call = Call { request, identity: &identity, response: Some(&response) };
    let mut scope = Scope::of(call);
    scope.capture(&[Part::Segment(2)]);
    expression.evaluate(&scope).map(|value| value.to_json()).map_err(|error| error.to_string())
}

#[track_caller]
fn check(cases: &[(&str, serde_json::Value)]) {
    let request = request();
    for (text, wanted) in cases {
        assert_eq!(evaluate_on(&request, text), Ok(wanted.clone()), "{text}");
    }
}

#[track_caller]
fn check_errors(cases: &[(&str, &str)]) {
    let request = request();
    for (text, wanted) in cases {
        let error = evaluate_on(&request, text).expect_err(text);
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn attributes_have_their_values() {
    check(&[
        ("request.method", json!("POST")),
        ("request.path", json!("/v1/refunds/7?dry=1&tag=a&tag=b%20c")),
        ("request.url_path", json!("/v1/refunds/7")),
        ("request.params", json!({"dry": ["1"], "tag": ["a", "b c"]})),
        ("request.host", json!("api.example.com")),
        ("request.headers['X-TAG']", json!("a,b")),
        ("request.headers['x-' + 'TAG']", json!("a,b")),
        ("'x-tag' in request.headers", json!(true)),
        ("'X-Other' in request.headers", json!(false)),
        ("request.body.amount > 500", json!(true)),
        ("request.body.items.exists(i, i.n == 2)", json!(true)),
        ("size(request.raw_body) > 10", json!(true)),
        ("path.id", json!("7")),
        ("identity.subject", json!("ana")),
        ("'staff' in identity.groups", json!(true)),
        ("identity.claims.team.lead", json!(true)),
        ("identity.email", json!("")),
        ("has(identity.email)", json!(false)),
        ("source.port", json!(4711)),
        ("response.code", json!(404)),
        ("context.route == 'payments'", json!(true)),
        ("request.time.getHours()", json!(7)),
        ("request.time.getDayOfWeek()", json!(6)),
        ("request.time - duration('30m') < timestamp('2026-11-21T07:00:16Z')", json!(true)),
    ]);
}

#[test]
fn operators_and_macros() {
    check(&[
        ("1 + 2 * 3 - 4 / 2 % 3", json!(5)),
        ("-7 / 2", json!(-3)),
        ("1 == 1.0 && 1u == 1 && 2.5 > 2", json!(true)),
        ("9223372036854775807 < 9223372036854775808.0", json!(true)),
        ("9007199254740993 == 9007199254740992.0", json!(false)),
        ("'a' + 'b' == 'ab' && [1] + [2] == [1, 2]", json!(true)),
        ("{'a': 1}['a'] == 1 && {'a': 1} == {'a': 1.0}", json!(true)),
        ("[1, 2, 3].all(x, x > 0) && ![1, 2].exists(x, x > 2)", json!(true)),
        ("[1, 2, 3].exists_one(x, x > 2)", json!(true)),
        ("[1, 2, 3].filter(x, x > 1).map(x, x * 2)", json!([4, 6])),
        ("[1, 2, 3].map(x, x > 1, x * 2)", json!([4, 6])),
        ("[[1], [2, 3]].map(l, l.map(x, x + size(l)))", json!([[2], [4, 5]])),
        ("{'a': 1, 'b': 2}.map(k, k)", json!(["a", "b"])),
        ("'Hello'.startsWith('He') && 'Hello'.endsWith('lo') && 'Hello'.contains('ell')", json!(true)),
        ("'abc-12'.matches('^[a-c]+-\\\\d+$')", json!(true)),
        ("'ÄB'.lowerAscii() == 'Äb' && size('ÄB') == 2", json!(true)),
        ("int('7') + int(7.9) + int(7u)", json!(21)),
        ("string(7) + string(true) + string(1.5)", json!("7true1.5")),
        ("type(1) == int && type('') == string", json!(true)),
        ("duration('1h30m') == duration('90m') && duration('1.5s') > duration('1499ms')", json!(true)),
        ("true ? 1 : 2", json!(1)),
        ("dyn(1) == 'a'", json!(false)),
    ]);
}

#[test]
fn logic_absorbs_errors_on_either_side() {
    check(&[
        ("request.body.missing == 1 || true", json!(true)),
        ("true || request.body.missing == 1", json!(true)),
        ("request.body.missing == 1 && false", json!(false)),
        ("[1, 0].exists(x, 2 / x == 2)", json!(true)),
        ("[0, 1].all(x, 2 / x == 1)", json!(false)),
    ]);
    check_errors(&[
        ("request.body.missing == 1 || false", "no key `missing`"),
        ("[0, 1].all(x, 2 / x == 2)", "division by zero"),
        ("[0, 1].exists_one(x, 2 / x == 2)", "division by zero"),
    ]);
}

#[test]
fn what_is_not_there_is_an_error_unless_asked() {
    check(&[
        ("has(request.body.amount)", json!(true)),
        ("has(request.body.other)", json!(false)),
        ("has(grpc.service)", json!(false)),
        ("has(request.headers.x_none)", json!(false)),
    ]);
    check_errors(&[
        ("request.headers['x-none']", "no key `x-none`"),
        ("request.headers['x-raw']", "not UTF-8"),
        ("grpc.service", "`grpc.service` is not there"),
        ("identity.claims.nobody", "no key `nobody`"),
        ("has(identity.claims.a.b)", "no key `a`"),
        ("[1][1]", "out of range"),
    ]);
    let mut without_body = request();
    without_body.set_body(Body::Complete(Vec::new().into()), &Limits::default());
    assert_eq!(evaluate_on(&without_body, "has(request.body.amount) || has(request.body)"), Ok(json!(false)));
    assert!(evaluate_on(&without_body, "request.body.amount").is_err());
}

#[test]
fn bodies_that_readers_read_differently_are_errors() {
    for body in [r#"{"amount": 1, "amount": 700}"#, r#"{"a": {"b": 1, "b": 2}}"#, "{", r#"{"a": 1} x"#] {
        let mut call = request();
        call.set_body(Body::Complete(body.into()), &Limits::default());
        let error = evaluate_on(&call, "has(request.body.amount)").unwrap_err();
        assert!(error.contains("the body is not JSON"), "{body}: {error}");
    }
    let mut nested = request();
    nested.set_body(Body::Complete("[".repeat(5_000).into()), &Limits::default());
    assert!(evaluate_on(&nested, "request.body == 1").is_err());
}

#[test]
fn overflow_and_wrong_operands_are_errors() {
    check_errors(&[
        ("9223372036854775807 + 1", "out of range"),
        ("-(-9223372036854775807 - 1)", "out of range"),
        ("0u - 1u", "out of range"),
        ("1 % 0", "division by zero"),
        ("request.body.amount + 'a'", "can't take an int and a string"),
        ("request.body.note.x", "has no field `x`"),
        ("int('x')", "can't be converted to int"),
        ("{'a': 1, 'a': 2}", "key `a` twice"),
    ]);
}

#[test]
fn mistakes_are_found_before_any_call() {
    check_errors(&[
        ("request.metod == 'GET'", "unknown name `request.metod` (did you mean `request.method`?)"),
        ("requst.method == 'GET'", "did you mean `request`?"),
        ("method == 'GET'", "did you mean `request.method`?"),
        ("path.other == ''", "every entry of `match` must capture it"),
        ("request", "`request` is not a value by itself"),
        ("request.method > 5", "`>` can't take a string and an int"),
        ("request.method == 5", "`==` can't take a string and an int"),
        ("identity.groups == 'staff'", "`==` can't take a list(string) and a string"),
        ("'a' && true", "must be a bool"),
        ("request.method.statsWith('a')", "unknown function `statsWith` (did you mean `startsWith`?)"),
        ("request.method.startsWith(1)", "must be a string"),
        ("request.method.matches(request.host)", "must be a literal string"),
        ("request.method.matches('(')", "not a regular expression"),
        ("request.method.amount", "a string has no field"),
        ("identity.groups.all(g, g.x)", "a string has no field"),
        ("1 +", "invalid-expression"),
        ("google.protobuf.Empty{}", "can't be built"),
        ("a.b.c", "unknown name `a`"),
    ]);
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    let text = "request.method == 'ä' && request.metod == identity.subjct";
    let mistakes = Expression::compile(text, &Environment::default()).unwrap_err();
    let shown: Vec<_> = mistakes
        .iter()
        .map(|mistake| text.get(mistake.at.offset..mistake.at.offset + mistake.at.len).unwrap())
        .collect();
    assert_eq!(shown, ["request.metod", "identity.subjct"]);
    let text = "true &&\n  (1 == )";
    let mistakes = Expression::compile(text, &Environment::default()).unwrap_err();
    assert_eq!(text.get(mistakes[0].at.offset..), Some(")"));
}

#[test]
fn expensive_expressions_run_out_of_steps() {
    let list = (0..10).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let mut text = "true".to_owned();
    for depth in 0..8 {
        text = format!("[{list}].all(x{depth}, {text})");
    }
    assert_eq!(evaluate_on(&request(), &text).unwrap_err(), "the expression takes too many steps");
    assert_eq!(
        evaluate_on(&request(), &format!("{text} || {text}")).unwrap_err(),
        "the expression takes too many steps"
    );
}

#[test]
fn large_inputs_run_out_of_steps_or_memory() {
    let mut call = request();
    let keys = (0..9_000).map(|n| format!(r#""k{n}": 0"#)).collect::<Vec<_>>().join(",");
    call.set_body(Body::Complete(format!("{{{keys}}}").into()), &Limits::default());
    call.headers = (0..20_000).map(|n| Header::new(&format!("{n}"), "")).collect();
    for text in [
        "request.body.all(k, !request.body.all(j, false))",
        "request.headers.all(k, request.headers[k] == '')",
        "request.body.all(k, request.body == request.body)",
        "request.body.all(k, !('x' in [request.body, request.body]))",
    ] {
        let error = evaluate_on(&call, text).unwrap_err();
        assert!(error.starts_with("the expression takes too m"), "{text}: {error}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused_without_harm() {
    for text in [
        "-(".repeat(2_000) + "1" + &")".repeat(2_000),
        "[".repeat(4_000),
        "1".to_owned() + &"+1".repeat(4_000),
        "a".to_owned() + &".b".repeat(4_000),
        "'".repeat(9_000),
        "!".repeat(8_000) + "true",
        "true?1:".repeat(1_000) + "1",
    ] {
        assert!(Expression::compile(&text, &Environment::default()).is_err());
    }
    let chain = vec!["request.method == 'GET'"; 100].join(" || ");
    assert!(Expression::compile(&chain, &Environment::default()).is_ok());
}

/// The same expressions by the `cel` crate's own evaluator.
#[test]
fn the_reference_evaluator_agrees() {
    for text in [
        "1 + 2 * 3 - 4 / 2 % 3",
        "-7 / 2 + -7 % 3",
        "1 == 1.0 && 1u == 1 && 2.5 > 2",
        "'a' < 'b' && 'B' < 'a' && b'a' < b'b'",
        "[1, 2] + [3] == [1, 2, 3] && 2 in [1, 2] && !(4 in [1, 2])",
        "{'a': 1, 'b': [1]} == {'b': [1.0], 'a': 1u}",
        "'a' in {'a': 1} && {'a': 1}.a == 1",
        "[1, 2, 3].all(x, x > 0) && [1, 2, 3].exists_one(x, x == 2)",
        "[1, 2, 3].filter(x, x % 2 == 1).map(x, x * 10) == [10, 30]",
        "[[1, 2], [3]].map(l, l.map(x, x + size(l)))[1][0] == 4",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "false && 1 / 0 == 1 || true",
        "(1 / 0 == 1 || true) && [0, 1].exists(x, 1 / x == 1)",
        "1 > 2 ? 'a' : 2 > 1 ? 'b' : 'c'",
        "size('ä€') == 2 && size([1, 2]) == 2 && size({'a': 1}) == 1 && size(b'abc') == 3",
        "'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.contains('b') && 'abc'.matches('a.c')",
        "int('-7') + int(3.99) - int(-3.99)",
        "uint(7) + uint('8')",
        "double('1.5') * 2.0",
        "string(7) + string(1.5) + string(true) + string(7u)",
        "timestamp('2026-11-21T07:30:15Z').getHours() + timestamp('2026-11-21T07:30:15Z').getMonth()",
        "timestamp('2026-11-21T07:30:15Z').getDayOfWeek() + timestamp('2026-11-21T07:30:15Z').getDayOfYear()",
        "timestamp('2026-11-21T07:30:15Z') + duration('1h') == timestamp('2026-11-21T08:30:15Z')",
        "duration('90m') == duration('1h30m') && duration('1.5s') > duration('1s')",
        "has({'a': 1}.a) && !has({'a': 1}.b)",
        r#"'\u00e9\n' + "\x41" + r'\d' == 'é\nA\\d'"#,
        "!!true == !false && - -1 == 1",
        "'a' != 'b' || 1 / 0 == 0",
    ] {
        let ours = evaluate_on(&request(), text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let program = cel::Program::compile(text).unwrap();
        let theirs =
            program.execute(&cel::Context::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(ours, theirs.json().unwrap(), "{text}");
    }
}

mod reference;
mod slips;

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn token() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "request",
            ".",
            "body",
            "amount",
            "headers",
            "identity",
            "groups",
            "exists",
            "all",
            "map",
            "has",
            "size",
            "matches",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "?",
            "&&",
            "||",
            "!",
            "-",
            "+",
            "*",
            "/",
            "%",
            "==",
            "<",
            ">=",
            "in",
            "1",
            "2u",
            "1.5",
            "1e400",
            "'a'",
            "'",
            "\"",
            "r'\\'",
            "b'x'",
            "true",
            "null",
            "x",
            "`",
            "ä",
            "€",
            "\\u00",
            "0x",
            "//",
            "\n",
            " ",
            "@result",
            "__result__",
            "timestamp",
            "duration",
            "'(a+)+'",
        ])
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_panics(tokens in prop::collection::vec(token(), 0..24)) {
            for text in [tokens.concat(), tokens.join(" ")] {
                let _ = evaluate_on(&request(), &text);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = evaluate_on(&request(), &text);
        }
    }
}
