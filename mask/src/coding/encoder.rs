//! Putting an encoding on again. Levels and windows are small: these bytes are made for one reader, while they wait.

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use zstd::stream::raw;

use super::Encoding;
use crate::unmaskable::Unmaskable;

/// Encodes one stream as its bytes arrive.
pub struct Encoder {
    encoding: Encoding,
    stream: Stream,
    /// Something was written that has not been flushed.
    dirty: bool,
}

enum Stream {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    /// `None` once it is finished.
    Brotli(Option<Box<CompressorWriter<Vec<u8>>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

const DEFLATE_LEVEL: u32 = 4;
const BROTLI_QUALITY: u32 = 3;
const BROTLI_WINDOW_BITS: u32 = 18;
const ZSTD_LEVEL: i32 = 1;
const ZSTD_WINDOW_BITS: u32 = 17;

impl Encoder {
    pub fn new(encoding: Encoding) -> Result<Self, Unmaskable> {
        let level = Compression::new(DEFLATE_LEVEL);
        let stream = match encoding {
            Encoding::Gzip => Stream::Gzip(GzEncoder::new(Vec::new(), level)),
            Encoding::Deflate => Stream::Deflate(ZlibEncoder::new(Vec::new(), level)),
            Encoding::Brotli => Stream::Brotli(Some(Box::new(CompressorWriter::new(
                Vec::new(),
                4096,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            )))),
            Encoding::Zstd => Stream::Zstd(Box::new(zstd().map_err(|_| failed(encoding))?)),
        };
        Ok(Self { encoding, stream, dirty: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Unmaskable> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.dirty = true;
        let written = match &mut self.stream {
            Stream::Gzip(gzip) => gzip.write_all(bytes),
            Stream::Deflate(deflate) => deflate.write_all(bytes),
            Stream::Brotli(brotli) => brotli.as_mut().map_or(Ok(()), |brotli| brotli.write_all(bytes)),
            Stream::Zstd(zstd) => zstd.write_all(bytes),
        };
        written.map_err(|_| failed(self.encoding))
    }

    /// Appends to `out` whatever a reader needs to have all that was written.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if std::mem::take(&mut self.dirty) {
            let flushed = match &mut self.stream {
                Stream::Gzip(gzip) => gzip.flush(),
                Stream::Deflate(deflate) => deflate.flush(),
                Stream::Brotli(brotli) => brotli.as_mut().map_or(Ok(()), |brotli| brotli.flush()),
                Stream::Zstd(zstd) => zstd.flush(),
            };
            flushed.map_err(|_| failed(self.encoding))?;
            self.take(out);
        }
        Ok(())
    }

    /// Ends the stream; nothing may be written after it.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let finished = match &mut self.stream {
            Stream::Gzip(gzip) => gzip.try_finish(),
            Stream::Deflate(deflate) => deflate.try_finish(),
            Stream::Brotli(brotli) => {
                out.extend(brotli.take().map(|brotli| brotli.into_inner()).unwrap_or_default());
                Ok(())
            }
            Stream::Zstd(zstd) => zstd.do_finish(),
        };
        finished.map_err(|_| failed(self.encoding))?;
        self.take(out);
        Ok(())
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        match &mut self.stream {
            Stream::Gzip(gzip) => out.append(gzip.get_mut()),
            Stream::Deflate(deflate) => out.append(deflate.get_mut()),
            Stream::Brotli(brotli) => {
                if let Some(brotli) = brotli {
                    out.append(brotli.get_mut());
                }
            }
            Stream::Zstd(zstd) => out.append(zstd.get_mut()),
        }
    }
}

fn zstd() -> io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = raw::Encoder::new(ZSTD_LEVEL)?;
    encoder.set_parameter(raw::CParameter::WindowLog(ZSTD_WINDOW_BITS))?;
    Ok(zstd::stream::write::Encoder::with_encoder(Vec::new(), encoder))
}

fn failed(encoding: Encoding) -> Unmaskable {
    Unmaskable::InvalidEncoding { encoding: encoding.name(), what: "it could not be encoded again" }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("encoding", &self.encoding).finish_non_exhaustive()
    }
}
