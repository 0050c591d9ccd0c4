//! What one evaluation may cost: steps, which bound its time, and bytes, which bound its memory.
//!
//! Whoever walks or makes something of a size that a call decides pays before the work, not after.

use super::EvaluationError;

/// Steps for one evaluation of one expression. A step takes at most about 35 ns, whatever it is spent on, and most take
/// much less: 0.7 ms in all.
pub const STEPS: usize = 20_000;
/// Bytes that one evaluation may hold. At most half as much again is held beside them for a moment, because lists grow
/// by doubling: a megabyte in all.
const BYTES: usize = 640 << 10;
/// Going over this many bytes of text costs a step.
pub const BYTES_PER_STEP: usize = 32;
/// Looking for a text in a text, or going over it letter by letter, costs a step for this many bytes.
pub const SEARCHED_BYTES_PER_STEP: usize = 16;
/// Reading or writing a number or a time whose digits have to be worked out: a double, a timestamp.
pub const CONVERSION: usize = 8;
/// An error that something goes on after, instead of ending the evaluation.
pub const ABSORBED_ERROR: usize = 8;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    steps: usize,
    bytes: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { steps: STEPS, bytes: BYTES }
    }

    /// Pays for steps. Once spent, the budget stays spent: no operator can absorb that error and go on.
    #[inline]
    pub fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(EvaluationError::BudgetSpent)
            }
        }
    }

    /// Pays for memory that is about to be taken, and for filling it.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        let Some(left) = self.bytes.checked_sub(bytes) else {
            (self.steps, self.bytes) = (0, 0);
            return Err(EvaluationError::MemorySpent);
        };
        self.bytes = left;
        self.spend(bytes / BYTES_PER_STEP)
    }

    /// The memory that is left, to be restored once everything taken since has been given back.
    pub fn bytes_left(&self) -> usize {
        self.bytes
    }

    pub fn restore(&mut self, bytes_left: usize) {
        self.bytes = bytes_left;
    }

    /// What a walk may cost before it is not worth finishing.
    pub fn steps_left(&self) -> usize {
        self.steps
    }
}
