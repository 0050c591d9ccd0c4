//! The way of most tokens: those that lie in the chunk with all their bytes. What is cut by the chunk's end, is wrong or
//! needs more than one look stays for the machine that reads byte by byte, so nothing here ends a document or refuses one
//! for its grammar.
//!
//! A member or element is read as one step: its comma, its name, its value. A step that can't be taken whole is not taken
//! at all, so the other machine goes on from where the step began. The words of a reach are counted at compile time, none
//! of them where no rule matters: then nothing is looked up, and nothing waits.

use super::ends::Ends;
use super::flow::Place;
use super::plain::Run;
use super::replacement::Replacement;
use super::step::{Step, Walk, scalar};
use super::{Frame, Io, Json, State, ValueKind, Zone, scan};
use crate::json_string;
use crate::plan::{Action, Plan, Table};

/// What became of a step.
enum Taken {
    Yes,
    /// Another zone begins behind it.
    Last,
}

impl Json {
    /// Reads on from between two tokens; returns where it stopped.
    pub(super) fn whole_tokens(&mut self, io: &mut Io, at: usize) -> usize {
        let looks = self.looking.is_some();
        match &self.zone {
            Zone::Rules => match (self.plan.width(), looks) {
                (1, false) => self.walk::<1, false>(io, at, 0),
                (1, true) => self.walk::<1, true>(io, at, 0),
                (4, false) => self.walk::<4, false>(io, at, 0),
                (4, true) => self.walk::<4, true>(io, at, 0),
                (8, false) => self.walk::<8, false>(io, at, 0),
                (8, true) => self.walk::<8, true>(io, at, 0),
                // So many rules are no usual case.
                _ => at,
            },
            Zone::Clear { depth } => match looks {
                false => self.walk::<0, false>(io, at, *depth),
                true => self.walk::<0, true>(io, at, *depth),
            },
            Zone::Masked { depth, replacement } if !replacement.reads() => {
                self.walk::<0, false>(io, at, *depth)
            }
            Zone::Masked { .. } => at,
        }
    }

    /// `floor` counts the frames around the zone.
    fn walk<const WORDS: usize, const LOOKS: bool>(&mut self, io: &mut Io, at: usize, floor: usize) -> usize {
        let first = match self.state {
            State::CommaOrClose => false,
            State::NameOrClose | State::ValueOrClose => true,
            _ => return at,
        };
        let removes = WORDS > 0 && self.plan.removes();
        let Some(frame) = self.frames.last().copied() else { return at };
        // What waits begins behind the opening sign, in this chunk.
        if removes && first && self.flow.waits_from() != Some(at) {
            return at;
        }
        let plan = self.plan.clone();
        let (Some(table), Some(here)) = (plan.table::<WORDS>(), self.top()) else { return at };
        let bytes = io.chunk.get(..io.utf8).unwrap_or_default();
        let mut walk = Walk { bytes, at, first, frame, here, name: None };
        let glance = self.looking.as_ref().and_then(|looking| looking.glance());
        let run = Run {
            bytes,
            names: (WORDS > 0).then_some(table.names),
            name_bytes: self.limits.key_bytes,
            step_bytes: self.limits.token_bytes,
            glance: glance.unwrap_or_default(),
        };
        let runs = !LOOKS || glance.is_some();
        while let Some(Taken::Yes) =
            self.take::<WORDS, LOOKS>(io, &mut walk, &table, runs.then_some(&run), floor)
        {}
        self.end_walk(&walk, removes);
        walk.at
    }

    /// Takes the next step, or what closes the object or array around it; `None` when that is not to be done here.
    #[inline(always)]
    fn take<'b, const WORDS: usize, const LOOKS: bool>(
        &mut self,
        io: &mut Io,
        walk: &mut Walk<'b, WORDS>,
        table: &Table<'_, WORDS>,
        run: Option<&Run<'b>>,
        floor: usize,
    ) -> Option<Taken> {
        if let Some((before, at)) = run.and_then(|run| walk.run::<LOOKS>(run, table)) {
            let byte = *walk.bytes.get(at)?;
            let reach = table.at_other(&walk.here, walk.frame.is_object);
            return self.walk_in(io, walk, table, &Step { before, at, byte, name: None, reach });
        }
        let (token, byte) = scan::token(walk.bytes, walk.at)?;
        if matches!(byte, b'}' | b']') && self.walk_out(walk, token, floor) {
            return Some(Taken::Yes);
        }
        let step = walk.step(table, &self.limits, token, byte)?;
        if LOOKS && step.name.is_some() {
            walk.name = step.name;
        }
        match step.byte {
            b'{' | b'[' => self.walk_in(io, walk, table, &step),
            _ => self.walk_past::<WORDS, LOOKS>(io, walk, table, &step),
        }
    }

    /// Leaves everything as the other machine knows it.
    fn end_walk<const WORDS: usize>(&mut self, walk: &Walk<WORDS>, removes: bool) {
        if let Some(name) = walk.name {
            self.look_by_name(name);
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.kept |= walk.frame.kept;
            frame.elements = walk.frame.elements;
        }
        self.state = match (walk.first, walk.frame.is_object) {
            (false, _) => State::CommaOrClose,
            (true, true) => State::NameOrClose,
            (true, false) => State::ValueOrClose,
        };
        if removes && matches!(self.zone, Zone::Rules) {
            self.flow.set_waiting(walk.first.then_some(walk.at));
        }
    }

    /// The words on top of `reaches`; none of them where none are wanted.
    fn top<const WORDS: usize>(&self) -> Option<[u64; WORDS]> {
        self.reaches.last_chunk::<WORDS>().copied()
    }

    /// Out of an object or array by the sign at `token`; `false` when that is not to be done here.
    #[inline(always)]
    fn walk_out<const WORDS: usize>(&mut self, walk: &mut Walk<WORDS>, token: usize, floor: usize) -> bool {
        let is_object = walk.bytes.get(token) == Some(&b'}');
        let too_long = WORDS > 0 && walk.first && token - walk.at > self.limits.token_bytes;
        if walk.frame.is_object != is_object
            || walk.frame.filtered
            || self.frames.len() < floor + 2
            || too_long
        {
            return false;
        }
        self.frames.pop();
        self.reaches.truncate(self.reaches.len().saturating_sub(WORDS));
        let (Some(frame), Some(here)) = (self.frames.last(), self.top()) else { return false };
        (walk.frame, walk.here) = (*frame, here);
        (walk.at, walk.first) = (token + 1, false);
        true
    }

    /// Into an object or array that stays.
    #[inline(always)]
    fn walk_in<'b, const WORDS: usize>(
        &mut self,
        io: &mut Io,
        walk: &mut Walk<'b, WORDS>,
        table: &Table<'_, WORDS>,
        step: &Step<'b, WORDS>,
    ) -> Option<Taken> {
        if table.may_take_whole(&step.reach) || self.frames.len() >= self.limits.depth {
            return None;
        }
        self.keep(io, walk, step);
        let is_object = step.byte == b'{';
        let mut frame = Frame::new(is_object);
        let mut reach = step.reach;
        if WORDS > 0 {
            frame.indexed = !is_object && table.indexes(&reach);
            if !is_object && !frame.indexed {
                table.at_elements(&mut reach);
            }
        }
        if let Some(around) = self.frames.last_mut() {
            around.kept |= walk.frame.kept;
            around.elements = walk.frame.elements;
        }
        let depth = self.frames.len();
        self.frames.push(frame);
        (walk.frame, walk.here) = (frame, reach);
        (walk.at, walk.first) = (step.at + 1, true);
        if WORDS > 0 && reach.iter().all(|word| *word == 0) {
            self.zone = Zone::Clear { depth };
            self.flow.set_waiting(None);
            return Some(Taken::Last);
        }
        self.reaches.extend_from_slice(&reach);
        Some(Taken::Yes)
    }

    /// Past a string, number, boolean or `null`.
    #[inline(always)]
    fn walk_past<'b, const WORDS: usize, const LOOKS: bool>(
        &mut self,
        io: &mut Io,
        walk: &mut Walk<'b, WORDS>,
        table: &Table<'_, WORDS>,
        step: &Step<'b, WORDS>,
    ) -> Option<Taken> {
        let end = scalar(walk.bytes, step.at, step.byte)?;
        if WORDS > 0 && table.may_take_leaf(&step.reach) {
            let masked = self.mask_scalar(io, walk, table, step, end)?;
            if masked {
                return Some(Taken::Yes);
            }
        }
        if LOOKS {
            if let Some(name) = walk.name.take() {
                self.look_by_name(name);
            }
            if !self.is_clear(walk.bytes, step.at, end, step.byte, &step.reach) {
                return None;
            }
        }
        self.keep(io, walk, step);
        (walk.at, walk.first) = (end, false);
        Some(Taken::Yes)
    }

    /// The value stays.
    #[inline(always)]
    fn keep<const WORDS: usize>(&mut self, io: &mut Io, walk: &mut Walk<WORDS>, step: &Step<WORDS>) {
        if WORDS > 0 && !walk.frame.kept {
            // The comma behind what went goes too.
            if !walk.first && self.plan.removes() {
                self.flow.leave_out(io.chunk, step.before, io.out);
            }
            walk.frame.kept = true;
        }
        if WORDS > 0 && !walk.first {
            walk.frame.elements = walk.frame.elements.saturating_add(1);
        }
    }

    /// Replaces or removes the scalar that ends at `end`, if a rule takes it; `None` when that is not to be done here.
    #[inline(never)]
    fn mask_scalar<const WORDS: usize>(
        &mut self,
        io: &mut Io,
        walk: &mut Walk<WORDS>,
        table: &Table<'_, WORDS>,
        step: &Step<WORDS>,
        end: usize,
    ) -> Option<bool> {
        if table.asks(&step.reach) {
            return None;
        }
        let kind = match step.byte {
            b'"' => ValueKind::String,
            b't' | b'f' => ValueKind::Boolean,
            b'n' => ValueKind::Null,
            _ => ValueKind::Number,
        };
        let action = table.plan.action(&step.reach, true);
        let Some(action) =
            action.filter(|action| kind != ValueKind::Null || matches!(action, Action::Remove))
        else {
            return Some(false);
        };
        let written = walk.bytes.get(step.at..end)?;
        let text = if kind == ValueKind::String { written.get(1..written.len() - 1)? } else { written };
        if !matches!(action, Action::Remove | Action::Write(_)) && memchr::memchr(b'\\', text).is_some() {
            return None;
        }
        self.masked += 1;
        if matches!(action, Action::Remove) {
            // With the comma before it; that of the first went with what stood there, or goes now.
            let from = if walk.first { step.before + 1 } else { step.before };
            self.flow.replace(io.chunk, Place { from, end }, io.out);
            walk.frame.elements = walk.frame.elements.saturating_add(u32::from(!walk.first));
        } else {
            self.keep(io, walk, step);
            self.flow.replace(io.chunk, Place { from: step.at, end }, io.out);
            write_instead(action, kind, text, table.plan, io.out);
        }
        (walk.at, walk.first) = (end, false);
        Some(true)
    }
}

/// Writes what takes a value's place that is known whole, and is not removed.
fn write_instead(action: &Action, kind: ValueKind, text: &[u8], plan: &Plan, out: &mut Vec<u8>) {
    match action {
        // The usual ones need no state.
        Action::Write(json) => out.extend_from_slice(json),
        Action::Partial { first, last } if matches!(kind, ValueKind::String | ValueKind::Number) => {
            json_string::write(&Ends::of(*first, *last, text), out);
        }
        _ => {
            let mut replacement = Replacement::start(action, kind, false, plan.key());
            replacement.feed(text);
            replacement.finish(out);
        }
    }
}
