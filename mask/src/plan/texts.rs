//! Strings that rules read as the JSON in them: segments `[json]`.

use super::bits::meet;
use super::{Plan, Reach};

impl Plan {
    /// Whether a value reached so is asked about its members, or read as JSON if it is a string.
    #[inline]
    pub fn is_special(&self, reach: &[u64]) -> bool {
        meet(reach, &self.special)
    }

    /// Whether a string reached so is read as JSON.
    pub fn parses(&self, reach: &[u64]) -> bool {
        meet(reach, &self.texts)
    }

    /// The reach of the document in a string that was reached `from`: it stands where the string does.
    pub fn in_text(&self, from: &[u64]) -> Reach {
        let mut reach = from.to_vec();
        // What the string was read for is done.
        self.step_into_text(&mut reach, |texts| !texts);
        reach
    }

    /// Lets a value that is no string count as the document in one.
    pub fn pass_texts(&self, reach: &mut [u64]) {
        self.step_into_text(reach, |_| u64::MAX);
    }

    /// `keeps` says which segments of a word stay reached, by those that are `[json]`.
    fn step_into_text(&self, reach: &mut [u64], keeps: impl Fn(u64) -> u64) {
        let mut carry = 0;
        for (word, texts) in reach.iter_mut().zip(&self.texts) {
            let passed = *word & texts;
            *word = *word & keeps(*texts) | passed << 1 | carry;
            carry = passed >> 63;
        }
        self.close(reach);
    }
}
