//! The section `identity.revocation` of the configuration.

use std::time::Duration;

use super::{Freshness, OnStale};
use crate::document::{Node, Reader};

/// Shorter than this, a server would be stale between two looks at the store.
const SHORTEST: Duration = Duration::from_secs(2);

impl Freshness {
    /// Reads the section; every mistake is left with `reader`.
    pub fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "`revocation`")?;
        let (on_stale, max_age) = (fields.optional("on_stale"), fields.optional("max_age"));
        fields.close(reader);
        let default = Self::default();
        let words = [("deny", OnStale::Deny), ("continue", OnStale::Continue)];
        let on_stale =
            on_stale.map_or(Some(default.on_stale), |node| reader.word(node, "`on_stale`", &words));
        let max_age = max_age.map_or(Some(default.max_age), |node| {
            let age = reader.duration(node, "`max_age`")?;
            if age < SHORTEST {
                reader.error(node.span, "out-of-range", "`max_age` must be at least `2s`");
                return None;
            }
            Some(age)
        });
        Some(Self { on_stale: on_stale?, max_age: max_age? })
    }
}
