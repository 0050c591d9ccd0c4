//! A plan whose words are counted at compile time, so that a step is a handful of operations on registers.
//!
//! Each step is the one that `Plan` makes of a reach of any length. With no words at all there is nothing to follow.

use super::{Names, Plan};

pub struct Table<'p, const WORDS: usize> {
    any: [u64; WORDS],
    deep: [u64; WORDS],
    indexed: [u64; WORDS],
    /// `Plan::special`: where a value is more than what it says. The machine of single bytes asks it.
    asked: [u64; WORDS],
    whole: [u64; WORDS],
    leaf: [u64; WORDS],
    pub names: &'p Names,
    pub plan: &'p Plan,
}

impl Plan {
    /// The first words of the plan; `None` when it has fewer.
    pub(crate) fn table<const WORDS: usize>(&self) -> Option<Table<'_, WORDS>> {
        Some(Table {
            any: *self.any.first_chunk()?,
            deep: *self.deep.first_chunk()?,
            indexed: *self.indexed.first_chunk()?,
            asked: *self.special.first_chunk()?,
            whole: *self.whole.first_chunk()?,
            leaf: *self.leaf.first_chunk()?,
            names: &self.names,
            plan: self,
        })
    }
}

impl<const WORDS: usize> Table<'_, WORDS> {
    /// Whether a rule may say anything about a leaf reached so.
    #[inline(always)]
    pub fn may_take_leaf(&self, reach: &[u64; WORDS]) -> bool {
        let ends = self.whole.iter().zip(&self.leaf).zip(&self.asked);
        reach.iter().zip(ends).any(|(word, ((whole, leaf), asked))| word & (whole | leaf | asked) != 0)
    }

    /// Whether a rule may say anything about an object or array reached so, as a whole.
    #[inline(always)]
    pub fn may_take_whole(&self, reach: &[u64; WORDS]) -> bool {
        meet(reach, &self.whole) || self.asks(reach)
    }

    /// Whether what a value reached so counts as depends on what is in it.
    #[inline(always)]
    pub fn asks(&self, reach: &[u64; WORDS]) -> bool {
        meet(reach, &self.asked)
    }

    /// Whether the elements of an array reached so differ by their places.
    #[inline(always)]
    pub fn indexes(&self, reach: &[u64; WORDS]) -> bool {
        meet(reach, &self.indexed)
    }

    /// The reach of the member `name` of an object that was reached `from`.
    #[inline(always)]
    pub fn at_member(&self, from: &[u64; WORDS], name: &[u8]) -> [u64; WORDS] {
        if WORDS == 0 {
            return *from;
        }
        let named = self.names.find(name).and_then(|named| named.first_chunk()).unwrap_or(&[0; WORDS]);
        self.step(from, named)
    }

    #[inline(always)]
    fn step(&self, from: &[u64; WORDS], named: &[u64; WORDS]) -> [u64; WORDS] {
        let mut reach = [0; WORDS];
        let mut carry = 0;
        let steps = from.iter().zip(named).zip(&self.any).zip(&self.deep).zip(&mut reach);
        for ((((from, named), any), deep), reach) in steps {
            let passed = from & (any | named);
            *reach = passed << 1 | carry | from & deep;
            carry = passed >> 63;
        }
        self.close(&mut reach);
        reach
    }

    /// Whether no rule is about scalars in an object or array reached so, but for those of names in a rule.
    #[inline(always)]
    pub fn is_quiet(&self, here: &[u64; WORDS], is_object: bool) -> bool {
        !self.may_take_leaf(&self.at_other(here, is_object))
    }

    /// The reach of a member of an object whose name is in no rule, or of an array's element.
    #[inline(always)]
    pub fn at_other(&self, here: &[u64; WORDS], is_object: bool) -> [u64; WORDS] {
        if is_object { self.step(here, &[0; WORDS]) } else { *here }
    }

    /// For an array whose elements do not differ by their places.
    #[inline(always)]
    pub fn at_elements(&self, reach: &mut [u64; WORDS]) {
        let mut carry = 0;
        for (word, any) in reach.iter_mut().zip(&self.any) {
            let passed = *word & any;
            *word |= passed << 1 | carry;
            carry = passed >> 63;
        }
        self.close(reach);
    }

    /// For one whose elements do.
    pub fn at_element(&self, reach: &mut [u64; WORDS], place: u32) {
        self.plan.at_element(reach, place);
    }

    #[inline(always)]
    fn close(&self, reach: &mut [u64; WORDS]) {
        let mut carry = 0;
        for (word, deep) in reach.iter_mut().zip(&self.deep) {
            let passed = *word & deep;
            *word |= passed << 1 | carry;
            carry = passed >> 63;
        }
    }
}

#[inline(always)]
fn meet<const WORDS: usize>(one: &[u64; WORDS], other: &[u64; WORDS]) -> bool {
    one.iter().zip(other).any(|(one, other)| one & other != 0)
}
