//! The key of hashes in masked bodies, which can change while the server runs.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::mask::HashKey;

/// The key in use, shared by all clones. A body is hashed under one key from its beginning to its end.
#[derive(Clone, Debug)]
pub struct HashKeys(Arc<RwLock<HashKey>>);

impl HashKeys {
    pub fn new(key: HashKey) -> Self {
        Self(Arc::new(RwLock::new(key)))
    }

    /// The key of bodies that begin now.
    pub fn current(&self) -> HashKey {
        self.0.read().clone()
    }

    /// Hashes with `key` from the next body on. `false`: it is the key in use.
    pub fn replace(&self, key: HashKey) -> bool {
        let mut used = self.0.write();
        let new = *used != key;
        *used = key;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_in_every_clone_from_its_replacement_on() {
        let key = |byte| HashKey::named("one", &[byte; 32]).unwrap();
        let keys = HashKeys::new(key(1));
        let clone = keys.clone();
        assert!(!keys.replace(key(1)), "it is the same");
        assert!(keys.replace(key(2)), "another key by the same name");
        assert_eq!(clone.current(), key(2));
        assert!(keys.replace(HashKey::named("two", &[2; 32]).unwrap()), "another name of the same key");
        assert_eq!(clone.current().id(), "two");
    }
}
