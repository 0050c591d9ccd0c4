//! gzip (RFC 1952): members one after the other, each with a header, deflate data and a checksum.

use flate2::Crc;

use super::decoder::{Fault, Step};
use super::deflate::Inflate;

#[derive(Debug)]
pub struct Gzip {
    state: State,
    inflate: Inflate,
    crc: Crc,
}

#[derive(Debug)]
enum State {
    /// Before a member; nothing of it was read.
    Between {
        members: u32,
    },
    Header {
        part: Part,
        members: u32,
    },
    Data {
        members: u32,
    },
    /// Checksum and length.
    Trailer {
        bytes: [u8; 8],
        len: usize,
        members: u32,
    },
}

/// Where in a member's header.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The ten bytes that each has: how many were read, and the flags.
    Fixed {
        len: u8,
        flags: u8,
    },
    ExtraLength {
        flags: u8,
        low: Option<u8>,
    },
    Extra {
        flags: u8,
        left: u16,
    },
    /// A text that ends with a zero.
    Text {
        flags: u8,
    },
    Checksum {
        left: u8,
    },
}

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
const NOT_GZIP: Fault = Fault::Invalid("it has no gzip header");

/// More members than any server sends: each costs more than its bytes.
const MAX_MEMBERS: u32 = 100_000;

impl Gzip {
    pub fn new() -> Self {
        Self { state: State::Between { members: 0 }, inflate: Inflate::new(false), crc: Crc::new() }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Between { members } if members > 0)
    }

    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Fault> {
        let mut read = 0;
        loop {
            let rest = input.get(read..).unwrap_or_default();
            if let State::Data { members } = self.state {
                let step = self.inflate.step(rest, room)?;
                self.crc.update(room.get(..step.written).unwrap_or_default());
                if self.inflate.ended() {
                    self.state = State::Trailer { bytes: [0; 8], len: 0, members };
                }
                let advanced = Step { read: read + step.read, written: step.written };
                if step.written > 0 || !self.inflate.ended() {
                    return Ok(advanced);
                }
                read = advanced.read;
                continue;
            }
            let Some(byte) = rest.first() else { return Ok(Step { read, written: 0 }) };
            self.byte(*byte)?;
            read += 1;
        }
    }

    /// Reads a byte that is no data.
    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        match &mut self.state {
            State::Between { members } => {
                let members = *members;
                if byte != 0x1f {
                    return Err(if members == 0 { NOT_GZIP } else { Fault::Trailing });
                }
                if members == MAX_MEMBERS {
                    return Err(Fault::Invalid("it has too many members"));
                }
                self.state = State::Header { part: Part::Fixed { len: 1, flags: 0 }, members };
            }
            State::Header { part, members } => {
                let members = *members;
                match part.next(byte)? {
                    Some(next) => *part = next,
                    None => {
                        self.inflate.restart();
                        self.crc.reset();
                        self.state = State::Data { members };
                    }
                }
            }
            State::Trailer { bytes, len, members } => {
                if let Some(slot) = bytes.get_mut(*len) {
                    *slot = byte;
                }
                *len += 1;
                if *len == bytes.len() {
                    let expected = u64::from(self.crc.amount()) << 32 | u64::from(self.crc.sum());
                    if u64::from_le_bytes(*bytes) != expected {
                        return Err(Fault::Invalid("its checksum or length is wrong"));
                    }
                    self.state = State::Between { members: *members + 1 };
                }
            }
            State::Data { .. } => {}
        }
        Ok(())
    }
}

impl Part {
    /// The part after this byte; `None` at the end of the header.
    fn next(self, byte: u8) -> Result<Option<Self>, Fault> {
        Ok(match self {
            Self::Fixed { len, flags } => {
                let flags = match (len, byte) {
                    (1, 0x8b) | (2, 8) => flags,
                    (1 | 2, _) => return Err(NOT_GZIP),
                    (3, flags) if flags & RESERVED != 0 => {
                        return Err(Fault::Invalid("its gzip header has unknown flags"));
                    }
                    (3, flags) => flags,
                    _ => flags,
                };
                if len < 9 { Some(Self::Fixed { len: len + 1, flags }) } else { Self::after_fixed(flags) }
            }
            Self::ExtraLength { flags, low: None } => Some(Self::ExtraLength { flags, low: Some(byte) }),
            Self::ExtraLength { flags, low: Some(low) } => match u16::from_le_bytes([low, byte]) {
                0 => Self::after_extra(flags),
                left => Some(Self::Extra { flags, left }),
            },
            Self::Extra { flags, left: 1 } => Self::after_extra(flags),
            Self::Extra { flags, left } => Some(Self::Extra { flags, left: left - 1 }),
            Self::Text { flags } if byte == 0 => Self::after_extra(flags),
            Self::Text { flags } => Some(Self::Text { flags }),
            Self::Checksum { left: 1 } => None,
            Self::Checksum { left } => Some(Self::Checksum { left: left - 1 }),
        })
    }

    fn after_fixed(flags: u8) -> Option<Self> {
        if flags & EXTRA != 0 {
            Some(Self::ExtraLength { flags, low: None })
        } else {
            Self::after_extra(flags)
        }
    }

    /// The texts that are left, then the checksum; a flag is taken out when its part begins.
    fn after_extra(flags: u8) -> Option<Self> {
        if flags & NAME != 0 {
            Some(Self::Text { flags: flags & !NAME })
        } else if flags & COMMENT != 0 {
            Some(Self::Text { flags: flags & !COMMENT })
        } else if flags & HEADER_CRC != 0 {
            Some(Self::Checksum { left: 2 })
        } else {
            None
        }
    }
}
