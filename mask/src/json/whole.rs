//! The way of most tokens: those that lie in the chunk with all their bytes, where nothing is replaced. What is cut by
//! the chunk's end, is to be replaced, or is wrong stays for the machine that reads byte by byte, so nothing here ends
//! a document or refuses one for its grammar.

use super::{Frame, Io, Json, State, ValueKind, Zone, scan};

impl Json {
    /// Reads on from between two tokens; returns where it stopped.
    pub(super) fn whole_tokens(&mut self, io: &mut Io, at: usize) -> usize {
        match &self.zone {
            Zone::Rules => self.follow(io, at),
            Zone::Clear { depth } => self.skip(io, at, *depth),
            Zone::Masked { depth, replacement } if !replacement.reads() => self.skip(io, at, *depth),
            Zone::Masked { .. } => at,
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
                    self.frames.push(Frame::new(byte == b'{'));
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
    fn follow(&mut self, io: &mut Io, mut at: usize) -> usize {
        let bytes = io.chunk.get(..io.utf8).unwrap_or_default();
        let mut state = self.state;
        // A whole document is the other machine's.
        while let Some(frame) = self.frames.last().copied()
            && let Some((token, byte)) = scan::token(bytes, at)
        {
            at = token;
            let next = match (state, byte) {
                (State::CommaOrClose, b',') => {
                    let quiet = if frame.quiet && frame.kept { self.quiet(bytes, at, frame) } else { at };
                    if quiet > at { Some((quiet, state)) } else { Some(self.whole_comma(io, at)) }
                }
                (State::NameOrClose | State::Name, b'"') => self.whole_name(bytes, at),
                (State::Colon, b':') => Some((at + 1, State::Value)),
                (State::Value | State::ValueOrClose, b'{' | b'[') => self.whole_open(io, at, byte),
                (State::Value | State::ValueOrClose, _) if byte != b']' => {
                    self.whole_scalar(io, bytes, at, byte)
                }
                (State::CommaOrClose | State::NameOrClose, b'}')
                | (State::CommaOrClose | State::ValueOrClose, b']') => self.whole_close(io, at, byte),
                _ => None,
            };
            let Some(next) = next else { break };
            (at, state) = next;
            if !matches!(self.zone, Zone::Rules) {
                break;
            }
        }
        self.state = state;
        at
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

    /// Reads on over elements, or members of names in no rule, as long as they are scalars: each from its comma on.
    fn quiet(&self, bytes: &[u8], mut at: usize, frame: Frame) -> usize {
        loop {
            let next = if frame.is_object {
                self.quiet_member(bytes, at)
            } else {
                self.quiet_value(bytes, at, at + 1)
            };
            let Some((next, b',')) = next.and_then(|next| scan::token(bytes, next)) else {
                return next.unwrap_or(at);
            };
            at = next;
        }
    }

    #[inline(always)]
    fn quiet_member(&self, bytes: &[u8], comma: usize) -> Option<usize> {
        let (open, b'"') = scan::token(bytes, comma + 1)? else { return None };
        let end = scan::string(bytes, open + 1)?;
        let name = bytes.get(open + 1..end.at - 1)?;
        if end.escaped || name.len() > self.limits.key_bytes || self.plan.may_know(name) {
            return None;
        }
        let (colon, b':') = scan::token(bytes, end.at)? else { return None };
        self.quiet_value(bytes, comma, colon + 1)
    }

    /// A value that comes after `at`; what a rule could have removed with it begins at the comma.
    #[inline(always)]
    fn quiet_value(&self, bytes: &[u8], comma: usize, at: usize) -> Option<usize> {
        let (value, first) = scan::token(bytes, at)?;
        if value - comma > self.limits.token_bytes {
            return None;
        }
        scalar(bytes, value, first)
    }

    #[inline(always)]
    fn whole_name(&mut self, bytes: &[u8], at: usize) -> Option<(usize, State)> {
        let end = scan::string(bytes, at + 1)?;
        let name = bytes.get(at + 1..end.at - 1).filter(|name| name.len() <= self.limits.key_bytes)?;
        if end.escaped {
            return None;
        }
        self.look_by_name(name);
        let top = self.reaches.len().saturating_sub(self.reach.len());
        self.plan.at_member(self.reaches.get(top..).unwrap_or_default(), name, &mut self.reach);
        Some(after_name(bytes, end.at))
    }

    #[inline(always)]
    fn whole_scalar(&mut self, io: &mut Io, bytes: &[u8], at: usize, byte: u8) -> Option<(usize, State)> {
        self.reach_value();
        if self.plan.acts(&self.reach, true) || self.plan.filters(&self.reach) {
            return None;
        }
        let end = scalar(bytes, at, byte).filter(|end| self.is_clear(bytes, at, *end, byte))?;
        self.keep(io, at).then_some((end, State::CommaOrClose))
    }

    #[inline(always)]
    fn whole_open(&mut self, io: &mut Io, at: usize, byte: u8) -> Option<(usize, State)> {
        self.reach_value();
        let undecided = self.plan.acts(&self.reach, false) || self.plan.filters(&self.reach);
        if undecided || self.frames.len() >= self.limits.depth || !self.keep(io, at) {
            return None;
        }
        let (kind, state) = match byte {
            b'{' => (ValueKind::Object, State::NameOrClose),
            _ => (ValueKind::Array, State::ValueOrClose),
        };
        self.enter(kind);
        if matches!(self.zone, Zone::Rules) && self.plan.removes() {
            self.flow.wait(at + 1);
        }
        Some((at + 1, state))
    }

    #[inline(always)]
    fn whole_close(&mut self, io: &mut Io, at: usize, byte: u8) -> Option<(usize, State)> {
        let frame = self.frames.last()?;
        let plain = frame.is_object == (byte == b'}') && !frame.filtered;
        if !plain || self.frames.len() < 2 || !self.flow.passes(at, io.out) {
            return None;
        }
        self.frames.pop();
        self.reaches.truncate(self.reaches.len().saturating_sub(self.reach.len()));
        Some((at + 1, State::CommaOrClose))
    }

    #[inline(always)]
    fn whole_comma(&mut self, io: &mut Io, at: usize) -> (usize, State) {
        (at + 1, self.separate(io, at))
    }

    /// The value at `at` stays, unless too much waits before it.
    #[inline(always)]
    fn keep(&mut self, io: &mut Io, at: usize) -> bool {
        let passes = self.flow.passes(at, io.out);
        if let Some(frame) = self.frames.last_mut() {
            frame.kept |= passes;
        }
        passes
    }
}

/// Where what follows a name begins, and what it is: mostly the colon follows at once.
#[inline(always)]
fn after_name(bytes: &[u8], at: usize) -> (usize, State) {
    if bytes.get(at) == Some(&b':') { (at + 1, State::Value) } else { (at, State::Colon) }
}

/// The end of a string, number, boolean or `null`.
#[inline(always)]
fn scalar(bytes: &[u8], at: usize, first: u8) -> Option<usize> {
    match first {
        b'"' => scan::string(bytes, at + 1).map(|end| end.at),
        b'-' | b'0'..=b'9' => scan::number(bytes, at),
        _ => scan::literal(bytes, at),
    }
}
