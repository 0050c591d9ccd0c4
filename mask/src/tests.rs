//! The masker as a whole: tables of small documents, then properties against a reference over `serde_json::Value`.

use super::*;

mod encoded;
mod filters;
mod forms;
mod grammar;
mod grpc;
mod guarded;
mod headers;
mod looking;
mod memory;
mod properties;
mod streams;
mod texts;
mod widths;

fn rules(rules: &[(&str, Method)]) -> Vec<Arc<Rule>> {
    let rule = |(field, method): &(&str, Method)| {
        Arc::new(Rule::new(FieldPath::parse(field).unwrap(), method.clone()))
    };
    rules.iter().map(rule).collect()
}

fn plan(list: &[(&str, Method)]) -> Arc<Plan> {
    Arc::new(Plan::compile(&rules(list), &key()))
}

fn key() -> HashKey {
    HashKey::new(&[7; 32]).unwrap()
}

/// Masks the body given in those chunks.
fn mask_chunks<'c>(
    plan: &Arc<Plan>,
    format: Format,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<u8>, Unmaskable> {
    let mut masker = Masker::new(plan.clone(), format, limits);
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

/// Masks a body whole, in every two chunks and byte by byte; all must agree, also about failing.
fn mask_with(plan: &Arc<Plan>, format: Format, limits: Limits, body: &[u8]) -> Result<Vec<u8>, Unmaskable> {
    let whole = mask_chunks(plan, format, limits, [body]);
    let cuts =
        (0..=body.len()).map(|cut| mask_chunks(plan, format, limits, [&body[..cut], &[], &body[cut..]]));
    let single = mask_chunks(plan, format, limits, body.chunks(1));
    for other in cuts.chain([single]) {
        match (&whole, other) {
            (Ok(whole), Ok(other)) => {
                assert_eq!(String::from_utf8_lossy(&other), String::from_utf8_lossy(whole));
            }
            (Err(whole), Err(other)) => assert_eq!(whole.code(), other.code()),
            (whole, other) => panic!("whole {whole:?}, cut {other:?}: {}", String::from_utf8_lossy(body)),
        }
    }
    whole
}

fn mask(list: &[(&str, Method)], body: &str) -> Result<String, Unmaskable> {
    let masked = mask_with(&plan(list), Format::Json, Limits::default(), body.as_bytes())?;
    Ok(String::from_utf8(masked).unwrap())
}

fn check(list: &[(&str, Method)], body: &str, expected: &str) {
    assert_eq!(mask(list, body).as_deref(), Ok(expected), "{list:?} on {body}");
}

#[test]
fn only_the_masked_values_change() {
    let redact = [("a", Method::redact())];
    check(&redact, r#"{"a":1}"#, r#"{"a":"[redacted]"}"#);
    check(
        &redact,
        "\t{ \"a\" :\r\n 1 , \"b\":[1e5,-0.0,\"\\u00e9\\/\"] }\n",
        "\t{ \"a\" :\r\n \"[redacted]\" , \"b\":[1e5,-0.0,\"\\u00e9\\/\"] }\n",
    );
    check(&redact, r#"{"a":{"b":[1,{"c":"}]"}]},"d":{"a":1}}"#, r#"{"a":"[redacted]","d":{"a":1}}"#);
    check(
        &redact,
        r#"{"a":"x","a":null,"a":[],"A":1}"#,
        r#"{"a":"[redacted]","a":null,"a":"[redacted]","A":1}"#,
    );
    check(&redact, r#"[[{"a":true}],{"b":{"a":1}}]"#, r#"[[{"a":"[redacted]"}],{"b":{"a":1}}]"#);
    check(&[], r#" {"a":[1,"x"]} "#, r#" {"a":[1,"x"]} "#);
    check(&[("**", Method::redact())], "17", "\"[redacted]\"");
    check(&[("**", Method::Null)], r#"{"a":[1,"x",null],"b":{}}"#, r#"{"a":[null,null,null],"b":{}}"#);
    check(&[("a.**", Method::redact())], r#"{"a":{"b":[1]},"c":1}"#, r#"{"a":{"b":["[redacted]"]},"c":1}"#);
    let text = Method::Redact { text: "a\"\\\n€".to_owned() };
    check(&[("a", text)], r#"{"a":1}"#, r#"{"a":"a\"\\\n€"}"#);
}

#[test]
fn names_are_compared_decoded() {
    let list =
        [("email", Method::Null), ("\"a.b\"", Method::Null), ("😀", Method::Null), ("\"\"", Method::Null)];
    // A quoted emoji, since bare names are letters and digits.
    let list = [list[0].clone(), list[1].clone(), ("\"😀\"", Method::Null), list[3].clone()];
    check(
        &list,
        r#"{"\u0065mail":1,"emai\u006C":2,"email":3}"#,
        r#"{"\u0065mail":null,"emai\u006C":null,"email":null}"#,
    );
    check(
        &list,
        r#"{"a\u002eb":1,"\ud83d\ude00":2,"😀":3,"":4}"#,
        r#"{"a\u002eb":null,"\ud83d\ude00":null,"😀":null,"":null}"#,
    );
    check(
        &list,
        r#"{"email\u0000":1,"\ud83d":2,"\ude00\ud83d":3}"#,
        r#"{"email\u0000":1,"\ud83d":2,"\ude00\ud83d":3}"#,
    );
}

#[test]
fn removing_takes_the_comma() {
    let list = [("x", Method::Remove), ("l.*", Method::Remove), ("y.**", Method::Remove)];
    let table = [
        (r#"{"x":1}"#, "{}"),
        (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":2,"x":1}"#, r#"{"a":2}"#),
        (r#"{"a":1,"x":[{"q":1}],"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"x":1,"x":2,"a":3,"x":4,"x":null}"#, r#"{"a":3}"#),
        ("{\n  \"x\": 1,\n  \"a\": 2\n}", "{\n  \"a\": 2\n}"),
        ("{\n  \"a\": 2,\n  \"x\": 1\n}", "{\n  \"a\": 2\n}"),
        (r#"{"l":[1,[2],{"x":3}],"a":[]}"#, r#"{"l":[],"a":[]}"#),
        (r#"{"y":[1,[2,{"q":null}],"s"],"a":{}}"#, r#"{"y":[[{}]],"a":{}}"#),
        (r#"[{"x":1},{},[ ],{"a" : {"x":1} }]"#, r#"[{},{},[ ],{"a" : {"x":1} }]"#),
    ];
    for (body, expected) in table {
        check(&list, body, expected);
    }
    check(&[("**", Method::Remove)], "\"whole\" ", "null ");
    check(&[("x", Method::Remove), ("*", Method::Hash)], r#"{"x":"a"}"#, "{}");
}

#[test]
fn last4_shows_a_third_at_most() {
    let list = [("a", Method::Last4)];
    let table = [
        (r#"{"a":"4111111111111234"}"#, r#"{"a":"************1234"}"#),
        (r#"{"a":4111111111111234}"#, r#"{"a":"************1234"}"#),
        (r#"{"a":-12.5e7}"#, r#"{"a":"*****e7"}"#),
        (r#"{"a":"abc"}"#, r#"{"a":"**c"}"#),
        (r#"{"a":""}"#, r#"{"a":""}"#),
        (r#"{"a":true}"#, r#"{"a":"****"}"#),
        (r#"{"a":["4111111111111234"]}"#, r#"{"a":"****"}"#),
        (r#"{"a":"--------\u00e9\"\\\n"}"#, "{\"a\":\"********é\\\"\\\\\\n\"}"),
        (r#"{"a":"ééééééééé😀\ud83d\ude00\ud83d"}"#, r#"{"a":"********é😀😀\ud83d"}"#),
        (r#"{"a":null}"#, r#"{"a":null}"#),
    ];
    for (body, expected) in table {
        check(&list, body, expected);
    }
}

#[test]
fn partial_shows_the_ends_and_a_third_at_most() {
    let list = [("a", Method::Partial { first: 2, last: 3 })];
    let table = [
        (r#"{"a":"+49 170 1234567"}"#, r#"{"a":"+4**********567"}"#),
        (r#"{"a":"ab\u00e9\u00e9\"xyzyx"}"#, r#"{"a":"*******zyx"}"#),
        (r#"{"a":123456789012345}"#, r#"{"a":"12**********345"}"#),
        (r#"{"a":false}"#, r#"{"a":"****"}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":"****"}"#),
    ];
    for (body, expected) in table {
        check(&list, body, expected);
    }
    // However much is asked for, a bounded part is shown.
    let all = [("a", Method::Partial { first: 255, last: 255 })];
    let long = "x".repeat(1_000);
    let masked = mask_chunks(
        &plan(&all),
        Format::Json,
        Limits::default(),
        [format!("{{\"a\":\"{long}\"}}").as_bytes()],
    );
    let shown = String::from_utf8(masked.unwrap()).unwrap().matches('x').count();
    assert_eq!(shown, 2 * usize::from(Method::MAX_SHOWN));
}

#[test]
fn keep_type_says_nothing_but_the_type() {
    let list = [("a", Method::KeepType)];
    let table = [
        (r#"{"a":17.5}"#, r#"{"a":0}"#),
        (r#"{"a":"x"}"#, r#"{"a":""}"#),
        (r#"{"a":true}"#, r#"{"a":false}"#),
        (r#"{"a":[1,{"b":2}]}"#, r#"{"a":[]}"#),
        (r#"{"a":{"b":[2]}}"#, r#"{"a":{}}"#),
        (r#"{"a":null}"#, r#"{"a":null}"#),
    ];
    for (body, expected) in table {
        check(&list, body, expected);
    }
    check(&[("**", Method::KeepType)], r#"[1,["x",{"b":true}]]"#, r#"[0,["",{"b":false}]]"#);
}

#[test]
fn buckets_show_a_range_or_nothing() {
    let width = [("a", Method::Bucket(Bucket::Width(100)))];
    let table = [
        (r#"{"a":1234.5}"#, r#"{"a":"1200-1300"}"#),
        (r#"{"a":"-7"}"#, r#"{"a":"-100-0"}"#),
        (r#"{"a":"\u0031\u0032"}"#, r#"{"a":"0-100"}"#),
        (r#"{"a":1e3}"#, r#"{"a":"[redacted]"}"#),
        (r#"{"a":"12 apples"}"#, r#"{"a":"[redacted]"}"#),
        (r#"{"a":true}"#, r#"{"a":"[redacted]"}"#),
        (r#"{"a":[12]}"#, r#"{"a":"[redacted]"}"#),
    ];
    for (body, expected) in table {
        check(&width, body, expected);
    }
    check(&width, &format!("{{\"a\":0.{}}}", "1".repeat(200)), r#"{"a":"[redacted]"}"#);
    let month = [("a", Method::Bucket(Bucket::Date(DateUnit::Month)))];
    check(&month, r#"{"a":"2026-11-21T10:00:00Z"}"#, r#"{"a":"2026-11"}"#);
    check(&month, r#"{"a":"2026-11-31"}"#, r#"{"a":"[redacted]"}"#);
    check(&month, r#"{"a":20261121}"#, r#"{"a":"[redacted]"}"#);
    let edges = [("a", Method::Bucket(Bucket::Edges(vec![18, 65])))];
    check(&edges, r#"[{"a":17},{"a":18},{"a":99}]"#, r#"[{"a":"<18"},{"a":"18-65"},{"a":">=65"}]"#);
}

#[test]
fn hashes_agree_where_documented() {
    let hash = |value: &str| mask(&[("a", Method::Hash)], &format!("{{\"a\":{value}}}")).unwrap();
    assert!(hash("1").starts_with(&format!("{{\"a\":\"hmac:{}:", key().id())));
    let equal = [
        (r#""5""#, "5"),
        (r#""\u0035""#, r#""5""#),
        (r#""\ud83d\ude00""#, r#""😀""#),
        (r#"{"k" : [ 1, "x y" , {} ] }"#, r#"{"k":[1,"x y",{}]}"#),
        ("true", r#""true""#),
    ];
    for (one, other) in equal {
        assert_eq!(hash(one), hash(other), "{one} {other}");
    }
    let different =
        [("1", "1.0"), (r#"["ab","c"]"#, r#"["a","bc"]"#), ("[1,2]", "[12]"), (r#""x y""#, r#""xy""#)];
    for (one, other) in different {
        assert_ne!(hash(one), hash(other), "{one} {other}");
    }
}

#[test]
fn masked_ancestors_and_stricter_rules_win() {
    let list =
        [("a", Method::Last4), ("a.b", Method::Remove), ("**.c", Method::Hash), ("d.c", Method::redact())];
    check(&list, r#"{"a":{"b":1},"d":{"c":1}}"#, r#"{"a":"****","d":{"c":"[redacted]"}}"#);
}

#[test]
fn an_error_says_where_and_what() {
    assert_eq!(
        mask(&[], "[1,\n x]").unwrap_err().to_string(),
        "invalid JSON at byte 5: a value was expected"
    );
}

#[test]
fn limits_hold_for_every_chunking() {
    let limits = Limits {
        depth: 3,
        key_bytes: 4,
        token_bytes: 16,
        filter_bytes: 24,
        event_bytes: 40,
        ..Limits::default()
    };
    let run = |list: &[(&str, Method)], format, body: &str| {
        mask_with(&plan(list), format, limits, body.as_bytes()).map_err(|error| error.code())
    };
    let list = [("**.x", Method::Remove)];
    assert!(run(&list, Format::Json, "[[[1]]]").is_ok());
    assert_eq!(run(&list, Format::Json, "[[[[1]]]]"), Err("too_deep"));
    assert_eq!(run(&[], Format::Json, "[[[[1]]]]"), Err("too_deep"));
    assert!(run(&list, Format::Json, r#"{"abcd":1}"#).is_ok());
    assert!(run(&list, Format::Json, r#"{"\u0061bcd":1}"#).is_ok());
    assert_eq!(run(&list, Format::Json, r#"{"abcde":1}"#), Err("key_too_long"));
    assert!(
        run(&[("x", Method::Null)], Format::Json, r#"{"y":{"abcdef":1}}"#).is_ok(),
        "no rule reads that name"
    );
    assert!(run(&list, Format::Json, "[1,               2]").is_ok());
    assert_eq!(run(&list, Format::Json, "[1,                2]"), Err("token_too_long"));
    let long = format!("{{\"x\":\"{0}\",\"y\":\"{0}\"}}", "v".repeat(500));
    assert!(run(&list, Format::Json, &long).is_ok(), "values are not held");
    assert!(run(&list, Format::Sse, &format!("data: \"{}\"\n\n", "v".repeat(31))).is_ok());
    assert_eq!(run(&list, Format::Sse, &format!("data: \"{}\"\n\n", "v".repeat(32))), Err("event_too_long"));
    assert_eq!(run(&list, Format::Sse, &"data:1\n".repeat(7)), Err("event_too_long"));
}

#[test]
fn a_failed_masker_stays_failed_and_silent() {
    let mut masker = Masker::new(plan(&[("a", Method::Null)]), Format::Json, Limits::default());
    let mut out = Vec::new();
    masker.push(b"[1,", &mut out).unwrap();
    let error = masker.push(b"2,{\"a\":3},x", &mut out).unwrap_err();
    assert_eq!(out, b"[1,");
    assert_eq!(masker.push(b"4]", &mut out), Err(error.clone()));
    assert_eq!(masker.finish(&mut out), Err(error));
    assert_eq!(out, b"[1,");
}

#[test]
fn finishing_twice_is_finishing_once() {
    let mut masker = Masker::new(plan(&[("**", Method::Hash)]), Format::Json, Limits::default());
    let mut out = Vec::new();
    masker.push(b"12", &mut out).unwrap();
    masker.finish(&mut out).unwrap();
    let once = out.clone();
    masker.finish(&mut out).unwrap();
    masker.push(b"", &mut out).unwrap();
    assert_eq!(out, once);
    assert_eq!(masker.masked_fields(), 1);
    assert_eq!(masker.push(b" ", &mut out), Err(Unmaskable::AfterEnd));
    assert_eq!(masker.finish(&mut out), Err(Unmaskable::AfterEnd));
}

#[test]
fn nothing_that_could_be_masked_leaves_early() {
    let mut masker =
        Masker::new(plan(&[("a", Method::redact()), ("b", Method::Remove)]), Format::Json, Limits::default());
    let mut out = Vec::new();
    for (chunk, so_far) in [
        ("{\"a\":\"sec", r#"{"a":"#),
        ("ret\"", r#"{"a":"[redacted]""#),
        (" , \"b", r#"{"a":"[redacted]" "#),
        ("\": [", r#"{"a":"[redacted]" "#),
        ("1],\"c\":", r#"{"a":"[redacted]" "#),
        ("\"pla", r#"{"a":"[redacted]" ,"c":"pla"#),
        ("in\"}", r#"{"a":"[redacted]" ,"c":"plain"}"#),
    ] {
        masker.push(chunk.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), so_far, "after {chunk}");
    }
    assert_eq!(masker.masked_fields(), 2);
}
