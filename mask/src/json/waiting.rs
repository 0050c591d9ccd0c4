//! An object that waits until its members have arrived, which decide what happens to it.

use crate::sibling::Outline;

#[derive(Debug)]
pub struct Waiting {
    bytes: Vec<u8>,
    outline: Outline,
}

impl Waiting {
    /// Begins with the object's bytes at hand, in which it does not end.
    pub fn new(bytes: &[u8]) -> Self {
        let mut waiting = Self { bytes: bytes.to_vec(), outline: Outline::default() };
        waiting.outline.end(bytes);
        waiting
    }

    /// Reads on up to the object's end, or until it has `limit` bytes; returns how many were taken, or `None` when all
    /// were, and more are needed.
    pub fn read(&mut self, bytes: &[u8], limit: usize) -> Option<usize> {
        let room = limit.saturating_sub(self.bytes.len()).min(bytes.len());
        let within = bytes.get(..room).unwrap_or(bytes);
        let end = self.outline.end(within);
        let taken = end.unwrap_or(room);
        grow(&mut self.bytes, bytes.get(..taken).unwrap_or_default(), limit);
        (end.is_some() || self.bytes.len() >= limit).then_some(taken)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Appends bytes to what may grow to `limit` bytes, without taking more room than that.
pub fn grow(held: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let needed = held.len() + bytes.len();
    if needed > held.capacity() {
        let room = held.capacity().saturating_mul(2).min(limit).max(needed);
        held.reserve_exact(room - held.len());
    }
    held.extend_from_slice(bytes);
}
