//! The same well-typed expressions on the same inputs by the `cel` crate's own evaluator.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::super::{Environment, Expression, Scope};

/// Expressions of each type, of at most this depth.
const DEPTH: u32 = 4;

fn whole() -> impl Strategy<Value = i64> {
    prop_oneof![-9..10_i64, Just(i64::MAX), Just(i64::MIN + 1)]
}

fn integer(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        whole().prop_map(|n| format!("({n})")),
        Just("input.n".to_owned()),
        Just("input.list[1]".to_owned()),
        Just("input.map.a".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (i, t, l, b) = (integer(depth - 1), text(depth - 1), list(depth - 1), boolean(depth - 1));
    prop_oneof![
        2 => leaf,
        3 => (i.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), i.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => i.clone().prop_map(|a| format!("(-{a})")),
        1 => t.clone().prop_map(|a| format!("size({a})")),
        1 => l.clone().prop_map(|a| format!("{a}.size()")),
        1 => (l, i.clone()).prop_map(|(a, n)| format!("{a}[{n}]")),
        1 => (b, i.clone(), i.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        1 => (t.clone(), t).prop_map(|(a, b)| format!("{a}.indexOf({b})")),
        1 => i.clone().prop_map(|a| format!("int(string({a}))")),
        1 => (i.clone(), i).prop_map(|(a, b)| format!("math.greatest({a}, {b})")),
    ]
    .boxed()
}

fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["''", "'a'", "'äb'", "'a,b'", "' x '", "'😀'"]).prop_map(str::to_owned),
        Just("input.text".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (i, t, b) = (integer(depth - 1), text(depth - 1), boolean(depth - 1));
    prop_oneof![
        2 => leaf,
        2 => (t.clone(), t.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => i.clone().prop_map(|a| format!("string({a})")),
        1 => t.clone().prop_map(|a| format!("{a}.upperAscii()")),
        1 => t.clone().prop_map(|a| format!("{a}.trim()")),
        1 => (t.clone(), i).prop_map(|(a, n)| format!("{a}.charAt({n})")),
        1 => (t.clone(), t.clone(), t.clone()).prop_map(|(a, b, c)| format!("{a}.replace({b}, {c})")),
        1 => t.clone().prop_map(|a| format!("{a}.split(',').join('-')")),
        1 => (b, t.clone(), t).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
    ]
    .boxed()
}

fn list(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![Just("[1, 2, 3]".to_owned()), Just("input.list".to_owned())];
    if depth == 0 {
        return leaf.boxed();
    }
    let (i, l, b) = (integer(depth - 1), list(depth - 1), boolean(depth - 1));
    prop_oneof![
        2 => leaf,
        1 => prop::collection::vec(i.clone(), 1..4).prop_map(|items| format!("[{}]", items.join(", "))),
        1 => (l.clone(), l.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => (l.clone(), i.clone()).prop_map(|(a, b)| format!("{a}.map(x, x + {b})")),
        1 => (l.clone(), b.clone()).prop_map(|(a, b)| format!("{a}.filter(x, x > 1 || {b})")),
        1 => (l.clone(), b, i).prop_map(|(a, b, c)| format!("{a}.map(x, {b}, x * {c})")),
        1 => l.clone().prop_map(|a| format!("{a}.reverse()")),
        1 => l.prop_map(|a| format!("{a}.distinct()")),
    ]
    .boxed()
}

fn boolean(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|b| b.to_string()),
        Just("input.flag".to_owned()),
        Just("has(input.map.a)".to_owned()),
        Just("has(input.map.z)".to_owned()),
        Just("has(input.nothing.z)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let (i, t, l, b) = (integer(depth - 1), text(depth - 1), list(depth - 1), boolean(depth - 1));
    let comparison = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    prop_oneof![
        1 => leaf,
        3 => (b.clone(), prop::sample::select(vec!["&&", "||"]), b.clone())
            .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => b.clone().prop_map(|a| format!("!{a}")),
        2 => (i.clone(), comparison.clone(), i.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (t.clone(), comparison, t.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (l.clone(), l.clone()).prop_map(|(a, b)| format!("({a} == {b})")),
        1 => (i.clone(), l.clone()).prop_map(|(a, b)| format!("({a} in {b})")),
        1 => (t.clone(), t.clone(), prop::sample::select(vec!["startsWith", "endsWith", "contains"]))
            .prop_map(|(a, b, method)| format!("{a}.{method}({b})")),
        1 => t.prop_map(|a| format!("{a}.matches('^[a-z]*$')")),
        1 => (l.clone(), i.clone(), prop::sample::select(vec!["all", "exists", "exists_one"]))
            .prop_map(|(a, b, kind)| format!("{a}.{kind}(x, x > {b})")),
        1 => (l, b, prop::sample::select(vec!["all", "exists"]))
            .prop_map(|(a, b, kind)| format!("{a}.{kind}(x, 2 / x > 0 && {b})")),
        1 => i.prop_map(|a| format!("(double({a}) >= 0.0)")),
    ]
    .boxed()
}

/// Its numbers are signed for both: the `cel` crate reads whole numbers of JSON as unsigned.
#[derive(serde::Serialize)]
struct Input {
    n: i64,
    list: [i64; 3],
    map: BTreeMap<&'static str, i64>,
    text: &'static str,
    flag: bool,
}

fn input() -> Input {
    Input { n: 2, list: [3, 1, 0], map: [("a", 5)].into(), text: "b,a", flag: true }
}

fn ours(text: &str) -> Result<Json, String> {
    let expression =
        Expression::compile(text, &Environment { captures: &[], input: true }).map_err(|mistakes| {
            mistakes.iter().map(|mistake| mistake.finding.to_string()).collect::<Vec<_>>().join("; ")
        })?;
    let input = serde_json::to_value(input()).unwrap();
    let scope = Scope::empty().with_input(&input);
    expression.evaluate(&scope).map(|value| value.to_json()).map_err(|error| error.to_string())
}

fn theirs(text: &str) -> Result<Json, String> {
    let mut env = cel::Env::stdlib();
    env.add_extension(cel::extensions::strings).unwrap();
    env.add_extension(cel::extensions::math).unwrap();
    env.add_extension(cel::extensions::lists).unwrap();
    let env = Arc::new(env);
    let program = env.compile(text).map_err(|error| error.to_string())?;
    let mut context = cel::Context::with_env(env);
    context.add_variable("input", input()).unwrap();
    program.execute(&context).map_err(|error| error.to_string())?.json().map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_reference_evaluator_agrees_on_random_expressions(
        text in prop_oneof![boolean(DEPTH), integer(DEPTH), text(DEPTH), list(DEPTH)]
    ) {
        prop_assume!(text.len() < 6_000);
        match (ours(&text), theirs(&text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs, "{}", text),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{}\nours {:?}\ntheirs {:?}", text, ours, theirs),
        }
    }
}
