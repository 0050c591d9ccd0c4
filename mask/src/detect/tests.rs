//! What is found and what isn't, kind by kind; then the properties of going over a text in pieces.

use std::sync::Arc;

use super::*;
use crate::hash::HashKey;
use crate::method::Method;

mod kinds;
mod pieces;

fn key() -> HashKey {
    HashKey::new(&[7; 32]).unwrap()
}

fn finder(rules: &[(Detect, Method)]) -> Finder {
    let rules: Vec<_> =
        rules.iter().map(|(detect, method)| (Arc::new(detect.clone()), method.clone())).collect();
    let set = Set::compile(rules.iter().map(|(detect, method)| (detect, method, 0)));
    Finder::new(Arc::new(set), key())
}

/// The text with what was found replaced, given in these pieces.
fn mask_pieces<'p>(finder: &mut Finder, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    let mut out = Vec::new();
    let mut sink = |piece: Piece<'_>| match piece {
        Piece::Plain(text) | Piece::InPlace(text) => out.extend_from_slice(text),
        Piece::Hidden(_) => {}
    };
    for piece in pieces {
        finder.push(piece, &mut sink);
    }
    finder.finish(&mut sink);
    String::from_utf8(out).unwrap()
}

fn known(kinds: &[Kind], min_confidence: Confidence) -> Detect {
    let detectors = kinds.iter().map(|kind| Detector::Known(*kind)).collect();
    Detect::new(detectors, None, Detect::DEFAULT_WITHIN, min_confidence).unwrap()
}

/// The text with every value of these kinds in brackets.
fn mask(kinds: &[Kind], min_confidence: Confidence, text: &str) -> String {
    let mut finder = finder(&[(known(kinds, min_confidence), Method::redact())]);
    let masked = mask_pieces(&mut finder, [text.as_bytes()]);
    assert!(!finder.is_clear(text.as_bytes()) || masked == text, "{text} was called clear");
    masked
}
