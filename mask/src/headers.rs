//! Headers and trailers: each value is a text of its own, which a rule takes whole, or into which detectors look.
//!
//! Nothing here fails: what can't be masked as a rule says goes, or is redacted as a whole.

use std::sync::Arc;

use super::detect::{Active, Finder, Piece, Set};
use super::grpc::GRPC_MESSAGE;
use super::hash::HashKey;
use super::json::{Replacement, ValueKind};
use super::method::Method;
use super::path::FieldPath;
use super::plan::Action;
use super::stand_in::{Replaced, StandIn};
use super::{Part, Rule};

/// The rules about the headers and trailers of one response, compiled together.
#[derive(Debug)]
pub struct HeaderPlan {
    /// Those that take values whole, the strictest first.
    whole: Vec<Arc<Rule>>,
    /// Those that look into values; a detector's scope is a place in this list.
    looking: Vec<Arc<Rule>>,
    detectors: Arc<Set>,
    key: HashKey,
}

/// In which block of a response a name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Headers,
    Trailers,
    /// One block that is headers and trailers: of a gRPC answer without messages.
    Both,
}

/// What became of a value that a rule took, or found something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedHeader {
    /// What stands in its place; `None` when it goes, with its name.
    pub value: Option<Vec<u8>>,
    /// How many values were replaced or removed in it.
    pub taken: u64,
}

impl HeaderPlan {
    /// The order of the rules does not matter. Rules about bodies count where they look everywhere: then they look into
    /// `grpc-message` too, which says in words what the body would.
    pub fn compile(rules: &[Arc<Rule>], key: &HashKey) -> Self {
        let counts = |rule: &&Arc<Rule>| match rule.part {
            Part::Header(_) | Part::Trailer(_) => true,
            Part::Body => rule.detect.is_some() && rule.field == FieldPath::everything(),
        };
        let counted = rules.iter().filter(counts).cloned();
        let (looking, mut whole): (Vec<_>, Vec<_>) = counted.partition(|rule| rule.detect.is_some());
        whole
            .sort_by_cached_key(|rule| (std::cmp::Reverse(rule.method.strictness()), rule.method.mildness()));
        let detect = looking.iter().enumerate();
        let detect = detect.filter_map(|(scope, rule)| Some((rule.detect.as_ref()?, &rule.method, scope)));
        let detectors = Arc::new(Set::compile(detect));
        Self { whole, looking, detectors, key: key.clone() }
    }

    /// Whether a rule names a trailer, so that trailers must be seen.
    pub fn names_trailers(&self) -> bool {
        self.whole.iter().chain(&self.looking).any(|rule| matches!(rule.part, Part::Trailer(_)))
    }

    /// Masks one value of `name` (in lower case); `None` when it stays as it is.
    pub fn mask(&self, section: Section, name: &str, value: &[u8]) -> Option<MaskedHeader> {
        let whole = self.whole.iter().find(|rule| applies(rule, section, name));
        let looked_into = || self.looking.iter().any(|rule| applies(rule, section, name));
        if whole.is_none() && !looked_into() {
            return None;
        }
        // Bytes, in base64: no text could stand for them.
        if name.ends_with("-bin") {
            return Some(MaskedHeader { value: None, taken: 1 });
        }
        match whole {
            Some(rule) => Some(self.replaced(&rule.method, name, value)),
            None => self.looked_into(section, name, value),
        }
    }

    /// The value that a rule takes whole.
    fn replaced(&self, method: &Method, name: &str, value: &[u8]) -> MaskedHeader {
        let is_message = name == GRPC_MESSAGE;
        let text = if is_message { decoded(value).text } else { value.to_vec() };
        let readable = std::str::from_utf8(&text).is_ok();
        let method = match method {
            Method::Remove | Method::Redact { .. } => method.clone(),
            _ if !readable => Method::redact(),
            _ => method.clone(),
        };
        let replacement = Replacement::start(&Action::of(&method), ValueKind::String, false, &self.key);
        let value = match Replaced::of(replacement, &text) {
            StandIn::Gone => None,
            other => {
                let mut value = Vec::new();
                if is_message {
                    escape(&other.into_text(), name, &mut value);
                } else {
                    value = other.into_text();
                }
                Some(in_a_header(value))
            }
        };
        MaskedHeader { value, taken: 1 }
    }

    /// The value without what detectors find in it.
    fn looked_into(&self, section: Section, name: &str, value: &[u8]) -> Option<MaskedHeader> {
        let mut active = Active::default();
        let applies = |scope: usize| self.looking.get(scope).is_none_or(|rule| applies(rule, section, name));
        self.detectors.activate(applies, &mut active);
        let decoded = decoded(value);
        // Zeros between the letters, as UTF-16 has them, would hide every value.
        if std::str::from_utf8(value).is_err() || decoded.text.contains(&0) {
            return Some(MaskedHeader { value: Some(Method::DEFAULT_TEXT.into()), taken: 1 });
        }
        let (mut out, mut taken) = (value.to_vec(), 0);
        if decoded.text.len() < value.len() {
            (out, taken) = self.search(&active, name, &decoded, value, true);
        }
        let plain = Decoded::plain(out);
        let (out, found) = self.search(&active, name, &plain, &plain.text, false);
        let taken = taken + found;
        (taken > 0).then(|| MaskedHeader { value: Some(in_a_header(out)), taken })
    }

    /// Looks into `text`, which was written as `raw`: what is not taken stays as it was written. And how many were taken.
    fn search(
        &self,
        active: &Active,
        name: &str,
        text: &Decoded,
        raw: &[u8],
        escapes: bool,
    ) -> (Vec<u8>, u64) {
        let mut finder = Finder::new(self.detectors.clone(), self.key.clone());
        finder.active = active.clone();
        finder.name = name.as_bytes().to_vec();
        let (mut out, mut at, mut widths) = (Vec::with_capacity(raw.len()), 0, text.widths.iter());
        let mut write = |piece: Piece<'_>| {
            let mut written = |bytes: &[u8]| {
                let width: usize = widths.by_ref().take(bytes.len()).map(|width| usize::from(*width)).sum();
                let from = at;
                at += width;
                raw.get(from..at).unwrap_or_default()
            };
            match piece {
                Piece::Plain(bytes) => out.extend_from_slice(written(bytes)),
                Piece::Hidden(bytes) => drop(written(bytes)),
                Piece::InPlace(bytes) if escapes => escape(bytes, name, &mut out),
                Piece::InPlace(bytes) => out.extend_from_slice(bytes),
            }
        };
        finder.push(&text.text, &mut write);
        finder.finish(&mut write);
        (out, finder.masked())
    }
}

fn applies(rule: &Rule, section: Section, name: &str) -> bool {
    match &rule.part {
        Part::Header(names) => section != Section::Trailers && names.matches(name),
        Part::Trailer(names) => section != Section::Headers && names.matches(name),
        Part::Body => name == GRPC_MESSAGE,
    }
}

/// A text with its percent escapes read, as URLs and `grpc-message` have them.
struct Decoded {
    text: Vec<u8>,
    /// In how many bytes each byte of the text was written.
    widths: Vec<u8>,
}

impl Decoded {
    fn plain(text: Vec<u8>) -> Self {
        Self { widths: vec![1; text.len()], text }
    }
}

/// What is no escape stands for itself.
fn decoded(raw: &[u8]) -> Decoded {
    let mut decoded = Decoded { text: Vec::with_capacity(raw.len()), widths: Vec::with_capacity(raw.len()) };
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        let width = if escaped.is_some() { 3 } else { 1 };
        decoded.text.push(escaped.unwrap_or(*first));
        decoded.widths.push(width);
        rest = rest.get(usize::from(width)..).unwrap_or(after);
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Writes a text with percent escapes. A space is one in URLs, and none in `grpc-message`.
fn escape(text: &[u8], name: &str, out: &mut Vec<u8>) {
    for byte in text {
        let stays = byte.is_ascii_graphic() && *byte != b'%' || *byte == b' ' && name == GRPC_MESSAGE;
        if stays {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// What can stand in a header: a control character there would end it.
fn in_a_header(value: Vec<u8>) -> Vec<u8> {
    let breaks = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if value.iter().any(breaks) { Method::DEFAULT_TEXT.into() } else { value }
}
