//! Plain text, in which detectors find what is to be masked. It has no fields.

use super::detect::{Finder, Piece};
use super::json_string::Partial;
use super::plan::Plan;
use super::unmaskable::Unmaskable;

/// The rewriter of one body.
#[derive(Debug)]
pub struct Text {
    finder: Finder,
    /// The start of a character whose rest has not arrived.
    partial: Partial,
}

impl Text {
    /// For a plan that masks text.
    pub fn new(plan: &Plan) -> Self {
        Self {
            finder: Finder::new(plan.detectors().clone(), plan.key().clone()),
            partial: Partial::default(),
        }
    }

    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        // UTF-16 that says it is UTF-8 has a zero beside each letter, which hides every value in it.
        if memchr::memchr(0, chunk).is_some() {
            return Err(Unmaskable::InvalidText { what: "it has a character U+0000" });
        }
        self.partial.check(chunk).map_err(|_| NOT_UTF8)?;
        self.finder.push(chunk, &mut |piece| write(piece, out));
        Ok(())
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if !self.partial.is_whole() {
            return Err(NOT_UTF8);
        }
        self.finder.finish(&mut |piece| write(piece, out));
        Ok(())
    }

    pub fn masked_fields(&self) -> u64 {
        self.finder.masked()
    }
}

const NOT_UTF8: Unmaskable = Unmaskable::InvalidText { what: "it is not UTF-8" };

fn write(piece: Piece<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Plain(text) | Piece::InPlace(text) => out.extend_from_slice(text),
        Piece::Hidden(_) => {}
    }
}
