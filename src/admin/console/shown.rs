//! Text of strangers as HTML: escaped, and what a browser would hide, reorder or collapse written out and marked.

use std::fmt::{self, Write as _};

use crate::admin::visible::{Glyph, Piece, folded, glyphs};

/// Text for a page; `Display` is HTML. Nothing of it is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    text: String,
    /// Whether line ends are line ends: within `<pre>`.
    lines: bool,
    /// Whether long runs of blanks are counted rather than shown.
    folds: bool,
}

impl askama::filters::HtmlSafe for Shown {}

impl Shown {
    /// On one line: line ends are marked like any other control character.
    pub fn line(text: impl Into<String>) -> Self {
        Self { text: text.into(), lines: false, folds: false }
    }

    /// Within `<pre>`.
    pub fn lines(text: impl Into<String>) -> Self {
        Self { text: text.into(), lines: true, folds: false }
    }

    /// As `lines`, with long runs of blanks counted: for a text that can be seen whole beside it.
    pub fn folded(text: impl Into<String>) -> Self {
        Self { folds: true, ..Self::lines(text) }
    }

    /// Whether something is counted rather than shown.
    pub fn is_folded(&self) -> bool {
        self.folds && folded(&self.text).iter().any(|piece| matches!(piece, Piece::Blank(_)))
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.folds {
            return self.write(&self.text, f);
        }
        for piece in folded(&self.text) {
            match piece {
                Piece::Text(text) => self.write(text, f)?,
                Piece::Blank(words) => {
                    let title = "blanks that would push the rest out of sight; the whole is below";
                    write!(f, "<span class=\"mark\" title=\"{title}\">{words}</span>")?;
                }
            }
        }
        Ok(())
    }
}

impl Shown {
    fn write(&self, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for glyph in glyphs(text) {
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
        let padded = format!("a{}<", "\n".repeat(5_000));
        assert!(Shown::folded(&*padded).is_folded() && !Shown::folded("a\nb").is_folded());
        let shown = Shown::folded(&*padded).to_string();
        assert!(shown.contains(">… 5,000 line ends …</span>&lt;") && !shown.contains('\n'), "{shown}");
        assert_eq!(
            Shown::lines(&*padded).to_string(),
            format!("a{}&lt;", "\n".repeat(5_000)),
            "nothing is lost"
        );
    }
}
