//! Taking an encoding off, with caps on what comes out.

use super::Encoding;
use super::brotli::Brotli;
use super::deflate::Deflate;
use super::gzip::Gzip;
use super::zstd::Zstd;
use crate::unmaskable::{Limits, Unmaskable};

/// Decodes one stream as its bytes arrive.
#[derive(Debug)]
pub struct Decoder {
    encoding: Encoding,
    stream: Stream,
    room: Vec<u8>,
    caps: Caps,
}

/// A decoder of one format.
#[derive(Debug)]
enum Stream {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Brotli),
    Zstd(Zstd),
}

/// What one step of a stream did: how many bytes of the input it took, how many it wrote. Neither means that it
/// needs more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub read: usize,
    pub written: usize,
}

/// Why a stream can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Invalid(&'static str),
    /// Bytes after the stream's end.
    Trailing,
    Window,
}

/// What comes out of one step at most.
const ROOM: usize = 16 << 10;

/// Up to here no ratio is judged: small bodies of one repeated byte are no bombs.
const RATIO_FLOOR: u64 = 1 << 20;

#[derive(Debug)]
struct Caps {
    ratio: u64,
    decoded_bytes: u64,
    read: u64,
    written: u64,
}

impl Decoder {
    pub fn new(encoding: Encoding, limits: &Limits) -> Result<Self, Unmaskable> {
        let stream = match encoding {
            Encoding::Gzip => Stream::Gzip(Gzip::new()),
            Encoding::Deflate => Stream::Deflate(Deflate::new()),
            Encoding::Brotli => Stream::Brotli(Brotli::new(limits.window_bytes)),
            Encoding::Zstd => Stream::Zstd(
                Zstd::new(limits.window_bytes)
                    .map_err(|fault| unmaskable(fault, encoding, limits.window_bytes))?,
            ),
        };
        let caps = Caps {
            ratio: u64::from(limits.expansion),
            decoded_bytes: limits.decoded_bytes,
            read: 0,
            written: 0,
        };
        Ok(Self { encoding, stream, room: vec![0; ROOM], caps })
    }

    /// Decodes a chunk and hands it to `sink` in pieces of at most 16 KiB, as soon as each is there. A sink's error
    /// ends the decoding.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Unmaskable>,
    ) -> Result<(), Unmaskable> {
        loop {
            let step = match &mut self.stream {
                Stream::Gzip(gzip) => gzip.step(chunk, &mut self.room),
                Stream::Deflate(deflate) => deflate.step(chunk, &mut self.room),
                Stream::Brotli(brotli) => brotli.step(chunk, &mut self.room),
                Stream::Zstd(zstd) => zstd.step(chunk, &mut self.room),
            };
            let window = match &self.stream {
                Stream::Brotli(brotli) => brotli.window(),
                Stream::Zstd(zstd) => zstd.window(),
                Stream::Gzip(_) | Stream::Deflate(_) => 0,
            };
            let step = step.map_err(|fault| unmaskable(fault, self.encoding, window))?;
            self.caps.check(step)?;
            sink(self.room.get(..step.written).unwrap_or_default())?;
            chunk = chunk.get(step.read..).unwrap_or_default();
            if step.read == 0 && step.written == 0 {
                // No decoder stops short of its input's end, save at the end of its stream.
                return if chunk.is_empty() {
                    Ok(())
                } else {
                    Err(unmaskable(Fault::Trailing, self.encoding, window))
                };
            }
        }
    }

    /// The stream ends here; an incomplete one is an error.
    pub fn finish(&self) -> Result<(), Unmaskable> {
        let whole = match &self.stream {
            Stream::Gzip(gzip) => gzip.is_whole(),
            Stream::Deflate(deflate) => deflate.is_whole(),
            Stream::Brotli(brotli) => brotli.is_whole(),
            Stream::Zstd(zstd) => zstd.is_whole(),
        };
        if whole { Ok(()) } else { Err(Unmaskable::TruncatedEncoding { encoding: self.encoding.name() }) }
    }
}

impl Caps {
    fn check(&mut self, step: Step) -> Result<(), Unmaskable> {
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read = self.read.saturating_add(count(step.read));
        self.written = self.written.saturating_add(count(step.written));
        if self.written > self.decoded_bytes {
            return Err(Unmaskable::DecodedTooLarge { limit: self.decoded_bytes });
        }
        if self.written > RATIO_FLOOR && self.written > self.read.saturating_mul(self.ratio) {
            return Err(Unmaskable::ExpandsTooMuch { limit: self.ratio });
        }
        Ok(())
    }
}

fn unmaskable(fault: Fault, encoding: Encoding, window: usize) -> Unmaskable {
    let encoding = encoding.name();
    match fault {
        Fault::Invalid(what) => Unmaskable::InvalidEncoding { encoding, what },
        Fault::Trailing => Unmaskable::AfterEncoding { encoding },
        Fault::Window => Unmaskable::WindowTooLarge { limit: window },
    }
}
