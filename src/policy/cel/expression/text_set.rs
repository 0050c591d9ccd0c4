//! Literal texts that a text is looked up among.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashSet;

/// Literal texts; many are hashed.
#[derive(Clone, Debug)]
pub struct TextSet {
    /// Sorted, each once.
    texts: Vec<String>,
    pub(in crate::policy::cel) hashed: Option<FxHashSet<String>>,
}

impl TextSet {
    /// More texts than this are hashed.
    const COMPARED: usize = 8;

    pub fn new(mut texts: Vec<String>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        let hashed = (texts.len() > Self::COMPARED).then(|| texts.iter().cloned().collect());
        Self { texts, hashed }
    }

    pub fn contains(&self, text: &str) -> bool {
        match &self.hashed {
            Some(hashed) => hashed.contains(text),
            None => self.texts.iter().any(|known| known == text),
        }
    }
}

impl PartialEq for TextSet {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for TextSet {}

impl Hash for TextSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts.hash(state);
    }
}
