//! Strings that rules read as the JSON in them.

use super::*;

fn text(json: &str) -> String {
    serde_json::Value::String(json.to_owned()).to_string()
}

fn masked(list: &[(&str, Method)], body: &str) -> Result<String, &'static str> {
    let out = mask_with(&plan(list), Format::Json, Limits::default(), body.as_bytes());
    out.map(|out| String::from_utf8(out).unwrap()).map_err(|error| error.code())
}

#[test]
fn the_document_in_a_string_is_masked_and_stays_a_string() {
    let card = r#"{"card": {"number": "4111", "name": "A\"\\Ω\u00e9"}, "n": [1, 2]}"#;
    let last = r#"{"card": {"number": "[redacted]", "name": "A\"\\Ω\u00e9"}, "n": [1, 2]}"#;
    let rule = |field| [(field, Method::redact())];
    for (field, body, expected) in [
        (
            "p[json].card.number",
            format!("{{\"p\": {}, \"q\": 1}}", text(card)),
            format!("{{\"p\": {}, \"q\": 1}}", text(last)),
        ),
        // However the string is spelled.
        (
            "p[json].a",
            r#"{"p":"\u007b\"\u0061\":\u0022s\"}"}"#.to_owned(),
            r#"{"p":"{\"a\":\"[redacted]\"}"}"#.to_owned(),
        ),
        // Each element of an array of strings, and documents that are no objects.
        (
            "p[json].a",
            format!("{{\"p\":[{},{}]}}", text(r#"{"a":1}"#), text(r#"[{"a":1}]"#)),
            format!("{{\"p\":[{},{}]}}", text(r#"{"a":"[redacted]"}"#), text(r#"[{"a":"[redacted]"}]"#)),
        ),
        (
            "p[json]",
            format!("{{\"p\":{}}}", text("{\"a\":1}")),
            format!("{{\"p\":{}}}", text("\"[redacted]\"")),
        ),
        (
            "p[json].**",
            format!("{{\"p\":{}}}", text("[1,{\"a\":true}]")),
            format!("{{\"p\":{}}}", text("[\"[redacted]\",{\"a\":\"[redacted]\"}]")),
        ),
        (
            "p[json]",
            format!("{{\"p\":{}}}", text("\"secret\"")),
            format!("{{\"p\":{}}}", text("\"[redacted]\"")),
        ),
        // A document that is a string.
        ("[json].a", text(r#"{"a":1}"#), text(r#"{"a":"[redacted]"}"#)),
        (
            "p[json][json].a",
            format!("{{\"p\":{}}}", text(&text(r#"{"a":1}"#))),
            format!("{{\"p\":{}}}", text(&text(r#"{"a":"[redacted]"}"#))),
        ),
        (
            "p[json].q[json].a",
            format!("{{\"p\":{}}}", text(&format!("{{\"q\":{}}}", text(r#"{"a":1}"#)))),
            format!("{{\"p\":{}}}", text(&format!("{{\"q\":{}}}", text(r#"{"a":"[redacted]"}"#)))),
        ),
        (
            "p[json][1]",
            format!("{{\"p\":{}}}", text("[1,2,3]")),
            format!("{{\"p\":{}}}", text("[1,\"[redacted]\",3]")),
        ),
        // By siblings within the document, and around it.
        (
            r#"p[json].c[?t=="x"].n"#,
            format!("{{\"p\":{}}}", text(r#"{"c":[{"t":"x","n":1},{"t":"y","n":2}]}"#)),
            format!("{{\"p\":{}}}", text(r#"{"c":[{"t":"x","n":"[redacted]"},{"t":"y","n":2}]}"#)),
        ),
        (
            r#"e[?t=="x"].p[json].n"#,
            format!(
                "{{\"e\":[{{\"t\":\"x\",\"p\":{p}}},{{\"p\":\"no JSON\",\"t\":\"y\"}}]}}",
                p = text(r#"{"n":1}"#)
            ),
            format!(
                "{{\"e\":[{{\"t\":\"x\",\"p\":{p}}},{{\"p\":\"no JSON\",\"t\":\"y\"}}]}}",
                p = text(r#"{"n":"[redacted]"}"#)
            ),
        ),
    ] {
        assert_eq!(masked(&rule(field), &body).as_deref(), Ok(&*expected), "{field}");
    }
}

#[test]
fn a_value_that_is_no_string_counts_as_the_document_that_a_string_would_hold() {
    let rules =
        [("p[json].a", Method::Hash), ("q[json]", Method::redact()), ("r[json].**", Method::redact())];
    for (body, expected) in [
        (r#"{"p":{"b":1},"q":5,"r":[1]}"#, r#"{"p":{"b":1},"q":"[redacted]","r":["[redacted]"]}"#),
        (r#"{"p":null,"q":null,"r":null}"#, r#"{"p":null,"q":null,"r":null}"#),
        (r#"{"q":{"b":1},"r":true}"#, r#"{"q":"[redacted]","r":"[redacted]"}"#),
    ] {
        assert_eq!(masked(&rules, body).as_deref(), Ok(expected));
    }
    assert!(masked(&rules, r#"{"p":{"a":1}}"#).unwrap().contains("hmac:"));
}

#[test]
fn all_rules_see_the_document_where_the_string_stands() {
    let body = format!("{{\"p\":{},\"q\":\"no JSON\"}}", text(r#"{"a":1,"b":{"number":2}}"#));
    let list = [("p[json].a", Method::redact()), ("**.number", Method::Null), ("p.b.c", Method::Remove)];
    let expected = text(r#"{"a":"[redacted]","b":{"number":null}}"#);
    assert_eq!(masked(&list, &body), Ok(format!("{{\"p\":{expected},\"q\":\"no JSON\"}}")));
    // A rule on the string itself comes first; of two within it the stricter wins.
    let list = [("p", Method::redact()), ("p[json].a", Method::Remove)];
    assert_eq!(masked(&list, &body), Ok(r#"{"p":"[redacted]","q":"no JSON"}"#.to_owned()));
    let list = [("p[json].a", Method::Last4), ("p[json].*", Method::Remove)];
    assert_eq!(masked(&list, &body), Ok(r#"{"p":"{}","q":"no JSON"}"#.to_owned()));
}

#[test]
fn a_string_that_holds_no_json_can_not_be_masked_but_an_empty_one_holds_nothing() {
    let rules = [("p[json].a", Method::Hash)];
    for inner in ["{", "no", "{\"a\":1,}", "{\"a\":1} 2", "{\"a\":\"\u{1}\"}", "'", "[1", "\u{feff}{}"] {
        let got = masked(&rules, &format!("{{\"p\":{}}}", text(inner)));
        assert_eq!(got, Err("invalid_json_in_string"), "{inner}");
    }
    assert_eq!(masked(&rules, r#"{"p":"{\"b\":\"\ud800\"}"}"#), Err("invalid_json_in_string"));
    for body in [r#"{"p":""}"#, r#"{"p":" \n"}"#, r#"{"q":"{"}"#, r#"{"p":"{\"b\":\"\\ud800\"}"}"#] {
        assert_eq!(masked(&rules, body).as_deref(), Ok(body));
    }
    for body in [r#"{"p":"{\"b\":1}"#, r#"{"p":"{\"b\":1}\x"}"#] {
        assert_eq!(masked(&rules, body), Err("invalid_json"), "{body}");
    }
}

#[test]
fn depth_counts_through_strings_and_strings_in_strings_have_a_limit() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let limits = Limits { depth: 20, ..Limits::default() };
    let rules = plan(&[("p[json].a", Method::Hash)]);
    let mask = |depth| {
        let body = format!("{{\"p\":{}}}", text(&nested(depth)));
        mask_with(&rules, Format::Json, limits, body.as_bytes()).map_err(|error| error.code())
    };
    assert!(mask(18).is_ok());
    assert_eq!(mask(19), Err("too_deep"));

    let within = |levels: usize| {
        (0..levels).fold("{\"a\":1}".to_owned(), |json, _| format!("{{\"p\":{}}}", text(&json)))
    };
    let rules = [("**.p[json].a", Method::redact())];
    assert!(masked(&rules, &within(4)).unwrap().contains("[redacted]"));
    assert_eq!(masked(&rules, &within(5)), Err("too_deep"));
}

#[test]
fn detectors_look_into_the_values_of_the_document() {
    let detect = Arc::new(Detect::known(&[Kind::Card]).unwrap());
    let list = [
        Arc::new(Rule::looking(FieldPath::everything(), detect, Method::redact())),
        Arc::new(Rule::new(FieldPath::parse("p[json].x").unwrap(), Method::Null)),
    ];
    let plan = Arc::new(Plan::compile(&list, &key()));
    let body =
        format!("{{\"p\":{}}}", text(r#"{"card":4111111111111111,"x":1,"t":"card \u0034111111111111111"}"#));
    let got = mask_with(&plan, Format::Json, Limits::default(), body.as_bytes()).unwrap();
    let expected = format!("{{\"p\":{}}}", text(r#"{"card":"[card]","x":null,"t":"card [card]"}"#));
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[test]
fn fields_of_forms_and_lines_hold_documents_too() {
    let list = plan(&[("p[json].a", Method::redact())]);
    let form = |body: &str| {
        let out = mask_with(&list, Format::Form, Limits::default(), body.as_bytes());
        out.map(|out| String::from_utf8(out).unwrap()).map_err(|error| error.code())
    };
    assert_eq!(
        form("b=1&p=%7B%22a%22%3A1%2C%22b%22:2%7D&c=3").as_deref(),
        Ok("b=1&p=%7B%22a%22%3A%22%5Bredacted%5D%22%2C%22b%22%3A2%7D&c=3")
    );
    assert_eq!(form("p=&q=x").as_deref(), Ok("p=&q=x"));
    assert_eq!(form("p=%7B"), Err("invalid_json_in_string"));
    assert_eq!(form("p=%7B%2"), Err("invalid_form"));
    let lines = "{\"p\":\"{\\\"a\\\":1}\"}\n{\"p\":\"\"}\n{\"p\":\"{\\\"a\\\":2}\"}\n";
    let out = mask_with(&list, Format::Ndjson, Limits::default(), lines.as_bytes()).unwrap();
    let line = "{\"p\":\"{\\\"a\\\":\\\"[redacted]\\\"}\"}\n";
    assert_eq!(String::from_utf8(out).unwrap(), format!("{line}{{\"p\":\"\"}}\n{line}"));
}

#[test]
fn what_is_masked_is_counted() {
    let body = format!("{{\"p\":{},\"a\":1}}", text(r#"{"a":1,"b":[{"a":2}]}"#));
    let mut masker = Masker::new(
        plan(&[("**.a", Method::redact()), ("p[json].b.a", Method::Null)]),
        Format::Json,
        Limits::default(),
    );
    masker.push(body.as_bytes(), &mut Vec::new()).unwrap();
    masker.finish(&mut Vec::new()).unwrap();
    assert_eq!(masker.masked_fields(), 3);
}
