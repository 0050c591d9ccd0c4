//! Bodies that can't be masked, and what their rules choose to be done then.

use super::*;

fn guarded(format: Format, encoding: Option<Encoding>, done: OnUnmaskable) -> Guarded {
    let mut masker = Masker::new(plan(&[("**.a", Method::Hash)]), format, Limits::default());
    if let Some(encoding) = encoding {
        masker = masker.in_encoding(encoding, &Limits::default()).unwrap();
    }
    Guarded::new(masker, done, redacted(format, encoding).ok())
}

type Told = Result<Option<(OnUnmaskable, &'static str)>, &'static str>;

/// What comes out of the chunks, and what was told about them; `Err` with the code where they are blocked.
fn run(mut body: Guarded, chunks: &[&[u8]]) -> (Vec<u8>, Told) {
    let mut out = Vec::new();
    let pushed = chunks.iter().try_for_each(|chunk| body.push(chunk, &mut out));
    let ended = pushed.and_then(|()| body.finish(&mut out)).map_err(|why| why.code());
    (out, ended.map(|()| body.take_given_up().map(|(done, why)| (done, why.code()))))
}

#[test]
fn the_strictest_choice_of_the_rules_of_a_body_counts() {
    use OnUnmaskable::{Block, Pass, RedactAll};
    let of = |choices: &[OnUnmaskable]| {
        let rules: Vec<_> = choices
            .iter()
            .map(|choice| {
                let rule = Rule::new(FieldPath::everything(), Method::Hash);
                Arc::new(Rule { on_unmaskable: *choice, ..rule })
            })
            .collect();
        OnUnmaskable::of(&rules)
    };
    for (choices, strictest) in [
        (&[Pass, RedactAll, Pass][..], RedactAll),
        (&[Pass, Block, RedactAll], Block),
        (&[Pass, Pass], Pass),
        (&[], Block),
    ] {
        assert_eq!(of(choices), strictest, "{choices:?}");
    }
}

#[test]
fn a_body_of_which_nothing_has_left_is_replaced_or_passed_by_choice() {
    let broken: &[&[u8]] = &[b" ", b"", b"x{\"a\":", b"1} and more"];
    let told = |done| Ok(Some((done, "invalid_json")));
    let json = |done| run(guarded(Format::Json, None, done), broken);
    // White space is no body yet, but it has left.
    assert_eq!(json(OnUnmaskable::Block), (b" ".to_vec(), Err("invalid_json")));
    let broken = &broken[1..];
    let json = |done| run(guarded(Format::Json, None, done), broken);
    assert_eq!(json(OnUnmaskable::Block), (Vec::new(), Err("invalid_json")));
    assert_eq!(json(OnUnmaskable::RedactAll), (b"\"[redacted]\"".to_vec(), told(OnUnmaskable::RedactAll)));
    assert_eq!(json(OnUnmaskable::Pass), (broken.concat(), told(OnUnmaskable::Pass)));
}

#[test]
fn a_body_of_which_a_part_has_left_is_cut_off_whatever_was_chosen() {
    for done in [OnUnmaskable::RedactAll, OnUnmaskable::Pass] {
        let (out, ended) = run(guarded(Format::Json, None, done), &[b"{\"b\":\"xxxxxxxx\",", b"}"]);
        assert_eq!(ended, Err("invalid_json"));
        assert!(out.starts_with(b"{\"b\"") && !String::from_utf8(out).unwrap().contains("redacted"));
        let (out, ended) = run(guarded(Format::Ndjson, None, done), &[b"{\"a\":1}\n", b"x\n"]);
        assert_eq!(ended, Err("invalid_json"));
        assert!(out.starts_with(b"{\"a\":\"hmac:"));
    }
}

#[test]
fn what_is_held_back_passes_with_the_rest_up_to_a_limit() {
    let comment = vec![b'x'; Guarded::KEPT_BYTES / 2];
    let start: &[u8] = b"data: ";
    // An event is held until it ends.
    let within = [start, &comment, b"\n\n"];
    let (out, told) = run(guarded(Format::Sse, None, OnUnmaskable::Pass), &within);
    assert_eq!((out, told), (within.concat(), Ok(Some((OnUnmaskable::Pass, "invalid_json")))));

    let limits = Limits { event_bytes: 4 << 20, ..Limits::default() };
    let masker = Masker::new(plan(&[("**.a", Method::Hash)]), Format::Sse, limits);
    let body = Guarded::new(masker, OnUnmaskable::Pass, None);
    let beyond = [start, &comment, &comment, b"x\n", b"\n"];
    assert_eq!(run(body, &beyond), (Vec::new(), Err("invalid_json")));
}

#[test]
fn a_body_is_replaced_in_its_format_and_encoding() {
    for (format, text) in [
        (Format::Json, "\"[redacted]\""),
        (Format::Ndjson, "\"[redacted]\"\n"),
        (Format::Sse, "data: \"[redacted]\"\n\n"),
        (Format::Form, "body=%5Bredacted%5D"),
        (Format::Text, "[redacted]"),
    ] {
        assert_eq!(redacted(format, None).unwrap(), text.as_bytes());
        let body = guarded(format, None, OnUnmaskable::RedactAll);
        assert_eq!(run(body, &[b"\x00; \xff"]).0, text.as_bytes(), "{format:?}");
        // The text is a whole body of its format.
        if format != Format::Text {
            let mask = mask_with(&plan(&[]), format, Limits::default(), text.as_bytes());
            assert_eq!(mask.unwrap(), text.as_bytes());
        }
    }
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd] {
        let body = guarded(Format::Json, Some(encoding), OnUnmaskable::RedactAll);
        let (out, told) = run(body, &[b"\xff\xfe no such encoding"]);
        assert_eq!(told.unwrap().unwrap().0, OnUnmaskable::RedactAll);
        let masker = Masker::new(plan(&[]), Format::Json, Limits::default());
        let mut reader = masker.in_encoding(encoding, &Limits::default()).unwrap();
        reader.push(&out, &mut Vec::new()).and_then(|()| reader.finish(&mut Vec::new())).unwrap();
    }
}

#[test]
fn what_has_no_text_to_replace_it_is_blocked() {
    let masker = Masker::new(plan(&[("a", Method::Hash)]), Format::Json, Limits::default());
    let body = Guarded::new(masker, OnUnmaskable::RedactAll, None);
    assert_eq!(run(body, &[b"x"]), (Vec::new(), Err("invalid_json")));
}

#[test]
fn a_text_in_place_of_a_body_comes_once() {
    for chunks in [&[][..], &[&b"a"[..], b"b", b""]] {
        assert_eq!(
            run(Guarded::replaced(b"[redacted]".to_vec()), chunks),
            (b"[redacted]".to_vec(), Ok(None))
        );
    }
    assert_eq!(run(Guarded::passed(), &[b"a", b"b"]), (b"ab".to_vec(), Ok(None)));
}
