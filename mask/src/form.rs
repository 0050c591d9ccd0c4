//! Forms (`application/x-www-form-urlencoded`): pairs of name and value, joined by `&`.
//!
//! A rule's path finds a field by its name in each of its readings: as it is written (`card[number]`, a path of one
//! step), and taken apart at brackets and dots (`card`, `number`), which is how most frameworks read it. A number among
//! the steps may be an index, and every field may be one of a list. Every pair of a repeated name is masked. Values that a rule takes are replaced by encoded text;
//! `null` leaves an empty one. What detectors look into is decoded and encoded again. All else passes as it is, byte for
//! byte.
//!
//! Readers repair broken forms in different ways, so a body blocks that has a pair without `=`, the old separator
//! `;`, a name whose escapes are broken or are no UTF-8, or a byte that no form has.

use std::mem;
use std::sync::Arc;

use super::json::{Text, ValueKind};
use super::json_string::Partial;
use super::place::Place;
use super::plan::Plan;
use super::search::Search;
use super::stand_in::{Replaced, StandIn};
use super::unmaskable::{Limits, Unmaskable};

/// The rewriter of one form.
#[derive(Debug)]
pub struct Form {
    plan: Arc<Plan>,
    limits: Limits,
    state: State,
    search: Search,
    /// Whether a pair has been kept, so that the next needs an `&`.
    kept: bool,
    masked: u64,
    /// Bytes in earlier chunks.
    read: u64,
}

#[derive(Debug)]
enum State {
    /// The name as it is written so far.
    Name(Vec<u8>),
    /// A value that passes.
    Value,
    /// A value that doesn't. The name is written before what takes its place.
    Masked { name: Vec<u8>, value: Box<Masked> },
    /// A value that detectors look into.
    Searched(Decoder),
    /// A value that is read as JSON.
    Text { decoder: Decoder, text: Box<Text> },
}

#[derive(Debug)]
struct Masked {
    replaced: Replaced,
    decoder: Decoder,
}

/// A value as readers see it.
#[derive(Debug, Default)]
struct Decoder {
    unescape: Unescape,
    utf8: Partial,
}

impl Form {
    pub fn new(plan: Arc<Plan>, limits: Limits) -> Self {
        let search = Search::new(&plan);
        Self { plan, limits, state: State::Name(Vec::new()), search, kept: false, masked: 0, read: 0 }
    }

    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let Some(at) = chunk.iter().position(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b';'))
        {
            return Err(self.invalid(at, "a byte that has to be escaped"));
        }
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let stop = match &self.state {
                State::Name(_) => memchr::memchr2(b'=', b'&', rest),
                State::Value | State::Masked { .. } | State::Searched(_) | State::Text { .. } => {
                    memchr::memchr(b'&', rest)
                }
            };
            let (piece, after) = rest.split_at_checked(stop.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            self.piece(piece, at, out)?;
            at += piece.len();
            match after.first() {
                Some(b'=') => self.end_name(at, out)?,
                Some(_) => self.end_pair(at, out)?,
                None => break,
            }
            at += 1;
        }
        self.read += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        self.end_pair(0, out)
    }

    pub fn masked_fields(&self) -> u64 {
        self.masked + self.search.masked()
    }

    fn piece(&mut self, piece: &[u8], at: usize, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let offset = self.read.saturating_add(at as u64);
        let invalid = |what| Unmaskable::InvalidForm { offset, what };
        match &mut self.state {
            State::Value => out.extend_from_slice(piece),
            State::Name(name) => {
                name.extend_from_slice(piece);
                if name.len() > self.limits.token_bytes {
                    return Err(Unmaskable::TokenTooLong { limit: self.limits.token_bytes });
                }
            }
            State::Masked { value, .. } => {
                let decoded = value.decoder.push(piece).map_err(invalid)?;
                value.replaced.feed(&decoded);
            }
            State::Searched(decoder) => {
                let decoded = decoder.push(piece).map_err(invalid)?;
                let mut text = Vec::new();
                self.search.push(&decoded, &mut text);
                escape(&text, out);
            }
            State::Text { decoder, text } => {
                let decoded = decoder.push(piece).map_err(invalid)?;
                let mut rewritten = Vec::new();
                text.push(&decoded, &mut rewritten)?;
                escape(&rewritten, out);
            }
        }
        Ok(())
    }

    fn end_name(&mut self, at: usize, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let State::Name(raw) = &mut self.state else { return Ok(()) };
        let raw = mem::take(raw);
        let name = decoded_name(&raw).map_err(|what| self.invalid(at, what))?;
        if name.len() > self.limits.key_bytes {
            return Err(Unmaskable::KeyTooLong { limit: self.limits.key_bytes });
        }
        let place = place(&self.plan, &name);
        if let Some(action) = place.action(&self.plan, true) {
            let replaced = Replaced::start(action, ValueKind::String, &self.plan);
            let value = Masked { replaced, decoder: Decoder::default() };
            self.state = State::Masked { name: raw, value: Box::new(value) };
            return Ok(());
        }
        self.begin_pair(&raw, out);
        self.state = match (place.text(&self.plan, self.limits), place.active(&self.plan)) {
            (Some(text), _) => State::Text { decoder: Decoder::default(), text: Box::new(text) },
            (None, None) => State::Value,
            (None, Some(active)) => {
                self.search.begin(&active, &name);
                State::Searched(Decoder::default())
            }
        };
        Ok(())
    }

    fn end_pair(&mut self, at: usize, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match mem::replace(&mut self.state, State::Name(Vec::new())) {
            State::Value => {}
            State::Name(name) if name.is_empty() => {
                // Nothing between two separators: readers skip it.
                if mem::replace(&mut self.kept, true) {
                    out.push(b'&');
                }
            }
            State::Name(_) => return Err(self.invalid(at, "a field without `=`")),
            State::Searched(decoder) => {
                decoder.finish().map_err(|what| self.invalid(at, what))?;
                let mut text = Vec::new();
                self.search.finish(&mut text);
                escape(&text, out);
            }
            State::Text { decoder, mut text } => {
                decoder.finish().map_err(|what| self.invalid(at, what))?;
                let mut rewritten = Vec::new();
                text.finish(&mut rewritten)?;
                escape(&rewritten, out);
                self.masked += text.masked_fields();
            }
            State::Masked { name, value } => {
                let Masked { replaced, decoder } = *value;
                decoder.finish().map_err(|what| self.invalid(at, what))?;
                let value = replaced.finish();
                self.masked += 1;
                if value != StandIn::Gone {
                    self.begin_pair(&name, out);
                    escape(&value.into_text(), out);
                }
            }
        }
        Ok(())
    }

    fn begin_pair(&mut self, name: &[u8], out: &mut Vec<u8>) {
        if mem::replace(&mut self.kept, true) {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
    }

    fn invalid(&self, at: usize, what: &'static str) -> Unmaskable {
        Unmaskable::InvalidForm { offset: self.read.saturating_add(at as u64), what }
    }
}

impl Decoder {
    fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut decoded = Vec::with_capacity(piece.len());
        self.unescape.push(piece, &mut decoded)?;
        self.utf8.check(&decoded).map_err(|_| VALUE_NOT_UTF8)?;
        Ok(decoded)
    }

    fn finish(self) -> Result<(), &'static str> {
        self.unescape.finish()?;
        if self.utf8.is_whole() { Ok(()) } else { Err(VALUE_NOT_UTF8) }
    }
}

const VALUE_NOT_UTF8: &str = "a value that rules look at is not UTF-8";
const BROKEN_ESCAPE: &str = "`%` without two hexadecimal digits";

/// A name as readers see it; an error for one that they see differently.
fn decoded_name(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    // JSON and the like that merely claims to be a form has these.
    if raw.iter().any(|byte| !byte.is_ascii() || b"\"<>\\^`{|}".contains(byte)) {
        return Err("a byte in a field's name that has to be escaped");
    }
    let (mut unescape, mut name) = (Unescape::default(), Vec::new());
    unescape.push(raw, &mut name)?;
    unescape.finish()?;
    match std::str::from_utf8(&name) {
        Ok(text) if text.chars().any(char::is_control) => Err("a control character in a field's name"),
        Ok(_) => Ok(name),
        Err(_) => Err("a field's name is not UTF-8"),
    }
}

/// Where a field of that name stands, in all its readings together, and around it.
fn place(plan: &Plan, name: &[u8]) -> Place {
    let root = Place::root(plan);
    let mut all = root.member(plan, name).element(plan).and(&root);
    let mut here = root;
    for step in name.split(|byte| matches!(byte, b'[' | b']' | b'.')).filter(|step| !step.is_empty()) {
        // A field may be one of a list: its name may come again.
        let mut next = here.member(plan, step).element(plan);
        if step.iter().all(u8::is_ascii_digit) {
            next = next.and(&here);
        }
        all = all.and(&next);
        here = next;
    }
    all
}

/// Percent-decoding, and `+` for a space.
#[derive(Clone, Copy, Debug, Default)]
enum Unescape {
    #[default]
    Plain,
    Percent,
    Digit(u8),
}

impl Unescape {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        for byte in bytes {
            let digit = || char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *self = match *self {
                Self::Plain if *byte == b'%' => Self::Percent,
                Self::Plain => {
                    out.push(if *byte == b'+' { b' ' } else { *byte });
                    Self::Plain
                }
                Self::Percent => Self::Digit(digit().ok_or(BROKEN_ESCAPE)?),
                Self::Digit(high) => {
                    out.push(high << 4 | digit().ok_or(BROKEN_ESCAPE)?);
                    Self::Plain
                }
            };
        }
        Ok(())
    }

    fn finish(self) -> Result<(), &'static str> {
        if matches!(self, Self::Plain) { Ok(()) } else { Err(BROKEN_ESCAPE) }
    }
}

/// Writes a text as the WHATWG URL standard serialises it.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(*byte),
            _ => out.extend(format!("%{byte:02X}").into_bytes()),
        }
    }
}
