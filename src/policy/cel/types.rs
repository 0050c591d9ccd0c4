//! Static types of expressions. `Dyn` is what is known only when a call is there: claims, bodies, metadata.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    Type,
    Ip,
    Cidr,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Optional(Box<Type>),
}

impl Type {
    pub fn optional(value: Type) -> Self {
        Self::Optional(Box::new(value))
    }

    pub fn list(element: Type) -> Self {
        Self::List(Box::new(element))
    }

    pub fn map(value: Type) -> Self {
        Self::Map(Box::new(Self::Text), Box::new(value))
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether its values have an order.
    pub fn is_ordered(&self) -> bool {
        self.is_number()
            || matches!(
                self,
                Self::Dyn | Self::Bool | Self::Text | Self::Bytes | Self::Timestamp | Self::Duration
            )
    }

    /// Whether a value of this type may turn out to be an `other`.
    pub fn fits(&self, other: &Type) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            (Self::Map(key_a, a), Self::Map(key_b, b)) => key_a.fits(key_b) && a.fits(b),
            _ => self == other,
        }
    }

    /// Whether `==` between the two can ever be true: numbers compare across their types, null with anything.
    pub fn comparable(&self, other: &Type) -> bool {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.comparable(b),
            (Self::Map(key_a, a), Self::Map(key_b, b)) => key_a.comparable(key_b) && a.comparable(b),
            _ => self.fits(other) || (self.is_number() && other.is_number()),
        }
    }

    /// The type of a value that is one or the other.
    pub fn join(self, other: Type) -> Type {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::List(a), Self::List(b)) => Self::list(a.join(*b)),
            (Self::Optional(a), Self::Optional(b)) => Self::optional(a.join(*b)),
            _ => Self::Dyn,
        }
    }

    /// What a list or an optional holds; `Dyn` for anything else.
    pub fn element(&self) -> Type {
        match self {
            Self::List(element) | Self::Optional(element) => (**element).clone(),
            _ => Self::Dyn,
        }
    }
}

/// `an int`, `a string`: the name of a type in a sentence.
pub fn with_article(name: &str) -> String {
    let article = if name.starts_with(['i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// With `#`, as it stands in a sentence: `an int`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            f.write_str(if matches!(self, Self::Int | Self::Optional(_)) { "an " } else { "a " })?;
        }
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Type => f.write_str("type"),
            Self::Ip => f.write_str("net.IP"),
            Self::Cidr => f.write_str("net.CIDR"),
            Self::Optional(value) => write!(f, "optional({value})"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
        }
    }
}
