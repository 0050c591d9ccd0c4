//! gRPC bodies and the Protocol Buffers in them.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use super::*;
use crate::coding::{Decoder, Encoder};

const SECRET: &str = "4929381705628341";

fn descriptor_set() -> &'static [u8] {
    static SET: OnceLock<Vec<u8>> = OnceLock::new();
    SET.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests");
        protox::compile(["shop.proto"], [folder]).unwrap().encode_to_vec()
    })
}

fn schema() -> Schema {
    Schema::decode(descriptor_set()).unwrap()
}

fn encoded(message: &str, json: &Value) -> Vec<u8> {
    let pool = DescriptorPool::decode(descriptor_set()).unwrap();
    let descriptor = pool.get_message_by_name(message).unwrap();
    DynamicMessage::deserialize(descriptor, json).unwrap().encode_to_vec()
}

fn decoded(message: &str, bytes: &[u8]) -> Value {
    let pool = DescriptorPool::decode(descriptor_set()).unwrap();
    let descriptor = pool.get_message_by_name(message).unwrap();
    serde_json::to_value(DynamicMessage::decode(descriptor, bytes).unwrap()).unwrap()
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

fn unframed(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let length = usize::try_from(u32::from_be_bytes(body[1..5].try_into().unwrap())).unwrap();
        frames.push((body[0], body[5..5 + length].to_vec()));
        body = &body[5 + length..];
    }
    frames
}

fn call(framing: Framing, message: &str) -> Grpc {
    let message = schema().message(message).unwrap();
    Grpc { framing, message, encoding: None, unknown_fields: UnknownFields::Drop }
}

/// Masks a body whole, in every two chunks and byte by byte; all must agree.
fn mask_body(
    list: &[(&str, Method)],
    grpc: &Grpc,
    limits: Limits,
    body: &[u8],
) -> Result<Vec<u8>, &'static str> {
    let plan = plan(list);
    let run = |chunks: Vec<&[u8]>| {
        let (mut masker, mut out) = (Masker::grpc(plan.clone(), grpc, limits), Vec::new());
        for chunk in chunks {
            masker.push(chunk, &mut out).map_err(|error| error.code())?;
        }
        masker.finish(&mut out).map_err(|error| error.code())?;
        Ok(out)
    };
    let whole = run(vec![body]);
    for cut in 0..=body.len() {
        assert_eq!(run(vec![&body[..cut], &[], &body[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(run(body.chunks(1).collect()), whole);
    whole
}

/// One message of those bytes.
fn mask_bytes(list: &[(&str, Method)], message: &str, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let body = mask_body(list, &call(Framing::Grpc, message), Limits::default(), &frame(0, bytes))?;
    Ok(unframed(&body).remove(0).1)
}

fn mask_order(list: &[(&str, Method)], order: &Value) -> Result<Value, &'static str> {
    Ok(decoded("shop.Order", &mask_bytes(list, "shop.Order", &encoded("shop.Order", order))?))
}

#[test]
fn each_kind_of_field_has_its_stand_in() {
    let card = json!({
        "number": SECRET, "token": STANDARD.encode(SECRET), "limit": "-5", "delta": -7, "rate": 1.5, "active": true,
        "kind": "DEBIT", "codes": [1, 2], "tags": ["a", "b"], "pin": 9, "cardHolder": "Ana"
    });
    let all = |method: Method| {
        let masked = mask_bytes(&[("*", method)], "shop.Card", &encoded("shop.Card", &card)).unwrap();
        decoded("shop.Card", &masked)
    };
    // Zeros are there, and JSON leaves them out.
    let redacted = json!({
        "number": "[redacted]", "token": STANDARD.encode("[redacted]"), "codes": [0, 0],
        "tags": ["[redacted]", "[redacted]"], "cardHolder": "[redacted]"
    });
    assert_eq!(all(Method::redact()), redacted);
    assert_eq!(all(Method::Null), json!({}));
    assert_eq!(all(Method::Remove), json!({}));
    let shown = json!({
        "number": "************8341", "token": STANDARD.encode("************8341"), "codes": [0, 0],
        "tags": ["*", "*"], "cardHolder": "**a"
    });
    assert_eq!(all(Method::Last4), shown);
    assert_eq!(all(Method::Hash)["number"], all(Method::Hash)["number"]);
    assert!(all(Method::Hash)["number"].as_str().unwrap().starts_with("hmac:"));
}

#[test]
fn fields_are_found_by_path_through_lists_maps_and_oneofs() {
    let card = json!({"number": SECRET, "cardHolder": "Ana"});
    let order = json!({
        "id": "7", "card": card, "cards": [card, card], "labels": {"secret": SECRET, "plain": "x"},
        "byYear": {"2024": card, "2025": card}, "paid": card, "parent": {"card": card}
    });
    let masked = json!({"number": "[redacted]", "cardHolder": "Ana"});
    let expect = |field: &str, pointers: &[&str], value: &Value| {
        let mut expected = order.clone();
        for pointer in pointers {
            *expected.pointer_mut(pointer).unwrap() = value.clone();
        }
        assert_eq!(mask_order(&[(field, Method::redact())], &order).unwrap(), expected, "{field}");
    };
    expect("card.number", &["/card"], &masked);
    expect("cards.number", &["/cards/0", "/cards/1"], &masked);
    expect("cards.*.number", &["/cards/0", "/cards/1"], &masked);
    expect("labels.secret", &["/labels/secret"], &json!("[redacted]"));
    expect("by_year.\"2025\".number", &["/byYear/2025"], &masked);
    expect("byYear.\"2025\".number", &["/byYear/2025"], &masked);
    expect("paid.number", &["/paid"], &masked);
    let everywhere =
        ["/card", "/cards/0", "/cards/1", "/byYear/2024", "/byYear/2025", "/paid", "/parent/card"];
    expect("**.number", &everywhere, &masked);
    expect("paid", &["/paid"], &json!({}));
    expect("**.absent", &[], &json!(null));
    let holder = json!({"number": SECRET, "cardHolder": "[redacted]"});
    expect("card.card_holder", &["/card"], &holder);
    expect("card.cardHolder", &["/card"], &holder);
}

#[test]
fn removing_takes_messages_elements_and_entries() {
    let card = json!({"number": SECRET});
    let order = json!({"id": "7", "card": card, "cards": [card], "labels": {"a": "1", "b": "2"}, "byYear": {"1": card}});
    let remove = |field| mask_order(&[(field, Method::Remove)], &order).unwrap();
    assert_eq!(remove("card").as_object().unwrap().get("card"), None);
    assert_eq!(remove("cards").as_object().unwrap().get("cards"), None);
    assert_eq!(remove("labels.a")["labels"], json!({"b": "2"}));
    assert_eq!(remove("labels").as_object().unwrap().get("labels"), None);
    assert_eq!(remove("byYear.*.number")["byYear"], json!({"1": {}}));
    let nulled = mask_order(&[("labels.a", Method::Null)], &order).unwrap();
    assert_eq!(nulled["labels"], json!({"a": "", "b": "2"}));
    // A map has no place for a text.
    assert_eq!(mask_order(&[("labels", Method::redact())], &order).unwrap().get("labels"), None);
}

#[test]
fn a_struct_is_the_json_that_it_holds() {
    let order = json!({
        "extra": {"card": {"number": SECRET, "list": [SECRET, 1.0, true, null]}, "other": "x"},
        "free": {"number": 5.0}
    });
    let masked = mask_order(&[("**.number", Method::redact())], &order).unwrap();
    let mut expected = order.clone();
    expected["extra"]["card"]["number"] = json!("[redacted]");
    expected["free"]["number"] = json!("[redacted]");
    assert_eq!(masked, expected);
    let masked = mask_order(&[("extra.card.list", Method::Last4), ("free", Method::Null)], &order).unwrap();
    assert_eq!(masked["extra"]["card"]["list"], json!("****"));
    assert_eq!(masked["free"], json!(null));
    let masked = mask_order(&[("extra.card.list.**", Method::redact())], &order).unwrap();
    assert_eq!(masked["extra"]["card"]["list"], json!(["[redacted]", "[redacted]", "[redacted]", null]));
    let masked = mask_order(&[("extra.card", Method::Remove)], &order).unwrap();
    assert_eq!(masked["extra"], json!({"other": "x"}));
    let masked = mask_order(&[("extra.card.list.*", Method::Remove)], &order).unwrap();
    assert_eq!(masked["extra"]["card"]["list"], json!([]));
    assert_eq!(
        mask_order(&[("free.number", Method::Last4)], &order).unwrap()["free"],
        json!({"number": "*"})
    );
}

#[test]
fn an_any_is_masked_when_its_message_is_known_and_blocked_when_not() {
    let order =
        json!({"detail": {"@type": "type.googleapis.com/shop.Card", "number": SECRET, "cardHolder": "Ana"}});
    let masked = mask_order(&[("detail.number", Method::Null)], &order).unwrap();
    assert_eq!(masked["detail"], json!({"@type": "type.googleapis.com/shop.Card", "cardHolder": "Ana"}));
    let any = |name: &[u8]| {
        let mut any = vec![0x0a, u8::try_from(name.len()).unwrap()];
        any.extend_from_slice(name);
        any.extend([0x12, 2, 0x0a, 0]);
        let mut order = vec![0x42, u8::try_from(any.len()).unwrap()];
        order.extend(any);
        order
    };
    let unknown = any(b"type.googleapis.com/other.Card");
    assert_eq!(mask_bytes(&[("**.number", Method::Null)], "shop.Order", &unknown), Err("unresolvable_any"));
    assert_eq!(mask_bytes(&[("**.x", Method::Null)], "shop.Order", &any(b"\xff")), Err("unresolvable_any"));
    // Where no rule can match it passes unread.
    assert_eq!(mask_bytes(&[("card.number", Method::Null)], "shop.Order", &unknown), Ok(unknown));
    let twice = [0x42, 8, 0x0a, 2, b'/', b'x', 0x0a, 2, b'/', b'y'];
    assert_eq!(mask_bytes(&[("**.x", Method::Null)], "shop.Order", &twice), Err("invalid_protobuf"));
}

#[test]
fn every_occurrence_of_a_field_is_masked() {
    let card = encoded("shop.Card", &json!({"number": SECRET}));
    let twice = [&card[..], &card].concat();
    let masked = mask_bytes(&[("number", Method::Last4)], "shop.Card", &twice).unwrap();
    assert_eq!(masked, encoded("shop.Card", &json!({"number": "************8341"})).repeat(2));
    // A map's entry with two keys is masked for both.
    let entry = [&[0x0a, 1, b'a', 0x0a, 1, b'b', 0x12, 16], SECRET.as_bytes()].concat();
    let order = [&[0x22, u8::try_from(entry.len()).unwrap()], &entry[..]].concat();
    for key in ["labels.a", "labels.b"] {
        let masked = mask_bytes(&[(key, Method::Null)], "shop.Order", &order).unwrap();
        assert_eq!(masked, [0x22, 6, 0x0a, 1, b'a', 0x0a, 1, b'b'], "{key}");
    }
    // And without a key for the empty one.
    let order = [&[0x22, 18, 0x12, 16], SECRET.as_bytes()].concat();
    assert_eq!(mask_bytes(&[("labels.\"\"", Method::Remove)], "shop.Order", &order), Ok(vec![]));
}

#[test]
fn packed_and_unpacked_lists_are_the_same() {
    let (packed, unpacked) = ([0x42, 2, 1, 2], [0x40, 1, 0x40, 2]);
    let rules = [("codes", Method::Hash)];
    assert_eq!(mask_bytes(&rules, "shop.Card", &packed), Ok(vec![0x42, 2, 0, 0]));
    assert_eq!(mask_bytes(&rules, "shop.Card", &unpacked), Ok(vec![0x40, 0, 0x40, 0]));
    assert_eq!(mask_bytes(&[("codes", Method::Remove)], "shop.Card", &packed), Ok(vec![]));
    assert_eq!(mask_bytes(&rules, "shop.Card", &[0x42, 2, 1, 0x80]), Err("invalid_protobuf"));
}

#[test]
fn what_the_schema_does_not_know_is_dropped_passed_or_blocked() {
    // Field 99, and field 1 as a number where the schema has a text.
    let unknown = [&[0x9a, 6, 16], SECRET.as_bytes(), &[0x08, 5]].concat();
    let message = [&unknown[..], &encoded("shop.Card", &json!({"cardHolder": "Ana"}))].concat();
    let run = |unknown_fields, rule| {
        let grpc = Grpc { unknown_fields, ..call(Framing::Grpc, "shop.Card") };
        let body = mask_body(&[(rule, Method::Null)], &grpc, Limits::default(), &frame(0, &message))?;
        Ok(unframed(&body).remove(0).1)
    };
    let known = encoded("shop.Card", &json!({"cardHolder": "Ana"}));
    assert_eq!(run(UnknownFields::Drop, "number"), Ok(known));
    assert_eq!(run(UnknownFields::Pass, "number"), Ok(message.clone()));
    assert_eq!(run(UnknownFields::Block, "number"), Err("unknown_field"));
}

#[test]
fn what_is_no_message_is_blocked() {
    let deep = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut out = vec![0x5a];
        let mut length = inner.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend(inner);
        out
    });
    let table: &[(&[u8], &str)] = &[
        (&[0x0b, 0x0c], "invalid_protobuf"),
        (&[0x0f], "invalid_protobuf"),
        (&[0x00, 1], "invalid_protobuf"),
        (&[0x0a, 5, b'a'], "invalid_protobuf"),
        (&[0x0a], "invalid_protobuf"),
        (&[0x80], "invalid_protobuf"),
        (&[0x12, 2, 0x0a, 9], "invalid_protobuf"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "invalid_protobuf"),
        (&[0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0], "invalid_protobuf"),
        (&[0x15, 1, 2], "invalid_protobuf"),
        (&deep, "too_deep"),
    ];
    for (bytes, code) in table {
        assert_eq!(mask_bytes(&[("**.number", Method::Null)], "shop.Order", bytes), Err(*code), "{bytes:?}");
    }
}

#[test]
fn messages_leave_one_by_one_and_compressed_as_they_came() {
    let card = encoded("shop.Card", &json!({"number": SECRET}));
    let masked = encoded("shop.Card", &json!({"number": "[redacted]"}));
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        let (mut encoder, mut packed) = (Encoder::new(encoding).unwrap(), Vec::new());
        encoder.write(&card).unwrap();
        encoder.finish(&mut packed).unwrap();
        let grpc = Grpc { encoding: Some(encoding), ..call(Framing::Grpc, "shop.Card") };
        let body = [frame(0, &card), frame(1, &packed), frame(0, &[])].concat();
        let out = mask_body(&[("number", Method::redact())], &grpc, Limits::default(), &body).unwrap();
        let frames = unframed(&out);
        assert_eq!((frames.len(), &frames[0], &frames[2]), (3, &(0, masked.clone()), &(0, vec![])));
        let (mut decoder, mut plain) = (Decoder::new(encoding, &Limits::default()).unwrap(), Vec::new());
        decoder
            .push(&frames[1].1, &mut |bytes| {
                plain.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        decoder.finish().unwrap();
        assert_eq!((frames[1].0, plain), (1, masked.clone()), "{encoding:?}");
    }
}

#[test]
fn a_message_leaves_as_soon_as_it_is_whole() {
    let card = frame(0, &encoded("shop.Card", &json!({"number": SECRET})));
    let grpc = call(Framing::Grpc, "shop.Card");
    let mut masker = Masker::grpc(plan(&[("number", Method::Null)]), &grpc, Limits::default());
    let mut out = Vec::new();
    masker.push(&card[..card.len() - 1], &mut out).unwrap();
    assert_eq!(out, b"");
    masker.push(&card[card.len() - 1..], &mut out).unwrap();
    assert_eq!(out, frame(0, &[]));
    assert_eq!(masker.masked_fields(), 1);
}

#[test]
fn frames_that_are_broken_are_blocked() {
    let grpc = call(Framing::Grpc, "shop.Card");
    let limits = Limits { message_bytes: 64, ..Limits::default() };
    let bomb = {
        let (mut encoder, mut packed) = (Encoder::new(Encoding::Gzip).unwrap(), Vec::new());
        encoder.write(&[0; 65]).unwrap();
        encoder.finish(&mut packed).unwrap();
        frame(1, &packed)
    };
    let gzip = Grpc { encoding: Some(Encoding::Gzip), ..grpc.clone() };
    let web = Grpc { framing: Framing::Web, ..grpc.clone() };
    let table: &[(&Grpc, Vec<u8>, &str)] = &[
        (&grpc, vec![0, 0, 0, 0], "invalid_grpc"),
        (&grpc, vec![0, 0, 0, 0, 2, 8], "invalid_grpc"),
        (&grpc, vec![2, 0, 0, 0, 0], "invalid_grpc"),
        (&grpc, vec![0x80, 0, 0, 0, 0], "invalid_grpc"),
        (&grpc, frame(1, b"x"), "invalid_grpc"),
        (&grpc, vec![0, 0, 0, 0, 65], "message_too_long"),
        (&grpc, vec![0, 255, 255, 255, 255], "message_too_long"),
        (&gzip, frame(1, b"plain"), "invalid_encoding"),
        (&gzip, frame(1, b""), "truncated_encoding"),
        (&gzip, bomb, "message_too_long"),
        (&web, vec![0x81, 0, 0, 0, 0], "invalid_grpc"),
        (&web, [frame(0x80, b""), frame(0, b"")].concat(), "after_end"),
        (&web, frame(0x80, b"no colon"), "invalid_grpc"),
        (&web, frame(0x80, b"\xff:"), "invalid_grpc"),
        (&web, frame(0x80, b"grpc-status: 0\nx: 1\r\n"), "invalid_grpc"),
    ];
    for (grpc, body, code) in table {
        assert_eq!(mask_body(&[("number", Method::Null)], grpc, limits, body), Err(*code), "{body:?}");
    }
}

#[test]
fn grpc_web_ends_with_the_status_alone_and_has_a_text_form() {
    let rules = [("number", Method::redact())];
    let card = frame(0, &encoded("shop.Card", &json!({"number": SECRET})));
    let trailers = format!(
        "grpc-status: 7\r\nGrpc-Message:no\r\ngrpc-status-details-bin: {SECRET}\r\nx-card: {SECRET}\r\n"
    );
    let body = [card.clone(), frame(0x80, trailers.as_bytes())].concat();
    let masked = [
        frame(0, &encoded("shop.Card", &json!({"number": "[redacted]"}))),
        frame(0x80, b"grpc-status: 7\r\nGrpc-Message:no\r\n"),
    ];
    let web = call(Framing::Web, "shop.Card");
    assert_eq!(mask_body(&rules, &web, Limits::default(), &body), Ok(masked.concat()));

    let text = call(Framing::WebText, "shop.Card");
    let expected: String = masked.iter().map(|frame| STANDARD.encode(frame)).collect();
    for encoded in [
        STANDARD.encode(&body),
        STANDARD.encode(&card) + &STANDARD.encode(frame(0x80, trailers.as_bytes())),
        body.iter().map(|byte| STANDARD.encode([*byte])).collect(),
    ] {
        let got = mask_body(&rules, &text, Limits::default(), encoded.as_bytes());
        assert_eq!(got, Ok(expected.clone().into_bytes()), "{encoded}");
    }
    for broken in ["AAAA", "A", "AA AAAA=", "AAA-", "AAAAAAB="] {
        let got = mask_body(&rules, &text, Limits::default(), broken.as_bytes());
        assert_eq!(got, Err("invalid_grpc"), "{broken}");
    }
}

#[test]
fn the_trailers_of_grpc_web_are_masked_in_its_body() {
    let email = Detect::known(&[crate::Kind::Email]).unwrap();
    let everywhere = Rule::looking(FieldPath::everything(), Arc::new(email), Method::redact());
    let named = Part::Trailer(crate::HeaderNames::parse("grpc-message").unwrap());
    let last4 = Rule::of_headers(named, Method::Last4);
    let trailers = frame(0x80, b"grpc-status: 5\r\nGrpc-Message: no ana%40example.com\r\n");
    for (rule, expected) in [(everywhere, "no [email]"), (last4, "**************.com")] {
        let plan = Arc::new(Plan::compile(&[Arc::new(rule)], &key()));
        let mut masker = Masker::grpc(plan, &call(Framing::Web, "shop.Card"), Limits::default());
        let mut out = Vec::new();
        masker.push(&trailers, &mut out).unwrap();
        let text = format!("grpc-status: 5\r\ngrpc-message: {expected}\r\n");
        assert_eq!(String::from_utf8(out), String::from_utf8(frame(0x80, text.as_bytes())));
        assert_eq!(masker.masked_fields(), 1);
    }
}

#[test]
fn a_schema_knows_what_methods_answer() {
    let schema = schema();
    let name = |path| schema.answer_of(path).map(|message| message == schema.message("shop.Card").unwrap());
    assert_eq!(name("/shop.Shop/Find"), Some(true));
    assert_eq!(name("/shop.Shop/Get"), Some(false));
    for path in ["/shop.Shop/find", "/shop.Shop/", "/shop.Shop", "shop.Shop/Find", "/Shop/Find", "/", ""] {
        assert_eq!(name(path), None, "{path}");
    }
    let error = Schema::decode(b"\xff\xff").unwrap_err().to_string();
    assert!(error.contains("--include_imports"), "{error}");
}

#[test]
fn content_types_tell_the_framing() {
    for (value, framing) in [
        ("application/grpc", Some(Framing::Grpc)),
        ("application/grpc+proto", Some(Framing::Grpc)),
        ("Application/GRPC; charset=utf-8", Some(Framing::Grpc)),
        ("application/grpc-web+proto", Some(Framing::Web)),
        ("application/grpc-web-text", Some(Framing::WebText)),
        ("application/grpc+json", None),
        ("application/grpc-web-text+thrift", None),
        ("application/json", None),
        ("application/grpc, application/grpc", None),
        ("", None),
    ] {
        assert_eq!(Framing::of_content_type(value), framing, "{value}");
    }
}

#[test]
fn detectors_look_into_texts_and_numbers() {
    let run = |field: &str, order: &Value| {
        let detect =
            Detect::new(vec![Detector::Known(Kind::Card)], None, Detect::DEFAULT_WITHIN, Confidence::Medium)
                .unwrap();
        let field = FieldPath::parse(field).unwrap();
        let rule = Rule::looking(field, Arc::new(detect), Method::redact());
        let plan = Arc::new(Plan::compile(&[Arc::new(rule)], &key()));
        let mut masker = Masker::grpc(plan, &call(Framing::Grpc, "shop.Order"), Limits::default());
        let mut out = Vec::new();
        masker.push(&frame(0, &encoded("shop.Order", order)), &mut out).unwrap();
        masker.finish(&mut out).unwrap();
        (decoded("shop.Order", &unframed(&out).remove(0).1), masker.masked_fields())
    };
    let card = "4111 1111 1111 1111";
    let order = json!({
        "id": "7", "card": {"number": card, "limit": "4111111111111111", "delta": 5, "tags": ["x", card]},
        "labels": {"a": card}, "extra": {"n": 4111111111111111_i64, "s": card}
    });
    let masked = json!({
        "id": "7", "card": {"number": "[card]", "delta": 5, "tags": ["x", "[card]"]},
        "labels": {"a": "[card]"}, "extra": {"n": 0.0, "s": "[card]"}
    });
    assert_eq!(run("**", &order), (masked, 6));
    let mut expected = order.clone();
    expected["extra"]["n"] = json!(4111111111111111.0);
    expected["card"]["number"] = json!("[card]");
    assert_eq!(run("card.number", &order), (expected, 1));
}

/// Cards in orders, as JSON.
fn order() -> impl Strategy<Value = Value> {
    let card = ("[a-z]{0,4}", any::<i64>(), any::<i32>(), prop::collection::vec(any::<i32>(), 0..3)).prop_map(
        |(number, limit, delta, codes)| {
            json!({"number": format!("<{number}>"), "limit": limit.to_string(), "delta": delta, "codes": codes})
        },
    );
    let leaf = (
        card.clone(),
        prop::collection::vec(card.clone(), 0..3),
        prop::collection::btree_map("[a-c]", "[<a-z]{0,3}", 0..3),
    )
        .prop_map(|(card, cards, labels)| json!({"id": "x", "card": card, "cards": cards, "labels": labels}));
    leaf.prop_recursive(3, 8, 1, |inner| {
        inner.prop_map(|parent| json!({"id": "y", "parent": parent, "extra": {"number": "<s>", "n": [1.0, {"number": "<t>"}]}}))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_number_survives_and_nothing_else_changes(order in order()) {
        fn masked(value: &Value) -> Value {
            match value {
                Value::Object(members) => members
                    .iter()
                    .map(|(name, value)| {
                        let value = if name == "number" { json!("-") } else { masked(value) };
                        (name.clone(), value)
                    })
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
                Value::Array(items) => items.iter().map(masked).collect(),
                leaf => leaf.clone(),
            }
        }
        let dash = Method::Redact { text: "-".to_owned() };
        let bytes = encoded("shop.Order", &order);
        let got = mask_bytes(&[("**.number", dash)], "shop.Order", &bytes).unwrap();
        let canonical = decoded("shop.Order", &bytes);
        prop_assert_eq!(decoded("shop.Order", &got), masked(&canonical));
        prop_assert_eq!(mask_bytes(&[("**.absent", Method::Null)], "shop.Order", &bytes).unwrap(), bytes);
    }

    #[test]
    fn noise_neither_panics_nor_depends_on_its_chunks(
        bytes in prop::collection::vec(any::<u8>(), 0..40), flag in 0u8..3,
    ) {
        let grpc = Grpc { encoding: Some(Encoding::Gzip), ..call(Framing::Web, "shop.Order") };
        let rules = [("**.number", Method::Hash), ("extra.**", Method::Last4)];
        let _ = mask_body(&rules, &grpc, Limits::default(), &frame(flag, &bytes));
        let _ = mask_body(&rules, &grpc, Limits::default(), &bytes);
    }
}

#[test]
fn texts_and_bytes_that_are_read_as_json_are_masked_within() {
    let inner = json!({"a": "secret", "b": 1}).to_string();
    let order = json!({
        "id": inner, "card": {"token": STANDARD.encode(&inner), "number": "x"},
        "extra": {"p": inner, "q": {"a": "secret"}}, "free": {"a": "secret"}, "labels": {"l": inner}
    });
    let rules = [
        ("id[json].a", Method::Null),
        ("card[json].token[json].a", Method::Null),
        ("extra.p[json].a", Method::Null),
        ("extra.q[json].a", Method::Null),
        ("free[json]", Method::redact()),
        ("labels.l[json].a", Method::Null),
    ];
    let body = frame(0, &encoded("shop.Order", &order));
    let mask = |body: &[u8]| {
        let mut masker = Masker::grpc(plan(&rules), &call(Framing::Grpc, "shop.Order"), Limits::default());
        let mut out = Vec::new();
        masker
            .push(body, &mut out)
            .and_then(|()| masker.finish(&mut out))
            .map(|()| (out, masker.masked_fields()))
    };
    let (out, masked) = mask(&body).unwrap();
    let got = decoded("shop.Order", &unframed(&out)[0].1);
    let expected = "{\"a\":null,\"b\":1}";
    assert_eq!(got["id"], expected);
    assert_eq!(got["card"]["token"], STANDARD.encode(expected));
    assert_eq!(got["extra"], json!({"p": expected, "q": {"a": null}}));
    assert_eq!((&got["free"], &got["labels"]["l"]), (&json!("[redacted]"), &json!(expected)));
    assert_eq!(masked, 6);
    let broken = frame(0, &encoded("shop.Order", &json!({"id": "{"})));
    assert_eq!(mask(&broken).unwrap_err().code(), "invalid_json_in_string");
}
