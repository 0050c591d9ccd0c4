//! What must hold for every body. Each check takes an input: two bytes that choose rules and cuts, then the body. Used by
//! the fuzz targets, and by the tests with the kept corpus.

#![allow(dead_code, reason = "each target has its own check")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a check that does not hold panics"
)]

use std::sync::{Arc, OnceLock};

use portcullis_mask::{
    Confidence, Detect, Detector, Encoding, FieldPath, Format, Framing, Grpc, HashKey, Kind, Limits, Masker,
    Method, Pattern, Plan, Rule, Schema, UnknownFields, Unmaskable, Words,
};
use serde::de::IgnoredAny;
use serde_json::Value;

const REDACTED: &str = "[redacted]";

/// One JSON document: what is refused is what serde_json refuses; what is masked is what a walk over its values masks.
pub fn json(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = field_rules(choice);
    let masked = same_in_pieces(&rules, Format::Json, cuts, body);
    let text = std::str::from_utf8(body).ok();
    let valid = text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let Some(masked) = within_limits(masked) else { return };
    assert_eq!(masked.is_ok(), valid, "{masked:?}");
    let (Ok(masked), Some(text)) = (masked, text) else { return };
    if rules.is_empty() {
        assert_eq!(masked, body);
    }
    // The same document in a string.
    let outer = serde_json::json!({"p": text}).to_string();
    let in_string = same_in_pieces(&in_strings(&rules), Format::Json, cuts, outer.as_bytes());
    if let Some(in_string) = within_limits(in_string) {
        let in_string: Value = serde_json::from_slice(&in_string.unwrap()).unwrap();
        assert_eq!(in_string["p"].as_str().map(str::as_bytes), Some(&masked[..]));
    }
    // Values that serde_json can't build (deep, or lone surrogates) are compared by the masker's own tests.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        assert_eq!(masked, walk(value, choice).unwrap_or(Value::Null));
    }
}

/// Lines of JSON: masked as each alone is.
pub fn ndjson(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = [field_rules(choice), detect_rules(choice)].concat();
    let masked = same_in_pieces(&rules, Format::Ndjson, cuts, body);
    let Some(Ok(masked)) = within_limits(masked) else { return };
    let lines = body.split(|byte| *byte == b'\n').zip(masked.split(|byte| *byte == b'\n'));
    for (line, masked) in lines.filter(|(line, _)| !line.iter().all(|byte| b" \t\r".contains(byte))) {
        assert_eq!(mask(&rules, Format::Json, [line]).unwrap(), masked);
    }
}

/// Events: the same whatever the pieces.
pub fn sse(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = [field_rules(choice), detect_rules(choice)].concat();
    let masked = same_in_pieces(&rules, Format::Sse, cuts, body);
    if let Some(Ok(masked)) = within_limits(masked) {
        // What comes out is an event stream of JSON again, in which nothing more is to be masked.
        assert!(mask(&[], Format::Sse, [&masked[..]]).is_ok());
    }
}

/// Plain text: refused when it is no text, and the same whatever the pieces.
pub fn text(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let masked = same_in_pieces(&detect_rules(choice), Format::Text, cuts, body);
    assert_eq!(masked.is_ok(), std::str::from_utf8(body).is_ok() && !body.contains(&0));
    if let Ok(masked) = masked {
        assert!(std::str::from_utf8(&masked).is_ok());
    }
}

/// A string in JSON, with escapes and without, is masked as the same text is.
pub fn detect(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let Some(text) = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0')) else { return };
    let rules = detect_rules(choice);
    let expected = String::from_utf8(mask(&rules, Format::Text, [body]).unwrap()).unwrap();
    let escaped: String = text
        .chars()
        .enumerate()
        .flat_map(|(i, c)| {
            let plain = !c.is_control() && !matches!(c, '"' | '\\');
            let escapes = usize::from(cuts) >> (i % 8) & 1 == 1 || !plain;
            let units: Vec<u16> = c.encode_utf16(&mut [0; 2]).to_vec();
            if escapes { units.iter().map(|unit| format!("\\u{unit:04x}")).collect() } else { c.to_string() }
                .chars()
                .collect::<Vec<_>>()
        })
        .collect();
    for string in [format!("\"{escaped}\""), serde_json::to_string(text).unwrap()] {
        // A name that is nobody's word for a value.
        let object = format!("{{\"q\":[{string}]}}");
        let masked = same_in_pieces(&rules, Format::Json, cuts, object.as_bytes()).unwrap();
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        assert_eq!(masked["q"][0], expected.as_str(), "{text:?}");
    }
}

/// Forms: the same whatever the pieces, and what no rule takes stays as it is.
pub fn form(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = [field_rules(choice), detect_rules(choice)].concat();
    let masked = same_in_pieces(&rules, Format::Form, cuts, body);
    if let Some(Ok(masked)) = within_limits(masked) {
        assert!(!rules.is_empty() || masked == body);
        assert!(mask(&[], Format::Form, [&masked[..]]).is_ok(), "what comes out is no form");
    }
}

/// gRPC messages: the same whatever the pieces, and messages again.
pub fn grpc(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let framing = [Framing::Grpc, Framing::Web, Framing::WebText][usize::from(cuts % 3)];
    let unknown_fields =
        [UnknownFields::Drop, UnknownFields::Pass, UnknownFields::Block][usize::from(cuts / 3 % 3)];
    let Some(message) = schema().message("shop.Order") else { return };
    let call = Grpc { framing, message, encoding: Some(Encoding::Gzip), unknown_fields };
    let rules =
        [field_rules(choice), detect_rules(choice), vec![rule("**.number", None, Method::Hash)]].concat();
    let run = |chunks: Vec<&[u8]>| {
        let mut masker = Masker::grpc(plan(&rules), &call, Limits::default());
        push_all(&mut masker, chunks)
    };
    let masked = agree(run(vec![body]), [run(body.chunks(usize::from(cuts % 16) + 1).collect())]);
    if let Ok(masked) = masked {
        assert!(run(vec![&masked]).is_ok(), "what comes out are no messages");
    }
}

/// Encoded bodies: whatever the bytes are, they are decoded or refused, alike in pieces.
pub fn coding(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let encodings = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];
    let encoding = encodings[usize::from(cuts % 4)];
    let limits = Limits::default();
    let run = |chunks: Vec<&[u8]>| {
        let masker = Masker::new(plan(&field_rules(choice)), Format::Json, limits);
        push_all(&mut masker.in_encoding(encoding, &limits)?, chunks)
    };
    let (whole, single) = (run(vec![body]), run(body.chunks(usize::from(cuts % 16) + 1).collect()));
    // The same bytes may be encoded in more than one way.
    assert_eq!(whole.is_ok(), single.is_ok(), "{whole:?}, in pieces {single:?}");
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mask/src/tests");
        let set = protox::compile(["shop.proto"], [folder]).unwrap();
        Schema::decode(&prost::Message::encode_to_vec(&set)).unwrap()
    })
}

fn parts(input: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (head, body) = input.split_at_checked(2)?;
    Some((head[0], head[1], body))
}

fn mask<'c>(
    rules: &[Arc<Rule>],
    format: Format,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<u8>, Unmaskable> {
    push_all(&mut Masker::new(plan(rules), format, Limits::default()), chunks)
}

fn plan(rules: &[Arc<Rule>]) -> Arc<Plan> {
    Arc::new(Plan::compile(rules, &HashKey::new(&[7; 32]).unwrap()))
}

fn push_all<'c>(
    masker: &mut Masker,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<u8>, Unmaskable> {
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

/// The masked body, after it was compared with what comes out of pieces of one size, and of two pieces.
fn same_in_pieces(rules: &[Arc<Rule>], format: Format, cuts: u8, body: &[u8]) -> Result<Vec<u8>, Unmaskable> {
    let whole = mask(rules, format, [body]);
    let size = usize::from(cuts % 16) + 1;
    let (one, two) = body.split_at(usize::from(cuts) * body.len() / 256);
    agree(whole, [mask(rules, format, body.chunks(size)), mask(rules, format, [one, &[], two])])
}

/// The first result, if all the others are like it.
fn agree<const N: usize>(
    whole: Result<Vec<u8>, Unmaskable>,
    others: [Result<Vec<u8>, Unmaskable>; N],
) -> Result<Vec<u8>, Unmaskable> {
    for other in others {
        match (&whole, other) {
            (Ok(whole), Ok(other)) => {
                assert_eq!(String::from_utf8_lossy(&other), String::from_utf8_lossy(whole))
            }
            (Err(whole), Err(other)) => assert_eq!(whole.code(), other.code()),
            (whole, other) => panic!("whole {whole:?}, in pieces {other:?}"),
        }
    }
    whole
}

/// `None` for a body that is larger than what is kept in memory.
fn within_limits(masked: Result<Vec<u8>, Unmaskable>) -> Option<Result<Vec<u8>, Unmaskable>> {
    use Unmaskable::{EventTooLong, KeyTooLong, TokenTooLong, TooDeep};
    match masked {
        Err(TooDeep { .. } | KeyTooLong { .. } | TokenTooLong { .. } | EventTooLong { .. }) => None,
        masked => Some(masked),
    }
}

fn rule(field: &str, detect: Option<Detect>, method: Method) -> Arc<Rule> {
    Arc::new(Rule { detect: detect.map(Arc::new), ..Rule::new(FieldPath::parse(field).unwrap(), method) })
}

/// By bits: `a` anywhere is redacted, `b` anywhere is removed, the leaves below `c` at the top are made null.
fn field_rules(choice: u8) -> Vec<Arc<Rule>> {
    let all = [
        rule("**.a", None, Method::redact()),
        rule("**.b", None, Method::Remove),
        rule("c.**", None, Method::Null),
    ];
    all.into_iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1).map(|(_, rule)| rule).collect()
}

/// The same rules about what is in the strings `p`.
fn in_strings(rules: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
    let in_string = |rule: &Arc<Rule>| {
        let field = FieldPath::parse(&format!("p[json].{}", rule.field)).unwrap();
        Arc::new(Rule { field, ..(**rule).clone() })
    };
    rules.iter().map(in_string).collect()
}

/// What the field rules make of a value; `None` when it is removed.
fn walk(value: Value, choice: u8) -> Option<Value> {
    let has = |bit: u8| choice >> bit & 1 == 1;
    /// `top` while only arrays are around the value, `below_c` once it is below a `c` at the top.
    fn visit(value: Value, top: bool, below_c: bool, has: &dyn Fn(u8) -> bool) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| visit(item, top, below_c, has)).collect(),
            Value::Object(members) => {
                let members = members.into_iter().filter(|(name, _)| !(has(1) && name == "b"));
                let mask = |(name, value): (String, Value)| {
                    let below_c = below_c || top && name == "c";
                    let is_leaf = !value.is_array() && !value.is_object();
                    let masked = match value {
                        Value::Null => Value::Null,
                        _ if has(2) && below_c && is_leaf => Value::Null,
                        _ if has(0) && name == "a" => REDACTED.into(),
                        value => visit(value, false, below_c, has),
                    };
                    (name, masked)
                };
                Value::Object(members.map(mask).collect())
            }
            _ if has(2) && below_c => Value::Null,
            scalar => scalar,
        }
    }
    Some(visit(value, true, false, &has))
}

/// Some detectors by the higher bits, with methods of all kinds.
fn detect_rules(choice: u8) -> Vec<Arc<Rule>> {
    static ALL: OnceLock<[Arc<Rule>; 5]> = OnceLock::new();
    // Made once: to compile a pattern takes as long as a hundred bodies.
    let all = ALL.get_or_init(all_detect_rules).iter().enumerate();
    all.filter(|(i, _)| choice >> (i + 3) & 1 == 1).map(|(_, rule)| rule.clone()).collect()
}

fn all_detect_rules() -> [Arc<Rule>; 5] {
    let known = |kinds: &[Kind], least| {
        let detectors = kinds.iter().map(|kind| Detector::Known(*kind)).collect();
        Detect::new(detectors, None, 40, least).unwrap()
    };
    let pattern =
        Detector::Pattern { name: "p".to_owned(), pattern: Pattern::new(r"\bE[0-9]{3,6}\b|é.").unwrap() };
    let words = Words::new(vec!["alice".to_owned(), "é9".to_owned()]).unwrap();
    let custom = vec![pattern, Detector::Words { name: "w".to_owned(), words }];
    [
        rule("**", Some(known(&Kind::ALL, Confidence::Low)), Method::redact()),
        rule("**", Some(known(&[Kind::Card, Kind::Email, Kind::ApiKey], Confidence::Medium)), Method::Last4),
        rule("**", Some(known(&[Kind::Phone, Kind::Ip, Kind::Jwt], Confidence::High)), Method::Hash),
        rule("**", Some(known(&[Kind::Ssn, Kind::Iban, Kind::PrivateKey], Confidence::Low)), Method::Remove),
        rule("**", Some(Detect::new(custom, None, 10, Confidence::Medium).unwrap()), Method::redact()),
    ]
}
