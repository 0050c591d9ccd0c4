//! What the conditions of one call have come to: one that several rules have is evaluated once.

use smallvec::SmallVec;

use super::cel::{EvaluationError, Scope};
use super::decide::Asked;

/// Answers by condition. Takes no memory besides itself for calls with few shared conditions.
pub struct Memo {
    /// Whether the rules of several policies are asked.
    several_policies: bool,
    /// A table that is searched from `number % len` on: a number with its answer in the two lowest bits, or 0. Empty
    /// until it is needed.
    table: SmallVec<[u32; INLINE]>,
    used: usize,
    /// What the errors were, by the condition's number.
    errors: Vec<(u32, Box<EvaluationError>)>,
}

/// How many places the first table has; a power of two, as all tables have.
const INLINE: usize = 64;

const FALSE: u32 = 1;
const TRUE: u32 = 2;
const ERROR: u32 = 3;
const ANSWER: u32 = 3;

impl Memo {
    pub fn new(several_policies: bool) -> Self {
        Self { several_policies, table: SmallVec::new(), used: 0, errors: Vec::new() }
    }

    /// Whether the rule applies to the call.
    #[inline]
    pub fn applies(&mut self, asked: &Asked<'_>, scope: &Scope<'_>) -> Result<bool, Box<EvaluationError>> {
        let shared = asked.planned.shared.filter(|shared| shared.within_policy || self.several_policies);
        match shared {
            Some(shared) => self.once(shared.condition.get(), asked, scope),
            None => asked.rule.applies(scope),
        }
    }

    fn once(
        &mut self,
        number: u32,
        asked: &Asked<'_>,
        scope: &Scope<'_>,
    ) -> Result<bool, Box<EvaluationError>> {
        match self.answer(number) {
            Some(FALSE) => return Ok(false),
            Some(TRUE) => return Ok(true),
            Some(_) => {
                let known = self.errors.iter().find(|(known, _)| *known == number);
                return known.map_or_else(|| asked.rule.applies(scope), |(_, error)| Err(error.clone()));
            }
            None => {}
        }
        let applies = asked.rule.applies(scope);
        let answer = match &applies {
            Ok(false) => FALSE,
            Ok(true) => TRUE,
            Err(error) => {
                self.errors.push((number, error.clone()));
                ERROR
            }
        };
        self.keep(number << 2 | answer);
        applies
    }

    fn answer(&self, number: u32) -> Option<u32> {
        let slot = self.table.get(place(&self.table, number)?)?;
        (*slot != 0).then_some(slot & ANSWER)
    }

    fn keep(&mut self, answer: u32) {
        // Searches end at an empty place, so there must always be one.
        if self.used * 2 >= self.table.len() {
            let len = (self.table.len() * 2).max(INLINE);
            let old = std::mem::replace(&mut self.table, SmallVec::from_elem(0, len));
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                put(&mut self.table, slot);
            }
        }
        put(&mut self.table, answer);
        self.used += 1;
    }
}

fn put(table: &mut [u32], answer: u32) {
    if let Some(slot) = place(table, answer >> 2).and_then(|place| table.get_mut(place)) {
        *slot = answer;
    }
}

/// Where a number is, or would be put.
fn place(table: &[u32], number: u32) -> Option<usize> {
    let mask = table.len().checked_sub(1)?;
    let mut place = usize::try_from(number).ok()? & mask;
    loop {
        match table.get(place)? {
            0 => return Some(place),
            slot if slot >> 2 == number => return Some(place),
            _ => place = (place + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests;
