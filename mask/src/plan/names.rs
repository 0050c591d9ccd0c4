//! The names in rules, to tell those of a document from.

use std::cmp::Ordering;

use super::Reach;
use super::bits::{is_set, set};

/// Every name in the rules, and the segments that want it.
#[derive(Debug, Default)]
pub struct Names {
    /// Ordered by length, then text.
    sorted: Vec<(Box<[u8]>, Reach)>,
    /// A bit for each name's `trait_of`: tells most names of a document from those in the rules.
    traits: [u64; 4],
}

impl Names {
    #[inline(always)]
    pub fn find(&self, name: &[u8]) -> Option<&Reach> {
        if !self.may_know(name) {
            return None;
        }
        self.search(name).ok().and_then(|at| self.sorted.get(at)).map(|(_, wanted)| wanted)
    }

    /// `false` when the name is in no rule.
    #[inline(always)]
    pub fn may_know(&self, name: &[u8]) -> bool {
        is_set(&self.traits, trait_of(name))
    }

    /// Those that want the name, `blank` at first.
    pub fn of(&mut self, name: &[u8], blank: &Reach) -> Option<&mut Reach> {
        let at = match self.search(name) {
            Ok(at) => at,
            Err(at) => {
                self.sorted.insert(at, (name.into(), blank.clone()));
                at
            }
        };
        set(&mut self.traits, trait_of(name));
        self.sorted.get_mut(at).map(|(_, wanted)| wanted)
    }

    #[inline(never)]
    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(known, _)| match known.len().cmp(&name.len()) {
            Ordering::Equal => (**known).cmp(name),
            unequal => unequal,
        })
    }
}

/// Below 256: by length, first and last byte.
#[inline]
fn trait_of(name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    (name.len().wrapping_mul(37) ^ usize::from(first).wrapping_mul(5) ^ usize::from(last)) & 0xff
}
