//! Regular expressions whose cost is bounded, and depends on nothing but the pattern and what it is searched in.
//!
//! A pattern runs as an automaton that is built while it runs, and kept for later searches. An evaluation pays for each
//! part of the automaton that it is the first time in, whether that part was there already or not.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::{Pool, PoolGuard};
use regex_automata::{Input, MatchErrorKind};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::Translator;
use rustc_hash::FxHashSet;

use super::EvaluationError;
use super::budget::{Budget, STEPS};

mod bound;

pub use bound::COMPILING;
use bound::FIXED;
use bound::Size;

/// How long a pattern may be, in bytes.
const MAX_LEN: usize = 2 << 10;
/// How large a compiled pattern may be, in bytes.
const MAX_SIZE: usize = 256 << 10;
/// How deep a pattern's groups may nest.
const MAX_DEPTH: u32 = 64;
/// The automaton reads this many bytes in a step.
const BYTES_PER_STEP: usize = 4;
/// What is paid for in a step has at most this many bytes: see `Pattern::step`.
const BUILT_BYTES_PER_STEP: usize = 8;
/// The most that one evaluation can build, in bytes.
const ROOM: usize = STEPS * BUILT_BYTES_PER_STEP;
/// How much of the automaton is kept, in bytes: what an evaluation finds, and what it builds beside that.
const CACHE: usize = 2 * ROOM;
/// Text is paid for in pieces of this many bytes: a search that knows its answer early does not pay for the rest.
const CHUNK: usize = 64;
/// Stands for the end of the text where a byte would.
const END: u16 = 256;
/// Stands for what comes before the text.
const START: u16 = 257;

type Made<T> = Box<dyn Fn() -> T + Send + Sync>;

/// A compiled pattern.
pub struct Pattern {
    text: String,
    automaton: DFA,
    runs: Pool<Run, Made<Run>>,
    machine: PikeVM,
    machines: Pool<pikevm::Cache, Made<pikevm::Cache>>,
    /// What a step from one state of the automaton to another costs, in steps, while it has to be built.
    step: usize,
    /// What the slower machine costs for a byte, in steps.
    machine_step: usize,
}

/// The part of an automaton that has been built, and in which parts of it an evaluation has been.
struct Run {
    cache: Cache,
    /// A state, and the byte that it was left with.
    visited: FxHashSet<(LazyStateID, u16)>,
}

/// The searches of one evaluation with one pattern.
pub struct Searches<'p> {
    pattern: &'p Pattern,
    run: PoolGuard<'p, Run, Made<Run>>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// Equal to those of the same text.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

fn too_large() -> String {
    "the pattern is too large, with those before it: `\\w` and `\\d` stand for all scripts, `[0-9A-Za-z_]` is small".to_owned()
}

/// Parses a pattern, and says how large it is. `allowance` is what compiling may cost, and what it will cost is taken
/// from it; the error says what is wrong with the pattern.
fn parse(text: &str, allowance: &mut usize) -> Result<(Hir, Size), String> {
    if text.len() > MAX_LEN {
        return Err(format!("the pattern is longer than {MAX_LEN} bytes"));
    }
    let mut spend = |cost| match allowance.checked_sub(cost) {
        Some(left) => {
            *allowance = left;
            Ok(())
        }
        None => {
            // Others behind it are not even parsed.
            *allowance = 0;
            Err(too_large())
        }
    };
    let invalid = |problem: String| format!("the pattern is not a regular expression: {problem}");
    spend(FIXED.saturating_add(text.len().saturating_mul(5)))?;
    let parsed = ParserBuilder::new().nest_limit(MAX_DEPTH).build().parse(text);
    let ast = parsed.map_err(|error| invalid(error.kind().to_string()))?;
    spend(bound::classes(&ast))?;
    let hir = Translator::new().translate(text, &ast).map_err(|error| invalid(error.kind().to_string()))?;
    let size = Size::of(&hir);
    spend(size.cost)?;
    Ok((hir, size))
}

impl Pattern {
    /// Compiles a pattern. `allowance` is what compiling may cost, in the units of `COMPILING`, and what it costs is
    /// taken from it; the error says what is wrong with the pattern.
    pub fn compile(text: &str, allowance: &mut usize) -> Result<Self, String> {
        let (hir, size) = parse(text, allowance)?;
        let config =
            thompson::Config::new().nfa_size_limit(Some(MAX_SIZE)).which_captures(WhichCaptures::None);
        let nfa = NFA::compiler().configure(config).build_from_hir(&hir).map_err(|_| too_large())?;
        let row = 1_usize << nfa.byte_classes().stride2();
        let lazy = DFA::config()
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(0))
            .unicode_word_boundary(true);
        let automaton =
            DFA::builder().configure(lazy).build_from_nfa(nfa.clone()).map_err(|_| too_large())?;
        let machine = PikeVM::builder().build_from_nfa(nfa).map_err(|_| too_large())?;
        let (for_run, for_machine) = (automaton.clone(), machine.clone());
        Ok(Self {
            text: text.to_owned(),
            automaton,
            runs: Pool::new(Box::new(move || Run {
                cache: for_run.create_cache(),
                visited: FxHashSet::default(),
            })),
            machine,
            machines: Pool::new(Box::new(move || for_machine.create_cache())),
            // A state takes about 60 bytes, a row of 4 bytes for each class of bytes, and 2 bytes for each place that
            // it stands for; finding it takes time for those places. In bytes this is at most eight times the steps.
            step: 16 + row / 2 + size.places / 4,
            machine_step: 4 + size.places,
        })
    }

    /// The searches of one evaluation, which find each other's part of the automaton.
    pub fn searches(&self) -> Searches<'_> {
        let mut run = self.runs.get();
        run.visited.clear();
        if run.cache.memory_usage() > CACHE - ROOM {
            run.cache.reset(&self.automaton);
        }
        Searches { pattern: self, run }
    }
}

impl Searches<'_> {
    pub fn is_of(&self, pattern: &Pattern) -> bool {
        std::ptr::eq(self.pattern, pattern)
    }

    /// Whether the pattern matches anywhere in the text.
    pub fn is_match(&mut self, text: &str, budget: &mut Budget) -> Result<bool, EvaluationError> {
        match self.run_automaton(text, budget)? {
            Some(found) => Ok(found),
            None => {
                // The automaton can't tell whether a word ends at a letter beyond ASCII.
                budget.spend(text.len().saturating_add(1).saturating_mul(self.pattern.machine_step))?;
                let mut machine = self.pattern.machines.get();
                Ok(self.pattern.machine.is_match(&mut machine, Input::new(text)))
            }
        }
    }

    /// `None` when the automaton does not know.
    fn run_automaton(&mut self, text: &str, budget: &mut Budget) -> Result<Option<bool>, EvaluationError> {
        let Self { pattern: Pattern { automaton, step, .. }, run } = self;
        let pay = |visited: &mut FxHashSet<_>, at, budget: &mut Budget| {
            if visited.insert(at) { budget.spend(*step) } else { Ok(()) }
        };
        let Run { cache, visited } = &mut **run;
        // What one evaluation can pay for always fits into the cache, so it does not overflow. Did it, the search
        // would have no answer.
        let overflow = EvaluationError::BudgetSpent;
        budget.spend(1)?;
        pay(visited, (LazyStateID::default(), START), budget)?;
        let mut state = match automaton.start_state_forward(cache, &Input::new(text)) {
            Ok(state) => state,
            Err(error) if matches!(error.kind(), MatchErrorKind::GaveUp { .. }) => return Err(overflow),
            Err(_) => return Ok(None),
        };
        for bytes in text.as_bytes().chunks(CHUNK) {
            budget.spend(bytes.len() / BYTES_PER_STEP)?;
            for &byte in bytes {
                pay(visited, (state, byte.into()), budget)?;
                state = automaton.next_state(cache, state, byte).map_err(|_| overflow.clone())?;
                if state.is_match() {
                    return Ok(Some(true));
                }
                if state.is_dead() {
                    return Ok(Some(false));
                }
                if state.is_quit() {
                    return Ok(None);
                }
            }
        }
        pay(visited, (state, END), budget)?;
        let end = automaton.next_eoi_state(cache, state).map_err(|_| overflow)?;
        Ok(Some(end.is_match()))
    }
}

#[cfg(test)]
mod tests;
