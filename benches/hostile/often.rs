//! Operations that cost more than they look, done for each of many elements.

use super::{Case, case, numbers};

pub fn cases() -> Vec<Case> {
    [headers(), letters(), conversions(), errors()].into_iter().flatten().collect()
}

/// Headers: 2,000 of them, among them a long one and one that is not text.
fn headers() -> Vec<Case> {
    let often = |test: &str| format!("{}.all(x, {test})", numbers(1_200));
    vec![
        case("a long header is there, often", often("has(request.headers.long)")),
        case("a long header, often", often("request.headers.long != ''")),
        case("a header that is not text, often", often("request.headers.bad != '' || true")),
        case("a header that is not there, often", often("request.headers.nope == '' || true")),
        case("a field of all headers, often", {
            format!("cel.bind(h, request.headers, {})", often("!has(h.nope)"))
        }),
        case("an optional field of all headers, often", {
            format!("cel.bind(h, request.headers, {})", often("h.?nope.orValue('') == ''"))
        }),
        case("a long field of all headers, often", {
            format!("cel.bind(h, request.headers, {})", often("h['long'] != ''"))
        }),
        case("how many headers, often", often("size(request.headers) > 0")),
        case("all headers, often", often("request.headers.all(h, true)")),
        case("all headers are all headers", "request.headers == request.headers"),
        case("a long host, often", often("request.host != ''")),
        case("a method of gRPC, often", often("grpc.service != '' || true")),
    ]
}

/// What goes over a text letter by letter.
fn letters() -> Vec<Case> {
    let often = |test: &str| format!("request.body.items.all(a, {test})");
    let periodic = "a".repeat(3_000);
    vec![
        case("reverse, often", often("request.body.half.reverse() != ''")),
        case("reverse of a long text", "request.body.text.reverse() != ''"),
        case("trim, often", often("request.body.blank.trim() == ''")),
        case("quote, often", often("strings.quote(request.body.half) != ''")),
        case("quote of accents", often("strings.quote(request.body.accents) != ''")),
        case("size of a text, often", often("size(request.body.text) > 0")),
        case("size of accents, often", often("size(request.body.accents) > 0")),
        case("lastIndexOf, often", often("request.body.text.lastIndexOf('ccc') < 0")),
        case("indexOf what almost fits", often(&format!("request.body.as.indexOf('{periodic}b') < 0"))),
        case("contains what almost fits", often(&format!("!request.body.as.contains('{periodic}b')"))),
        case("contains, often", often("!request.body.text.contains('abababbb!')")),
        case("charAt, often", often("request.body.accents.charAt(9000) != ''")),
        case("substring, often", often("request.body.accents.substring(9000, 9001) != ''")),
        case("indexOf accents, often", often("request.body.accents.indexOf('x', 9000) < 0")),
        case("replace, often", often("request.body.half.replace('a', 'b') != ''")),
        case("replace of nothing, often", often("request.body.half.replace('', 'b') != ''")),
        case("replace of little", often("request.body.text.replace('bbbbbb', '') != ''")),
        case("split, often", often("request.body.small.split('a').size() > 0")),
        case("split of little", often("request.body.text.split('bbbbbb', 2).size() > 0")),
        case("join, often", often("request.body.small.split('').join('-') != ''")),
        case("join of what was made", "request.body.items.map(a, a.name + '!').join(',') != ''"),
        case("Base64, often", often("base64.encode(bytes(request.body.half)) != ''")),
        case("Base64 and back", often("base64.decode(base64.encode(bytes(request.body.small))) != b''")),
        case("format of a long text", often("'%s%s'.format([request.body.small, request.body.small]) != ''")),
        case("hexadecimal, often", often("'%x'.format([request.body.half]) != ''")),
        case("many clauses", often(&format!("'{}'.format(request.body.items) != ''", "%s".repeat(500)))),
        case("copies in upper case", often("request.body.half.upperAscii().lowerAscii() != ''")),
        case("concatenation, often", often("request.body.half + request.body.half != ''")),
        case("order of long texts", often("request.body.half <= request.body.half")),
        case("bytes of a text and back", often("string(bytes(request.body.accents)) != ''")),
        case("sort of texts", "request.body.items.map(a, a.name).sort().size() > 0"),
        case("distinct texts", "request.body.items.map(a, a.name + string(a.n)).distinct().size() > 0"),
        case("a text among texts", "request.body.items.all(a, !(a.name in ['a', 'b', 'c', 'd', 'e', 'f']))"),
    ]
}

/// Numbers, times and addresses from and to texts.
fn conversions() -> Vec<Case> {
    let often = |test: &str| format!("request.body.items.all(a, {test})");
    let halfway = format!("9007199254740993.{}1", "0".repeat(700));
    let small = format!("0.{}1", "0".repeat(300));
    vec![
        case("100 digits of a large double", often("'%.100f'.format([dyn(1e308)]) != ''")),
        case("100 digits of a small double", often("'%.100e'.format([dyn(5e-324)]) != ''")),
        case("6 digits of doubles", often("'%f %e'.format([double(a.n) / 7.0, double(a.n) / 3.0]) != ''")),
        case("17 digits of doubles", often("'%.16f'.format([double(a.n) / 7000000.0]) != ''")),
        case("text of doubles", often("string(double(a.n) / 7.0) != ''")),
        case("text of a small double", often("string(dyn(5e-324)) != ''")),
        case("text of a double hard to shorten", often("string(dyn(9007199254740993e-300)) != ''")),
        case("a double of 700 digits", often(&format!("double(dyn('{halfway}')) > 0.0"))),
        case("a double of 300 zeros", often(&format!("double(dyn('{small}')) < 1.0"))),
        case("a double of 19 digits", often("double(dyn('9007199254740993e-30')) > 0.0")),
        case("texts of numbers", often("string(a.n) != ''")),
        case("numbers of texts", often("int(string(a.n)) == a.n")),
        case("binary", often("'%b %x %o'.format([a.n, a.n, a.n]) != ''")),
        case("texts of times", often("string(timestamp(int(a.n))) != ''")),
        case("times of texts", often("timestamp(dyn('2026-11-21T07:30:15.25Z')) != timestamp(0)")),
        case("hours in a zone", often("timestamp(int(a.n) * 86400).getHours('America/New_York') >= 0")),
        case("days of the year", often("timestamp(int(a.n) * 86400).getDayOfYear() >= 0")),
        case("durations of texts", often("duration(dyn('1h30m15.123456789s')) != duration('1s')")),
        case("texts of durations", often("string(duration('1.123456789s')) != ''")),
        case("addresses", often("isIP('2001:db8:0:1:2:3:4:' + string(a.n))")),
        case("texts of addresses", often("string(ip('2001:db8:0:1:2:3:4:5')) != ''")),
        case("networks", often("!cidr('10.0.0.0/8').containsIP(dyn('2001:db8:0:1:2:3:4:5'))")),
        case("canonical addresses", often("ip.isCanonical('2001:db8:0:1:2:3:4:5')")),
        case("square roots", often("math.sqrt(a.n) >= 0.0")),
        case("the greatest of many", often("math.greatest(request.body.numbers) >= 0")),
    ]
}

/// Errors that something goes on after, and short ways past them.
fn errors() -> Vec<Case> {
    let often = |test: &str| format!("request.body.items.exists(a, {test})");
    let path = ".a".repeat(80);
    vec![
        case("a key that is not there, often", often("a.nope == 1")),
        case("an index that is not there, often", often("request.body.items[a.n + 10000] == 1")),
        case("a key by a number, often", often("request.body.wide[a.n] == 1")),
        case("an order of unlike things, often", often("a < 1")),
        case("a function of unlike things, often", often("dyn(a).startsWith('x')")),
        case("divisions by zero", often("1 / (a.n - a.n) == 1")),
        case("conversions that fail", often("int(a.name) == 1")),
        case("times that fail", often("timestamp(a.name) == timestamp(0)")),
        case("alternatives that fail", often("(a.x == 1 || a.y == 1 || a.z == 1) && a.w == 1")),
        case("templates that fail", often("'%d'.format([a.name]) == ''")),
        case("fields that are not there", often("has(a.x) || has(a.y) || has(a.z)")),
        case("attributes that are not there", often("has(response.code) || has(response.headers.x)")),
        case("optional fields", often("a.?x.?y.?z.orValue(0) == 1")),
        case("optional fields that are there", often("a.?n.optMap(n, n + 1).orValue(0) == -1")),
        case("a deep field, often", often(&format!("request.body.nest{path} == 'x'"))),
        case("a deep field that may be there, often", often(&format!("has(request.body.nest{path})"))),
        case("a deep list, often", often(&format!("'x' in request.body.nest{path}"))),
        case("a long name, often", often(&format!("request.body.wide['{}'] == 1", "k".repeat(7_000)))),
        case("a name among many, often", often("'key4999x' in request.body.wide")),
        case("each key by its name", "request.body.wide.all(k, request.body.wide[k] >= 0)"),
        case("each pair, made anew", "request.body.wide.transformMap(k, v, v).size() > 0"),
        case("maps that are made", often("{'a': a.n, 'b': a.n, 'c': a.n}.c == -1")),
        case("lists that are made", often("[a.n, a.n, a.n, a.n][3] == -1")),
        case("names that are bound", often("cel.bind(b, a.n, cel.bind(c, b, cel.bind(d, c, d == -1)))")),
        case("sums", often("a.n + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 == -1")),
    ]
}
