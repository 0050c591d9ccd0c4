//! Text of strangers as HTML: escaped, and what a browser would hide, reorder or collapse written out and marked.

use std::fmt::{self, Write as _};

use crate::admin::visible::{Glyph, glyphs};

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
        for glyph in glyphs(&self.text) {
            match glyph {
                Glyph::Deceptive('\n') if self.lines => f.write_char('\n')?,
                Glyph::Deceptive(c) => {
                    write!(
                        f,
                        "<span class=\"mark\" title=\"a character that would not be seen\">\\u{{{:x}}}</span>",
                        u32::from(c)
                    )?;
                }
                Glyph::Plain('&') => f.write_str("&amp;")?,
                Glyph::Plain('<') => f.write_str("&lt;")?,
                Glyph::Plain('>') => f.write_str("&gt;")?,
                Glyph::Plain('"') => f.write_str("&quot;")?,
                Glyph::Plain('\'') => f.write_str("&#39;")?,
                Glyph::Plain(c) => f.write_char(c)?,
            }
        }
        Ok(())
    }
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
}
