//! However a body is cut into chunks, what comes out is what comes out of it whole; and no reader of that, however lenient,
//! recovers what was masked. `make splits` tries a million cuts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests panic"
)]

use portcullis_mask::{Encoding, Format, Grpc, Limits, Masker, UnknownFields};

#[allow(dead_code, reason = "the benchmark uses the rest")]
#[path = "../benches/mask/corpus.rs"]
mod corpus;
#[path = "splits/readers.rs"]
mod readers;
#[path = "splits/samples.rs"]
mod samples;

use corpus::Random;
use samples::{Kind, Sample};

/// How many random cuts are tried, unless `PORTCULLIS_SPLITS` says otherwise.
const SPLITS: u64 = 3_000;
/// The chunks of a body that is cut at random, at most.
const CHUNKS: u64 = 12;

/// Masks a body given in chunks; without its encoding, since the same bytes may be encoded in more than one way.
fn mask<'c>(sample: &Sample, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut masker = match &sample.kind {
        Kind::Body(format, encoding) => {
            let masker = Masker::new(sample.plan.clone(), *format, Limits::default());
            match encoding {
                None => masker,
                Some(encoding) => masker.in_encoding(*encoding, &Limits::default()).unwrap(),
            }
        }
        Kind::Grpc(framing) => {
            let message = samples::schema().message("shop.Order").unwrap();
            let (framing, unknown_fields) = (*framing, UnknownFields::Drop);
            let call = Grpc { framing, message, encoding: Some(Encoding::Gzip), unknown_fields };
            Masker::grpc(sample.plan.clone(), &call, Limits::default())
        }
    };
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
    }
    masker.finish(&mut out).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
    assert!(masker.masked_fields() > 0, "{}", sample.name);
    samples::decode(&sample.kind, out)
}

/// Some places to cut at, in order: anywhere, or close together.
fn cuts(random: &mut Random, length: usize) -> Vec<usize> {
    let below = |random: &mut Random, bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
    let count = 1 + random.below(CHUNKS);
    let (from, width) = match random.below(4) {
        0 => (below(random, length + 1), 40),
        _ => (0, length + 1),
    };
    let mut cuts: Vec<usize> = (0..count).map(|_| (from + below(random, width)).min(length)).collect();
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts
}

fn check(sample: &Sample, whole: &[u8], cuts: &[usize]) {
    let chunks = cuts.windows(2).map(|pair| &sample.body[pair[0]..pair[1]]);
    let masked = mask(sample, chunks);
    assert!(masked == whole, "{} cut at {cuts:?}: {}", sample.name, String::from_utf8_lossy(&masked));
}

#[test]
fn a_body_cut_at_random_is_masked_as_the_whole_is() {
    let splits = std::env::var("PORTCULLIS_SPLITS").map_or(SPLITS, |count| count.parse().unwrap());
    let samples: Vec<_> = samples::all()
        .into_iter()
        .map(|sample| {
            let whole = mask(&sample, [&sample.body[..]]);
            (sample, whole)
        })
        .collect();
    let mut random = Random::new(splits);
    for _ in 0..splits {
        let (sample, whole) = &samples[usize::try_from(random.below(samples.len() as u64)).unwrap()];
        check(sample, whole, &cuts(&mut random, sample.body.len()));
    }
    println!("{splits} random splits of {} bodies: all masked as the whole", samples.len());
}

#[test]
fn a_body_cut_anywhere_in_two_is_masked_as_the_whole_is() {
    // Long bodies are cut at random only, and encoded ones by the tests of encodings.
    const LONGEST: usize = 1_500;
    let mut count = 0;
    for sample in samples::all() {
        if sample.body.len() > LONGEST || matches!(sample.kind, Kind::Body(_, Some(_))) {
            continue;
        }
        let whole = mask(&sample, [&sample.body[..]]);
        (0..=sample.body.len()).for_each(|cut| check(&sample, &whole, &[0, cut, sample.body.len()]));
        count += 1;
    }
    assert!(count > 5, "{count} samples are short enough");
}

#[test]
fn no_reader_of_a_masked_body_recovers_a_secret() {
    for sample in samples::all() {
        let masked = mask(&sample, [&sample.body[..]]);
        let plain = samples::decode(&sample.kind, sample.body.clone());
        for (reader, read) in readers::ALL {
            let before = read(&sample.kind, &plain);
            let after = read(&sample.kind, &masked);
            let found = |texts: &[String], secret: &String| texts.iter().any(|text| text.contains(secret));
            let readable = sample.secrets.iter().filter(|secret| found(&before, secret)).count();
            assert!(readable > 0, "{reader} finds nothing in {} to begin with", sample.name);
            for secret in &sample.secrets {
                assert!(!found(&after, secret), "{reader} finds {secret} in {}", sample.name);
            }
        }
    }
}

#[test]
fn all_bytes_of_json_but_the_masks_stay() {
    let samples = samples::all();
    let json = samples.into_iter().filter(|sample| matches!(sample.kind, Kind::Body(Format::Json, None)));
    for sample in json.map(samples::redacting) {
        let masked = String::from_utf8(mask(&sample, [&sample.body[..]])).unwrap();
        // What is between two masks stands in the body, in the same order, with one value between.
        let mut rest = std::str::from_utf8(&sample.body).unwrap();
        for (i, piece) in masked.split(&format!("\"{}\"", samples::MASK)).enumerate() {
            let at = rest.find(piece).unwrap_or_else(|| panic!("{}: `{piece}` is not in it", sample.name));
            assert!(i > 0 || at == 0, "{}: it begins otherwise", sample.name);
            rest = &rest[at + piece.len()..];
        }
        assert_eq!(rest, "", "{}: it ends otherwise", sample.name);
    }
}
