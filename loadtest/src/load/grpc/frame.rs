//! HTTP/2 frames, as bytes: how they are laid out and taken apart. It knows nothing of calls.

use anyhow::{Context, Result};

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;

pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// What a client lets the server send at first, on a stream and on the connection.
const RECEIVE_WINDOW: u32 = 1 << 30;

/// The kinds of frame that the client reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data = 0,
    Headers = 1,
    ResetStream = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
}

impl Kind {
    /// The kind with this code; a frame of an unknown kind is to be ignored.
    pub fn of(code: u8) -> Option<Self> {
        let known = [
            Self::Data,
            Self::Headers,
            Self::ResetStream,
            Self::Settings,
            Self::Ping,
            Self::GoAway,
            Self::WindowUpdate,
        ];
        known.into_iter().find(|&kind| kind as u8 == code)
    }
}

/// A whole frame within a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

/// The first frame of `input` and what is behind it; `None` while the frame is incomplete.
pub fn split(input: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (&[a, b, c, kind, flags, s0, s1, s2, s3], rest) = input.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let (payload, behind) = rest.split_at_checked(length)?;
    let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
    Some((Frame { kind, flags, stream, payload }, behind))
}

/// Appends a frame, its payload in `parts`. Payloads are far below the 16 MiB that the length can say.
pub fn write(output: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [.., a, b, c] = length.to_be_bytes();
    output.extend_from_slice(&[a, b, c, kind as u8, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
    for part in parts {
        output.extend_from_slice(part);
    }
}

/// What a client says first: the preface, its settings, and a wide window for the connection.
pub fn preface() -> Vec<u8> {
    let mut output = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let setting = |id: u16, value: u32| [id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat();
    let settings = [setting(ENABLE_PUSH, 0), setting(INITIAL_WINDOW_SIZE, RECEIVE_WINDOW)].concat();
    write(&mut output, Kind::Settings, 0, 0, &[&settings]);
    write(&mut output, Kind::WindowUpdate, 0, 0, &[&(RECEIVE_WINDOW - 65_535).to_be_bytes()]);
    output
}

/// The header block of a gRPC call of `path`, in HPACK without state: indexed or literal, never remembered.
pub fn call_headers(path: &str) -> Vec<u8> {
    const POST: u8 = 0x83;
    const SCHEME_HTTP: u8 = 0x86;
    let mut block = vec![POST, SCHEME_HTTP];
    literal(&mut block, ":path", path);
    literal(&mut block, ":authority", "portcullis");
    literal(&mut block, "te", "trailers");
    literal(&mut block, "grpc-timeout", "5000m");
    literal(&mut block, "content-type", "application/grpc");
    block
}

/// The value of setting `id` in the payload of a SETTINGS frame.
pub fn setting(payload: &[u8], id: u16) -> Option<u32> {
    let (settings, _) = payload.as_chunks::<6>();
    settings
        .iter()
        .find(|[a, b, ..]| u16::from_be_bytes([*a, *b]) == id)
        .map(|&[_, _, c, d, e, f]| u32::from_be_bytes([c, d, e, f]))
}

/// The number that a payload begins with.
pub fn number(payload: &[u8]) -> Result<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).context("a frame is too short")
}

/// A header field, literal and not indexed, its strings shorter than 127 bytes.
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        debug_assert!(text.len() < 127);
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_frame_is_split_again() {
        let mut output = Vec::new();
        write(&mut output, Kind::Data, END_STREAM, 7, &[b"ab", &[b'c'; 300]]);
        write(&mut output, Kind::Ping, ACK, 0, &[]);
        for end in 0..9 + 302 {
            assert_eq!(split(&output[..end]), None, "{end}");
        }
        let (frame, rest) = split(&output).unwrap();
        assert_eq!((Kind::of(frame.kind), frame.flags, frame.stream), (Some(Kind::Data), END_STREAM, 7));
        assert_eq!((frame.payload.len(), &frame.payload[..3]), (302, b"abc".as_slice()));
        let (frame, rest) = split(rest).unwrap();
        assert_eq!(
            (Kind::of(frame.kind), frame.flags, frame.payload),
            (Some(Kind::Ping), ACK, [].as_slice())
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn the_reserved_bit_of_a_stream_is_ignored() {
        let (frame, _) = split(&[0, 0, 0, 9, 0, 0x80, 0, 0, 5]).unwrap();
        assert_eq!((Kind::of(frame.kind), frame.stream), (None, 5));
    }

    #[test]
    fn reads_settings() {
        let payload = [0, 3, 0, 0, 0, 200, 0, 4, 0, 1, 0, 0];
        assert_eq!(setting(&payload, INITIAL_WINDOW_SIZE), Some(65_536));
        assert_eq!(setting(&payload, ENABLE_PUSH), None);
    }
}
