//! JSON on several lines, for people: nothing but white space differs, so that neither repeated names nor long numbers
//! are lost.

use serde::de::IgnoredAny;

/// What is longer than this many times its source is shown as it came.
const MOST_TIMES: usize = 8;

/// What a text is, and how it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pretty {
    /// JSON with a line for each member and element.
    Lines(String),
    /// JSON that would grow out of all proportion: it is nested very deep.
    TooDeep,
    NoJson,
}

pub(super) fn json(text: &str) -> Pretty {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => indented(text).map_or(Pretty::TooDeep, Pretty::Lines),
        Err(_) => Pretty::NoJson,
    }
}

/// `None` where it grows too much.
fn indented(text: &str) -> Option<String> {
    let most = text.len().saturating_mul(MOST_TIMES).saturating_add(1_024);
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    let mut depth = 0_usize;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push(c);
                string(&mut rest, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                skip_space(&mut rest);
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
        if out.len() > most {
            return None;
        }
    }
    Some(out)
}

/// The rest of a string, its last quote included.
fn string(rest: &mut impl Iterator<Item = char>, out: &mut String) {
    let mut escaped = false;
    for c in rest {
        out.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return,
            _ => {}
        }
    }
}

fn skip_space(rest: &mut std::iter::Peekable<impl Iterator<Item = char>>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_white_space_differs() {
        let text = r#"{"a":[1,{"b":"x, \"y\": {"}, [ ] ],"a":1.00000000000000000001e400 , "c":{}}"#;
        let Pretty::Lines(shown) = json(text) else { panic!("it is JSON") };
        let wanted = "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x, \\\"y\\\": {\"\n    },\n    []\n  ],\n  \"a\": 1.00000000000000000001e400,\n  \"c\": {}\n}";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_is_no_json_or_grows_too_much_is_left_alone() {
        assert_eq!(json("{\"a\": }"), Pretty::NoJson);
        assert_eq!(json("pay 700"), Pretty::NoJson);
        let deep = format!("{}{}{}", "[".repeat(100), "1,".repeat(10_000) + "1", "]".repeat(100));
        assert_eq!(json(&deep), Pretty::TooDeep);
        let deeper = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json(&deeper), Pretty::TooDeep);
    }
}
