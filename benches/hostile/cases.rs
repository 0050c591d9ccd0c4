//! Expressions and calls made to cost much: shared by the test that counts bytes and the bench that takes the time.

use portcullis::identity::Identity;
use portcullis::policy::Call;
use portcullis::policy::cel::{Environment, Expression, Scope};
use portcullis::request::{Body, Header, Limits, Parts, Request};

mod often;

/// A hostile expression.
pub struct Case {
    pub name: &'static str,
    pub text: String,
}

/// What became of a case.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It was refused at load.
    Refused,
    /// The budget stopped it.
    Stopped,
    /// It came to its end, as a value or an error, within the budget.
    Ended,
}

fn case(name: &'static str, text: impl Into<String>) -> Case {
    Case { name, text: text.into() }
}

fn nested(open: &str, inside: &str, close: &str, times: usize) -> String {
    format!("{}{inside}{}", open.repeat(times), close.repeat(times))
}

fn numbers(count: usize) -> String {
    format!("[{}]", vec!["1"; count].join(","))
}

/// `cel.bind(a, first, cel.bind(b, step(a), ..))`, so that each level makes more of the one before.
fn growing(first: &str, step: &str, levels: usize, then: &str) -> String {
    let mut text = then.replace('_', &format!("v{levels}"));
    for level in (1..=levels).rev() {
        let value = step.replace('_', &format!("v{}", level - 1));
        text = format!("cel.bind(v{level}, {value}, {text})");
    }
    format!("cel.bind(v0, {first}, {text})")
}

/// A name and a text that nests once per level, in a loop over ten elements.
fn loops(kind: &str, levels: usize) -> String {
    let mut text = "x0 > 0".to_owned();
    for level in (0..levels).rev() {
        text = format!("{}.{kind}(x{level}, {text})", numbers(10));
    }
    text
}

pub fn cases() -> Vec<Case> {
    [syntax(), literals(), comprehensions(), texts(), lists(), patterns(), searches(), bodies()]
        .into_iter()
        .flatten()
        .chain(often::cases())
        .collect()
}

/// Depth and length of what is written.
fn syntax() -> Vec<Case> {
    vec![
        case("10,000 parentheses", nested("(", "1", ")", 10_000)),
        case("4,000 parentheses", nested("(", "1", ")", 4_000)),
        case("10,000 negations", nested("-!", "1", "", 5_000)),
        case("4,000 alternating negations", nested("-!", "1", "", 2_000)),
        case("8,000 negations", nested("!", "true", "", 8_000)),
        case("10,000 conditionals", nested("true?1:", "1", "", 10_000)),
        case("1,000 conditionals", nested("true?1:", "1", "", 1_000)),
        case("10,000 selections", nested("request.body", ".a", "", 1) + &".a".repeat(10_000)),
        case("4,000 selections", "request.body".to_owned() + &".a".repeat(4_000)),
        case("2,000 optional selections", "request.body".to_owned() + &".?a".repeat(2_000)),
        case("2,000 indexes", "request.body".to_owned() + &"[0]".repeat(2_000)),
        case("1,000 calls in a row", "'a'".to_owned() + &".trim()".repeat(1_000)),
        case("1,000 calls in each other", nested("size(", "1", ")", 1_000)),
        case("1,000 lists in each other", nested("[", "1", "]", 1_000)),
        case("1,000 maps in each other", nested("{1:", "1", "}", 1_000)),
        case("90 lists in each other", nested("[", "1", "]", 90)),
        case("2,000 additions", "1".to_owned() + &"+1".repeat(2_000)),
        case("1,300 conditions", vec!["true"; 1_300].join("&&")),
        case("700 conditions", vec!["true"; 700].join("&&")),
        case("unclosed brackets", "([{".repeat(2_000)),
        case("many errors", "= ) ".repeat(2_000)),
        case("60 bound names in each other", growing("1", "_", 60, "_ > 0")),
        case("90 maps in a row", "{1: 1}".to_owned() + &"[1]".repeat(95)),
        case("700 unknown names", vec!["zyx"; 710].join("||")),
        case("400 macros in each other", nested("[1].map(x,", "x", ")", 400)),
    ]
}

/// Large literals.
fn literals() -> Vec<Case> {
    vec![
        case("a text of 1 MB", format!("'{}'", "x".repeat(1 << 20))),
        case("a list of 100,000 elements", numbers(100_000)),
        case("a list of 4,000 elements", numbers(4_000) + ".all(x, x > 0)"),
        case("a list of 2,400 elements", numbers(2_400) + ".all(x, x > 0)"),
        case("a map of 1,000 entries", {
            let entries: Vec<_> = (0..1_000).map(|n| format!("{n}:1")).collect();
            format!("{{{}}}.size() > 0", entries.join(","))
        }),
    ]
}

fn comprehensions() -> Vec<Case> {
    vec![
        case("8 nested all", loops("all", 8)),
        case("8 nested exists", loops("exists", 8).replace("> 0", "> 1")),
        case("8 nested exists_one", loops("exists_one", 8)),
        case("a list of 1,300 elements for each of its own", {
            format!("{0}.all(x, {0}.all(y, true))", numbers(1_300))
        }),
        case("map of maps", {
            "lists.range(90).map(a, lists.range(90).map(b, lists.range(90).map(c, c))).size() > 0"
        }),
        case("transformMap", "lists.range(9000).transformMap(i, v, v).size() > 0"),
        case("transformMapEntry", "lists.range(9000).transformMapEntry(i, v, {v: i}).size() > 0"),
        case("transformMap read by each key", {
            "cel.bind(m, lists.range(3000).transformMap(i, v, v), lists.range(3000).all(i, m[i] == i))"
        }),
        case("sortBy a text of each", "lists.range(9000).sortBy(x, string(x)).size() > 0"),
    ]
}

fn texts() -> Vec<Case> {
    let doubled = growing("'xxxxxxxxxxxxxxxx'", "_+_", 60, "size(_) > 0");
    vec![
        case("doubling by cel.bind", doubled),
        case("doubling by 30 levels", growing("'xxxxxxxxxxxxxxxx'", "_+_", 30, "size(_) > 0")),
        case("a tenfold by replace", growing("'xx'", "_.replace('x', 'xxxxxxxxxx')", 20, "size(_) > 0")),
        case("a tenfold by join", growing("'xx'", "[_,_,_,_,_,_,_,_,_,_].join()", 20, "size(_) > 0")),
        case(
            "a tenfold by format",
            growing("'xx'", "'%s%s%s%s%s%s'.format([_,_,_,_,_,_])", 20, "size(_) > 0"),
        ),
        case("split of each character", growing("'xx'", "_+_", 18, "_.split('').size() > 0")),
        case("format with 100 digits, often", {
            "lists.range(9000).map(x, '%.100f %.100f'.format([1.5, 2.5])).size() > 0"
        }),
        case("quote of quotes", growing("'\"\"'", "strings.quote(_)", 30, "size(_) > 0")),
        case("Base64 of Base64", growing("'xx'", "base64.encode(bytes(_))", 60, "size(_) > 0")),
        case("copies of a long text", {
            growing("'xxxxxxxxxxxxxxxx'", "_+_", 12, "lists.range(9000).map(i, _).size() > 0")
        }),
        case("searches in a long text", {
            growing("'xxxxxxxxxxxxxxxx'", "_+_", 12, "lists.range(9000).all(i, _.indexOf('y') < 0)")
        }),
        case("comparisons of a long text", {
            growing("'xxxxxxxxxxxxxxxx'", "_+_", 12, "lists.range(9000).all(i, _ == _)")
        }),
    ]
}

fn lists() -> Vec<Case> {
    let shared = |then| growing("[1]", "[_, _]", 40, then);
    vec![
        case("range(1e9)", "lists.range(1000000000).size() > 0"),
        case("range of 2^63", "lists.range(9223372036854775807).size() > 0"),
        case("doubling a list", growing("[1, 2]", "_+_", 40, "size(_) > 0")),
        case("equality of 2^40 shared elements", shared("_ == _")),
        case("flatten of 2^40 shared elements", shared("_.flatten(100).size() > 0")),
        case("format of 2^40 shared elements", shared("size('%s'.format([_])) > 0")),
        case("membership among 2^40 shared elements", shared("1 in _")),
        case("a map's key of 2^40 shared elements", shared("{'a': 1}[dyn(_)] == 1")),
        case("a conversion of 2^40 shared elements", shared("size(string(dyn(_))) > 0")),
        case("distinct", "lists.range(9000).distinct().size() > 0"),
        case("sets", "sets.contains(lists.range(4000), lists.range(4000))"),
        case("sort", "lists.range(9000).map(x, -x).sort().size() > 0"),
        case("reverse of reverse", "lists.range(3000).reverse().reverse().reverse().size() > 0"),
    ]
}

/// Patterns that ruin engines that backtrack, and automata that explode. The body's `text` is long and almost fits.
fn patterns() -> Vec<Case> {
    [
        ("(a+)+$", "pattern (a+)+$"),
        ("(a|aa)+$", "pattern (a|aa)+$"),
        ("(.*)(.*)(.*)(.*)(.*)x", "pattern (.*)(.*)(.*)(.*)(.*)x"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "pattern of nested repetitions"),
        ("(?:a?){300}a{300}x", "pattern (a?){300}a{300}"),
        ("[ab]*a[ab]{14}c", "pattern whose automaton doubles 14 times"),
        ("[ab]*a[ab]{200}c", "pattern whose automaton doubles 200 times"),
        (r"\b[ab]*a[ab]{14}c\b", "the same at a word boundary"),
        ("(a{1000}){1000}", "pattern of 10^6 repetitions"),
        ("((a{100}){100}){100}", "pattern of 10^6 nested repetitions"),
        (r"\w{100}", "pattern of 100 letters of all scripts"),
        (r"(\pL|\pN|\pP){50}", "pattern of three classes, 50 times"),
        (r"(?i)\w{200}straße", "pattern without case"),
        (r"(x+x+)+y", "pattern (x+x+)+y"),
    ]
    .into_iter()
    .map(|(pattern, name)| case(name, format!("request.body.text.matches(r'{pattern}')")))
    .chain([
        case("pattern of 1,000 groups", format!("'a'.matches('{}')", nested("(", "a", ")", 1_000))),
        case("pattern of 600 classes", format!(r"'a'.matches(r'{}')", r"\pL".repeat(600))),
        case("pattern of 500 classes without case", format!("'a'.matches(r'(?i){}')", r"\pL".repeat(500))),
        case("pattern of all letters without case", r"'a'.matches(r'(?i)[\x{0}-\x{10FFFF}]+')"),
        case("pattern of classes in each other", {
            format!("'a'.matches(r'(?i){}{}')", r"[a\w".repeat(30), "]".repeat(30))
        }),
        case("pattern of 60 repeated classes", format!("'a'.matches(r'{}')", r"\d{9}".repeat(60))),
        case("300 patterns", vec![r"'a'.matches(r'\w{4}')"; 300].join("||")),
        case("pattern of 6 classes", r"'a'.matches(r'\w{6}')"),
        case("pattern of 2,000 letters", format!("'a'.matches(r'{}')", "x".repeat(2_000))),
        case("pattern of 4,000 alternatives", format!("'a'.matches('{}')", vec!["a"; 3_500].join("|"))),
    ])
    .collect()
}

/// A large body, walked by macros.
fn bodies() -> Vec<Case> {
    vec![
        case("each item with each", "request.body.items.all(a, request.body.items.all(b, a != b || a == b))"),
        case("each item with the whole", "request.body.items.all(a, request.body == request.body)"),
        case("each item among all", "request.body.items.all(a, a in request.body.items)"),
        case("each key with each", "request.body.wide.all(a, request.body.wide.all(b, true))"),
        case("each pair of a wide object", "request.body.wide.all(k, v, v >= 0)"),
        case("map of all items", "request.body.items.map(a, request.body.items.map(b, [a, b])).size() > 0"),
        case("flatten of a deep body", "[request.body.deep].flatten(100).size() > 0"),
        case("format of the body", "size('%s'.format([request.body])) > 0"),
        case("each header by its name", "request.headers.all(h, request.headers[h] == '')"),
        case(
            "long text in upper case, often",
            "request.body.items.all(a, request.body.text.upperAscii() != 'x')",
        ),
        case("long text, split", "request.body.text.split('a').size() > 0"),
    ]
}

/// Patterns that the parts of the body are searched with.
fn searches() -> Vec<Case> {
    let each = |pattern: &str| format!("request.body.items.all(a, !a.name.matches(r'{pattern}') || true)");
    let accents = |pattern: &str| format!("request.body.accents.matches(r'{pattern}')");
    vec![
        case("each name with a pattern", each("^[a-z]{1,63}$")),
        case("each name with an e-mail's pattern", each(r"^[\w.+-]+@[\w-]+\.[\w.-]+$")),
        case("each number with a pattern", "request.body.items.all(a, string(a.n).matches('^[0-9]{1,9}$'))"),
        case("each name with 20 patterns", {
            let tests: Vec<_> = (1..20).map(|n| format!("a.name.matches('^[a-z]{{1,{n}}}$')")).collect();
            format!("request.body.items.all(a, {} || true)", tests.join("||"))
        }),
        case("pattern that changes its state often", {
            r"request.body.text.matches(r'(?:[ab]{3}a|[ab]{5}b|[ab]{7}ab|[ab]{11}ba|[ab]{13}bb)c')"
        }),
        case("pattern of many places and bytes", {
            let classes: Vec<_> =
                ('A'..='z').filter(char::is_ascii_alphabetic).map(|c| format!("[ab{c}]{{9}}c")).collect();
            format!("request.body.text.matches(r'[ab]*(?:{})')", classes.join("|"))
        }),
        case("pattern of words beyond ASCII", accents(r"\b(?:a|b|ab|ba|é)*c\b")),
        case("pattern of 300 words beyond ASCII", accents(r"\b(?:a?){300}a{300}x\b")),
        case("pattern of letters beyond ASCII", accents(r"^(?:\w+\W*)+x$")),
    ]
}

/// A call with a body of 900 KB that has long texts, many items, a wide object and deep ones; and 2,000 headers.
pub fn request() -> Request {
    let letters: String = (0..200_000_u64).map(|n| if (n * n / 7) % 3 == 0 { 'b' } else { 'a' }).collect();
    let items: Vec<_> = (0..10_000).map(|n| format!(r#"{{"n":{n},"name":"item"}}"#)).collect();
    let wide: Vec<_> = (0..5_000).map(|n| format!(r#""key{n}":{n}"#)).collect();
    let numbers: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    let (half, small) = (letters.get(..20_000).unwrap_or(""), letters.get(..500).unwrap_or(""));
    let body = format!(
        r#"{{"text":"{letters}!","half":"{half}","small":"{small}","as":"{}","blank":"{}","accents":"{}",
            "items":[{}],"wide":{{{}}},"numbers":[{}],"deep":{},"nest":{}}}"#,
        "a".repeat(50_000),
        " ".repeat(20_000),
        "abé".repeat(5_000),
        items.join(","),
        wide.join(","),
        numbers.join(","),
        nested("[", "1", "]", 60),
        nested(r#"{"a":"#, "1", "}", 100),
    );
    let mut headers: Vec<_> = (0..2_000).map(|n| Header::new(&format!("x-{n}"), "")).collect();
    headers.push(Header::new("long", "é".repeat(15_000)));
    headers.push(Header::new("bad", [&b"ab\xc3\xa9".repeat(7_500)[..], b"\xff"].concat()));
    Request::assemble(
        Parts {
            id: "hostile".into(),
            method: "POST".into(),
            host: "A.example".repeat(1_000),
            path: "/".into(),
            headers: headers.into(),
            body: Body::Complete(body.into()),
            ..Parts::default()
        },
        &Limits::default(),
    )
}

/// A scope of the call whose body has been read: reading it is bounded by its size, whatever the expression.
pub fn scope<'a>(request: &'a Request, identity: &'a Identity) -> Scope<'a> {
    let scope = Scope::of(Call { request, identity, response: None });
    assert!(scope.body().is_ok(), "the body is JSON");
    scope
}

/// Loads and evaluates a case.
pub fn run(text: &str, scope: &Scope<'_>) -> Outcome {
    let Ok(expression) = Expression::compile(text, &Environment::default()) else { return Outcome::Refused };
    match expression.holds(scope) {
        Err(error) if error.is_exhaustion() => Outcome::Stopped,
        _ => Outcome::Ended,
    }
}
