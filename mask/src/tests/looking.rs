//! Detectors in JSON and in text, through the masker.

use super::*;

fn looking(field: &str, kinds: &[Kind], least: Confidence, method: Method) -> Arc<Rule> {
    let detectors = kinds.iter().map(|kind| Detector::Known(*kind)).collect();
    let detect = Detect::new(detectors, None, Detect::DEFAULT_WITHIN, least).unwrap();
    Arc::new(Rule::looking(FieldPath::parse(field).unwrap(), Arc::new(detect), method))
}

fn cards(field: &str) -> Arc<Rule> {
    looking(field, &[Kind::Card], Confidence::Medium, Method::redact())
}

fn run(rules: &[Arc<Rule>], format: Format, body: &str) -> Result<String, Unmaskable> {
    let plan = Arc::new(Plan::compile(rules, &key()));
    mask_with(&plan, format, Limits::default(), body.as_bytes())
        .map(|masked| String::from_utf8(masked).unwrap())
}

fn check_rules(rules: &[Arc<Rule>], table: &[(&str, &str)]) {
    for (body, expected) in table {
        assert_eq!(run(rules, Format::Json, body).as_deref(), Ok(*expected), "{body}");
    }
}

#[test]
fn strings_lose_what_is_found_and_keep_the_rest_as_it_was_written() {
    check_rules(
        &[cards("**")],
        &[
            (r#"{"a":"x 4111111111111111 y"}"#, r#"{"a":"x [card] y"}"#),
            (r#"["4111111111111111","4111111111111112"]"#, r#"["[card]","4111111111111112"]"#),
            (r#""4111111111111111""#, r#""[card]""#),
            (
                r#"{"a":"\u00e9\n\/ 4111 1111 1111 1111\t\ud83d\ude00"}"#,
                r#"{"a":"\u00e9\n\/ [card]\t\ud83d\ude00"}"#,
            ),
            (r#"{ "a" : [ "é 4111111111111111é" ] }"#, r#"{ "a" : [ "é [card]é" ] }"#),
            (r#"{"a":"\ud83d4111111111111111\ud83d"}"#, r#"{"a":"\ud83d[card]\ud83d"}"#),
            (r#"{"a":"\ud83d\ud83d\u0034111111111111111\ude00"}"#, r#"{"a":"\ud83d\ud83d[card]\ude00"}"#),
            (r#"{"4111111111111111":"x"}"#, r#"{"4111111111111111":"x"}"#),
            (r#"{"a":""}"#, r#"{"a":""}"#),
        ],
    );
}

#[test]
fn escapes_hide_nothing() {
    let body = |secret: &str| format!(r#"{{"a":"no. {secret}\\"}}"#);
    let written: String = "4111111111111111".bytes().map(|byte| format!("\\u{byte:04X}")).collect();
    let half: String = "4111 1111 1111 1111"
        .bytes()
        .enumerate()
        .map(|(i, byte)| if i % 2 == 0 { format!("\\u{byte:04x}") } else { char::from(byte).to_string() })
        .collect();
    for secret in [written, half, "4111\\u00201111\\u00201111\\u00201111".to_owned()] {
        assert_eq!(run(&[cards("**")], Format::Json, &body(&secret)).unwrap(), body("[card]"), "{secret}");
    }
}

#[test]
fn numbers_are_looked_at_as_what_they_mean() {
    check_rules(
        &[cards("**")],
        &[
            (r#"{"a":4111111111111111}"#, r#"{"a":"[card]"}"#),
            ("4111111111111111", r#""[card]""#),
            ("[-4111111111111111 , 5]", r#"["-[card]" , 5]"#),
            ("[4.111111111111111e15]", r#"["[card]"]"#),
            ("[4111111111111111.0,41111111111111110E-1]", r#"["[card].0","[card]"]"#),
            ("[0.4111111111111111,4111111111111112,1e400]", "[0.4111111111111111,4111111111111112,1e400]"),
        ],
    );
    let long = format!("[1{}]", "0".repeat(128));
    assert_eq!(run(&[cards("**")], Format::Json, &long).as_deref(), Ok(r#"["[number]"]"#));
    let fits = format!("[1{}]", "0".repeat(127));
    assert_eq!(run(&[cards("**")], Format::Json, &fits), Ok(fits));
    assert_eq!(run(&rules(&[("a", Method::Null)]), Format::Json, &long), Ok(long));
}

#[test]
fn a_name_tells_of_its_value() {
    let numbers = looking("**", &[Kind::Ssn, Kind::Phone], Confidence::High, Method::redact());
    check_rules(
        &[numbers],
        &[
            (r#"{"ssn":"219099999","id":"219099999"}"#, r#"{"ssn":"[ssn]","id":"219099999"}"#),
            (r#"{"a":{"userSsn":219099999}}"#, r#"{"a":{"userSsn":"[ssn]"}}"#),
            (r#"{"\u0073sn":["219099999"]}"#, r#"{"\u0073sn":["[ssn]"]}"#),
            (r#"{"mobilePhone":"4155552671"}"#, r#"{"mobilePhone":"[phone]"}"#),
        ],
    );
    let lines = "{\"ssn\":1}\n\"219099999\"\n";
    let rule = looking("**", &[Kind::Ssn], Confidence::High, Method::redact());
    assert_eq!(run(&[rule], Format::Ndjson, lines).as_deref(), Ok(lines));
}

#[test]
fn rules_look_where_they_say() {
    let card = "4111111111111111";
    let masked = |rules: &[Arc<Rule>], body: &str| {
        run(rules, Format::Json, &body.replace('C', card)).unwrap().replace(card, "C")
    };
    let body = r#"{"notes":"C","x":{"notes":["C",{"y":"C"}]},"z":"C"}"#;
    assert_eq!(
        masked(&[cards("notes")], body),
        r#"{"notes":"[card]","x":{"notes":["C",{"y":"C"}]},"z":"C"}"#
    );
    assert_eq!(
        masked(&[cards("**.notes")], body),
        r#"{"notes":"[card]","x":{"notes":["[card]",{"y":"[card]"}]},"z":"C"}"#
    );
    assert_eq!(
        masked(&[cards("x.**"), cards("z")], body),
        r#"{"notes":"C","x":{"notes":["[card]",{"y":"[card]"}]},"z":"[card]"}"#
    );
    let emails = looking("**", &[Kind::Email], Confidence::Medium, Method::Remove);
    assert_eq!(
        masked(&[cards("z"), emails], r#"{"z":"C a@b.cd","y":"C a@b.cd"}"#),
        r#"{"z":"[card] ","y":"C "}"#
    );
}

#[test]
fn a_field_rule_wins_over_detectors() {
    let mut list = rules(&[("a", Method::Last4), ("r", Method::Remove), ("n.**", Method::Null)]);
    list.push(cards("**"));
    check_rules(
        &list,
        &[
            (
                r#"{"a":"4111111111111111","b":"4111111111111111"}"#,
                r#"{"a":"************1111","b":"[card]"}"#,
            ),
            (r#"{"r":"4111111111111111","b":4111111111111111,"n":["x"]}"#, r#"{"b":"[card]","n":[null]}"#),
            (r#"{"r":{"q":4111111111111111},"r":2}"#, "{}"),
        ],
    );
}

#[test]
fn what_takes_a_values_place_is_escaped() {
    let quoted = Method::Redact { text: "\"\\\n".to_owned() };
    let rule = looking("**", &[Kind::Card], Confidence::Medium, quoted);
    check_rules(std::slice::from_ref(&rule), &[(r#"["x 4111111111111111"]"#, r#"["x \"\\\n"]"#)]);
    assert_eq!(run(&[rule], Format::Text, "x 4111111111111111").as_deref(), Ok("x \"\\\n"));
}

#[test]
fn lines_and_events_are_looked_into() {
    let rules = [cards("**")];
    let run = |format, body: &str| run(&rules, format, body).unwrap();
    assert_eq!(run(Format::Ndjson, "\"4111111111111111\"\n4111111111111111\n"), "\"[card]\"\n\"[card]\"\n");
    assert_eq!(run(Format::Sse, "data: {\"a\":\"4111111111111111\"}\n\n"), "data: {\"a\":\"[card]\"}\n\n");
}

#[test]
fn text_is_masked_by_detectors_alone() {
    let rules = [cards("**")];
    assert_eq!(run(&rules, Format::Text, "é 4111 1111 1111 1111 é").as_deref(), Ok("é [card] é"));
    assert_eq!(run(&rules, Format::Text, "").as_deref(), Ok(""));
    assert_eq!(run(&[], Format::Text, "4111111111111111").as_deref(), Ok("4111111111111111"));
    for fields in [vec![cards("notes")], rules_and(&rules, &[("a", Method::Null)])] {
        assert_eq!(run(&fields, Format::Text, "x"), Err(Unmaskable::FieldsInText));
        assert_eq!(run(&fields, Format::Text, ""), Err(Unmaskable::FieldsInText));
    }
}

#[test]
fn that_rules_do_not_fit_is_known_before_the_first_chunk() {
    let failure = |rules: &[Arc<Rule>]| {
        let plan = Arc::new(Plan::compile(rules, &key()));
        Masker::new(plan, Format::Text, Limits::default()).failure().cloned()
    };
    assert_eq!(failure(&[cards("notes")]), Some(Unmaskable::FieldsInText));
    assert_eq!(failure(&[cards("**")]), None);
}

fn rules_and(detecting: &[Arc<Rule>], fields: &[(&str, Method)]) -> Vec<Arc<Rule>> {
    [detecting.to_vec(), rules(fields)].concat()
}

#[test]
fn what_is_no_text_is_blocked() {
    let plan = Arc::new(Plan::compile(&[cards("**")], &key()));
    for body in [&b"4\x001\x001\x001"[..], b"\xff4\x001\x00", b"\xc3", b"a\xe9b", b"\xed\xa0\x80"] {
        let masked = mask_with(&plan, Format::Text, Limits::default(), body);
        assert_eq!(masked.unwrap_err().code(), "invalid_text", "{body:?}");
    }
}

#[test]
fn values_found_are_counted() {
    let plan = Arc::new(Plan::compile(&rules_and(&[cards("**")], &[("a", Method::Null)]), &key()));
    let mut masker = Masker::new(plan, Format::Json, Limits::default());
    let body = br#"{"a":1,"b":"4111111111111111, 378282246310005","c":4111111111111111,"d":"x"}"#;
    masker.push(body, &mut Vec::new()).unwrap();
    assert_eq!(masker.masked_fields(), 4);
}

#[test]
fn a_long_string_with_escapes_is_looked_into_as_it_arrives() {
    let plan = Arc::new(Plan::compile(&[cards("**")], &key()));
    let mut masker = Masker::new(plan, Format::Json, Limits::default());
    let mut out = Vec::new();
    masker.push(b"[\"", &mut out).unwrap();
    for i in 0..1_000 {
        masker.push(b"\\u0020\\u0034111111111111111 \\u00e9 and so on", &mut out).unwrap();
        // No more is held back than is looked at together.
        assert!(out.len() + 6 * 4_096 >= i * 30, "{} of {i}", out.len());
    }
    masker.push(b"\"]", &mut out).unwrap();
    masker.finish(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\\u0020[card] \\u00e9 and so on").count(), 1_000);
    assert!(!text.contains("4111") && !text.contains("\\u0034"));
}
