//! What takes a masked value's place, and which of two methods on one value wins.

use super::bucket::Bucket;

/// Declared from the strictest to the mildest; see [`Method::strictness`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The member or element goes, with its comma; a whole document becomes `null`.
    Remove,
    /// `null`.
    Null,
    /// This text, as a string.
    Redact { text: String },
    /// The empty value of the same type: `0`, `""`, `false`, `[]` or `{}`.
    KeepType,
    /// `hmac:<key id>:<digest>`: the same value gives the same text, under one key. See [`super::HashKey`].
    Hash,
    /// The range of numbers or dates that the value lies in, as a string.
    Bucket(Bucket),
    /// A `*` for each character (64 at most) but so many at the beginning and at the end, and never more than a third of
    /// all; where that is too few, the last ones come first. `****` for what has no characters to show: booleans,
    /// objects and arrays. At most [`Method::MAX_SHOWN`] each.
    Partial { first: u8, last: u8 },
    /// The last four characters, by `Partial`.
    Last4,
}

impl Method {
    pub const DEFAULT_TEXT: &str = "[redacted]";
    /// The most characters that `partial` shows at either end.
    pub const MAX_SHOWN: u8 = 32;

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
            Self::KeepType => "keep_type",
            Self::Hash => "hash",
            Self::Bucket(_) => "bucket",
            Self::Partial { .. } => "partial",
            Self::Last4 => "last4",
        }
    }

    /// The greater, the less of a value remains. Where two methods meet on one value, the stricter wins.
    pub fn strictness(&self) -> u8 {
        match self {
            Self::Remove => 7,
            Self::Null => 6,
            Self::Redact { .. } => 5,
            Self::KeepType => 4,
            Self::Hash => 3,
            Self::Bucket(_) => 2,
            Self::Partial { .. } | Self::Last4 => 1,
        }
    }

    /// How many characters of a value are shown at its beginning and at its end.
    pub(super) fn shown(&self) -> (u8, u8) {
        match self {
            Self::Partial { first, last } => (*first, *last),
            Self::Last4 => (0, 4),
            _ => (0, 0),
        }
    }

    /// Orders methods of the same strictness, the strictest first: the shortest text, the widest buckets, the fewest
    /// characters shown.
    pub(super) fn mildness(&self) -> (u64, String) {
        match self {
            Self::Redact { text } => (text.len() as u64, text.clone()),
            Self::Bucket(bucket) => (bucket.fineness(), format!("{bucket:?}")),
            Self::Partial { .. } | Self::Last4 => {
                let (first, last) = self.shown();
                (u64::from(first) + u64::from(last), format!("{first:03}"))
            }
            Self::Remove | Self::Null | Self::KeepType | Self::Hash => (0, String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness_is_the_order_of_declaration() {
        let order = [
            Method::Remove,
            Method::Null,
            Method::redact(),
            Method::KeepType,
            Method::Hash,
            Method::Bucket(Bucket::Width(10)),
            Method::Last4,
        ];
        assert!(order.windows(2).all(|pair| pair[0].strictness() > pair[1].strictness()));
    }

    #[test]
    fn among_equals_the_one_that_tells_less_is_stricter() {
        let partial = |first, last| Method::Partial { first, last };
        let width = |width| Method::Bucket(Bucket::Width(width));
        let table = [
            (partial(0, 2), Method::Last4),
            (partial(1, 2), Method::Last4),
            (Method::Last4, partial(2, 3)),
            (partial(0, 0), partial(1, 0)),
            (width(1_000), width(10)),
            (Method::Redact { text: "x".to_owned() }, Method::redact()),
        ];
        for (strict, mild) in table {
            assert_eq!(strict.strictness(), mild.strictness());
            assert!(strict.mildness() < mild.mildness(), "{strict:?} {mild:?}");
        }
    }
}
