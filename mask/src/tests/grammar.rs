//! RFC 8259 section by section: what it calls invalid is refused, what it calls valid passes byte for byte when no rule
//! matches. Each document goes through the buffered way, in every two chunks, and byte by byte.

use serde::de::IgnoredAny;

use super::*;

/// Rules that match nothing here, of each kind that changes how a document is read.
fn rule_sets() -> [Vec<(&'static str, Method)>; 5] {
    [
        vec![],
        vec![("none", Method::redact())],
        vec![("**.none", Method::Remove)],
        vec![("none[3]", Method::Hash), ("**[?none==7].none", Method::Null)],
        vec![("none[json].x", Method::Last4)],
    ]
}

fn passes(document: &[u8], rules: &[(&str, Method)]) -> Result<(), Unmaskable> {
    let masked = mask_with(&plan(rules), Format::Json, Limits::default(), document)?;
    assert_eq!(String::from_utf8_lossy(&masked), String::from_utf8_lossy(document));
    Ok(())
}

fn assert_valid(documents: &[&[u8]]) {
    for document in documents {
        for rules in rule_sets() {
            let passed = passes(document, &rules);
            assert_eq!(passed, Ok(()), "{} by {rules:?}", String::from_utf8_lossy(document));
        }
    }
}

fn assert_invalid(documents: &[&[u8]]) {
    for document in documents {
        for rules in rule_sets() {
            let code = passes(document, &rules).map_err(|error| error.code());
            assert_eq!(code, Err("invalid_json"), "{} by {rules:?}", String::from_utf8_lossy(document));
        }
    }
}

#[test]
fn section_2_white_space_and_the_six_structural_characters() {
    assert_valid(&[
        b"[]",
        b"{}",
        b" \t\n\r[ \t\n\r] \t\n\r",
        b"{ \"a\" : 1 , \"b\" : [ ] }",
        b"[[[[]]]]",
        b"[1,2,\n3\r\n,\t4]",
        b"[\"a\",\n  {\"b\":\n    [1]}]\n",
        b"1 ",
        b"\n1",
        b"true\n",
    ]);
    assert_invalid(&[
        b"",
        b" ",
        b"\n",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[[]",
        b"[]]",
        b"{}}",
        b"{\"a\":{}",
        b"[}",
        b"{]",
        b"[{]}",
        b"[\"a\"",
        b"\x0b[]",
        b"[\x0c]",
        b"\xc2\xa0[]",
        b"[\xc2\xa0]",
        b"[\xe2\x80\xa8]",
        b"[\xe2\x81\xa0]",
        b"[1\x00]",
        b"[]\x00",
        b"\x00",
        b"[\x1b]",
        b"[1\\n]",
        b"/**/[]",
        b"[]/**/",
        b"{\"a\":1}//",
        b"[1 // one\n]",
        b"# one\n[]",
        b"([])",
        b"<a/>",
        b"*",
        b"[*]",
        b"=1",
        b"a=1",
    ]);
}

#[test]
fn section_2_one_document_and_nothing_else() {
    assert_invalid(&[
        b"1 2",
        b"{}{}",
        b"[][]",
        b"{} []",
        b"[1],",
        b"[1]x",
        b"{\"a\":1}#",
        b"{\"a\":1},",
        b"\"a\"\"b\"",
        b"1,2",
        b"1]",
        b"[1]]",
        b"null null",
        b"{\"a\":true} \"x\"",
        b",[1]",
        b":1",
    ]);
}

#[test]
fn section_3_values() {
    assert_valid(&[
        b"true",
        b"false",
        b"null",
        b"[true,false,null]",
        b"{\"a\":true,\"b\":false,\"c\":null}",
        b"\"\"",
        b"0",
    ]);
    assert_invalid(&[
        b"True",
        b"TRUE",
        b"tru",
        b"truee",
        b"true1",
        b"nul",
        b"nulll",
        b"Null",
        b"fals",
        b"falsey",
        b"[nul]",
        b"[tru]",
        b"[fals,1]",
        b"[truefalse]",
        b"[true false]",
        b"undefined",
        b"None",
        b"NaN",
        b"[NaN]",
        b"Infinity",
        b"-Infinity",
        b"[-NaN]",
        b"Inf",
        b"a",
        b"[a]",
        b"'a'",
        b"`a`",
        b"{\"a\":a}",
        b"[\xff]",
        b"\xef\xbc\x91",
        b"[\xef\xbc\x91]",
    ]);
}

#[test]
fn section_4_objects() {
    assert_valid(&[
        b"{\"\":0}",
        b"{\"a\":1,\"a\":1}",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":{\"a\":{\"a\":{}}}}",
        b"{\"\\u0061\\n\\\"\":1}",
        b"{\"a\\u0000b\":1}",
        b"{\"min\":-1.0e+28,\"max\":1.0e+28}",
        "{\"é😀\":[]}".as_bytes(),
    ]);
    assert_invalid(&[
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{\"a\":1,,\"b\":2}",
        b"{,}",
        b"{,\"a\":1}",
        b"{\"a\" 1}",
        b"{\"a\"::1}",
        b"{\"a\":1:2}",
        b"{\"a\",1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":1;\"b\":2}",
        b"{:1}",
        b"{a:1}",
        b"{'a':1}",
        b"{1:1}",
        b"{null:1}",
        b"{[]:1}",
        b"{\"a\":1",
        b"{\"a\":",
        b"{\"a\"",
        b"{\"a",
        b"{\"a\":\"b",
        b"{\"a\":1]",
        b"{\"a\":1,\"b\"}",
        b"{\"a\":1,\"b\":}",
        b"{\"a\":\"b\"}/",
        b"{\"a\":1,...}",
        b"{\"\xb9\":1}",
        b"{\"a\\x\":1}",
        b"{\"a\n\":1}",
    ]);
}

#[test]
fn section_5_arrays() {
    assert_valid(&[b"[ ]", b"[[],[]]", b"[\"\"]", b"[null,1,\"1\",{}]", b"[1\n]", b" [1]", b"[2] "]);
    assert_invalid(&[
        b"[1,]",
        b"[,1]",
        b"[,]",
        b"[1,,2]",
        b"[1,,]",
        b"[1 2]",
        b"[\"a\" \"b\"]",
        b"[\"a\":1]",
        b"[1:2]",
        b"[1;2]",
        b"[:]",
        b"[1}",
        b"[1",
        b"[1,",
        b"[1,\n1\n,1",
        b"[\"a\",4\n,1,",
        b"[{}",
        b"[{\"a\":1}",
        b"[3[4]]",
        b"[[1]2]",
        b"[\"a\"[1]]",
        b"[-]",
        b"[\\]",
    ]);
}

#[test]
fn section_6_numbers() {
    assert_valid(&[
        b"0",
        b"-0",
        b"1",
        b"-1",
        b"1234567890",
        b"0.0",
        b"-0.5",
        b"10.01",
        b"1e0",
        b"1E1",
        b"1e+1",
        b"1e-1",
        b"0e1",
        b"0e+1",
        b"0E00",
        b"-0e-0",
        b"1.5e10",
        b"123.456e78",
        b"[123.456789]",
        b"[ 4]",
        b"[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
        // No reader need have room for these, but they are numbers.
        b"1e400",
        b"-1e400",
        b"1e-400",
        b"[123123123123123123123123123123]",
        b"[-123123123123123123123123123123]",
        b"0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999999999999",
        b"1e9999999999999999999999999999999999999999999999999999999999",
    ]);
    assert_invalid(&[
        b"-",
        b"+1",
        b"++1",
        b"--1",
        b"-+1",
        b"+Inf",
        b"00",
        b"01",
        b"-00",
        b"-01",
        b"-00.0",
        b"00e0",
        b"-012",
        b"[012]",
        b".5",
        b"-.5",
        b".",
        b"1.",
        b"-1.",
        b"[1.]",
        b"1.e1",
        b"0.e1",
        b"1..2",
        b"1.2.3",
        b"1.-2",
        b"1e",
        b"1E",
        b"1e+",
        b"1e-",
        b"1e+-1",
        b"1e++1",
        b"1ee1",
        b"1e1.5",
        b"1.0e",
        b"1.0e+",
        b"0e",
        b"0e+",
        b"[0e]",
        b"[9.e+]",
        b"0x1",
        b"0x42",
        b"0b1",
        b"1_000",
        b"1 000.0",
        b"1a",
        b"1e1a",
        b"[1+2]",
        b"[1-2]",
        b"[1,-]",
        b"[- 1]",
        b"[-a]",
        b"[1\xe5]",
        b"[1e1\xe5]",
        b"[0\xe5\n]",
        b"1\x00",
        b"1/2",
    ]);
}

#[test]
fn section_7_strings() {
    assert_valid(&[
        b"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        b"\"\\u0000\\u001f\\u0020\\uFFFF\\uabCD\"",
        b"\"\\ud83d\\ude39\\u0044\"",
        b"\"\\ud801\\udc37\"",
        b"\"\\\\u0000\"",
        b"\"\\\\n\"",
        b"\"a/*b*/c//d\"",
        b"\"\x7f\"",
        b"\"\xe2\x80\xa8\xe2\x80\xa9\"",
        b"\"\xef\xbf\xbf\xef\xbf\xbe\"",
        b"\"\xf4\x8f\xbf\xbf\"",
        b"\"\xf0\x9b\xbf\xbf\"",
        b"\"\xcd\x80\xe2\x82\xac\xf0\x9d\x84\x9e\"",
        b"\" \"",
        b"\"'\"",
        // No character, but the grammar allows it (8.2).
        b"\"\\ud800\"",
        b"\"\\udc00\"",
        b"\"\\udc00\\ud800\"",
        b"\"\\ud800\\ud800\\n\"",
        b"\"\\ud800x\"",
        b"{\"\\ud800\":1}",
    ]);
    assert_invalid(&[
        b"\"",
        b"\"a",
        b"\"\\",
        b"\"\\\"",
        b"\"\\u",
        b"\"\\u\"",
        b"\"\\u0\"",
        b"\"\\u00\"",
        b"\"\\u00A\"",
        b"\"\\u00g0\"",
        b"\"\\uD834\\uDd\"",
        b"\"\\uD800\\u\"",
        b"\"\\uD800\\u1\"",
        b"\"\\uD800\\u1x\"",
        b"\"\\u{0041}\"",
        b"\"\\U0041\"",
        b"\"\\x41\"",
        b"\"\\a\"",
        b"\"\\v\"",
        b"\"\\0\"",
        b"\"\\012\"",
        b"\"\\'\"",
        b"\"\\ \"",
        b"\"\\\t\"",
        b"\"\\\n\"",
        b"\"\\\x00\"",
        b"\"\\\xf0\x9f\x8c\x80\"",
        b"\"\\\xe5\"",
        b"\"\\\\\\\"",
        b"\"\x00\"",
        b"\"a\x00a\"",
        b"\"\t\"",
        b"\"\n\"",
        b"\"a\nb\"",
        b"\"\x1f\"",
        b"[\"a",
        b"[\"\\u00A\"]",
        b"\"a\"x",
        b"a\"",
        b"\\u0020\"a\"",
        b"\xe2\x80\x9ca\xe2\x80\x9d",
        b"\"a\x1b\"",
    ]);
}

#[test]
fn section_8_1_text_is_utf_8_without_a_byte_order_mark() {
    assert_invalid(&[
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf",
        b"\xef\xbb",
        b"\xff\xfe[\x00\"\x00\xe9\x00\"\x00]\x00",
        b"\x00[\x00\"\x00\xe9\x00\"\x00]",
        b"[\x00\"\x00\xe9\x00\"\x00]\x00",
        b"\"\xff\"",
        b"\"\x80\"",
        b"\"\xe9\"",
        b"\"\xc3\"",
        b"\"\xc0\xaf\"",
        b"\"\xe0\x80\xaf\"",
        b"\"\xe0\xff\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xf8\x88\x80\x80\x80\"",
        b"\"\xfc\x80\x80\x80\x80\x80\"",
        b"\"\xfc\x83\xbf\xbf\xbf\xbf\"",
        b"\"\xe6\x97\xa5\xd1\x88\xfa\"",
        b"\"\xf0\x90\"",
        b"\xff",
        b"[1,\xe2\x82]",
    ]);
}

#[test]
fn section_9_depth_is_bounded_and_said_to_be() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let most = Limits::default().depth;
    let run = |body: String| {
        let plan = plan(&[("none", Method::Remove)]);
        let single = mask_chunks(&plan, Format::Json, Limits::default(), body.as_bytes().chunks(1));
        let whole = mask_chunks(&plan, Format::Json, Limits::default(), [body.as_bytes()]);
        assert_eq!(whole, single);
        whole.map(|masked| assert_eq!(masked, body.as_bytes())).map_err(|error| error.code())
    };
    assert_eq!(run(nested(most)), Ok(()));
    assert_eq!(run(nested(most + 1)), Err("too_deep"));
    assert_eq!(run(nested(100_000)), Err("too_deep"));
    assert_eq!(run("{\"\":".repeat(100_000)), Err("too_deep"));
    assert_eq!(run("[".repeat(100)), Err("invalid_json"));
}

/// Pieces that end a token, begin one, or are none.
const PIECES: [&[u8]; 24] = [
    b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\\", b"u00e9", b"n", b"0", b"12", b"-", b"+", b".", b"e5",
    b"E", b" ", b"\n", b"true", b"null", b"\"a\"", b"\xc3", b"\xa9",
];

/// Where such pieces may stand: alone, in arrays, objects and strings, at the end, and before much else, which
/// is where several bytes are read at a time.
const AROUND: [(&str, &str); 7] = [
    ("", ""),
    ("[", "]"),
    ("{\"a\":", "}"),
    ("{", ":1}"),
    ("\"", "\""),
    ("[1,", ",\"and much that comes after it, and nothing of it matters at all\"]"),
    ("{\"a\":1,\"b\":", ",\"c\":\"and much that comes after it, and nothing of it matters at all\"}"),
];

#[test]
fn every_short_document_is_judged_as_serde_json_does() {
    let compiled: Vec<_> = rule_sets().iter().take(3).map(|rules| plan(rules)).collect();
    let (mut valid, mut invalid) = (0, 0);
    let mut judge = |document: &[u8]| {
        let text = std::str::from_utf8(document).ok();
        let expected = text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        *if expected { &mut valid } else { &mut invalid } += 1;
        for plan in &compiled {
            let whole = mask_chunks(plan, Format::Json, Limits::default(), [document]);
            let single = mask_chunks(plan, Format::Json, Limits::default(), document.chunks(1));
            let shown = String::from_utf8_lossy(document);
            assert_eq!(whole.is_ok(), expected, "{shown}: {whole:?}");
            assert_eq!(single.is_ok(), expected, "{shown}, byte by byte: {single:?}");
            assert!(whole.is_err() || whole.as_deref() == Ok(document) && single == whole, "{shown}");
        }
    };
    for (before, after) in AROUND {
        for one in PIECES {
            for two in PIECES {
                for three in PIECES {
                    judge(&[before.as_bytes(), one, two, three, after.as_bytes()].concat());
                }
            }
        }
    }
    assert!(valid > 500 && invalid > 50_000, "{valid} valid, {invalid} invalid");
}
