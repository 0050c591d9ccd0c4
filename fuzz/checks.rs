//! What must hold for every body. Each check takes an input: two bytes that choose rules and cuts, then the body. Used by
//! the fuzz targets, and by the tests with the kept corpus.

#![allow(dead_code, reason = "each target has its own check")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a check that does not hold panics"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use portcullis_mask::{
    Confidence, Detect, Detector, Encoding, FieldPath, Format, Framing, Grpc, HashKey, Kind, Limits, Masker,
    Method, Pattern, Plan, Rule, Schema, UnknownFields, Unmaskable, Words,
};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::de::IgnoredAny;
use serde_json::Value;

const REDACTED: &str = "[redacted]";

/// One JSON document: what is refused is what serde_json refuses; what is masked is what a walk over its values masks.
pub fn json(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let other_paths = path_rules(choice);
    let rules = [field_rules(choice), other_paths.clone()].concat();
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
        if other_paths.is_empty() {
            assert_eq!(masked, walk(value, choice));
        } else if choice >> 3 & 1 == 1 {
            assert_hides(&masked, "h");
        }
    }
}

/// Lines of JSON: masked as each alone is, and refused when one of them is.
pub fn ndjson(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = [field_rules(choice), detect_rules(choice)].concat();
    let masked = same_in_pieces(&rules, Format::Ndjson, cuts, body);
    let Some(masked) = within_limits(masked) else { return };
    let alone = body.split(|byte| *byte == b'\n').map(|line| {
        let blank = line.iter().all(|byte| b" \t\r".contains(byte));
        if blank { Ok(line.to_vec()) } else { mask(&rules, Format::Json, [line]) }
    });
    let Some(alone) = within_limits(alone.collect::<Result<Vec<_>, _>>()) else { return };
    assert_eq!(masked.is_ok(), alone.is_ok(), "{masked:?}, its lines alone {alone:?}");
    if let (Ok(masked), Ok(alone)) = (masked, alone) {
        assert_eq!(masked, alone.join(&b'\n'));
    }
}

/// Events: refused when the standard's reader finds data in them that is refused; else that reader finds the data masked,
/// and all else as it was.
pub fn sse(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let rules = [field_rules(choice), detect_rules(choice)].concat();
    let masked = same_in_pieces(&rules, Format::Sse, cuts, body);
    let Some(masked) = within_limits(masked) else { return };
    let expected = events(body).map(|events| {
        let data = events.into_iter().map(|(data, others)| match data {
            Some(data) if data == "[DONE]" || data.bytes().all(|byte| byte.is_ascii_whitespace()) => {
                Ok((Some(data), others))
            }
            Some(data) => mask(&rules, Format::Json, [data.as_bytes()])
                .map(|masked| (Some(String::from_utf8(masked).unwrap()), others)),
            None => Ok((None, others)),
        });
        data.collect::<Result<Vec<_>, _>>()
    });
    let Some(expected) = expected.map_or(Some(None), |events| within_limits(events).map(Result::ok)) else {
        return;
    };
    assert_eq!(masked.is_ok(), expected.is_some(), "{masked:?}, by its events {expected:?}");
    if let (Ok(masked), Some(expected)) = (masked, expected) {
        // Lines are begun as the first was: space at their beginnings, which is between tokens, may differ.
        let without_indent = |events: Vec<Event>| -> Vec<Event> {
            let unindented =
                |data: String| data.split('\n').map(|line| line.trim_start_matches(' ')).collect();
            events.into_iter().map(|(data, others)| (data.map(unindented), others)).collect()
        };
        assert_eq!(without_indent(events(&masked).unwrap()), without_indent(expected));
    }
}

/// The data of an event, and its other lines.
type Event = (Option<String>, Vec<String>);

/// What a reader by the standard makes of an event stream; `None` if it has lines of other fields, or is no UTF-8.
fn events(body: &[u8]) -> Option<Vec<Event>> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut event): (Vec<Event>, Event) = (Vec::new(), Event::default());
    for line in text.split('\n') {
        if line.is_empty() {
            events.push(std::mem::take(&mut event));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match name {
            "data" => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                event.0 = Some(event.0.map_or_else(|| value.to_owned(), |data| format!("{data}\n{value}")));
            }
            "" | "event" | "id" | "retry" => event.1.push(line.to_owned()),
            _ => return None,
        }
    }
    // The last one needs no line end.
    if event != Event::default() {
        events.push(event);
    }
    Some(events)
}

/// Plain text: refused when it is no text, the same whatever the pieces, and without the secrets that were put into it.
pub fn text(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let secrets = [(0, 7, "alice"), (1, 3, "bob@example.com"), (2, 3, "4111111111111111")];
    let hidden = secrets.into_iter().find(|(bit, rule, _)| choice >> bit & choice >> rule & 1 == 1);
    let hidden = hidden.map(|(_, _, secret)| secret).filter(|secret| !contains(body, secret));
    let at = usize::from(cuts) * body.len() / 256;
    let planted = hidden.map(|secret| {
        let (before, after) = body.split_at(at);
        [before, b"\n", secret.as_bytes(), b"\n", after].concat()
    });
    let body = planted.as_deref().unwrap_or(body);
    let masked = same_in_pieces(&detect_rules(choice), Format::Text, cuts, body);
    assert_eq!(masked.is_ok(), std::str::from_utf8(body).is_ok() && !body.contains(&0));
    if let Ok(masked) = masked {
        let masked = String::from_utf8(masked).unwrap();
        assert!(hidden.is_none_or(|secret| !masked.contains(secret)), "{masked:?}");
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
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

/// Forms: the same whatever the pieces, and another reader finds the values masked that the rules name.
pub fn form(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let detecting = detect_rules(choice);
    let rules = [field_rules(choice), detecting.clone()].concat();
    let masked = same_in_pieces(&rules, Format::Form, cuts, body);
    let Some(Ok(masked)) = within_limits(masked) else { return };
    assert!(!rules.is_empty() || masked == body);
    assert!(mask(&[], Format::Form, [&masked[..]]).is_ok(), "what comes out is no form");
    let mut shown = form_urlencoded::parse(&masked);
    for (name, value) in form_urlencoded::parse(body) {
        let Some(expected) = masked_field(choice, &name, &value) else { continue };
        let (shown_name, shown) = shown.next().unwrap();
        assert_eq!(shown_name, name);
        if detecting.is_empty() || expected != value {
            assert_eq!(shown, expected, "{name}");
        } else if name == "q" && !value.contains('\0') {
            // A name that is nobody's word for a value.
            let text = mask(&detecting, Format::Text, [value.as_bytes()]).unwrap();
            assert_eq!(shown.as_bytes(), text);
        }
    }
    assert_eq!(shown.next(), None);
}

/// What the field rules make of a field of a form; `None` when it is removed.
fn masked_field(choice: u8, name: &str, value: &str) -> Option<String> {
    let steps = || name.split(['[', ']', '.']).filter(|step| !step.is_empty());
    let top = steps().find(|step| !step.bytes().all(|byte| byte.is_ascii_digit()));
    match choice {
        _ if choice >> 1 & 1 == 1 && (name == "b" || steps().any(|step| step == "b")) => None,
        _ if choice >> 2 & 1 == 1 && (name == "c" || top == Some("c")) => Some(String::new()),
        _ if choice & 1 == 1 && (name == "a" || steps().any(|step| step == "a")) => Some(REDACTED.to_owned()),
        _ => Some(value.to_owned()),
    }
}

/// gRPC messages: the same whatever the pieces, messages again, and without the numbers that a rule hashes.
pub fn grpc(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let framing = [Framing::Grpc, Framing::Web, Framing::WebText][usize::from(cuts % 3)];
    let unknown_fields =
        [UnknownFields::Drop, UnknownFields::Pass, UnknownFields::Block][usize::from(cuts / 3 % 3)];
    let Some(message) = schema().message("shop.Order") else { return };
    let call = Grpc { framing, message, encoding: Some(Encoding::Gzip), unknown_fields };
    static NUMBERS: OnceLock<Arc<Rule>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| rule("**.number", None, Method::Hash)).clone();
    let rules = [field_rules(choice), detect_rules(choice), vec![numbers]].concat();
    let run = |chunks: Vec<&[u8]>| {
        let mut masker = Masker::grpc(plan(&rules), &call, Limits::default());
        push_all(&mut masker, chunks)
    };
    let masked = agree(run(vec![body]), [run(body.chunks(usize::from(cuts % 16) + 1).collect())]);
    let Ok(masked) = masked else { return };
    assert!(run(vec![&masked]).is_ok(), "what comes out are no messages");
    if framing == Framing::Grpc {
        // Those that another reader understands; it takes unknown fields and the like as it wants.
        for message in plain_messages(&masked).filter_map(|message| order(message).ok()) {
            assert_hashed(&message);
        }
    }
}

/// The messages of a gRPC body that are not compressed.
fn plain_messages(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = body.split_at_checked(5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let (message, rest) = rest.split_at(usize::try_from(length).unwrap());
        body = rest;
        Some((head[0] == 0).then_some(message))
    })
    .flatten()
}

fn order(message: &[u8]) -> Result<DynamicMessage, prost::DecodeError> {
    static ORDER: OnceLock<MessageDescriptor> = OnceLock::new();
    let order = ORDER.get_or_init(|| {
        let pool = DescriptorPool::decode(&shop()[..]).unwrap();
        pool.get_message_by_name("shop.Order").unwrap()
    });
    DynamicMessage::decode(order.clone(), message)
}

/// No `number`, at any depth, shows anything but a pseudonym. What an `Any` and JSON hold is compared by the tests of
/// the masker.
fn assert_hashed(message: &DynamicMessage) {
    for (field, value) in message.fields() {
        if field.name() == "number" {
            let shown = value.as_str().unwrap();
            assert!(["", REDACTED].contains(&shown) || shown.starts_with("hmac:"), "{shown:?}");
        }
        match value {
            prost_reflect::Value::Message(inner) => assert_hashed(inner),
            prost_reflect::Value::List(list) => {
                list.iter().filter_map(|value| value.as_message()).for_each(assert_hashed);
            }
            prost_reflect::Value::Map(map) => {
                map.values().filter_map(|value| value.as_message()).for_each(assert_hashed);
            }
            _ => {}
        }
    }
}

/// Encoded bodies: whatever the bytes are, they are decoded or refused, alike in pieces; what comes out decodes, by
/// another reader, to the body as it is masked without an encoding.
pub fn coding(input: &[u8]) {
    let Some((choice, cuts, body)) = parts(input) else { return };
    let encodings = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];
    let encoding = encodings[usize::from(cuts % 4)];
    // Few inputs are encoded data: half of them are made so here.
    let encoded = (choice >> 7 == 1).then(|| encode(encoding, body));
    let encoded = encoded.as_deref().unwrap_or(body);
    let (limits, rules) = (Limits::default(), field_rules(choice));
    let run = |chunks: Vec<&[u8]>| {
        let masker = Masker::new(plan(&rules), Format::Json, limits);
        push_all(&mut masker.in_encoding(encoding, &limits)?, chunks)
    };
    let (whole, single) = (run(vec![encoded]), run(encoded.chunks(usize::from(cuts % 16) + 1).collect()));
    assert_eq!(whole.is_ok(), single.is_ok(), "{whole:?}, in pieces {single:?}");
    let plain = if choice >> 7 == 1 { Some(body.to_vec()) } else { decode(encoding, encoded) };
    let masked = plain.map(|plain| mask(&rules, Format::Json, [&plain[..]]));
    if choice >> 7 == 1 {
        assert_eq!(Some(whole.is_ok()), masked.as_ref().map(Result::is_ok), "{whole:?} of {masked:?}");
    }
    if let (Ok(whole), Ok(single)) = (whole, single) {
        let masked = masked.expect("what was decoded, another reader decodes").expect("it was masked");
        // The same bytes may be encoded in more than one way.
        assert_eq!(decode(encoding, &whole).as_ref(), Some(&masked));
        assert_eq!(decode(encoding, &single), Some(masked));
    }
}

fn encode(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let fast = flate2::Compression::fast();
    match encoding {
        Encoding::Gzip => flate2::read::GzEncoder::new(plain, fast).read_to_end(&mut encoded).map(drop),
        Encoding::Deflate => flate2::read::ZlibEncoder::new(plain, fast).read_to_end(&mut encoded).map(drop),
        Encoding::Brotli => {
            brotli::CompressorReader::new(plain, 4096, 1, 16).read_to_end(&mut encoded).map(drop)
        }
        Encoding::Zstd => zstd::stream::copy_encode(plain, &mut encoded, 1),
    }
    .unwrap();
    encoded
}

/// What a library makes of encoded data; `None` if it refuses it.
fn decode(encoding: Encoding, encoded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    match encoding {
        Encoding::Gzip => flate2::read::MultiGzDecoder::new(encoded).read_to_end(&mut plain).map(drop),
        Encoding::Deflate => {
            flate2::read::ZlibDecoder::new(encoded).read_to_end(&mut plain).map(drop).or_else(|_| {
                plain.clear();
                flate2::read::DeflateDecoder::new(encoded).read_to_end(&mut plain).map(drop)
            })
        }
        Encoding::Brotli => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut plain).map(drop),
        Encoding::Zstd => zstd::stream::copy_decode(encoded, &mut plain),
    }
    .ok()?;
    Some(plain)
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::decode(&shop()).unwrap())
}

/// A descriptor set.
fn shop() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mask/src/tests");
    prost::Message::encode_to_vec(&protox::compile(["shop.proto"], [folder]).unwrap())
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

/// The plan of those rules. It is made once: to compile one takes longer than to mask a small body.
fn plan(rules: &[Arc<Rule>]) -> Arc<Plan> {
    static PLANS: Mutex<BTreeMap<Vec<usize>, Arc<Plan>>> = Mutex::new(BTreeMap::new());
    // No rule is ever dropped, so its address is its own.
    let addresses = rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect();
    let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = plans.entry(addresses);
    plan.or_insert_with(|| Arc::new(Plan::compile(rules, &HashKey::new(&[7; 32]).unwrap()))).clone()
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
fn within_limits<T>(masked: Result<T, Unmaskable>) -> Option<Result<T, Unmaskable>> {
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
    static ALL: OnceLock<[Arc<Rule>; 3]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [
            rule("**.a", None, Method::redact()),
            rule("**.b", None, Method::Remove),
            rule("c.**", None, Method::Null),
        ]
    });
    chosen(all, choice)
}

/// By the higher bits, rules whose paths and methods the walk does not know.
fn path_rules(choice: u8) -> Vec<Arc<Rule>> {
    static ALL: OnceLock<[Arc<Rule>; 5]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [
            rule("**.h", None, Method::Hash),
            rule("d[1].**", None, Method::redact()),
            rule("e[?t==\"x\"].n", None, Method::Remove),
            rule("*.l", None, Method::Last4),
            rule("**.f[?t!=1].*", None, Method::KeepType),
        ]
    });
    chosen(all, choice >> 3)
}

/// Of some rules those whose bits are set.
fn chosen(all: &[Arc<Rule>], bits: u8) -> Vec<Arc<Rule>> {
    let chosen = all.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
    chosen.map(|(_, rule)| rule.clone()).collect()
}

/// Whatever has that name, at any depth, is a pseudonym, or what a stricter rule makes of it.
fn assert_hides(value: &Value, name: &str) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| assert_hides(item, name)),
        Value::Object(members) => {
            for (here, value) in members {
                let text = value.as_str();
                let is_pseudonym = text.is_some_and(|text| text.starts_with("hmac:") || text == REDACTED);
                let is_empty = ["null", "\"\"", "0", "false", "[]", "{}"].contains(&&*value.to_string());
                assert!(here != name || is_pseudonym || is_empty, "{value}");
                assert_hides(value, name);
            }
        }
        _ => {}
    }
}

/// The same rules about what is in the strings `p`.
fn in_strings(rules: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
    static ALL: Mutex<BTreeMap<String, Arc<Rule>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let in_string = |rule: &Arc<Rule>| {
        let path = format!("p[json].{}", rule.field);
        let field = || FieldPath::parse(&path).unwrap();
        all.entry(path.clone())
            .or_insert_with(|| Arc::new(Rule { field: field(), ..(**rule).clone() }))
            .clone()
    };
    rules.iter().map(in_string).collect()
}

/// What the field rules make of a value.
fn walk(value: Value, choice: u8) -> Value {
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
    visit(value, true, false, &has)
}

/// Some detectors by the higher bits, with methods of all kinds.
fn detect_rules(choice: u8) -> Vec<Arc<Rule>> {
    static ALL: OnceLock<[Arc<Rule>; 5]> = OnceLock::new();
    chosen(ALL.get_or_init(all_detect_rules), choice >> 3)
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
