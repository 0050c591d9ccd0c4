//! Bodies of every format, framing and encoding, small enough to be cut a million times.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use portcullis_mask::{
    Detect, Encoding, FieldPath, Format, Framing, HashKey, Kind as Looked, Method, Plan, Rule, Schema,
};

use crate::corpus::{self, ASCII, Random, WORLD};

/// What takes a value's place.
pub const MASK: &str = "[redacted]";

/// What a body is.
#[derive(Clone, Copy)]
pub enum Kind {
    Body(Format, Option<Encoding>),
    Grpc(Framing),
}

pub struct Sample {
    pub name: String,
    pub kind: Kind,
    pub plan: Arc<Plan>,
    pub body: Vec<u8>,
    /// What nobody may read in the masked body.
    pub secrets: Vec<String>,
}

/// One of each.
pub fn all() -> Vec<Sample> {
    let mut random = Random::new(7);
    let mut samples = Vec::new();
    for (name, text) in documents(&mut random) {
        let kind = Kind::Body(Format::Json, None);
        samples.push(sample(&format!("{name}, by fields"), kind, &by_fields(), text.clone().into_bytes()));
        let both = [by_fields(), by_looking()].concat();
        samples.push(sample(&format!("{name}, by fields and looks"), kind, &both, text.into_bytes()));
    }
    let record = corpus::record(&mut random, 1, ASCII);
    let lines = format!("{record}\n\n{}\r\n{HOSTILE}\n", corpus::record(&mut random, 2, WORLD));
    samples.push(sample("lines", Kind::Body(Format::Ndjson, None), &by_fields(), lines.into_bytes()));
    let events = format!(
        ": hello\nid: 1\ndata: {record}\n\nevent: x\ndata: {{\"email\":\ndata: \"a1@example.com\"}}\n\n"
    );
    samples.push(sample("events", Kind::Body(Format::Sse, None), &by_fields(), events.into_bytes()));
    let text =
        "Pay 4111111111111111, or write to a1@example.com. Ünd\u{2028} 4111-1111-1111-1111; ".repeat(20);
    samples.push(sample("text", Kind::Body(Format::Text, None), &by_looking(), text.into_bytes()));
    let form = "a=1&email=a1%40example.com&x=%C3%A9+y&ssn=123-45-6789&email=user7%40example.com&card%5Bnumber%5D=4111111111111111&b=";
    samples.push(sample("form", Kind::Body(Format::Form, None), &by_fields(), form.as_bytes().to_vec()));
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
        let kind = Kind::Body(Format::Json, Some(encoding));
        samples.push(sample(
            &format!("{encoding:?}"),
            kind,
            &by_fields(),
            encode(encoding, record.as_bytes()),
        ));
    }
    for framing in [Framing::Grpc, Framing::Web, Framing::WebText] {
        samples.push(sample(&format!("{framing:?}"), Kind::Grpc(framing), &by_fields(), messages(framing)));
    }
    samples
}

fn sample(name: &str, kind: Kind, rules: &[Arc<Rule>], body: Vec<u8>) -> Sample {
    let plan = Arc::new(Plan::compile(rules, &HashKey::new(&[7; 32]).unwrap()));
    let plain = String::from_utf8_lossy(&decode(&kind, body.clone())).replace("%40", "@");
    let secrets = secrets(&plain);
    assert!(!secrets.is_empty(), "{name}");
    Sample { name: name.to_owned(), kind, plan, body, secrets }
}

/// The same body, of which nothing is removed, and no part of a string is taken.
pub fn redacting(sample: Sample) -> Sample {
    let rules = ["**.card.number", "**.email"].map(|field| rule(field, None, Method::redact()));
    Sample { plan: Arc::new(Plan::compile(&rules, &HashKey::new(&[7; 32]).unwrap())), ..sample }
}

/// The addresses and numbers in a text.
fn secrets(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "@.-".contains(c)));
    let mut secrets: Vec<String> = words
        .filter(|word| {
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            let has_shape =
                |shape: &str| shape.len() == word.len() && shape.bytes().zip(word.bytes()).all(is_shaped);
            word.contains("@example.com")
                || digits == 16 && word.len() == 16 && word.starts_with("4111")
                || has_shape("000-00-0000")
        })
        .map(|word| word.trim_matches(['.', '-']).to_owned())
        .collect();
    secrets.sort();
    secrets.dedup();
    secrets
}

fn is_shaped((shape, byte): (u8, u8)) -> bool {
    if shape == b'0' { byte.is_ascii_digit() } else { byte == shape }
}

fn rule(field: &str, detect: Option<Detect>, method: Method) -> Arc<Rule> {
    let rule = Rule::new(FieldPath::parse(field).unwrap(), method);
    Arc::new(Rule { detect: detect.map(Arc::new), ..rule })
}

fn by_fields() -> Vec<Arc<Rule>> {
    vec![
        rule("**.card.number", None, Method::redact()),
        rule("**.email", None, Method::redact()),
        rule("**.ssn", None, Method::Remove),
        // The fields of the messages that gRPC samples are.
        rule("**.number", None, Method::redact()),
        rule("id", None, Method::redact()),
    ]
}

fn by_looking() -> Vec<Arc<Rule>> {
    let known = Detect::known(&[Looked::Card, Looked::Email, Looked::Ssn]).unwrap();
    vec![rule("**", Some(known), Method::Redact { text: MASK.to_owned() })]
}

/// Names and values written so that readers may see different things in them.
const HOSTILE: &str = concat!(
    r#"{"email":"a1@example.com","email":"b2@example.com" , "\u0065mail":"c3@example.com","x":"é😀\ud83d\ude00\n\"","#,
    r#""emai\u006c":{"deep":["d4@example.com"]},"a":[{"ssn":"123-45-6789"},{"ssn":"123-45-6780","b":-1.5e+3}],"#,
    r#""card":{"number":"4111111111111111","number":4111111111111112,"n":null},"ssn":"987-65-4321","t":[true,false,[]]}"#,
);

fn documents(random: &mut Random) -> Vec<(&'static str, String)> {
    let records = corpus::records(random, 1_500, ASCII);
    let world = corpus::records(random, 1_500, WORLD);
    vec![
        ("small", corpus::record(random, 1, ASCII)),
        ("small, indented", corpus::indented(&corpus::record(random, 2, ASCII))),
        ("records, indented", corpus::indented(&records)),
        ("records", records),
        ("deep", corpus::deep(random, 1_000)),
        ("strings", corpus::long_strings(random, 4_000)),
        ("non-ASCII, indented", corpus::indented(&world)),
        ("non-ASCII", world),
        ("hostile", HOSTILE.to_owned()),
        ("hostile, indented", corpus::indented(HOSTILE)),
    ]
}

pub fn schema() -> Schema {
    use std::sync::OnceLock;
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let compile = || {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests");
        let set = protox::compile(["shop.proto"], [folder]).unwrap();
        Schema::decode(&prost::Message::encode_to_vec(&set)).unwrap()
    };
    SCHEMA.get_or_init(compile).clone()
}

/// Two `shop.Order` in frames, the second compressed: an id, and a card with a number and a holder.
fn messages(framing: Framing) -> Vec<u8> {
    let field = |number: u8, value: &[u8]| {
        [&[number << 3 | 2, u8::try_from(value.len()).unwrap()][..], value].concat()
    };
    let card = [field(1, b"4111111111111111"), field(11, "Zoë".as_bytes())].concat();
    let order = [field(1, b"a1@example.com"), field(2, &card), field(3, &card), field(6, b"cash")].concat();
    let frame = |flag: u8, message: &[u8]| {
        [&[flag][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    };
    let frames = [frame(0, &order), frame(1, &encode(Encoding::Gzip, &order))].concat();
    match framing {
        Framing::WebText => STANDARD.encode(frames).into_bytes(),
        Framing::Grpc | Framing::Web => frames,
    }
}

fn encode(encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 1, 16).write_all(plain).unwrap();
            out
        }
        Encoding::Zstd => zstd::encode_all(plain, 1).unwrap(),
    }
}

/// The body without encodings and frames around its text.
pub fn decode(kind: &Kind, body: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    match kind {
        Kind::Body(_, None) => return body,
        Kind::Body(_, Some(Encoding::Gzip)) => gunzip(&body, &mut out),
        Kind::Body(_, Some(Encoding::Deflate)) => {
            flate2::read::ZlibDecoder::new(&body[..]).read_to_end(&mut out).map(drop).unwrap();
        }
        Kind::Body(_, Some(Encoding::Brotli)) => {
            brotli::Decompressor::new(&body[..], 4096).read_to_end(&mut out).map(drop).unwrap();
        }
        Kind::Body(_, Some(Encoding::Zstd)) => out = zstd::decode_all(&body[..]).unwrap(),
        Kind::Grpc(framing) => {
            let body = if matches!(framing, Framing::WebText) { unarmoured(&body) } else { body };
            let mut rest = &body[..];
            while let [flag, a, b, c, d, after @ ..] = rest {
                let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap();
                if *flag & 1 == 1 {
                    gunzip(&after[..length], &mut out)
                } else {
                    out.extend(&after[..length])
                }
                rest = &after[length..];
            }
        }
    }
    out
}

/// Base64, of which each part may end in padding.
fn unarmoured(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|four| STANDARD.decode(four).unwrap()).collect()
}

fn gunzip(bytes: &[u8], out: &mut Vec<u8>) {
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(out).map(drop).unwrap();
}
