//! Slips that other languages allow, and the documentation's completeness.

use super::*;
use crate::policy::cel::attribute::Attribute;
use crate::policy::cel::function::builtin;
use crate::policy::cel::lower;

#[test]
fn a_slip_of_the_pen_is_named_with_what_to_write() {
    check_errors(&[
        ("request.method = 'GET'", "`=` is not CEL (`==` compares two values)"),
        ("request.method === 'GET'", "`===` is not CEL"),
        ("request.method !== 'GET'", "`!==` is not CEL (write `!=`)"),
        ("request.method <> 'GET'", "`<>` is not CEL (write `!=`)"),
        ("true and false", "`and` is not CEL (write `&&`)"),
        ("true OR false", "`OR` is not CEL (write `||`)"),
        ("not true", "`not` is not CEL (write `!`"),
        ("not(true)", "write `!`"),
        ("true & false", "`&` is not CEL (`&&`"),
        ("true | false", "`|` is not CEL (`||`"),
        ("request.method == “GET”", "`“` is not CEL (write a straight quote"),
        ("request.method == ‘GET’", "`‘` is not CEL (write a straight quote"),
        ("connection.mtls == True", "did you mean `true`?"),
        ("request.body.x == None", "did you mean `null`?"),
        ("string(identity.groups) == 'a'", "join its elements, as in `x.join(', ')`"),
        ("string(request.params) == 'a'", "read one of its entries"),
        ("size() == 1", "`size` takes one value: `size(x)` or `x.size()`"),
        ("size('a', 'b') == 1", "`size` takes one value"),
        ("'a'.size(1) == 1", "`size` takes one value"),
        ("startsWith('a', 'b')", "it is a method: `x.startsWith(..)`"),
        ("'7'.int() == 7", "it is a function: `int(x)`"),
        ("'a'.substing(1) == ''", "did you mean `substring`?"),
        ("math.flor(1.5) == 1.0", "did you mean `math.floor`?"),
        ("'a'.charAt() == ''", "`charAt` takes 1 argument, not 0"),
        ("'a'.replace('a') == ''", "`replace` takes 2 or 3 arguments, not 1"),
        ("[1].transformMap(i, i) == {}", "write `x.transformMap(key, value, result)`"),
        ("[1].all(true)", "write `x.all(item, condition)`"),
        ("ip('10.0.0.256').isLoopback()", "`10.0.0.256` is not an IP address"),
        ("cidr('10.0.0.0').containsIP(source.address)", "is not a network in CIDR notation"),
        ("cidr('10.0.0.0/8').containsIP('10.0.0')", "`10.0.0` is not an IP address"),
        ("request.time > timestamp('yesterday')", "`yesterday` is not a timestamp"),
        ("request.time - duration('1 day') > request.time", "`1 day` is not a duration"),
        ("request.time.getHours('Berlin') > 8", "unknown time zone `Berlin`"),
        ("'%s %q'.format(['a', 'b']) == ''", "unknown clause `%q`"),
        ("'%s %s'.format(['a']) == ''", "the template has 2 clauses, but there are 1 values"),
        ("request.method.matches('a{1000}{1000}')", "the pattern is too large"),
    ]);
}

#[test]
fn slips_stand_at_their_places_and_literals_are_left_alone() {
    let text = "request.method = '=' && \"a = b\" == r'\\' or 1 == 1 // x = y";
    let mistakes = Expression::compile(text, &Environment::default()).unwrap_err();
    let shown: Vec<_> =
        mistakes.iter().map(|mistake| &text[mistake.at.offset..mistake.at.offset + mistake.at.len]).collect();
    assert_eq!(shown, ["=", "or"]);
}

#[test]
fn a_field_may_have_any_name() {
    check(&[("{'and': 1}.and", json!(1)), ("{'not': {'or': 2}}.not.or", json!(2))]);
}

#[test]
fn absent_parts_of_a_call_are_nothing_when_asked_for_optionally() {
    check(&[
        ("request.?body.?amount.orValue(0)", json!(700)),
        ("request.body.?missing.orValue(0)", json!(0)),
        ("request.headers.?x_none.hasValue()", json!(false)),
        ("request.headers[?'X-Tag'].orValue('')", json!("a,b")),
        ("request.headers.?`x-tag`.orValue('')", json!("a,b")),
        ("identity.?email.hasValue()", json!(false)),
        ("identity.claims.?team.?lead.orValue(false)", json!(true)),
        ("identity.claims.?team.?nobody.orValue(false)", json!(false)),
        ("grpc.?service.orValue('none')", json!("none")),
        ("cidr('10.0.0.0/8').containsIP(source.address)", json!(true)),
        ("request.params.exists(k, v, k == 'tag' && 'b c' in v)", json!(true)),
        ("request.headers.exists(k, v, k == 'x-tag' && v == 'a,b')", json!(true)),
    ]);
}

#[test]
fn the_documentation_names_every_attribute_function_and_macro() {
    let document = include_str!("../../../../docs/cel.md");
    for name in Attribute::names() {
        assert!(document.contains(&format!("| `{name}` |")), "`{name}` is not in docs/cel.md");
    }
    let builtins = builtin::builtins().map(|known| (known.name, known.method));
    for (name, method) in builtins.chain(lower::function_names()) {
        let wanted = if method { format!(".{name}(") } else { format!("{name}(") };
        assert!(document.contains(&wanted), "`{name}` is not in docs/cel.md");
    }
}
