//! Detectors over values that are no JSON: fields of forms, and of Protocol Buffers.

use super::detect::{Active, Finder, Piece};
use super::plan::Plan;

/// What looks into one value after the other.
#[derive(Debug)]
pub struct Search {
    finder: Finder,
}

impl Search {
    pub fn new(plan: &Plan) -> Self {
        Self { finder: Finder::new(plan.detectors().clone(), plan.key().clone()) }
    }

    /// A value of that name is next.
    pub fn begin(&mut self, active: &Active, name: &[u8]) {
        self.finder.active.clone_from(active);
        name.clone_into(&mut self.finder.name);
    }

    /// The value's next bytes: appends what of them is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.finder.push(bytes, &mut |piece| write(piece, out));
    }

    /// The value ends: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.finder.finish(&mut |piece| write(piece, out));
    }

    /// A whole value with what was found in it replaced; `None` when nothing was.
    pub fn whole(&mut self, active: &Active, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        self.begin(active, name);
        if self.finder.is_clear(value) {
            return None;
        }
        let mut out = Vec::with_capacity(value.len());
        self.push(value, &mut out);
        self.finish(&mut out);
        Some(out)
    }

    /// How many values were found.
    pub fn masked(&self) -> u64 {
        self.finder.masked()
    }
}

fn write(piece: Piece<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Plain(text) | Piece::InPlace(text) => out.extend_from_slice(text),
        Piece::Hidden(_) => {}
    }
}
