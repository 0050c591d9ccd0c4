//! All that the rules of one body look for.

use std::sync::Arc;

use super::custom::{Pattern, Words};
use super::found::{Confidence, Found};
use super::{Detect, Detector, Kind, near};
use crate::method::Method;

/// The detectors of all rules, the strictest method first.
#[derive(Debug, Default)]
pub struct Set {
    entries: Vec<Entry>,
}

/// One detector of one rule.
#[derive(Debug)]
pub struct Entry {
    detector: Detector,
    detect: Arc<Detect>,
    /// What is done to a value.
    pub method: Method,
    /// Where the rule looks, as the plan counts its scopes.
    pub scope: usize,
}

/// The detectors that apply to one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Active {
    entries: Vec<bool>,
    kinds: u16,
    custom: bool,
}

impl Set {
    /// Of rules: what they look for, what they do to it, and their scopes.
    pub fn compile<'r>(rules: impl Iterator<Item = (&'r Arc<Detect>, &'r Method, usize)>) -> Self {
        let mut entries: Vec<Entry> = rules
            .flat_map(|(detect, method, scope)| {
                detect.detectors().iter().map(move |detector| {
                    let (detector, detect) = (detector.clone(), detect.clone());
                    let method = labelled(method, detector.name());
                    Entry { detector, detect, method, scope }
                })
            })
            .collect();
        // Whatever order the rules came in.
        entries.sort_by(|one, other| {
            let key = |entry: &Entry| (std::cmp::Reverse(entry.method.strictness()), entry.kind().is_none());
            let text = |entry: &Entry| match &entry.method {
                Method::Redact { text } => text.clone(),
                _ => String::new(),
            };
            let names = |entry: &Entry| (entry.kind(), entry.detector.name().to_owned(), text(entry));
            key(one).cmp(&key(other)).then_with(|| names(one).cmp(&names(other)))
        });
        Self { entries }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Those whose scope applies.
    pub fn activate(&self, applies: impl Fn(usize) -> bool, active: &mut Active) {
        active.entries.clear();
        active.kinds = 0;
        active.custom = false;
        for entry in &self.entries {
            let applies = applies(entry.scope);
            active.entries.push(applies);
            match entry.kind() {
                _ if !applies => {}
                Some(kind) => active.kinds |= bit(kind),
                None => active.custom = true,
            }
        }
    }

    /// The entries that take a value of this kind, as sure as it is here; in `text`, which has this name.
    pub fn accepting<'s>(
        &'s self,
        active: &'s Active,
        kind: Kind,
        text: &'s [u8],
        found: &'s Found,
        name: &'s [u8],
    ) -> impl Iterator<Item = usize> + 's {
        let entries = self.entries.iter().zip(&active.entries).enumerate();
        entries.filter_map(move |(i, (entry, active))| {
            let takes = *active && entry.kind() == Some(kind) && entry.accepts(text, found, name);
            takes.then_some(i)
        })
    }
}

impl Entry {
    pub fn kind(&self) -> Option<Kind> {
        match self.detector {
            Detector::Known(kind) => Some(kind),
            Detector::Pattern { .. } | Detector::Words { .. } => None,
        }
    }

    pub fn pattern(&self) -> Option<&Pattern> {
        match &self.detector {
            Detector::Pattern { pattern, .. } => Some(pattern),
            _ => None,
        }
    }

    pub fn words(&self) -> Option<&Words> {
        match &self.detector {
            Detector::Words { words, .. } => Some(words),
            _ => None,
        }
    }

    /// What a pattern or a word is worth before the words around it are looked at.
    pub fn custom_confidence(&self) -> Confidence {
        if self.detect.near().is_some() { Confidence::Low } else { Confidence::Medium }
    }

    /// Whether the rule is sure enough of this.
    pub fn accepts(&self, text: &[u8], found: &Found, name: &[u8]) -> bool {
        let detect = &self.detect;
        found.confidence >= detect.min_confidence()
            || near::words(detect, self.kind())
                .is_some_and(|words| near::stand_near(words, detect.within(), text, found, name))
    }

    /// What is done to a value of which another rule wants something else.
    pub fn redaction(&self) -> Method {
        match &self.method {
            Method::Redact { .. } => self.method.clone(),
            _ => labelled(&Method::redact(), self.detector.name()),
        }
    }
}

impl Active {
    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.kinds == 0 && !self.custom
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.kinds & bit(kind) != 0
    }

    pub fn has_any(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.has(*kind))
    }

    /// Whether patterns or words are looked for.
    pub fn has_custom(&self) -> bool {
        self.custom
    }

    pub fn entry(&self, number: usize) -> bool {
        self.entries.get(number).is_some_and(|active| *active)
    }
}

fn bit(kind: Kind) -> u16 {
    1 << kind as u16
}

/// A redaction whose text nobody chose tells what was there.
fn labelled(method: &Method, name: &str) -> Method {
    match method {
        Method::Redact { text } if text == Method::DEFAULT_TEXT => {
            Method::Redact { text: format!("[{name}]") }
        }
        method => method.clone(),
    }
}
