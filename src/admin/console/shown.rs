//! Text of strangers as HTML: escaped, and what a browser would hide, reorder or collapse written out and marked.

use std::fmt::{self, Write as _};

use crate::admin::visible::is_deceptive;

/// Text for a page; `Display` is HTML. Nothing of it is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    text: String,
    /// Whether line ends are line ends: within `<pre>`.
    lines: bool,
}

impl askama::filters::HtmlSafe for Shown {}

impl Shown {
    /// On one line: line ends are marked like any other control character.
    pub fn line(text: impl Into<String>) -> Self {
        Self { text: text.into(), lines: false }
    }

    /// Within `<pre>`.
    pub fn lines(text: impl Into<String>) -> Self {
        Self { text: text.into(), lines: true }
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            match c {
                '\n' if self.lines => f.write_char(c)?,
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_deceptive(c) => {
                    write!(
                        f,
                        "<span class=\"mark\" title=\"a character that would not be seen\">\\u{{{:x}}}</span>",
                        u32::from(c)
                    )?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// JSON with line breaks and indentation between its tokens, every token as it was sent: repeated keys, the spelling
/// of numbers and escapes stay. `None` for what is not JSON.
pub fn indented_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut all = text.chars();
    // Outside of strings spaces are nobody's; inside they count.
    while let Some(c) = all.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                let next = all.clone().find(|c| !c.is_ascii_whitespace());
                if !matches!(next, Some('}' | ']')) {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    new_line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    Some(out)
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup_and_nothing_is_hidden() {
        let shown = Shown::line("<b>&\"'\u{202e}a\nb\u{e0041}").to_string();
        assert!(shown.starts_with("&lt;b&gt;&amp;&quot;&#39;<span class=\"mark\""), "{shown}");
        for mark in ["\\u{202e}", "\\u{a}", "\\u{e0041}"] {
            assert!(shown.contains(mark), "{shown}");
        }
        assert!(!shown.contains(['\u{202e}', '\n', '\u{e0041}']));
        assert_eq!(Shown::lines("a\nb").to_string(), "a\nb");
        assert!(Shown::lines("a\tb").to_string().contains("\\u{9}"));
    }

    #[test]
    fn indenting_changes_no_token() {
        for (json, indented) in [
            (
                r#"{"a":1,"a":[2,{}],"b":" { , \" "}"#,
                "{\n  \"a\": 1,\n  \"a\": [\n    2,\n    {}\n  ],\n  \"b\": \" { , \\\" \"\n}",
            ),
            (r#" [ ] "#, "[]"),
            (r#"[1.50e400,"\\"]"#, "[\n  1.50e400,\n  \"\\\\\"\n]"),
            (r#""\u0041""#, r#""\u0041""#),
        ] {
            assert_eq!(indented_json(json).as_deref(), Some(indented));
        }
        assert_eq!(indented_json("{a: 1}"), None);
        assert_eq!(indented_json("{} {}"), None);
    }
}
