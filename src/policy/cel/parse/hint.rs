//! Slips of the pen that other languages allow: each is named at its place, with what CEL writes instead.

use crate::policy::cel::{At, Mistake};

/// The slips in a text that does not parse; none when it fails for another reason.
pub(super) fn slips(text: &str) -> Vec<Mistake> {
    let mut slips = Vec::new();
    let mut rest = Rest { text, offset: 0 };
    while let Some(c) = rest.peek() {
        match c {
            '"' | '\'' | '`' => rest.skip_quoted(c),
            '/' if rest.follows("//") => rest.skip_line(),
            '“' | '”' | '‘' | '’' => {
                slips.push(rest.slip(c.len_utf8(), "write a straight quote, `'` or `\"`"))
            }
            '=' => slips.extend(rest.equals()),
            '&' | '|' => slips.extend(rest.doubled(c)),
            '!' | '<' | '>' => slips.extend(rest.comparison()),
            c if c.is_alphanumeric() || c == '_' => slips.extend(rest.word()),
            c => rest.skip(c.len_utf8()),
        }
    }
    slips
}

/// What is still to be read.
struct Rest<'t> {
    text: &'t str,
    offset: usize,
}

impl Rest<'_> {
    fn left(&self) -> &str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.left().chars().next()
    }

    fn follows(&self, text: &str) -> bool {
        self.left().starts_with(text)
    }

    fn skip(&mut self, bytes: usize) {
        self.offset += bytes;
    }

    fn skip_line(&mut self) {
        let len = self.left().find('\n').unwrap_or(self.left().len());
        self.skip(len);
    }

    /// Skips a literal, or to the end when it is not closed.
    fn skip_quoted(&mut self, quote: char) {
        let triple = quote.to_string().repeat(3);
        let close = if self.follows(&triple) { triple } else { quote.to_string() };
        let raw = self.text.get(..self.offset).is_some_and(|before| before.ends_with(['r', 'R']));
        self.skip(close.len());
        while let Some(c) = self.peek() {
            if self.follows(&close) {
                self.skip(close.len());
                return;
            }
            self.skip(c.len_utf8());
            if c == '\\' && !raw {
                self.skip(self.peek().map_or(0, char::len_utf8));
            }
        }
    }

    /// A slip of `len` bytes, which are skipped.
    fn slip(&mut self, len: usize, help: &str) -> Mistake {
        let at = At { offset: self.offset, len };
        let found = self.left().get(..len).unwrap_or_default().to_owned();
        self.skip(len);
        Mistake::new(at, "invalid-expression", format!("`{found}` is not CEL")).help(help)
    }

    fn equals(&mut self) -> Option<Mistake> {
        match self.left().find(|c| c != '=').unwrap_or(self.left().len()) {
            2 => {
                self.skip(2);
                None
            }
            len => Some(self.slip(len, "`==` compares two values")),
        }
    }

    fn doubled(&mut self, c: char) -> Option<Mistake> {
        match self.left().find(|other| other != c).unwrap_or(self.left().len()) {
            2 => {
                self.skip(2);
                None
            }
            len if c == '&' => {
                Some(self.slip(len, "`&&` is true when both sides are; bits are `math.bitAnd`"))
            }
            len => Some(self.slip(len, "`||` is true when one side is; bits are `math.bitOr`")),
        }
    }

    fn comparison(&mut self) -> Option<Mistake> {
        for (written, meant) in [("!==", "!="), ("<>", "!="), ("<==", "<="), (">==", ">=")] {
            if self.follows(written) {
                return Some(self.slip(written.len(), &format!("write `{meant}`")));
            }
        }
        let len = if ["!=", "<=", ">="].iter().any(|known| self.follows(known)) { 2 } else { 1 };
        self.skip(len);
        None
    }

    fn word(&mut self) -> Option<Mistake> {
        let is_field = self.text.get(..self.offset).is_some_and(|before| before.trim_end().ends_with('.'));
        let left = self.left();
        let len = left.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(left.len());
        let after = left.get(len..).unwrap_or_default().trim_start();
        let is_call = after.starts_with(['(', '.', '[', ',']);
        let help = match left.get(..len).unwrap_or_default() {
            _ if is_field => None,
            "and" | "AND" | "And" if !after.is_empty() => Some("write `&&`"),
            "or" | "OR" | "Or" if !after.is_empty() => Some("write `||`"),
            "not" | "NOT" | "Not" if !is_call || after.starts_with('(') => {
                Some("write `!`, as in `!(a in b)`")
            }
            "True" | "TRUE" => Some("write `true`"),
            "False" | "FALSE" => Some("write `false`"),
            "None" | "nil" | "NULL" | "Null" => Some("write `null`"),
            _ => None,
        };
        if let Some(help) = help {
            return Some(self.slip(len, help));
        }
        self.skip(len);
        None
    }
}
