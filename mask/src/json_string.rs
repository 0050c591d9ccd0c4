//! JSON strings: read in pieces as they arrive (quotes, escapes, UTF-8, control characters), and written.
//!
//! Decoded text is UTF-8, save that an escaped lone surrogate, which JSON allows, becomes the three bytes that
//! UTF-8 would give it ("WTF-8"). No valid UTF-8 contains those, so such a text equals no field's name.

use memchr::memchr2;

/// What is wrong with a string, and how far into the bytes given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: usize,
    pub what: &'static str,
}

/// Reads one string from behind its opening quote.
#[derive(Debug, Default)]
pub struct Scanner {
    escape: Escape,
    /// The start of a character whose rest has not arrived.
    partial: Partial,
    /// A high surrogate that waits for its low one.
    high: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Escape {
    #[default]
    None,
    Started,
    Unicode {
        value: u16,
        digits: u8,
    },
}

/// Up to here, looking at each byte is faster than a search over many at a time.
const SHORT: usize = 24;

impl Scanner {
    /// Reads on, hands decoded pieces to `sink`, and returns how many bytes it took and whether the closing quote
    /// was the last of them.
    pub fn scan(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.escape {
                Escape::None => {
                    if let Some(taken) = self.short(rest, &mut sink) {
                        return Ok((at + taken, true));
                    }
                    let stop = memchr2(b'"', b'\\', rest);
                    let (piece, _) = rest.split_at_checked(stop.unwrap_or(rest.len())).unwrap_or((rest, &[]));
                    if !piece.is_empty() {
                        self.plain(piece).map_err(|what| Fault { at, what })?;
                        self.flush_surrogate(&mut sink);
                        sink(piece);
                    }
                    at += piece.len();
                    let Some(stop) = stop.and_then(|stop| rest.get(stop)) else { break };
                    if !self.partial.is_whole() {
                        return Err(Fault { at, what: NOT_UTF8 });
                    }
                    at += 1;
                    if *stop == b'"' {
                        self.flush_surrogate(&mut sink);
                        return Ok((at, true));
                    }
                    self.escape = Escape::Started;
                }
                Escape::Started | Escape::Unicode { .. } => {
                    let byte = rest.first().copied().unwrap_or_default();
                    self.escaped(byte, &mut sink).map_err(|what| Fault { at, what })?;
                    at += 1;
                }
            }
        }
        Ok((at, false))
    }

    /// Reads what is left of most strings: a few ASCII characters and the closing quote.
    fn short(&mut self, rest: &[u8], sink: &mut impl FnMut(&[u8])) -> Option<usize> {
        let ordinary = |byte: &u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=0x7f);
        let stop = rest.iter().take(SHORT).position(|byte| !ordinary(byte))?;
        let (piece, after) = rest.split_at_checked(stop)?;
        if !self.partial.is_whole() || after.first() != Some(&b'"') {
            return None;
        }
        self.flush_surrogate(sink);
        if !piece.is_empty() {
            sink(piece);
        }
        Some(stop + 1)
    }

    fn plain(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        // Without an early exit, so that it runs on many bytes at a time.
        let controls = piece.iter().fold(false, |found, byte| found | (*byte < 0x20));
        if controls { Err("a control character in a string") } else { self.partial.check(piece) }
    }

    fn escaped(&mut self, byte: u8, sink: &mut impl FnMut(&[u8])) -> Result<(), &'static str> {
        let Escape::Unicode { value, digits } = self.escape else {
            if byte == b'u' {
                self.escape = Escape::Unicode { value: 0, digits: 0 };
                return Ok(());
            }
            let plain = match byte {
                b'"' | b'\\' | b'/' => byte,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                _ => return Err("an unknown escape in a string"),
            };
            self.escape = Escape::None;
            self.flush_surrogate(sink);
            sink(&[plain]);
            return Ok(());
        };
        let digit = char::from(byte).to_digit(16).ok_or("an escape in a string lacks hexadecimal digits")?;
        let value = value << 4 | u16::try_from(digit).unwrap_or_default();
        if digits < 3 {
            self.escape = Escape::Unicode { value, digits: digits + 1 };
            return Ok(());
        }
        self.escape = Escape::None;
        self.unit(value, sink);
        Ok(())
    }

    /// A UTF-16 code unit: a character, half of one, or a lone surrogate.
    fn unit(&mut self, unit: u16, sink: &mut impl FnMut(&[u8])) {
        if let Some(high) = self.high
            && (0xdc00..0xe000).contains(&unit)
        {
            self.high = None;
            let code = 0x10000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00);
            let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            sink(c.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
        self.flush_surrogate(sink);
        match char::from_u32(u32::from(unit)) {
            Some(c) => sink(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None if unit < 0xdc00 => self.high = Some(unit),
            None => sink(&surrogate(unit)),
        }
    }

    fn flush_surrogate(&mut self, sink: &mut impl FnMut(&[u8])) {
        if let Some(high) = self.high.take() {
            sink(&surrogate(high));
        }
    }
}

const NOT_UTF8: &str = "a string is not UTF-8";

/// A surrogate as UTF-8 would write it.
fn surrogate(unit: u16) -> [u8; 3] {
    let low_six = |bits: u16| 0x80 | u8::try_from(bits & 0x3f).unwrap_or_default();
    [0xed, low_six(unit >> 6), low_six(unit)]
}

/// The first bytes of a UTF-8 character.
#[derive(Debug, Default)]
pub struct Partial {
    bytes: [u8; 4],
    len: usize,
}

impl Partial {
    pub fn is_whole(&self) -> bool {
        self.len == 0
    }

    /// Checks a piece that may begin and end within characters.
    pub fn check(&mut self, mut piece: &[u8]) -> Result<(), &'static str> {
        while self.len > 0 {
            let Some((first, rest)) = piece.split_first() else { return Ok(()) };
            *self.bytes.get_mut(self.len).ok_or(NOT_UTF8)? = *first;
            self.len += 1;
            piece = rest;
            match std::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NOT_UTF8),
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let tail = piece.get(error.valid_up_to()..).unwrap_or_default();
                self.bytes.get_mut(..tail.len()).ok_or(NOT_UTF8)?.copy_from_slice(tail);
                self.len = tail.len();
                Ok(())
            }
            Err(_) => Err(NOT_UTF8),
        }
    }
}

/// Writes decoded text as a JSON string, escaping no more than needed.
pub fn write(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// The same without the quotes: valid UTF-8 may come in pieces that are cut anywhere.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20 | 0xed);
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        out.extend_from_slice(rest.get(..plain).unwrap_or_default());
        let Some((&byte, after)) = rest.get(plain..).and_then(<[u8]>::split_first) else { break };
        match (byte, after) {
            (b'"' | b'\\', _) => out.extend([b'\\', byte]),
            (b'\n', _) => out.extend_from_slice(b"\\n"),
            (b'\r', _) => out.extend_from_slice(b"\\r"),
            (b'\t', _) => out.extend_from_slice(b"\\t"),
            (0..0x20, _) => out.extend(format!("\\u{byte:04x}").into_bytes()),
            (0xed, [second @ 0xa0..=0xbf, third, beyond @ ..]) => {
                let unit = 0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f);
                out.extend(format!("\\u{unit:04x}").into_bytes());
                rest = beyond;
                continue;
            }
            _ => out.push(byte),
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Option<Vec<u8>>, Fault> {
        let (mut scanner, mut text) = (Scanner::default(), Vec::new());
        for piece in pieces {
            let (taken, closed) = scanner.scan(piece, |bytes| text.extend_from_slice(bytes))?;
            if closed {
                return Ok(Some(text));
            }
            assert_eq!(taken, piece.len());
        }
        Ok(None)
    }

    #[test]
    fn decodes_escapes_however_they_are_cut() {
        let table: &[(&str, &[u8])] = &[
            (r#"""#, b""),
            (r#"a\"\\\/\b\f\n\r\tz""#, b"a\"\\/\x08\x0c\n\r\tz"),
            (r#"\u0065m\u0061il""#, b"email"),
            (r#"\u00e9\u20aC""#, "é€".as_bytes()),
            (r#"\ud83d\ude00""#, "😀".as_bytes()),
            (r#"\ud83d""#, b"\xed\xa0\xbd"),
            (r#"\ude00""#, b"\xed\xb8\x80"),
            (r#"\ud83dx\ude00""#, b"\xed\xa0\xbdx\xed\xb8\x80"),
            (r#"\ud83d\ud83d\ude00\n""#, b"\xed\xa0\xbd\xf0\x9f\x98\x80\n"),
            ("é€😀\"", "é€😀".as_bytes()),
        ];
        for (source, text) in table {
            let bytes = source.as_bytes();
            for cut in 0..bytes.len() {
                let (one, two) = bytes.split_at(cut);
                assert_eq!(read(&[one, two]).unwrap().unwrap(), *text, "{source} cut at {cut}");
            }
            let single: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(read(&single).unwrap().unwrap(), *text, "{source}");
        }
    }

    #[test]
    fn refuses_what_is_no_string() {
        let table: &[&[u8]] = &[
            b"\n\"",
            b"\x00\"",
            b"a\x1f",
            b"\\x",
            b"\\u12g4",
            b"\\U0041",
            b"\xff",
            b"\xc3\"",
            b"\xc3\\n",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
            b"\xf5\x80\x80\x80",
        ];
        for bytes in table {
            assert!(read(&[bytes]).is_err(), "{bytes:?}");
            let single: Vec<_> = bytes.chunks(1).collect();
            assert!(read(&single).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in any::<String>()) {
            let mut json = Vec::new();
            write(text.as_bytes(), &mut json);
            prop_assert_eq!(&serde_json::from_slice::<String>(&json).unwrap(), &text);
            prop_assert_eq!(read(&[&json[1..]]).unwrap().unwrap(), text.as_bytes());
        }

        #[test]
        fn agrees_with_serde_json(bytes in proptest::collection::vec(any::<u8>(), 0..24), cut in 0usize..24) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let ours = read(&[one, two]);
            let quoted = [b"\"", &bytes[..], b"\""].concat();
            if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
                prop_assert_eq!(ours.unwrap(), None);
                let end: &[u8] = b"\"";
                prop_assert_eq!(read(&[one, two, end]).unwrap().unwrap(), text.into_bytes());
            }
        }
    }
}
