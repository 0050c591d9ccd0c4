//! Text of strangers, made safe to look at and to keep.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

#[cfg(test)]
pub mod naughty;

/// Marks that one character may carry. Writing that is read has fewer; more of them bury the lines around.
const MOST_MARKS: usize = 4;

/// One character, for somebody who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    Plain(char),
    /// It would be hidden, obeyed, reorder what stands beside it, or bury it: write `\u{..}` in its place.
    Deceptive(char),
}

/// `text` with every character that a terminal would hide, obey or reorder written as `\u{..}`.
pub fn visible(text: &str) -> String {
    visible_but(text, |_| false)
}

/// As `visible`, with line ends and tabs as they are: for texts of several lines.
pub fn visible_lines(text: &str) -> String {
    let mut rest = text.chars().peekable();
    visible_but(text, |c| {
        rest.next();
        matches!(c, '\n' | '\t') || (c == '\r' && rest.peek() == Some(&'\n'))
    })
}

/// `keep` is asked for each character once.
fn visible_but(text: &str, mut keep: impl FnMut(char) -> bool) -> String {
    glyphs(text).fold(String::with_capacity(text.len()), |mut out, glyph| {
        let kept = match glyph {
            Glyph::Plain(c) | Glyph::Deceptive(c) => keep(c),
        };
        match glyph {
            Glyph::Plain(c) => out.push(c),
            Glyph::Deceptive(c) if kept => out.push(c),
            Glyph::Deceptive(c) => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
        out
    })
}

/// The characters of `text`, none left out: which may be shown as they are.
pub fn glyphs(text: &str) -> impl Iterator<Item = Glyph> {
    // A mark with nothing before it would sit on our own words.
    text.chars().scan(MOST_MARKS, |marks, c| {
        let mark = is_mark(c);
        *marks = if mark { marks.saturating_add(1) } else { 0 };
        if is_deceptive(c) {
            *marks = MOST_MARKS;
        }
        let deceptive = is_deceptive(c) || (mark && *marks > MOST_MARKS);
        Some(if deceptive { Glyph::Deceptive(c) } else { Glyph::Plain(c) })
    })
}

/// JSON as it is, but for characters that a terminal would obey or a reader of lines might take for a line's end: these
/// are escaped as `\uXXXX`. `json` must be valid JSON in one line; such characters stand in its strings only.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_deceptive) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len().saturating_add(16));
    for c in json.chars() {
        // Between its tokens JSON has spaces and line ends of its own.
        if is_deceptive(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control, bidirectional, zero-width, tag and variation characters, odd spaces and line separators: all that Unicode calls
/// a format character or ignorable, and blanks that it calls something else.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            u32::from(c),
            0xAD | 0x034F | 0x0600..=0x0605 | 0x061C | 0x06DD | 0x070F | 0x0890 | 0x0891 | 0x08E2 | 0x115F | 0x1160
                | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x2800
                | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0xFFFE | 0xFFFF | 0x110BD | 0x110CD
                | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3 | 0x1D159 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF
        )
}

/// Whether `c` is drawn onto the character before it.
fn is_mark(c: char) -> bool {
    static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{M}$").ok());
    !c.is_ascii() && MARK.as_ref().is_none_or(|mark| mark.is_match(c.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_hide_or_obey_is_shown() {
        for (text, shown) in [
            ("plain é 漢", "plain é 漢"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("x\u{202e}y", "x\\u{202e}y"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("a\r\nb\u{2028}", "a\\u{d}\\u{a}b\\u{2028}"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\r\n\tb\rc\u{2028}\n"), "a\r\n\tb\\u{d}c\\u{2028}\n");
    }

    #[test]
    fn marks_stay_where_they_are_writing_and_are_shown_where_they_are_a_flood() {
        for writing in ["e\u{301}", "בְּרֵאשִׁית", "ที่", "ञ्जी"] {
            assert_eq!(visible(writing), writing);
        }
        let flood = format!("Z{}!", "\u{316}".repeat(100));
        assert_eq!(visible(&flood), format!("Z{}{}!", "\u{316}".repeat(4), "\\u{316}".repeat(96)));
        assert_eq!(visible("\u{301}a"), "\\u{301}a", "nothing to sit on");
        assert_eq!(visible("\n\u{301}"), "\\u{a}\\u{301}");
    }

    #[test]
    fn all_that_unicode_calls_invisible_is_deceptive() {
        let invisible = Regex::new(r"^[\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}]$").unwrap();
        for c in ('\0'..=char::MAX).filter(|c| *c != ' ') {
            if invisible.is_match(c.encode_utf8(&mut [0; 4])) {
                assert!(is_deceptive(c), "U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn escaped_json_says_the_same_and_is_one_line_to_every_reader() {
        for text in naughty::strings() {
            let json = serde_json::json!({ "text": text }).to_string();
            let escaped = visible_json(&json);
            assert!(!escaped.chars().any(is_deceptive), "{escaped:?}");
            let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
            assert_eq!(read["text"], text);
        }
        assert!(matches!(visible_json("{\"a\":\"é 漢\"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn nothing_of_any_text_is_lost() {
        for text in naughty::strings() {
            let kept: String = glyphs(&text)
                .map(|glyph| match glyph {
                    Glyph::Plain(c) | Glyph::Deceptive(c) => c,
                })
                .collect();
            assert_eq!(kept, text);
            assert!(!visible(&text).chars().any(is_deceptive), "{text:?}");
        }
    }
}
