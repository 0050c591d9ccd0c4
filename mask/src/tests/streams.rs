//! Bodies of many documents: lines and events.

use super::*;

#[test]
fn ndjson_masks_line_by_line() {
    let run = |body: &str| {
        let masked =
            mask_with(&plan(&[("a", Method::Null)]), Format::Ndjson, Limits::default(), body.as_bytes());
        masked.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let table = [
        ("", ""),
        ("{\"a\":1}\n", "{\"a\":null}\n"),
        ("{\"a\":1}\r\n\r\n \n[{\"a\":2}]\n3", "{\"a\":null}\r\n\r\n \n[{\"a\":null}]\n3"),
        ("1\n2\n", "1\n2\n"),
    ];
    for (body, expected) in table {
        assert_eq!(run(body).as_deref(), Ok(expected), "{body}");
    }
    for bad in ["{\"a\":\n1}\n", "{} {}\n", "x\n", "{}\n{", "[1,\n2]", "\u{feff}{}\n"] {
        assert_eq!(run(bad).unwrap_err().code(), "invalid_json", "{bad}");
    }
    assert_eq!(
        run("{}\n[1\n").unwrap_err(),
        Unmaskable::InvalidJson { offset: 5, what: "it ends too early" }
    );
}

fn sse(body: &str) -> Result<String, Unmaskable> {
    let masked = mask_with(
        &plan(&[("a", Method::Null), ("r", Method::Remove)]),
        Format::Sse,
        Limits::default(),
        body.as_bytes(),
    );
    masked.map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn events_are_masked_in_their_data() {
    let table = [
        ("", ""),
        ("data: {\"a\":1}\n\n", "data: {\"a\":null}\n\n"),
        ("data:{\"a\":1}\r\n\r\ndata:{\"a\":2}\r\r", "data:{\"a\":null}\r\n\r\ndata:{\"a\":null}\r\r"),
        ("\u{feff}data:{\"a\":1}\n\n", "\u{feff}data:{\"a\":null}\n\n"),
        ("\u{feff}\ndata:{\"a\":1}\n\n", "\u{feff}\ndata:{\"a\":null}\n\n"),
        (
            ": ping\n\nevent: x\nid: 1\nretry: 5\ndata: {\"b\":1}\n\n",
            ": ping\n\nevent: x\nid: 1\nretry: 5\ndata: {\"b\":1}\n\n",
        ),
        // Untouched, byte for byte, though it has several lines.
        ("data: {\"b\":\nid: 1\ndata:1}\r\n\n", "data: {\"b\":\nid: 1\ndata:1}\r\n\n"),
        // Rewritten where the first data line stood.
        ("id: 1\ndata: {\"a\":\nevent: x\ndata: 1}\n\n", "id: 1\ndata: {\"a\":\ndata: null}\nevent: x\n\n"),
        ("data: {\"a\":\r\ndata: 1}\r\n\r\n", "data: {\"a\":\r\ndata: null}\r\n\r\n"),
        ("data: {\"b\":1,\ndata: \"r\":\ndata: 2}\n\n", "data: {\"b\":1}\n\n"),
        ("data\ndata:{\"a\":1}\n\n", "data: \ndata: {\"a\":null}\n\n"),
        ("data: {\"a\":1}", "data: {\"a\":null}"),
        ("data: {\"a\":1}\nid: 7", "data: {\"a\":null}\nid: 7"),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
        ("data:[DONE]\n\ndata:\n\ndata\n\n", "data:[DONE]\n\ndata:\n\ndata\n\n"),
        ("\n\n\r\r\n", "\n\n\r\r\n"),
    ];
    for (body, expected) in table {
        assert_eq!(sse(body).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn events_without_json_are_refused() {
    let json = [
        "data: hello\n\n",
        "data: [DONE] \n\n",
        "data: {\"a\":1\n\ndata: }\n\n",
        "data: {}\ndata: [DONE]\n\n",
        "data: {\"a\"",
    ];
    for body in json {
        assert_eq!(sse(body).unwrap_err().code(), "invalid_json", "{body}");
    }
    for body in [
        "{\"a\":1}",
        "{\"a\":1}\n\n",
        " data: 1\n\n",
        "Data: 1\n\n",
        "\u{feff}\u{feff}data: 1\n\n",
        "data : 1\n\n",
    ] {
        assert_eq!(sse(body).unwrap_err().code(), "invalid_event_stream", "{body}");
    }
    let latin1 = mask_with(&plan(&[]), Format::Sse, Limits::default(), b"event: \xe9\n\n");
    assert_eq!(latin1.unwrap_err().code(), "invalid_event_stream");
}

#[test]
fn an_event_leaves_with_its_blank_line() {
    for end in ["\n", "\r\n", "\r"] {
        let mut masker = Masker::new(plan(&[("a", Method::Null)]), Format::Sse, Limits::default());
        let mut out = Vec::new();
        masker.push(format!("data: {{\"a\":1}}{end}").as_bytes(), &mut out).unwrap();
        assert_eq!(out, b"");
        masker.push(end.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), format!("data: {{\"a\":null}}{end}{end}"));
        out.clear();
        masker.push(format!(": ping{end}").as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), format!(": ping{end}"));
    }
}
