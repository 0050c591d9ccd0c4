//! Zstandard (RFC 8878): frames one after the other, by the reference library.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::decoder::{Fault, Step};

pub struct Zstd {
    inner: Decoder<'static>,
    window: usize,
    /// Whether the bytes read so far are whole frames, at least one.
    whole: bool,
    /// Whether the last step filled its room, so that more may be waiting.
    full: bool,
}

impl Zstd {
    /// `window`: how far back its data may refer at most, in bytes; so much memory it can take.
    pub fn new(window: usize) -> Result<Self, Fault> {
        let failed = |_| Fault::Invalid("its decoder could not be set up");
        let mut inner = Decoder::new().map_err(failed)?;
        inner.set_parameter(DParameter::WindowLogMax(window.max(1 << 10).ilog2())).map_err(failed)?;
        Ok(Self { inner, window, whole: false, full: false })
    }

    pub fn window(&self) -> usize {
        self.window
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Fault> {
        // The library takes repeated calls without any input for a mistake.
        if input.is_empty() && (self.whole || !self.full) {
            return Ok(Step { read: 0, written: 0 });
        }
        let size = room.len();
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(room));
        let hint = self.inner.run(&mut input, &mut output).map_err(|error| {
            // The library tells its errors apart by these words only.
            if error.to_string().contains("too much memory") {
                Fault::Window
            } else {
                Fault::Invalid("it is not Zstandard data")
            }
        })?;
        let step = Step { read: input.pos(), written: output.pos() };
        self.full = step.written == size;
        if step.read > 0 || step.written > 0 {
            self.whole = hint == 0;
        }
        Ok(step)
    }
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").field("whole", &self.whole).finish_non_exhaustive()
    }
}
