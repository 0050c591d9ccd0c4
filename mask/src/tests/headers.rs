//! Values of headers and trailers.

use super::*;

const CARD: &str = "4111111111111111";

fn header(names: &str, method: Method) -> Arc<Rule> {
    Arc::new(Rule::of_headers(Part::Header(HeaderNames::parse(names).unwrap()), method))
}

fn trailer(names: &str, method: Method) -> Arc<Rule> {
    Arc::new(Rule::of_headers(Part::Trailer(HeaderNames::parse(names).unwrap()), method))
}

fn looking(rule: &Arc<Rule>, kinds: &[Kind]) -> Arc<Rule> {
    Arc::new(Rule { detect: Some(Arc::new(Detect::known(kinds).unwrap())), ..(**rule).clone() })
}

/// What becomes of a value: `same`, `gone` or its new text.
fn masked(rules: &[Arc<Rule>], section: Section, name: &str, value: impl AsRef<[u8]>) -> String {
    match HeaderPlan::compile(rules, &key()).mask(section, name, value.as_ref()) {
        None => "same".to_owned(),
        Some(MaskedHeader { value: None, .. }) => "gone".to_owned(),
        Some(MaskedHeader { value: Some(value), .. }) => String::from_utf8(value).unwrap(),
    }
}

fn of_headers(rules: &[Arc<Rule>], name: &str, value: impl AsRef<[u8]>) -> String {
    masked(rules, Section::Headers, name, value)
}

#[test]
fn every_method_for_texts_takes_a_value_whole() {
    let hash = of_headers(&[header("x-id", Method::Hash)], "x-id", "ana");
    let in_a_body = mask(&[("a", Method::Hash)], "{\"a\":\"ana\"}").unwrap();
    assert_eq!(in_a_body, format!("{{\"a\":\"{hash}\"}}"), "a header joins with a field");
    for (method, value, expected) in [
        (Method::Remove, "secret", "gone"),
        (Method::redact(), "secret", "[redacted]"),
        (Method::Redact { text: "é".into() }, "secret", "é"),
        (Method::Last4, "account-123456", "**********3456"),
        (Method::Partial { first: 2, last: 1 }, "account-123456", "ac***********6"),
        (Method::Bucket(Bucket::Width(100)), "1234", "1200-1300"),
        (Method::Bucket(Bucket::Width(100)), "many", "[redacted]"),
    ] {
        assert_eq!(of_headers(&[header("x-id", method.clone())], "x-id", value), expected, "{method:?}");
    }
}

#[test]
fn the_strictest_rule_decides_whatever_the_order() {
    let rules = [
        header("x-id", Method::Last4),
        header("x-*", Method::Hash),
        header("*", Method::redact()),
        looking(&header("x-id", Method::Remove), &[Kind::Card]),
    ];
    let reversed: Vec<_> = rules.iter().rev().cloned().collect();
    for rules in [&rules[..], &reversed] {
        assert_eq!(of_headers(rules, "x-id", "account-123456"), "[redacted]");
    }
    let whole = [header("x-id", Method::Last4), looking(&header("*", Method::redact()), &[Kind::Card])];
    assert_eq!(of_headers(&whole, "x-id", CARD), "************1111", "a rule on the value comes first");
    assert_eq!(of_headers(&whole, "x-other", CARD), "[card]");
}

#[test]
fn rules_are_about_headers_or_trailers_and_about_both_where_they_are_one() {
    let rules = [header("x-a", Method::redact()), trailer("x-b", Method::redact())];
    for (section, a, b) in [
        (Section::Headers, "[redacted]", "same"),
        (Section::Trailers, "same", "[redacted]"),
        (Section::Both, "[redacted]", "[redacted]"),
    ] {
        assert_eq!(masked(&rules, section, "x-a", "1"), a, "{section:?}");
        assert_eq!(masked(&rules, section, "x-b", "1"), b, "{section:?}");
    }
    let names = |rules: &[Arc<Rule>]| HeaderPlan::compile(rules, &key()).names_trailers();
    assert!(names(&rules) && !names(&rules[..1]));
    assert_eq!(of_headers(&[header("*", Method::Remove)], "content-length", "5"), "same");
}

#[test]
fn detectors_look_into_values_through_percent_escapes() {
    let rules = [looking(&header("location", Method::redact()), &[Kind::Email, Kind::Card])];
    for (value, expected) in [
        ("/users?mail=ana@example.com&x=%20", "/users?mail=[email]&x=%20"),
        ("/users?mail=ana%40example.com&x=%20%c3%a9", "/users?mail=[email]&x=%20%c3%a9"),
        ("/%61na@example.com/%zz%2", "/[email]/%zz%2"),
        ("/pay/%34111111111111111?to=ana@example.com", "/pay/[card]?to=[email]"),
        ("/plain%20path", "same"),
        ("", "same"),
    ] {
        assert_eq!(of_headers(&rules, "location", value), expected, "{value}");
    }
    let text = Method::Redact { text: "a b%é".into() };
    let rules = [looking(&header("location", text), &[Kind::Email])];
    assert_eq!(of_headers(&rules, "location", "/?m=ana%40example.com"), "/?m=a%20b%25%C3%A9");
    let rules = [looking(&header("location", Method::Last4), &[Kind::Card])];
    assert_eq!(of_headers(&rules, "location", format!("/{CARD}/a")), "/************1111/a");
    let rules = [looking(&header("location", Method::Remove), &[Kind::Card])];
    assert_eq!(of_headers(&rules, "location", format!("/{CARD}/a")), "//a");
}

#[test]
fn what_is_found_is_counted() {
    let plan = HeaderPlan::compile(&[looking(&header("*", Method::redact()), &[Kind::Email])], &key());
    let taken = |value: &str| plan.mask(Section::Headers, "x", value.as_bytes()).map(|masked| masked.taken);
    assert_eq!(taken("a@example.com, b%40example.com, c@example.com"), Some(3));
    assert_eq!(taken("nobody"), None);
}

#[test]
fn what_can_not_be_read_is_redacted_whole_or_goes() {
    let bytes = b"ana \xff\xfe";
    for (method, expected) in [
        (Method::Remove, "gone"),
        (Method::Last4, "[redacted]"),
        (Method::Hash, "[redacted]"),
        (Method::Redact { text: "x".into() }, "x"),
    ] {
        assert_eq!(of_headers(&[header("x", method)], "x", bytes), expected);
    }
    let rules = [looking(&header("x", Method::Last4), &[Kind::Card])];
    assert_eq!(of_headers(&rules, "x", bytes), "[redacted]");
    assert_eq!(of_headers(&rules, "x", "%004%001"), "[redacted]", "zeros between the letters");
    for text in ["a\r\nset-cookie: b", "a\nb", "a\0"] {
        let rules = [header("x", Method::Redact { text: text.into() })];
        assert_eq!(of_headers(&rules, "x", "1"), "[redacted]", "a replacement that ends the header");
    }
    for rule in [trailer("*", Method::Last4), looking(&trailer("*", Method::redact()), &[Kind::Card])] {
        let gone = masked(&[rule], Section::Trailers, "grpc-status-details-bin", "CAUSBG5vcGU");
        assert_eq!(gone, "gone", "bytes in base64");
    }
}

#[test]
fn the_message_of_grpc_is_masked_decoded_and_written_encoded() {
    let name = "grpc-message";
    let of_trailers = |rule: Arc<Rule>, value: &str| masked(&[rule], Section::Trailers, name, value);
    let message = "no user caf%C3%A9 %ana%40example.com";
    let email = looking(&trailer(name, Method::Redact { text: "é x".into() }), &[Kind::Email]);
    assert_eq!(of_trailers(email, message), "no user caf%C3%A9 %%C3%A9 x");
    let partial = trailer(name, Method::Partial { first: 0, last: 2 });
    assert_eq!(of_trailers(partial, "caf%C3%A9 %C3%A9%25"), "*****%C3%A9%25");
    let hash = of_trailers(trailer(name, Method::Hash), "caf%C3%A9");
    assert_eq!(hash, of_trailers(trailer(name, Method::Hash), "café"), "the value counts, not its spelling");
    // What looks everywhere in a body looks here too; what names fields doesn't.
    let everywhere = Rule::looking(
        FieldPath::everything(),
        Arc::new(Detect::known(&[Kind::Email]).unwrap()),
        Method::redact(),
    );
    let in_a_field = Rule { field: FieldPath::parse("note").unwrap(), ..everywhere.clone() };
    assert_eq!(of_trailers(Arc::new(everywhere.clone()), message), "no user caf%C3%A9 %[email]");
    assert_eq!(of_trailers(Arc::new(in_a_field), message), "same");
    assert_eq!(masked(&[Arc::new(everywhere)], Section::Trailers, "x-note", message), "same");
}

#[test]
fn a_body_is_masked_by_no_rule_about_headers() {
    let rules = [header("*", Method::Remove), looking(&trailer("*", Method::redact()), &[Kind::Card])];
    let plan = Arc::new(Plan::compile(&rules, &key()));
    let body = format!("{{\"a\":\"{CARD}\"}}");
    let masked = mask_with(&plan, Format::Json, Limits::default(), body.as_bytes());
    assert_eq!(masked, Ok(body.into_bytes()));
    let pass = Arc::new(Rule {
        on_unmaskable: OnUnmaskable::Pass,
        ..Rule::new(FieldPath::parse("a").unwrap(), Method::Hash)
    });
    assert_eq!(OnUnmaskable::of(&[rules[0].clone(), pass]), OnUnmaskable::Pass, "nor is it blocked by one");
}
