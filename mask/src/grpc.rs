//! gRPC and gRPC-web: messages behind five bytes of a flag and their length, some of them compressed.
//!
//! A message leaves when it is complete, rewritten by [`Proto`], compressed again if it was. gRPC-web ends with a
//! frame of trailers, of which only the call's status passes; its text form is base64, of which each frame is a
//! piece of its own.

use std::mem;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::coding::{Decoder, Encoder, Encoding};
use super::headers::{MaskedHeader, Section};
use super::plan::Plan;
use super::proto::{Message, Proto, UnknownFields};
use super::unmaskable::{Limits, Unmaskable};

/// How the messages of a call stand in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Grpc,
    Web,
    /// gRPC-web in base64.
    WebText,
}

/// What is to be known of a call to mask its messages.
#[derive(Clone, Debug)]
pub struct Grpc {
    pub framing: Framing,
    pub message: Message,
    /// The `grpc-encoding`, for messages that are flagged as compressed.
    pub encoding: Option<Encoding>,
    pub unknown_fields: UnknownFields,
}

/// The trailers that every caller needs; of them, detectors look into `grpc-message`. `grpc-status-details-bin` and what services
/// add may hold what the messages hold.
pub const GRPC_TRAILERS: [&str; 2] = ["grpc-status", GRPC_MESSAGE];

/// A text, percent-encoded.
pub(super) const GRPC_MESSAGE: &str = "grpc-message";

const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;

/// The rewriter of one body.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    encoding: Option<Encoding>,
    limits: Limits,
    plan: Arc<Plan>,
    proto: Proto,
    /// How many values were masked in trailers.
    masked: u64,
    /// The frame being read.
    frame: Vec<u8>,
    /// The trailers were there: nothing follows.
    ended: bool,
    /// Base64 that is no group of four yet.
    quad: Vec<u8>,
}

const HEADER: usize = 5;

impl Framing {
    /// The framing that a `content-type` names; `None` for other types, and for messages in other formats than
    /// Protocol Buffers.
    pub fn of_content_type(value: &str) -> Option<Self> {
        let value = value.to_ascii_lowercase();
        let kind = value.split(';').next().unwrap_or_default().trim();
        let kind = kind.strip_suffix("+proto").unwrap_or(kind);
        match kind {
            "application/grpc" => Some(Self::Grpc),
            "application/grpc-web" => Some(Self::Web),
            "application/grpc-web-text" => Some(Self::WebText),
            _ => None,
        }
    }
}

impl Frames {
    pub fn new(plan: Arc<Plan>, grpc: &Grpc, limits: Limits) -> Self {
        Self {
            framing: grpc.framing,
            encoding: grpc.encoding,
            limits,
            masked: 0,
            proto: Proto::new(plan.clone(), &grpc.message, grpc.unknown_fields, &limits),
            plan,
            frame: Vec::new(),
            ended: false,
            quad: Vec::new(),
        }
    }

    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.framing != Framing::WebText {
            return self.frames(chunk, out);
        }
        self.quad.extend_from_slice(chunk);
        let whole = self.quad.len() / 4 * 4;
        let rest = self.quad.split_off(whole);
        let text = mem::replace(&mut self.quad, rest);
        // Each frame may have padding of its own, so a group may end a piece.
        for group in text.chunks(4) {
            let bytes = STANDARD.decode(group).map_err(|_| invalid("it is not base64"))?;
            self.frames(&bytes, out)?;
        }
        Ok(())
    }

    pub fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if self.frame.is_empty() && self.quad.is_empty() {
            Ok(())
        } else {
            Err(invalid("it ends within a message"))
        }
    }

    pub fn masked_fields(&self) -> u64 {
        self.proto.masked_fields() + self.masked
    }

    fn frames(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        while !bytes.is_empty() {
            if self.ended {
                return Err(Unmaskable::AfterEnd);
            }
            let missing = match self.length()? {
                Some(length) => (HEADER + length).saturating_sub(self.frame.len()),
                None => HEADER - self.frame.len(),
            };
            let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.frame.extend_from_slice(taken);
            bytes = rest;
            if self.length()?.is_some_and(|length| self.frame.len() == HEADER + length) {
                self.end_frame(out)?;
            }
        }
        Ok(())
    }

    /// How long the frame at hand is without its header, once that is there.
    fn length(&self) -> Result<Option<usize>, Unmaskable> {
        let Some((flag, length)) = self.frame.get(..HEADER).and_then(<[u8]>::split_first) else {
            return Ok(None);
        };
        let trailers = *flag == TRAILERS && self.framing != Framing::Grpc;
        if *flag != 0 && *flag != COMPRESSED && !trailers {
            return Err(invalid("a message has unknown flags"));
        }
        let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
        if length > self.limits.message_bytes {
            return Err(Unmaskable::MessageTooLong { limit: self.limits.message_bytes });
        }
        Ok(Some(length))
    }

    fn end_frame(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let mut frame = mem::take(&mut self.frame);
        let (flag, message) = match frame.split_at_checked(HEADER) {
            Some(([flag, ..], message)) => (*flag, message),
            _ => return Ok(()),
        };
        let message = match flag {
            TRAILERS => {
                self.ended = true;
                self.status_of(message)?
            }
            COMPRESSED => {
                let encoding =
                    self.encoding.ok_or(invalid("a message is compressed without `grpc-encoding`"))?;
                let plain = self.decompressed(encoding, message)?;
                self.compressed(encoding, &plain)?
            }
            _ => self.rewritten(message)?,
        };
        let length = u32::try_from(message.len())
            .map_err(|_| Unmaskable::MessageTooLong { limit: self.limits.message_bytes })?;
        frame.clear();
        frame.push(flag);
        frame.extend(length.to_be_bytes());
        frame.extend(message);
        if self.framing == Framing::WebText {
            out.extend(STANDARD.encode(&frame).into_bytes());
        } else {
            out.extend_from_slice(&frame);
        }
        frame.clear();
        self.frame = frame;
        Ok(())
    }

    fn rewritten(&mut self, message: &[u8]) -> Result<Vec<u8>, Unmaskable> {
        let mut rewritten = Vec::with_capacity(message.len());
        self.proto.rewrite(message, &mut rewritten)?;
        Ok(rewritten)
    }

    fn decompressed(&self, encoding: Encoding, message: &[u8]) -> Result<Vec<u8>, Unmaskable> {
        let (mut decoder, mut plain) = (Decoder::new(encoding, &self.limits)?, Vec::new());
        let limit = self.limits.message_bytes;
        decoder.push(message, &mut |bytes| {
            if plain.len() + bytes.len() > limit {
                return Err(Unmaskable::MessageTooLong { limit });
            }
            plain.extend_from_slice(bytes);
            Ok(())
        })?;
        decoder.finish()?;
        Ok(plain)
    }

    /// The message rewritten, compressed.
    fn compressed(&mut self, encoding: Encoding, plain: &[u8]) -> Result<Vec<u8>, Unmaskable> {
        let (mut encoder, mut compressed) = (Encoder::new(encoding)?, Vec::new());
        encoder.write(&self.rewritten(plain)?)?;
        encoder.finish(&mut compressed)?;
        Ok(compressed)
    }

    /// What callers need of a frame of trailers, masked.
    fn status_of(&mut self, block: &[u8]) -> Result<Vec<u8>, Unmaskable> {
        let text = std::str::from_utf8(block).map_err(|_| invalid("its trailers are not UTF-8"))?;
        let mut kept = Vec::new();
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(invalid("a trailer has no `:`"))?;
            if value.contains(|c: char| c.is_control() && c != '\t') {
                return Err(invalid("a trailer has control characters"));
            }
            let lower = name.trim().to_ascii_lowercase();
            if !GRPC_TRAILERS.contains(&lower.as_str()) {
                continue;
            }
            match self.plan.headers().mask(Section::Trailers, &lower, value.trim().as_bytes()) {
                None => kept.extend_from_slice(line.as_bytes()),
                Some(MaskedHeader { value, taken }) => {
                    self.masked += taken;
                    let Some(value) = value else { continue };
                    kept.extend_from_slice(&[lower.as_bytes(), b": ", &value].concat());
                }
            }
            kept.extend_from_slice(b"\r\n");
        }
        Ok(kept)
    }
}

fn invalid(what: &'static str) -> Unmaskable {
    Unmaskable::InvalidGrpc { what }
}
