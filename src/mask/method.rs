//! What takes a masked value's place. Knows the methods and their order; not how a body is read.

/// How one value is masked.
///
/// `null` values stay `null` unless they are removed: there is nothing in them to hide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The member or array element disappears, with its comma. A document's root becomes `null` instead.
    Remove,
    /// `null`.
    Null,
    /// A fixed string.
    Redact { text: String },
    /// A keyed hash, so that equal values stay recognisably equal: `hmac:<key id>:<32 hex digits>`.
    Hash,
    /// `************1111`: the last four characters, but never more than a third of them.
    Last4,
}

/// What `redact` writes unless the rule says otherwise.
pub const REDACTED: &str = "[redacted]";

impl Method {
    /// Of two methods for one value the one that shows less: `remove > null > redact > hash > last4`. Of two
    /// redactions the smaller text wins, so that the order of the rules never matters.
    #[must_use]
    pub fn stricter<'m>(&'m self, other: &'m Method) -> &'m Method {
        if (other.rank(), other.text()) < (self.rank(), self.text()) { other } else { self }
    }

    /// The word that policies use.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Remove => "remove",
            Method::Null => "null",
            Method::Redact { .. } => "redact",
            Method::Hash => "hash",
            Method::Last4 => "last4",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Method::Remove => 0,
            Method::Null => 1,
            Method::Redact { .. } => 2,
            Method::Hash => 3,
            Method::Last4 => 4,
        }
    }

    fn text(&self) -> &str {
        match self {
            Method::Redact { text } => text,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_method_wins_in_either_order() {
        let redact = |text: &str| Method::Redact { text: text.to_owned() };
        let order = [Method::Remove, Method::Null, redact("a"), redact("b"), Method::Hash, Method::Last4];
        for (i, strict) in order.iter().enumerate() {
            for mild in &order[i..] {
                assert_eq!(strict.stricter(mild), strict);
                assert_eq!(mild.stricter(strict), strict);
            }
        }
    }
}
