//! The way of most tokens: those that lie in the chunk with all their bytes, where nothing is replaced. What is cut by
//! the chunk's end, is to be replaced, or is wrong stays for the machine that reads byte by byte, so nothing here ends
//! a document or refuses one for its grammar.

use super::{Frame, Io, Json, State, ValueKind, Zone, scan};
use crate::unmaskable::Unmaskable;

impl Json {
    /// Reads on from between two tokens; returns where it stopped.
    pub(super) fn whole_tokens(&mut self, io: &mut Io, at: usize) -> Result<usize, Unmaskable> {
        match &self.zone {
            Zone::Rules => self.follow(io, at),
            Zone::Clear { depth } => Ok(self.skip(io, at, *depth)),
            Zone::Masked { depth, replacement } if !replacement.reads() => Ok(self.skip(io, at, *depth)),
            Zone::Masked { .. } => Ok(at),
        }
    }

    /// Reads on in a value of which no byte matters; `floor` counts the frames around it.
    fn skip(&mut self, io: &Io, mut at: usize, floor: usize) -> usize {
        let bytes = io.chunk.get(..io.utf8).unwrap_or_default();
        let mut state = self.state;
        while let Some((token, byte)) = scan::token(bytes, at) {
            at = token;
            let next = match (state, byte) {
                (State::CommaOrClose, b',') => {
                    let in_object = self.frames.last().is_some_and(|frame| frame.is_object);
                    Some((at + 1, if in_object { State::Name } else { State::Value }))
                }
                (State::NameOrClose | State::Name, b'"') => {
                    self.skip_name(bytes, at).map(|end| after_name(bytes, end))
                }
                (State::Colon, b':') => Some((at + 1, State::Value)),
                (State::Value | State::ValueOrClose, b'{' | b'[')
                    if self.frames.len() < self.limits.depth =>
                {
                    self.frames.push(Frame { is_object: byte == b'{', kept: false });
                    Some((at + 1, if byte == b'{' { State::NameOrClose } else { State::ValueOrClose }))
                }
                (State::Value | State::ValueOrClose, _) if byte != b']' => {
                    let end = scalar(bytes, at, byte).filter(|end| self.is_clear(bytes, at, *end, byte));
                    end.map(|end| (end, State::CommaOrClose))
                }
                (State::CommaOrClose | State::NameOrClose, b'}')
                | (State::CommaOrClose | State::ValueOrClose, b']') => {
                    let fits = self.frames.last().is_some_and(|frame| frame.is_object == (byte == b'}'));
                    let inner = fits && self.frames.len() > floor + 1;
                    if inner {
                        self.frames.pop();
                    }
                    inner.then_some((at + 1, State::CommaOrClose))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            (at, state) = next;
        }
        self.state = state;
        at
    }

    /// Reads on where rules may match.
    fn follow(&mut self, io: &mut Io, mut at: usize) -> Result<usize, Unmaskable> {
        let chunk = io.chunk;
        let bytes = chunk.get(..io.utf8).unwrap_or_default();
        // A whole document is the other machine's.
        while !self.frames.is_empty()
            && let Some((token, byte)) = scan::token(bytes, at)
        {
            at = token;
            let next = match (self.state, byte) {
                (State::CommaOrClose, b',') => Some(self.comma(io, at)?),
                (State::NameOrClose | State::Name, b'"') => self.whole_name(bytes, at),
                (State::Colon, b':') => {
                    self.state = State::Value;
                    Some(at + 1)
                }
                (State::Value | State::ValueOrClose, b'{' | b'[') => self.whole_open(io, at, byte)?,
                (State::Value | State::ValueOrClose, _) if byte != b']' => {
                    self.whole_scalar(io, bytes, at, byte)?
                }
                (State::CommaOrClose | State::NameOrClose, b'}')
                | (State::CommaOrClose | State::ValueOrClose, b']') => self.whole_close(io, at, byte)?,
                _ => None,
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
            if !matches!(self.zone, Zone::Rules) {
                break;
            }
        }
        Ok(at)
    }

    /// The end of a name where no rule matches.
    #[inline]
    fn skip_name(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = scan::string(bytes, at + 1)?;
        if self.looking.is_some() && matches!(self.zone, Zone::Clear { .. }) {
            if end.escaped {
                return None;
            }
            self.look_by_name(bytes.get(at + 1..end.at - 1).unwrap_or_default());
        }
        Some(end.at)
    }

    #[inline]
    fn whole_name(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = scan::string(bytes, at + 1)?;
        let name = bytes.get(at + 1..end.at - 1).filter(|name| name.len() <= self.limits.key_bytes)?;
        if end.escaped {
            return None;
        }
        self.look_by_name(name);
        let top = self.reaches.len().saturating_sub(self.plan.width());
        self.plan.at_member(self.reaches.get(top..).unwrap_or_default(), name, &mut self.reach);
        let (at, state) = after_name(bytes, end.at);
        self.state = state;
        Some(at)
    }

    #[inline]
    fn whole_scalar(
        &mut self,
        io: &mut Io,
        bytes: &[u8],
        at: usize,
        byte: u8,
    ) -> Result<Option<usize>, Unmaskable> {
        self.reach_value();
        if self.plan.acts(&self.reach, true) {
            return Ok(None);
        }
        let Some(end) = scalar(bytes, at, byte) else { return Ok(None) };
        if !self.is_clear(bytes, at, end, byte) {
            return Ok(None);
        }
        self.keep(io, at)?;
        self.state = State::CommaOrClose;
        Ok(Some(end))
    }

    #[inline]
    fn whole_open(&mut self, io: &mut Io, at: usize, byte: u8) -> Result<Option<usize>, Unmaskable> {
        self.reach_value();
        if self.plan.acts(&self.reach, false) || self.frames.len() >= self.limits.depth {
            return Ok(None);
        }
        self.keep(io, at)?;
        let (kind, state) = match byte {
            b'{' => (ValueKind::Object, State::NameOrClose),
            _ => (ValueKind::Array, State::ValueOrClose),
        };
        self.open(kind)?;
        if matches!(self.zone, Zone::Rules) && self.plan.removes() {
            self.flow.wait(at + 1);
        }
        self.state = state;
        Ok(Some(at + 1))
    }

    #[inline]
    fn whole_close(&mut self, io: &mut Io, at: usize, byte: u8) -> Result<Option<usize>, Unmaskable> {
        let fits = self.frames.last().is_some_and(|frame| frame.is_object == (byte == b'}'));
        if !fits || self.frames.len() < 2 {
            return Ok(None);
        }
        self.close(io, at, byte).map(Some)
    }

    /// The value at `at` stays.
    #[inline]
    fn keep(&mut self, io: &mut Io, at: usize) -> Result<(), Unmaskable> {
        if let Some(frame) = self.frames.last_mut() {
            frame.kept = true;
        }
        self.flow.pass(at, io.out)
    }
}

/// Where what follows a name begins, and what it is: mostly the colon follows at once.
#[inline]
fn after_name(bytes: &[u8], at: usize) -> (usize, State) {
    if bytes.get(at) == Some(&b':') { (at + 1, State::Value) } else { (at, State::Colon) }
}

/// The end of a string, number, boolean or `null`.
#[inline]
fn scalar(bytes: &[u8], at: usize, first: u8) -> Option<usize> {
    match first {
        b'"' => scan::string(bytes, at + 1).map(|end| end.at),
        b'-' | b'0'..=b'9' => scan::number(bytes, at),
        _ => scan::literal(bytes, at),
    }
}
