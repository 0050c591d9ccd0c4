//! Deflate data (RFC 1951), bare or as zlib wraps it (RFC 1950).

use flate2::{Decompress, FlushDecompress, Status};

use super::decoder::{Fault, Step};

/// Deflate data without any wrapping, or in zlib's.
#[derive(Debug)]
pub struct Inflate {
    inner: Decompress,
    ended: bool,
}

impl Inflate {
    pub fn new(zlib: bool) -> Self {
        Self { inner: Decompress::new(zlib), ended: false }
    }

    pub fn restart(&mut self) {
        self.inner.reset(false);
        self.ended = false;
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Fault> {
        if self.ended {
            return Ok(Step { read: 0, written: 0 });
        }
        let (read, written) = (self.inner.total_in(), self.inner.total_out());
        let status = self.inner.decompress(input, room, FlushDecompress::None);
        match status.map_err(|_| Fault::Invalid("it is not deflate data"))? {
            Status::StreamEnd => self.ended = true,
            Status::Ok | Status::BufError => {}
        }
        let count = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
        Ok(Step { read: count(self.inner.total_in(), read), written: count(self.inner.total_out(), written) })
    }
}

/// A body whose encoding is called `deflate`.
#[derive(Debug)]
pub enum Deflate {
    /// The first two bytes tell whether zlib wraps it.
    Unknown {
        first: Option<u8>,
    },
    Known(Inflate),
}

impl Deflate {
    pub fn new() -> Self {
        Self::Unknown { first: None }
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Fault> {
        let first = match self {
            Self::Known(inflate) => return inflate.step(input, room),
            Self::Unknown { first } => first,
        };
        match (*first, input) {
            (_, []) => Ok(Step { read: 0, written: 0 }),
            (None, [byte, ..]) => {
                *first = Some(*byte);
                Ok(Step { read: 1, written: 0 })
            }
            (Some(one), [two, ..]) => {
                let mut inflate = Inflate::new(is_zlib(one, *two));
                let before = inflate.step(&[one], room)?;
                *self = Self::Known(inflate);
                // One byte is no end of either format, and holds nothing to write.
                if before == (Step { read: 1, written: 0 }) {
                    self.step(input, room)
                } else {
                    Err(Fault::Invalid("it is not deflate data"))
                }
            }
        }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Known(inflate) if inflate.ended())
    }
}

/// Whether these two bytes are a zlib header.
fn is_zlib(one: u8, two: u8) -> bool {
    one & 0x0f == 8 && one >> 4 <= 7 && (u16::from(one) << 8 | u16::from(two)) % 31 == 0
}
