//! Regular expressions whose cost is bounded.
//!
//! A pattern runs as an automaton that is built while it runs, and kept for the next search. Few patterns have so many
//! states that building them costs more than going over the text: then the search gives up, and goes on with a slower
//! machine that needs none, when the budget covers what that may take.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{HalfMatch, Input, MatchError, MatchErrorKind};

use super::EvaluationError;
use super::budget::Budget;

/// How long a pattern may be, in bytes.
const MAX_LEN: usize = 2 << 10;
/// How large a compiled pattern may be, in bytes.
const MAX_SIZE: usize = 256 << 10;
/// How deep a pattern's groups may nest.
const MAX_DEPTH: u32 = 64;
/// How much of the automaton is kept, in bytes, unless the pattern needs more to run at all.
const CACHE: usize = 64 << 10;
/// How often the automaton may be forgotten and built anew in one search.
const REBUILDS: usize = 1;
/// This much of the automaton is built in a step.
const BUILT_BYTES_PER_STEP: usize = 8;
/// The automaton reads this many bytes in a step.
const BYTES_PER_STEP: usize = 8;

/// A compiled pattern.
pub struct Pattern {
    text: String,
    automaton: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
    machine: PikeVM,
    machines: Pool<pikevm::Cache, Box<dyn Fn() -> pikevm::Cache + Send + Sync>>,
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

impl Pattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LEN {
            return Err(format!("the pattern is longer than {MAX_LEN} bytes"));
        }
        let parsed = syntax::parse_with(text, &syntax::Config::new().nest_limit(MAX_DEPTH));
        let hir = parsed.map_err(|error| {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern is not a regular expression: {last}")
        })?;
        let config =
            thompson::Config::new().nfa_size_limit(Some(MAX_SIZE)).which_captures(WhichCaptures::None);
        let too_large = || {
            "the pattern is too large: `\\w` and `\\d` stand for all scripts, `[0-9A-Za-z_]` is small"
                .to_owned()
        };
        let nfa = NFA::compiler().configure(config).build_from_hir(&hir).map_err(|_| too_large())?;
        let lazy = DFA::config()
            .cache_capacity(CACHE)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(REBUILDS))
            .unicode_word_boundary(true);
        let automaton =
            DFA::builder().configure(lazy).build_from_nfa(nfa.clone()).map_err(|_| too_large())?;
        let machine = PikeVM::builder().build_from_nfa(nfa).map_err(|_| too_large())?;
        let (for_cache, for_machine) = (automaton.clone(), machine.clone());
        Ok(Self {
            text: text.to_owned(),
            automaton,
            caches: Pool::new(Box::new(move || for_cache.create_cache())),
            machine,
            machines: Pool::new(Box::new(move || for_machine.create_cache())),
        })
    }

    /// Runs the automaton, and pays for the states that had to be built for this text.
    fn search(
        &self,
        cache: &mut Cache,
        input: &Input<'_>,
        budget: &mut Budget,
    ) -> Result<Result<Option<HalfMatch>, MatchError>, EvaluationError> {
        let (size, clears) = (cache.memory_usage(), cache.clear_count());
        let found = self.automaton.try_search_fwd(cache, input);
        let refilled = cache.clear_count().saturating_sub(clears).saturating_mul(CACHE);
        let built = cache.memory_usage().saturating_add(refilled).saturating_sub(size);
        budget.spend(built / BUILT_BYTES_PER_STEP)?;
        Ok(found)
    }

    /// Whether the pattern matches anywhere in the text.
    pub fn is_match(&self, text: &str, budget: &mut Budget) -> Result<bool, EvaluationError> {
        budget.spend(text.len() / BYTES_PER_STEP)?;
        let input = Input::new(text).earliest(true);
        let mut cache = self.caches.get();
        let mut found = self.search(&mut cache, &input, budget)?;
        if found.as_ref().is_err_and(|error| matches!(error.kind(), MatchErrorKind::GaveUp { .. })) {
            // Earlier searches may have worn the cache; from a fresh one the outcome is this text's own.
            cache.reset(&self.automaton);
            found = self.search(&mut cache, &input, budget)?;
        }
        if let Ok(found) = found {
            return Ok(found.is_some());
        }
        // The automaton is too large, or can't tell whether a word ends at a letter beyond ASCII.
        budget.spend(text.len().saturating_mul(self.automaton.get_nfa().states().len()))?;
        Ok(self.machine.is_match(&mut self.machines.get(), input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that make the automaton grow without end must not be searched for free.
    #[test]
    fn states_that_a_text_makes_are_paid() {
        let pattern = Pattern::compile("[ab]*a[ab]{300}c").unwrap();
        let mut budget = Budget::new();
        let mut seed = 7_u32;
        let mut text = || {
            let mut letter = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if seed >> 31 == 0 { 'a' } else { 'b' }
            };
            (0..600).map(&mut letter).collect::<String>()
        };
        let searches = (0..1_000).take_while(|_| pattern.is_match(&text(), &mut budget).is_ok()).count();
        assert!(searches < 20, "{searches} searches");
        // A plain pattern pays for its states once.
        let (plain, mut budget) = (Pattern::compile("^[a-z0-9-]{1,63}$").unwrap(), Budget::new());
        assert!((0..500).all(|_| plain.is_match("a-service-name", &mut budget) == Ok(true)));
    }
}
