//! Paths with indexes and with filters by sibling.

use super::*;

#[test]
fn an_index_is_one_element_of_the_array_at_that_place() {
    let table = [
        ("a[1]", r#"{"a":[1,2,3]}"#, r#"{"a":[1,null,3]}"#),
        ("a[0]", r#"{"a":[{"x":1},2],"b":[3]}"#, r#"{"a":[null,2],"b":[3]}"#),
        ("a[1].x", r#"{"a":[{"x":1},{"x":2,"y":[{"x":3}]}]}"#, r#"{"a":[{"x":1},{"x":null,"y":[{"x":3}]}]}"#),
        ("a[1].x", r#"[{"a":[[{"x":1}],[{"x":2}]]}]"#, r#"[{"a":[[{"x":1}],[{"x":null}]]}]"#),
        ("a[0][1]", r#"{"a":[[1,2],[3,4]]}"#, r#"{"a":[[1,null],[3,4]]}"#),
        ("[2]", "[ 1 , [] , 3 , 4 ]", "[ 1 , [] , null , 4 ]"),
        ("a[0]", r#"{"a":{"0":1}}"#, r#"{"a":{"0":1}}"#),
        ("**[0]", r#"[1,{"b":[2,3]}]"#, r#"[null,{"b":[null,3]}]"#),
    ];
    for (field, body, expected) in table {
        check(&[(field, Method::Null)], body, expected);
    }
    check(&[("a[0]", Method::Remove), ("a[2]", Method::Remove)], r#"{"a":[1,2,3]}"#, r#"{"a":[2]}"#);
    // Removing one moves none into its place.
    check(&[("a[0]", Method::Remove)], r#"{"a":[1,2,3],"b":1}"#, r#"{"a":[2,3],"b":1}"#);
}

#[test]
fn a_filter_masks_where_the_siblings_do_not_speak_against_it() {
    let number = [("cards[?type==\"credit\"].number", Method::Null)];
    let table = [
        (
            r#"{"cards":[{"type":"credit","number":1},{"type":"debit","number":2}]}"#,
            r#"{"cards":[{"type":"credit","number":null},{"type":"debit","number":2}]}"#,
        ),
        // The sibling after the value; only some of them; none; nothing to compare with.
        (
            r#"{"cards":[{"number":1,"type":"credit"},{"number":2,"type":"debit"}]}"#,
            r#"{"cards":[{"number":null,"type":"credit"},{"number":2,"type":"debit"}]}"#,
        ),
        (r#"{"cards":{"number":1}}"#, r#"{"cards":{"number":null}}"#),
        (r#"{"cards":{"number":1,"type":["debit"]}}"#, r#"{"cards":{"number":null,"type":["debit"]}}"#),
        (
            r#"{"cards":{"type":"debit","number":1,"type":"credit"}}"#,
            r#"{"cards":{"type":"debit","number":null,"type":"credit"}}"#,
        ),
        // Elsewhere, and in arrays of arrays.
        (r#"{"type":"credit","number":1,"cards":[]}"#, r#"{"type":"credit","number":1,"cards":[]}"#),
        (
            r#"{"cards":[[{"number":1}, {"number":2,"type":""}]]}"#,
            r#"{"cards":[[{"number":null}, {"number":2,"type":""}]]}"#,
        ),
        (r#"{"cards":["x",1,null]}"#, r#"{"cards":["x",1,null]}"#),
    ];
    for (body, expected) in table {
        check(&number, body, expected);
    }
}

#[test]
fn a_filtered_object_can_go_itself() {
    let list = [("[?a!=1]", Method::Remove), ("x[?b==true && c!=\"q\"]", Method::Remove)];
    check(&list, r#"[{"a":1}, {"a":2},{ },{"a":1} , 5]"#, r#"[{"a":1},{"a":1} ]"#);
    check(&list, r#"{"a":1,"x":{"b":true,"c":"p"},"y":{"b":true}}"#, r#"{"a":1,"y":{"b":true}}"#);
    check(&list, r#"{"a":1,"x":{"b":true,"c":"q"}}"#, r#"{"a":1,"x":{"b":true,"c":"q"}}"#);
    check(&[("[?a==1]", Method::Null)], "7", "null");
    check(&[("[?a==1]", Method::Hash)], " {\"a\":2} ", " {\"a\":2} ");
}

#[test]
fn filters_stand_within_filters() {
    let list = [("**[?t==1].x", Method::Null), ("a[?t==2].**[?t==3].y", Method::Null)];
    check(
        &list,
        r#"{"t":1,"x":1,"a":{"x":2,"t":2,"b":[{"y":3,"t":3,"x":4},{"y":5,"t":4}]}}"#,
        r#"{"t":1,"x":null,"a":{"x":2,"t":2,"b":[{"y":null,"t":3,"x":4},{"y":5,"t":4}]}}"#,
    );
    // Deeper than objects are asked, they are taken to be meant.
    let nested = |depth: usize, x: &str| {
        format!("{}{{\"t\":0,\"x\":{x}}}{}", "{\"t\":0,\"o\":".repeat(depth), "}".repeat(depth))
    };
    check(&list[..1], &nested(7, "1"), &nested(7, "1"));
    check(&list[..1], &nested(8, "1"), &nested(8, "null"));
    check(
        &list[..1],
        &format!("[{},{}]", nested(8, "1"), nested(7, "1")),
        &format!("[{},{}]", nested(8, "null"), nested(7, "1")),
    );
}

#[test]
fn an_object_too_long_to_wait_for_is_masked() {
    let list = plan(&[("[?t==1].x", Method::Null), ("y", Method::Remove)]);
    let limits = Limits { filter_bytes: 40, ..Limits::default() };
    let object =
        |filler: usize| format!("[ {{\"x\":1,\"y\":[3],\"f\":\"{}\",\"t\":2}},4]", "é".repeat(filler));
    for filler in 0..40 {
        let body = object(filler);
        let x = if body.len() - "[ ,4]".len() <= 40 { "1" } else { "null" };
        let expected = body.replace("\"y\":[3],", "").replace("\"x\":1", &format!("\"x\":{x}"));
        let masked = mask_with(&list, Format::Json, limits, body.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(masked).unwrap(), expected);
    }
}

#[test]
fn what_waits_is_checked_like_the_rest() {
    let list = [("[?t==1].x", Method::Null)];
    for body in [
        "{",
        "{\"x\":1",
        "{\"x\":1]",
        "{\"x\":[1}]}",
        "{\"x\":01}",
        "{\"x\":1}}",
        "[{\"x\":\"\t\"}]",
        "{\"x\":}",
    ] {
        assert_eq!(mask(&list, body).unwrap_err().code(), "invalid_json", "{body}");
    }
    let error =
        mask_chunks(&plan(&list), Format::Json, Limits::default(), ["[1, {\"x\":".as_bytes(), b"1, }]"]);
    assert_eq!(error.unwrap_err().to_string(), "invalid JSON at byte 12: a field's name was expected");
    let lines = |body: &str| mask_with(&plan(&list), Format::Ndjson, Limits::default(), body.as_bytes());
    assert_eq!(lines("{\"x\":1}\n{\"t\":2,\"x\":1}\n").unwrap(), b"{\"x\":null}\n{\"t\":2,\"x\":1}\n");
    assert_eq!(lines("{\"x\":1\n}\n").unwrap_err().code(), "invalid_json");
}
