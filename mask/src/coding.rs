//! Bodies with a `content-encoding`: decoded, rewritten and encoded again as their chunks arrive.
//!
//! Bytes in, bytes out, in constant memory: nothing is passed that was not decoded, and nothing decoded is kept. What
//! comes out is one plain stream of the same encoding, whatever came in: names and comments of gzip, further
//! members, skippable frames and the like are not carried over, because nobody looks into them. What is encoded
//! leaves with the chunk it came with, so the encoded bytes, unlike what they decode to, depend on the chunks.
//!
//! Bombs, truncated streams, trailing bytes, other encodings than announced, lists of encodings and unknown ones
//! end as an [`Unmaskable`].

use super::unmaskable::{Limits, Unmaskable};
pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;

mod brotli;
mod decoder;
mod deflate;
mod encoder;
mod gzip;
mod zstd;

/// An encoding that can be taken off a body and put on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// The zlib format of RFC 9110. Bare deflate data, which some servers send by that name, is read too.
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    /// What `accept-encoding` may ask for where bodies are masked, the cheapest first.
    pub const NAMES: [&str; 4] = ["zstd", "gzip", "br", "deflate"];

    /// Reads a `content-encoding`; `None` for a body that is not encoded. A list is refused, also one that holds
    /// `identity`: no server needs it.
    pub fn of_header(value: &str) -> Result<Option<Self>, Unmaskable> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            name if name.contains(',') => Err(Unmaskable::NestedEncoding { encoding: value.to_owned() }),
            name => match Self::of_name(name) {
                Some(encoding) => Ok(Some(encoding)),
                None => Err(Unmaskable::UnknownEncoding { encoding: value.to_owned() }),
            },
        }
    }

    /// The encoding of that name in lower case.
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What is left of an `accept-encoding` when only what can be masked is asked for: `identity` when nothing is.
    pub fn narrowed(accept: &str) -> String {
        let kept: Vec<&str> = accept
            .split(',')
            .map(str::trim)
            .filter(|item| {
                let name = item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                name == "identity" || Self::of_name(&name).is_some()
            })
            .collect();
        if kept.is_empty() { "identity".to_owned() } else { kept.join(", ") }
    }
}

/// One body's way out of its encoding and back.
#[derive(Debug)]
pub(super) struct Coding {
    decoder: Decoder,
    encoder: Encoder,
    /// Rewritten bytes that are to be encoded; empty between calls.
    plain: Vec<u8>,
}

/// What may be sent of a piece of a decoded body: appended to the second argument.
type Rewrite<'r> = dyn FnMut(&[u8], &mut Vec<u8>) -> Result<(), Unmaskable> + 'r;

impl Coding {
    pub fn new(encoding: Encoding, limits: &Limits) -> Result<Self, Unmaskable> {
        let (decoder, encoder) = (Decoder::new(encoding, limits)?, Encoder::new(encoding)?);
        Ok(Self { decoder, encoder, plain: Vec::new() })
    }

    /// Decodes a chunk, gives it to `rewrite` piece by piece, and appends what that let out, encoded, to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>, rewrite: &mut Rewrite) -> Result<(), Unmaskable> {
        let Self { decoder, encoder, plain } = self;
        decoder.push(chunk, &mut |decoded| {
            rewrite(decoded, plain)?;
            encoder.write(plain)?;
            plain.clear();
            Ok(())
        })?;
        self.encoder.flush(out)
    }

    /// The body ends here: `rest` appends what the rewriter held back.
    pub fn finish(
        &mut self,
        out: &mut Vec<u8>,
        rest: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), Unmaskable>,
    ) -> Result<(), Unmaskable> {
        self.decoder.finish()?;
        rest(&mut self.plain)?;
        self.encoder.write(&self.plain)?;
        self.plain.clear();
        self.encoder.finish(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_encodings_that_it_can_redo_and_refuses_lists() {
        let of = |value| Encoding::of_header(value).map_err(|error| error.code());
        assert_eq!(of(""), Ok(None));
        assert_eq!(of(" Identity "), Ok(None));
        assert_eq!(of("GZip"), Ok(Some(Encoding::Gzip)));
        assert_eq!(of("x-gzip"), Ok(Some(Encoding::Gzip)));
        for name in Encoding::NAMES {
            assert_eq!(of(name).unwrap().unwrap().name(), name);
        }
        for unknown in ["compress", "dcb", "dcz", "aws-chunked", "*", "gzip;q=1", "gzip gzip", "none"] {
            assert_eq!(of(unknown), Err("unknown_encoding"), "{unknown}");
        }
        for nested in ["gzip, br", "gzip,gzip", "identity, gzip", "identity,identity", ","] {
            assert_eq!(of(nested), Err("nested_encoding"), "{nested}");
        }
    }

    #[test]
    fn what_is_asked_for_is_what_can_be_masked() {
        for (accept, narrowed) in [
            ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
            ("gzip;q=0.5,br;q=1.0 , dcb, compress", "gzip;q=0.5, br;q=1.0"),
            ("*", "identity"),
            ("dcz", "identity"),
            ("", "identity"),
            ("identity;q=0, GZIP", "identity;q=0, GZIP"),
        ] {
            assert_eq!(Encoding::narrowed(accept), narrowed, "{accept}");
        }
    }
}
