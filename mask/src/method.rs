//! What takes a masked value's place, and which of two methods on one value wins.

/// Declared from the strictest to the mildest; see [`Method::strictness`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The member or element goes, with its comma; a whole document becomes `null`.
    Remove,
    /// `null`.
    Null,
    /// This text, as a string.
    Redact { text: String },
    /// `hmac:<key id>:<digest>`: the same value gives the same text, under one key. See [`super::HashKey`].
    Hash,
    /// A `*` for each character (64 at most) but the last four, or the last third if that is less; `****` for what
    /// has no characters to show: booleans, objects and arrays.
    Last4,
}

impl Method {
    pub const DEFAULT_TEXT: &str = "[redacted]";

    /// `redact` with its usual text.
    pub fn redact() -> Self {
        Self::Redact { text: Self::DEFAULT_TEXT.to_owned() }
    }

    /// The word that policies use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Null => "null",
            Self::Redact { .. } => "redact",
            Self::Hash => "hash",
            Self::Last4 => "last4",
        }
    }

    /// The greater, the less of a value remains. Where two methods meet on one value, the stricter wins.
    pub fn strictness(&self) -> u8 {
        match self {
            Self::Remove => 5,
            Self::Null => 4,
            Self::Redact { .. } => 3,
            Self::Hash => 2,
            Self::Last4 => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness_is_the_order_of_declaration() {
        let order = [Method::Remove, Method::Null, Method::redact(), Method::Hash, Method::Last4];
        assert!(order.windows(2).all(|pair| pair[0].strictness() > pair[1].strictness()));
    }
}
