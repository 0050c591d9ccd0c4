//! Bodies with a `content-encoding`.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

const ENCODINGS: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

fn encode(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(&mut out, Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap();
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(&mut out, Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap();
        }
        Encoding::Brotli => brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(body).unwrap(),
        Encoding::Zstd => out = zstd::encode_all(body, 3).unwrap(),
    }
    out
}

/// As another implementation of the same formats reads it, as far as there is one.
fn decode(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Gzip => drop(MultiGzDecoder::new(body).read_to_end(&mut out).unwrap()),
        Encoding::Deflate => drop(ZlibDecoder::new(body).read_to_end(&mut out).unwrap()),
        Encoding::Brotli => drop(brotli::Decompressor::new(body, 4096).read_to_end(&mut out).unwrap()),
        Encoding::Zstd => out = zstd::decode_all(body).unwrap(),
    }
    out
}

fn mask_encoded<'c>(
    encoding: Encoding,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<u8>, Unmaskable> {
    let plan = plan(&[("card", Method::redact())]);
    let mut masker = Masker::new(plan, Format::Json, limits).in_encoding(encoding, &limits)?;
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(decode(encoding, &out))
}

/// The result for every cut in two, and for single bytes; all must agree.
fn mask_however_cut(encoding: Encoding, body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let run = |chunks: Vec<&[u8]>| mask_encoded(encoding, Limits::default(), chunks).map_err(|e| e.code());
    let whole = run(vec![body]);
    for cut in 0..=body.len() {
        assert_eq!(run(vec![&body[..cut], &[], &body[cut..]]), whole, "{encoding:?} cut at {cut}");
    }
    assert_eq!(run(body.chunks(1).collect()), whole, "{encoding:?} in single bytes");
    whole
}

const BODY: &[u8] = br#"{"card":"4929381705628341","note":"\u00e9"}"#;
const MASKED: &[u8] = br#"{"card":"[redacted]","note":"\u00e9"}"#;

#[test]
fn each_encoding_is_taken_off_and_put_on_again() {
    for encoding in ENCODINGS {
        assert_eq!(mask_however_cut(encoding, &encode(encoding, BODY)).as_deref(), Ok(MASKED));
    }
}

#[test]
fn bare_deflate_data_leaves_as_the_standard_says() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(BODY).unwrap();
    assert_eq!(mask_however_cut(Encoding::Deflate, &encoder.finish().unwrap()).as_deref(), Ok(MASKED));
}

#[test]
fn members_and_frames_are_one_body() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let parts = BODY.chunks(7).map(|part| encode(encoding, part));
        let mut body = encode(encoding, b"");
        body.extend(parts.flatten());
        assert_eq!(mask_however_cut(encoding, &body).as_deref(), Ok(MASKED));
    }
}

#[test]
fn what_wraps_a_body_does_not_leave() {
    let secret = "4929381705628341";
    let mut gzip = flate2::GzBuilder::new()
        .filename(secret)
        .comment(secret)
        .extra(secret)
        .write(Vec::new(), Compression::default());
    gzip.write_all(br#"{"note":1}"#).unwrap();
    let body = gzip.finish().unwrap();
    assert!(body.windows(16).any(|window| window == secret.as_bytes()));
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 16, 0, 0, 0], secret.as_bytes()].concat();
    let zstd = [skippable.clone(), encode(Encoding::Zstd, br#"{"note":1}"#), skippable].concat();
    for (encoding, body) in [(Encoding::Gzip, body), (Encoding::Zstd, zstd)] {
        let mut masker = Masker::new(plan(&[("card", Method::Null)]), Format::Json, Limits::default())
            .in_encoding(encoding, &Limits::default())
            .unwrap();
        let mut out = Vec::new();
        masker.push(&body, &mut out).unwrap();
        masker.finish(&mut out).unwrap();
        assert_eq!(decode(encoding, &out), br#"{"note":1}"#);
        assert!(!out.windows(5).any(|window| window == &secret.as_bytes()[..5]));
        assert_eq!(mask_however_cut(encoding, &body).as_deref(), Ok(&br#"{"note":1}"#[..]));
    }
}

#[test]
fn a_header_of_gzip_may_have_every_part() {
    let mut body = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 2, 0, b'x', b'y', b'n', 0, 0, 1, 2];
    body.extend_from_slice(&encode(Encoding::Gzip, BODY)[10..]);
    assert_eq!(mask_however_cut(Encoding::Gzip, &body).as_deref(), Ok(MASKED));
    body[3] = 0x20;
    assert_eq!(mask_however_cut(Encoding::Gzip, &body), Err("invalid_encoding"));
}

#[test]
fn a_stream_that_is_cut_short_is_blocked() {
    for encoding in ENCODINGS {
        let body = encode(encoding, BODY);
        for end in 0..body.len() {
            let got = mask_encoded(encoding, Limits::default(), [&body[..end]]);
            assert_eq!(got.unwrap_err().code(), "truncated_encoding", "{encoding:?} at {end}");
        }
    }
}

#[test]
fn what_follows_a_stream_is_blocked() {
    for encoding in ENCODINGS {
        for trailing in [&b"{\"card\":1}"[..], b"\0", b"\n"] {
            let body = [&encode(encoding, BODY)[..], trailing].concat();
            let code = mask_however_cut(encoding, &body).unwrap_err();
            let expected = if encoding == Encoding::Zstd { "invalid_encoding" } else { "after_encoding" };
            assert_eq!(code, expected, "{encoding:?}");
        }
    }
}

#[test]
fn an_encoding_that_lies_is_blocked() {
    for encoding in ENCODINGS {
        for other in ENCODINGS.into_iter().filter(|other| *other != encoding) {
            let got = mask_encoded(encoding, Limits::default(), [&encode(other, BODY)[..]]);
            // Brotli has no mark of its own: other data may be some, of noise.
            assert!(got.is_err(), "{encoding:?} for {other:?}");
        }
        assert!(mask_encoded(encoding, Limits::default(), [BODY]).is_err(), "{encoding:?}");
        // Encoded twice, and told once.
        let twice = encode(encoding, &encode(encoding, BODY));
        assert_eq!(mask_however_cut(encoding, &twice), Err("invalid_json"));
    }
}

#[test]
fn a_wrong_checksum_is_blocked() {
    for (encoding, from_end) in [(Encoding::Gzip, 8), (Encoding::Gzip, 1), (Encoding::Deflate, 1)] {
        let mut body = encode(encoding, BODY);
        let at = body.len() - from_end;
        body[at] ^= 1;
        assert_eq!(mask_however_cut(encoding, &body), Err("invalid_encoding"));
    }
}

#[test]
fn bombs_are_blocked_by_their_ratio_and_by_their_size() {
    let body = [b"\"", &vec![b'a'; 4 << 20][..], b"\""].concat();
    for encoding in ENCODINGS {
        let bomb = encode(encoding, &body);
        let code = |limits| {
            let whole =
                mask_encoded(encoding, limits, [&bomb[..]]).map(|out| out.len()).map_err(|e| e.code());
            let cut =
                mask_encoded(encoding, limits, bomb.chunks(1)).map(|out| out.len()).map_err(|e| e.code());
            assert_eq!(whole, cut);
            whole
        };
        assert_eq!(code(Limits::default()), Err("expands_too_much"), "{encoding:?}");
        let patient = Limits { expansion: u32::MAX, ..Limits::default() };
        assert_eq!(code(patient), Ok(body.len()), "{encoding:?}");
        let small = Limits { decoded_bytes: (4 << 20) + 1, ..patient };
        assert_eq!(code(small), Err("decoded_too_large"), "{encoding:?}");
    }
}

#[test]
fn windows_that_take_too_much_memory_are_blocked() {
    let limits = Limits { window_bytes: 1 << 20, ..Limits::default() };
    let mut large = Vec::new();
    brotli::CompressorWriter::new(&mut large, 4096, 5, 22).write_all(BODY).unwrap();
    assert_eq!(mask_encoded(Encoding::Brotli, limits, [&large[..]]).unwrap_err().code(), "window_too_large");
    let mut small = Vec::new();
    brotli::CompressorWriter::new(&mut small, 4096, 5, 20).write_all(BODY).unwrap();
    assert_eq!(mask_encoded(Encoding::Brotli, limits, [&small[..]]).as_deref(), Ok(MASKED));

    let frame = |bits: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(bits).unwrap();
        encoder.write_all(BODY).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(
        mask_encoded(Encoding::Zstd, limits, [&frame(21)[..]]).unwrap_err().code(),
        "window_too_large"
    );
    assert_eq!(mask_encoded(Encoding::Zstd, limits, [&frame(20)[..]]).as_deref(), Ok(MASKED));
}

#[test]
fn an_event_leaves_with_its_blank_line_in_every_encoding() {
    let plan = plan(&[("a", Method::Null)]);
    let event = b"data: {\"a\":1}\n\n";
    for encoding in ENCODINGS {
        let mut encoder = crate::coding::Encoder::new(encoding).unwrap();
        let mut masker = Masker::new(plan.clone(), Format::Sse, Limits::default())
            .in_encoding(encoding, &Limits::default())
            .unwrap();
        let mut reader = crate::coding::Decoder::new(encoding, &Limits::default()).unwrap();
        for _ in 0..3 {
            let (mut chunk, mut out, mut read) = (Vec::new(), Vec::new(), Vec::new());
            encoder.write(event).unwrap();
            encoder.flush(&mut chunk).unwrap();
            masker.push(&chunk, &mut out).unwrap();
            let mut sink = |bytes: &[u8]| {
                read.extend_from_slice(bytes);
                Ok(())
            };
            reader.push(&out, &mut sink).unwrap();
            assert_eq!(read, b"data: {\"a\":null}\n\n", "{encoding:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_streams_are_blocked_or_masked_however_they_are_cut(
        at in any::<usize>(), byte in any::<u8>(), size in 1usize..9, which in 0usize..4,
    ) {
        let encoding = ENCODINGS[which];
        let mut body = encode(encoding, BODY);
        let at = at % body.len();
        body[at] = byte;
        let whole = mask_encoded(encoding, Limits::default(), [&body[..]]);
        let cut = mask_encoded(encoding, Limits::default(), body.chunks(size));
        // Of two faults the one that is met first is told.
        prop_assert_eq!(whole.ok(), cut.ok());
    }
}
