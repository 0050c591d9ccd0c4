//! One JSON document (RFC 8259), checked and rewritten as its bytes arrive.
//!
//! A state machine over bytes that builds nothing: what no rule takes is copied from chunk to output in slices, what
//! a rule takes is read past. The grammar is checked everywhere, also where nothing is masked, because a reader
//! that repairs what it reads might see other fields in it than this one.
//!
//! Knows nothing of lines, events or content types.

use std::sync::Arc;

use super::json_string::Scanner;
use super::plan::Plan;
use super::unmaskable::{Limits, Unmaskable};
use flow::Flow;
use looking::Looking;
use number::Number;
pub use number::is_number;
pub use replacement::Replacement;
pub use text::Text;
use text::Within;
use waiting::Waiting;

mod ends;
mod flow;
mod looking;
mod number;
mod plain;
pub mod replacement;
pub mod scan;
mod step;
mod structure;
mod text;
mod waiting;
mod whole;

/// Documents of this depth need memory once.
const USUAL_DEPTH: usize = 16;

/// The rewriter of one document.
#[derive(Debug)]
pub struct Json {
    plan: Arc<Plan>,
    limits: Limits,
    state: State,
    zone: Zone,
    /// The open objects and arrays.
    frames: Vec<Frame>,
    /// The reach of every open object, and of every open array's elements, while `zone` is `Rules`; each takes
    /// `plan.width()` words.
    reaches: Vec<u64>,
    /// The reach of the value to come.
    reach: Vec<u64>,
    /// Reads one string after the other: it is as new after a closing quote.
    string: Scanner,
    /// The name being read, decoded.
    name: Vec<u8>,
    flow: Flow,
    /// For rules that look for something in values.
    looking: Option<Box<Looking>>,
    /// An object that has begun, and has not been read, because its members decide what happens to it.
    waiting: Option<Waiting>,
    /// The object to come was asked about its members.
    filtered: bool,
    /// How many of the open objects were.
    filtering: usize,
    /// The document in the string being read.
    text: Option<Box<Text>>,
    /// What is different for a document in a string.
    within: Option<Within>,
    masked: u64,
    /// Bytes before those at hand.
    read: u64,
}

/// What the grammar expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// After `[`.
    ValueOrClose,
    /// After `{`.
    NameOrClose,
    Name,
    InName,
    Colon,
    InString,
    InNumber(Number),
    /// The rest of `true`, `false` or `null`.
    InLiteral(&'static [u8]),
    CommaOrClose,
    Done,
}

/// What applies where the machine is. `depth` counts the frames around the value that the zone is about.
#[derive(Debug)]
enum Zone {
    /// Rules may match here.
    Rules,
    /// No rule can match anything in this value.
    Clear { depth: usize },
    /// This value is being replaced.
    Masked { depth: usize, replacement: Replacement },
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    is_object: bool,
    /// Whether a member or element of it has been kept, so that the next needs a comma.
    kept: bool,
    /// It was asked about its members.
    filtered: bool,
    /// Its elements are told apart: `reaches` has its own reach, not theirs.
    indexed: bool,
    /// Elements before the one at hand, as far as rules follow.
    elements: u32,
}

impl Frame {
    fn new(is_object: bool) -> Self {
        Self { is_object, kept: false, filtered: false, indexed: false, elements: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// A chunk and where its rewritten bytes go.
struct Io<'io> {
    chunk: &'io [u8],
    /// Up to here the chunk is UTF-8, save a character that began before it.
    utf8: usize,
    out: &'io mut Vec<u8>,
}

impl Json {
    pub fn new(plan: Arc<Plan>, limits: Limits) -> Self {
        let reach = vec![0; plan.width()];
        let looking = Looking::new(&plan);
        Self {
            plan,
            limits,
            state: State::Value,
            zone: Zone::Rules,
            frames: Vec::with_capacity(USUAL_DEPTH),
            reaches: Vec::with_capacity(USUAL_DEPTH * reach.len()),
            reach,
            string: Scanner::default(),
            name: Vec::new(),
            flow: Flow::new(limits.token_bytes),
            looking,
            waiting: None,
            filtered: false,
            filtering: 0,
            text: None,
            within: None,
            masked: 0,
            read: 0,
        }
    }

    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let mut rest = chunk;
        while let Some(mut waiting) = self.waiting.take() {
            let Some(taken) = waiting.read(rest, self.limits.filter_bytes) else {
                self.waiting = Some(waiting);
                return Ok(());
            };
            self.run(waiting.bytes(), out)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.run(rest, out)
    }

    /// Reads on to the chunk's end, or up to an object that must wait for bytes after it.
    fn run(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let (_, utf8) = scan::utf8(chunk);
        let mut io = Io { chunk, utf8, out };
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::InString | State::InName => self.in_string(&mut io, at)?,
                State::InNumber(number) => self.in_number(&mut io, at, number)?,
                State::InLiteral(rest) => self.in_literal(&mut io, at, rest)?,
                _ => {
                    let mut whole = at;
                    // One walk ends where another begins.
                    loop {
                        let next = self.whole_tokens(&mut io, whole);
                        if next == std::mem::replace(&mut whole, next) {
                            break;
                        }
                    }
                    let Some((token, byte)) = scan::token(chunk, whole) else { break };
                    let next = self.between_tokens(&mut io, token, byte)?;
                    if self.waiting.is_some() {
                        self.read += token as u64;
                        return Ok(());
                    }
                    next
                }
            };
        }
        self.flow.end_chunk(io.chunk, io.out)?;
        self.read += chunk.len() as u64;
        Ok(())
    }

    /// The document ends here.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let State::InNumber(number) = self.state
            && number.is_complete()
        {
            self.end_value(&mut Io { chunk: &[], utf8: 0, out }, 0);
        }
        if self.state == State::Done { Ok(()) } else { Err(self.invalid(0, "it ends too early")) }
    }

    /// Ready for a document after a finished one, of which `skipped` bytes were no part.
    pub fn restart(&mut self, skipped: u64) {
        self.state = State::Value;
        self.read += skipped;
        if let Some(looking) = &mut self.looking {
            looking.set_name(b"");
        }
    }

    /// Whether nothing but white space has been read of a document.
    pub fn is_blank(&self) -> bool {
        self.state == State::Value && self.frames.is_empty() && self.waiting.is_none()
    }

    pub fn masked_fields(&self) -> u64 {
        self.masked + self.looking.as_ref().map_or(0, |looking| looking.masked())
    }

    // === tokens ===

    fn between_tokens(&mut self, io: &mut Io, at: usize, byte: u8) -> Result<usize, Unmaskable> {
        match (self.state, byte) {
            (
                State::Value | State::ValueOrClose,
                b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n',
            ) => self.begin_value(io, at, byte),
            (State::ValueOrClose, b']') | (State::NameOrClose, b'}') => self.close(io, at, byte),
            (State::CommaOrClose, b']' | b'}') => self.close(io, at, byte),
            (State::CommaOrClose, b',') => self.comma(io, at),
            (State::NameOrClose | State::Name, b'"') => {
                self.feed(b"\"");
                self.begin_name(io, at + 1)
            }
            (State::Colon, b':') => {
                self.feed(b":");
                self.state = State::Value;
                Ok(at + 1)
            }
            (State::Value | State::ValueOrClose, _) => Err(self.invalid(at, "a value was expected")),
            (State::NameOrClose | State::Name, _) => Err(self.invalid(at, "a field's name was expected")),
            (State::Colon, _) => Err(self.invalid(at, "`:` was expected")),
            (State::CommaOrClose, _) => {
                Err(self.invalid(at, "`,` or the end of an object or array was expected"))
            }
            _ => Err(self.invalid(at, "something follows its end")),
        }
    }

    fn begin_value(&mut self, io: &mut Io, at: usize, first: u8) -> Result<usize, Unmaskable> {
        let (kind, state) = match first {
            b'{' => (ValueKind::Object, State::NameOrClose),
            b'[' => (ValueKind::Array, State::ValueOrClose),
            b'"' => (ValueKind::String, State::InString),
            b't' => (ValueKind::Boolean, State::InLiteral(b"rue")),
            b'f' => (ValueKind::Boolean, State::InLiteral(b"alse")),
            b'n' => (ValueKind::Null, State::InLiteral(b"ull")),
            _ => (ValueKind::Number, State::InNumber(Number::start(first).unwrap_or(Number::Minus))),
        };
        if matches!(self.zone, Zone::Rules) {
            self.reach_value();
            if self.plan.is_special(&self.reach) && !self.ask(io, at, kind)? {
                return Ok(at);
            }
            self.decide(io, at, kind)?;
        }
        // A string that is replaced itself is fed decoded, everything else as written.
        if kind != ValueKind::String || !self.is_masked_value() {
            self.feed(&[first]);
        }
        if matches!(kind, ValueKind::Object | ValueKind::Array) {
            self.open(kind)?;
            // The first name or element may have to go.
            if matches!(self.zone, Zone::Rules) && self.plan.removes() {
                self.flow.wait(at + 1);
            }
        }
        if kind == ValueKind::String && self.is_masked_value() && !self.reads() {
            // What it says does not matter.
            let utf8 = io.chunk.get(..io.utf8).unwrap_or_default();
            if let Some(end) = scan::string(utf8, at + 1) {
                self.end_value(io, end.at);
                return Ok(end.at);
            }
        }
        if kind == ValueKind::String && self.parses() {
            self.begin_text(io, at)?;
        } else {
            self.begin_looking(io, at, kind, first)?;
        }
        self.state = state;
        Ok(at + 1)
    }

    /// Reads on in a string or name.
    fn in_string(&mut self, io: &mut Io, at: usize) -> Result<usize, Unmaskable> {
        let bytes = io.chunk.get(at..).unwrap_or_default();
        let is_name = self.state == State::InName;
        if self.text.is_some() {
            return self.in_text(io, at);
        }
        if let Some(looking) = self.looking.as_mut().filter(|looking| looking.is_busy()) {
            let scanned = looking.string(&mut self.string, bytes, io.out);
            let (taken, closed) = scanned.map_err(|fault| self.invalid(at + fault.at, fault.what))?;
            if closed {
                self.end_value(io, at + taken);
            }
            return Ok(at + taken);
        }
        let names = match self.zone {
            Zone::Rules => is_name,
            Zone::Clear { .. } => is_name && self.looking.is_some(),
            Zone::Masked { .. } => false,
        };
        let whole = self.is_masked_value();
        let (name, limit) = (&mut self.name, self.limits.key_bytes);
        let scanned = match &mut self.zone {
            _ if names => self.string.scan(bytes, |piece| {
                // One byte more than allowed is enough to tell.
                let most = (limit + 1).max(looking::NAME_BYTES);
                let room = most.saturating_sub(name.len()).min(piece.len());
                waiting::grow(name, piece.get(..room).unwrap_or(piece), most);
            }),
            Zone::Masked { replacement, .. } if whole => {
                self.string.scan(bytes, |piece| replacement.feed(piece))
            }
            _ => self.string.scan(bytes, |_| {}),
        };
        let (taken, closed) = scanned.map_err(|fault| self.invalid(at + fault.at, fault.what))?;
        if !whole {
            self.feed(bytes.get(..taken).unwrap_or_default());
        }
        if closed && is_name {
            self.end_name()?;
        } else if closed {
            self.end_value(io, at + taken);
        }
        Ok(at + taken)
    }

    fn in_number(&mut self, io: &mut Io, start: usize, mut number: Number) -> Result<usize, Unmaskable> {
        let mut at = start;
        while let Some(next) = io.chunk.get(at).and_then(|byte| number.next(*byte)) {
            number = next;
            at += 1;
        }
        self.feed(io.chunk.get(start..at).unwrap_or_default());
        if let Some(looking) = self.looking.as_mut().filter(|looking| looking.is_busy()) {
            looking.number(io.chunk.get(start..at).unwrap_or_default());
        }
        self.state = State::InNumber(number);
        if at < io.chunk.len() {
            if !number.is_complete() {
                return Err(self.invalid(at, "a number is cut short"));
            }
            self.end_value(io, at);
        }
        Ok(at)
    }

    fn in_literal(&mut self, io: &mut Io, at: usize, rest: &'static [u8]) -> Result<usize, Unmaskable> {
        let byte = io.chunk.get(at).copied();
        match rest.split_first() {
            Some((expected, rest)) if byte == Some(*expected) => {
                self.feed(&[*expected]);
                if rest.is_empty() {
                    self.end_value(io, at + 1);
                } else {
                    self.state = State::InLiteral(rest);
                }
                Ok(at + 1)
            }
            _ => Err(self.invalid(at, "`true`, `false` or `null` was expected")),
        }
    }

    fn invalid(&self, at: usize, what: &'static str) -> Unmaskable {
        Unmaskable::InvalidJson { offset: self.read + at as u64, what }
    }
}
