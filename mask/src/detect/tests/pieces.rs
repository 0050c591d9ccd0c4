//! Going over a text in pieces: the same whatever the pieces, bounded in memory and work, and with nothing of a value left.

use proptest::prelude::*;

use super::found::LOOKED_AT;
use super::*;

const SECRETS: [(&str, &str); 12] = [
    ("card", "4111 1111 1111 1111"),
    ("card", "378282246310005"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("ssn", "219-09-9999"),
    ("email", "alice@example.com"),
    ("phone", "+44 20 7946 0958"),
    ("ip", "2001:db8:85a3::8a2e:370:7334"),
    ("ip", "192.168.0.1"),
    ("jwt", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpM"),
    ("api_key", "AKIAIOSFODNN7EXAMPLE"),
    ("private_key", "-----BEGIN PRIVATE KEY-----\nMIIEvQ==\n-----END PRIVATE KEY-----"),
    ("employee", "EMP-123456"),
];

fn everything() -> Vec<(Detect, Method)> {
    let mut detectors: Vec<_> = Kind::ALL.iter().map(|kind| Detector::Known(*kind)).collect();
    detectors.push(Detector::Pattern {
        name: "employee".to_owned(),
        pattern: Pattern::new(r"\bEMP-[0-9]{6}\b").unwrap(),
    });
    let detect = Detect::new(detectors, None, Detect::DEFAULT_WITHIN, Confidence::Medium).unwrap();
    vec![(detect, Method::redact())]
}

/// Rules of every method, so that values that overlap differ.
fn mixed() -> Vec<(Detect, Method)> {
    let words = Words::new(vec!["alice".to_owned(), "example.com".to_owned()]).unwrap();
    let words = Detector::Words { name: "names".to_owned(), words };
    let words = Detect::new(vec![words], None, 40, Confidence::Medium).unwrap();
    vec![
        (known(&[Kind::Card, Kind::Phone], Confidence::Low), Method::Hash),
        (known(&[Kind::Email, Kind::Ip], Confidence::Low), Method::Last4),
        (known(&[Kind::ApiKey, Kind::Jwt], Confidence::Low), Method::Remove),
        (known(&[Kind::Ssn, Kind::Iban, Kind::PrivateKey], Confidence::Low), Method::redact()),
        (words, Method::Hash),
    ]
}

fn cut<'t>(text: &'t [u8], cuts: &[usize]) -> Vec<&'t [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn same_in_pieces(rules: &[(Detect, Method)], text: &str, cuts: &[usize]) -> String {
    let mut finder = finder(rules);
    let whole = mask_pieces(&mut finder, [text.as_bytes()]);
    assert_eq!(mask_pieces(&mut finder, cut(text.as_bytes(), cuts)), whole, "{text:?} cut at {cuts:?}");
    assert_eq!(mask_pieces(&mut finder, text.as_bytes().chunks(1)), whole, "{text:?} byte by byte");
    whole
}

/// Signs of which many values are made.
fn noise() -> impl Strategy<Value = String> {
    let signs = "0123456789 -.:@+()/_=eyJkABCDEF\n\u{a0}é邮";
    let part = prop_oneof![
        4 => prop::sample::select(signs.chars().map(String::from).collect::<Vec<_>>()),
        1 => prop::sample::select(SECRETS.map(|(_, secret)| secret.to_owned()).to_vec()),
        1 => prop::sample::select(vec!["-----END ", "-----", "card ", "eyJ", "ghp_", "4111", "::", "xoxb-0123456789"])
            .prop_map(str::to_owned),
        1 => (1usize..700).prop_map(|length| "x".repeat(length)),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pieces_do_not_matter(text in noise(), cuts: [usize; 4]) {
        same_in_pieces(&everything(), &text, &cuts);
        same_in_pieces(&mixed(), &text, &cuts);
    }

    #[test]
    fn what_is_called_clear_is(text in noise()) {
        for rules in [everything(), mixed()] {
            let mut finder = finder(&rules);
            let masked = mask_pieces(&mut finder, [text.as_bytes()]);
            prop_assert_eq!(finder.is_clear(text.as_bytes()), finder.masked() == 0, "{:?} to {:?}", text, masked);
        }
    }

    #[test]
    fn values_are_found_wherever_they_stand(
        fill in prop::collection::vec(("[a-zA-Zé ,;\n]{0,400}", 0usize..SECRETS.len()), 1..8),
        cuts: [usize; 6],
    ) {
        let (mut text, mut expected) = (String::new(), String::new());
        for (before, secret) in &fill {
            let (name, secret) = SECRETS[*secret];
            // A sign at each side that goes on no value.
            text.push_str(&format!("{before}; {secret}; "));
            expected.push_str(&format!("{before}; [{name}]; "));
        }
        // Words such as `tel` may stand in what is random, but say nothing of what is certain anyway.
        prop_assert_eq!(same_in_pieces(&everything(), &text, &cuts), expected);
    }
}

#[test]
fn values_that_overlap_are_taken_together() {
    let rule = |kinds: &[Kind], method: Method| (known(kinds, Confidence::Low), method);
    let (email, card, ip) = (&[Kind::Email][..], &[Kind::Card][..], &[Kind::Ip][..]);
    let text = "x 4111111111111111@example.com y";
    let table = [
        (vec![rule(email, Method::redact()), rule(card, Method::redact())], "x [card] y"),
        (vec![rule(card, Method::redact()), rule(email, Method::redact())], "x [card] y"),
        (vec![rule(email, Method::Last4), rule(card, Method::Hash)], "x [card] y"),
        (vec![rule(email, Method::Remove), rule(card, Method::Hash)], "x  y"),
        (vec![rule(email, Method::Last4), rule(card, Method::Last4)], "x ************************.com y"),
        (vec![rule(ip, Method::redact())], text),
    ];
    for (rules, expected) in table {
        assert_eq!(same_in_pieces(&rules, text, &[7, 20]), expected);
    }
}

#[test]
fn methods_apply_to_the_value_alone() {
    let rule = |method: Method| vec![(known(&[Kind::Card], Confidence::Medium), method)];
    let text = "pay 4111 1111 1111 1111 now";
    assert_eq!(same_in_pieces(&rule(Method::Last4), text, &[9]), "pay ***************1111 now");
    assert_eq!(same_in_pieces(&rule(Method::Remove), text, &[9]), "pay  now");
    let custom = Method::Redact { text: "\"X\"\n".to_owned() };
    assert_eq!(same_in_pieces(&rule(custom), text, &[9]), "pay \"X\"\n now");
    let mut digest = key().digest();
    digest.update(b"4111 1111 1111 1111");
    assert_eq!(same_in_pieces(&rule(Method::Hash), text, &[9]), format!("pay {} now", digest.text()));
}

#[test]
fn words_near_make_certain() {
    let near = |words: &[&str], within| {
        let pattern = Detector::Pattern { name: "id".to_owned(), pattern: Pattern::new("[0-9]{6}").unwrap() };
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        vec![(Detect::new(vec![pattern], Some(words), within, Confidence::Medium).unwrap(), Method::redact())]
    };
    let table = [
        ("staff 123456", "staff [id]"),
        ("Staff: 123456, 654321", "Staff: [id], 654321"),
        ("123456 is staff", "[id] is staff"),
        ("123456 is no member of staff", "123456 is no member of staff"),
        ("staffing 123456", "staffing 123456"),
        ("staff1 123456", "staff1 [id]"),
    ];
    for (text, expected) in table {
        assert_eq!(same_in_pieces(&near(&["staff"], 10), text, &[3]), expected);
    }
    // What the text is called counts as if it stood beside each value.
    let mut finder = finder(&near(&["staff"], 10));
    finder.name = b"staffNumber".to_vec();
    assert!(!finder.is_clear(b"123456"));
    assert_eq!(mask_pieces(&mut finder, [&b"no. 123456"[..]]), "no. [id]");
}

#[test]
fn word_lists_find_whole_words() {
    let words = ["York", "New York", "Ärger", "x-ray"].map(str::to_owned).to_vec();
    let words = Detector::Words { name: "w".to_owned(), words: Words::new(words).unwrap() };
    let rules = [(Detect::new(vec![words], None, 0, Confidence::Medium).unwrap(), Method::redact())];
    let table = [
        ("new YORK, york", "[w], [w]"),
        ("Yorker New Yorker", "Yorker New Yorker"),
        ("x-rays X-Ray", "x-rays [w]"),
        ("Ärger! _york_ york1", "[w]! _york_ york1"),
    ];
    for (text, expected) in table {
        assert_eq!(same_in_pieces(&rules, text, &[5, 6]), expected);
    }
}

#[test]
fn patterns_that_are_not_bounded_are_refused() {
    let refused = |source: &str| Pattern::new(source).unwrap_err().to_string();
    assert_eq!(refused("a*"), "the pattern matches the empty text");
    assert_eq!(refused(r"\b"), "the pattern matches the empty text");
    assert_eq!(refused(""), "the pattern matches the empty text");
    assert!(refused("a+").contains("no longest length"));
    assert_eq!(refused("a{513}"), "what the pattern matches may take 513 bytes, and 512 is the most");
    assert!(refused("(").starts_with("the pattern can't be read: "), "{}", refused("("));
    assert!(refused(r"(?:\pL{100}){5}").contains("may take"), "{}", refused(r"(?:\pL{100}){5}"));
    assert!(refused(r"\pL{128}").contains("too large"));
    assert!(Words::new(vec![]).is_err());
    assert!(Words::new(vec!["a".to_owned()]).is_err());
    assert!(Detect::known(&[]).is_err());
    assert!(Detect::new(vec![Detector::Known(Kind::Card)], None, 129, Confidence::Low).is_err());
    let spaced = Detector::Pattern { name: "a b".to_owned(), pattern: Pattern::new("a").unwrap() };
    assert!(Detect::new(vec![spaced], None, 0, Confidence::Low).is_err());
}

#[test]
fn a_pattern_sees_what_is_around_its_match() {
    let pattern = |source: &str| {
        let pattern = Detector::Pattern { name: "p".to_owned(), pattern: Pattern::new(source).unwrap() };
        vec![(Detect::new(vec![pattern], None, 0, Confidence::Medium).unwrap(), Method::redact())]
    };
    let filler = "é".repeat(3_000);
    let text = format!("ab{filler} ab {filler}ab");
    for (source, count) in [("^ab", 1), ("ab$", 1), (r"\bab\b", 1), ("ab", 3), ("éa", 1), ("(?i)AB é", 1)] {
        let masked = same_in_pieces(&pattern(source), &text, &[1, 6_002, 6_005]);
        assert_eq!(masked.matches("[p]").count(), count, "{source}");
    }
}

/// Texts that make detectors look again and again.
fn tedious() -> Vec<String> {
    let parts = [
        "eyJ-",
        "a@",
        "a@a.",
        "1 ",
        "1-",
        "4111 ",
        "12:",
        "a:",
        "::",
        "1.",
        "+1",
        "(1",
        "DE11",
        "DE11 ",
        "ghp_",
        "AKIA",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "AccountKey=",
        "x",
        "eyJaaaaaaaaaaaa.",
        "8Q~",
        "xoxb-0123456789",
        "123456789 ",
        "é",
        "+1 415 555 2671 ",
    ];
    parts.iter().map(|part| part.repeat(120_000 / part.len())).collect()
}

#[test]
fn no_text_makes_a_detector_look_at_it_more_than_so_often() {
    for text in tedious() {
        let mut finder = finder(&everything());
        let mut kept = 0;
        LOOKED_AT.with(|sum| sum.set(0));
        for piece in text.as_bytes().chunks(777) {
            finder.push(piece, &mut |_| {});
            kept = kept.max(finder.kept());
        }
        finder.finish(&mut |_| {});
        let asked = LOOKED_AT.with(std::cell::Cell::get);
        assert!(kept <= 40 << 10, "{} bytes are kept of {:?}", kept, &text[..20]);
        assert!(asked <= 600 * text.len(), "{} bytes are looked at of {:?}", asked / text.len(), &text[..20]);
    }
}
