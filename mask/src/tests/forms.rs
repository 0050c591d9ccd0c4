//! Forms.

use proptest::prelude::*;

use super::*;

fn form(list: &[(&str, Method)], body: &str) -> Result<String, &'static str> {
    let masked = mask_with(&plan(list), Format::Form, Limits::default(), body.as_bytes());
    masked.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.code())
}

#[test]
fn values_are_masked_by_every_method_and_the_rest_stays_as_it_is() {
    let table = [
        (Method::redact(), "a=1&card=%5Bredacted%5D&b=%zz+é"),
        (Method::Redact { text: "é *".to_owned() }, "a=1&card=%C3%A9+*&b=%zz+é"),
        (Method::Null, "a=1&card=&b=%zz+é"),
        (Method::Remove, "a=1&b=%zz+é"),
        (Method::Last4, "a=1&card=**************5+1%26&b=%zz+é"),
    ];
    for (method, expected) in table {
        let got = form(&[("card", method)], "a=1&card=4929+%338170562%385+1%26&b=%zz+é");
        assert_eq!(got.as_deref(), Ok(expected));
    }
    let hash = form(&[("card", Method::Hash)], "card=a%62c").unwrap();
    assert_eq!(form(&[("card", Method::Hash)], "card=abc").unwrap(), hash);
    assert_ne!(form(&[("card", Method::Hash)], "card=abd").unwrap(), hash);
}

#[test]
fn removing_takes_the_separator() {
    let table = [
        ("r=1", ""),
        ("r=1&a=2", "a=2"),
        ("a=2&r=1", "a=2"),
        ("r=1&r=2&a=3&r=4&b=5&r=6", "a=3&b=5"),
        ("&r=1&", "&"),
        ("a=1&&b=2&", "a=1&&b=2&"),
        ("", ""),
        ("&", "&"),
    ];
    for (body, expected) in table {
        assert_eq!(form(&[("r", Method::Remove)], body).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn a_field_is_found_in_every_reading_of_its_name() {
    let table = [
        ("card", "card=S", true),
        ("card", "%63a%72d=S", true),
        ("card", "Card=S", false),
        ("card", "card[number]=S", true),
        ("card.number", "card[number]=S", true),
        ("card.number", "card%5Bnumber%5D=S", true),
        ("card.number", "card.number=S", true),
        ("card.number", "card[0][number]=S", true),
        ("cards.*.number", "cards[0][number]=S", true),
        ("cards.*", "cards[]=S", true),
        ("cards.*", "cards=S", true),
        ("**.number", "a[b][c][number]=S", true),
        ("**.number", "number=S", true),
        ("**", "x=S", true),
        ("*", "x=S", true),
        ("\"card[number]\"", "card[number]=S", true),
        ("\"card.number\"", "card.number=S", true),
        ("\"first name\"", "first+name=S", true),
        ("card.number", "card[other]=S", false),
        ("card.number", "number=S", false),
        ("number", "card[number]=S", false),
        ("é", "%C3%A9=S", true),
    ];
    for (field, body, masked) in table {
        let expected = if masked { body.replace('S', "%5Bredacted%5D") } else { body.to_owned() };
        assert_eq!(form(&[(field, Method::redact())], body).as_deref(), Ok(&*expected), "{field}: {body}");
    }
}

#[test]
fn the_strictest_reading_decides() {
    let rules = [("card", Method::Last4), ("card.number", Method::Remove)];
    assert_eq!(form(&rules, "card[number]=1&card[x]=1234567890123").as_deref(), Ok("card[x]=*********0123"));
}

#[test]
fn what_readers_would_repair_differently_is_blocked() {
    for body in [
        "card",
        "a=1&card&b=2",
        "{\"card\":\"4929381705628341\"}",
        "{\"card\":\"49=29\"}",
        "a=1;card=2",
        "a=1\ncard=2",
        "a=1\r\n",
        "a =1",
        "c%61rd%=1",
        "c%6=1",
        "%zz=1",
        "card=%4",
        "card=%4x",
        "%ff=1",
        "a%00b=1",
        "é=1",
        "card=%ff",
        "card=%c3",
    ] {
        assert_eq!(form(&[("card", Method::Last4)], body), Err("invalid_form"), "{body}");
    }
}

#[test]
fn detectors_look_into_decoded_values() {
    let rule = |field: &str| {
        let detect =
            Detect::new(vec![Detector::Known(Kind::Card)], None, Detect::DEFAULT_WITHIN, Confidence::Medium)
                .unwrap();
        let field = FieldPath::parse(field).unwrap();
        Arc::new(Rule::looking(field, Arc::new(detect), Method::redact()))
    };
    let run = |field: &str, body: &str| {
        let plan = Arc::new(Plan::compile(&[rule(field)], &key()));
        let masked = mask_with(&plan, Format::Form, Limits::default(), body.as_bytes());
        masked.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.code())
    };
    let body = "note=paid+%34111+1111+1111+1111%21&x=4111111111111111";
    assert_eq!(run("**", body).as_deref(), Ok("note=paid+%5Bcard%5D%21&x=%5Bcard%5D"));
    assert_eq!(run("note", body).as_deref(), Ok("note=paid+%5Bcard%5D%21&x=4111111111111111"));
    assert_eq!(run("**", "note=%ff"), Err("invalid_form"));
    assert_eq!(run("**", "note=%4"), Err("invalid_form"));
}

#[test]
fn long_names_are_blocked_and_long_values_are_not() {
    let limits = Limits { key_bytes: 4, token_bytes: 12, ..Limits::default() };
    let run = |body: &str| {
        let masked = mask_with(&plan(&[("card", Method::Null)]), Format::Form, limits, body.as_bytes());
        masked.map(|bytes| String::from_utf8(bytes).unwrap()).map_err(|error| error.code())
    };
    let long = "x".repeat(500);
    assert_eq!(run(&format!("card={long}&b={long}")), Ok(format!("card=&b={long}")));
    assert_eq!(run("%63%61%72%64=1").as_deref(), Ok("%63%61%72%64="));
    assert_eq!(run("cards=1"), Err("key_too_long"));
    assert_eq!(run("%63%61%72%641=1"), Err("token_too_long"));
}

proptest! {
    #[test]
    fn every_pair_is_read_as_it_was_written(
        pairs in prop::collection::vec(("[a-d\\[\\]. é&=%+;]{0,6}", "\\PC{0,8}"), 0..6), remove: bool,
    ) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let method = if remove { Method::Remove } else { Method::Null };
        let masked = form(&[("a", method)], &body).unwrap();
        let takes = |name: &str| {
            name.split(['[', ']', '.']).find(|step| !step.is_empty()) == Some("a") || name == "a"
        };
        let expected: Vec<(String, String)> = pairs
            .into_iter()
            .filter(|(name, _)| !(remove && takes(name)))
            .map(|(name, value)| if takes(&name) { (name, String::new()) } else { (name, value) })
            .collect();
        let got: Vec<_> = form_urlencoded::parse(masked.as_bytes()).into_owned().collect();
        prop_assert_eq!(got, expected);
    }
}
