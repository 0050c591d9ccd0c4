//! Brotli (RFC 7932), by the crate of that name.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::decoder::{Fault, Step};

pub struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    window: usize,
    started: bool,
    ended: bool,
}

impl Brotli {
    /// `window`: how far back its data may refer at most, in bytes; so much memory it can take.
    pub fn new(window: usize) -> Self {
        let alloc = StandardAlloc::default;
        // The strict form knows no windows beyond the 16 MiB of the RFC.
        let state = Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()));
        Self { state, window, started: false, ended: false }
    }

    pub fn window(&self) -> usize {
        self.window
    }

    pub fn is_whole(&self) -> bool {
        self.ended
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Fault> {
        if self.ended {
            return Ok(Step { read: 0, written: 0 });
        }
        if let (false, Some(first)) = (self.started, input.first()) {
            self.started = true;
            if window_bits(*first).is_none_or(|bits| 1usize << bits > self.window) {
                return Err(Fault::Window);
            }
        }
        let (mut available_in, mut read) = (input.len(), 0);
        let (mut available_out, mut written, mut total) = (room.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut read,
            input,
            &mut available_out,
            &mut written,
            room,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => return Err(Fault::Invalid("it is not brotli data")),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { read, written })
    }
}

impl std::fmt::Debug for Brotli {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brotli").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// The logarithm of the window's size, as a stream's first byte tells (section 9.1); `None` for a larger one than
/// the RFC has.
fn window_bits(first: u8) -> Option<u32> {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, high) => Some(8 + u32::from(high)),
        (_, low, _) => Some(17 + u32::from(low)),
    }
}
