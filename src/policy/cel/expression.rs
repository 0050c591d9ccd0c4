//! The lowered form of an expression: a tree with names resolved, regexes compiled and macros recognised.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::attribute::Attribute;
use super::function::Builtin;
use super::pattern::Pattern;
use crate::effect::is_fleeting_header;
use crate::policy::decision::HeadersRead;

mod text_set;

pub use text_set::TextSet;

/// One node. Every child is shallower than `lower::MAX_DEPTH`, so recursion over the tree is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    Literal(Literal),
    Attribute(Attribute),
    /// `request.headers['x']` with a literal name, in lower case.
    Header {
        response: bool,
        name: String,
    },
    /// The variable of an enclosing macro, by its depth.
    Local(usize),
    Field {
        operand: Box<Expr>,
        name: String,
    },
    Index(Box<(Expr, Expr)>),
    HasAttribute(Attribute),
    HasHeader {
        response: bool,
        name: String,
    },
    HasField {
        operand: Box<Expr>,
        name: String,
    },
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    /// `&&` and `||` of two or more.
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Conditional(Box<(Expr, Expr, Expr)>),
    Binary(Operator, Box<(Expr, Expr)>),
    /// `x in ['a', 'b']` with literals only: nothing is built to answer it.
    InLiterals(Box<Expr>, Vec<Literal>),
    Matches(Box<Expr>, Arc<Pattern>),
    Call(Function, Vec<Expr>),
    Fold(Box<Fold>),
    /// A function of the extension libraries.
    Builtin(&'static Builtin, Vec<Expr>),
    /// What a getter says of a timestamp in a time zone.
    InZone(Function, Zone, Box<Expr>),
    /// `cel.bind`: the value, and the expression that reads it as a variable.
    Bind(Box<(Expr, Expr)>),
    /// `a.?b`, and `a.b` of an optional `a`.
    SelectOptional(Box<Expr>, String),
    /// `a[?b]`, and `a[b]` of an optional `a`.
    IndexOptional(Box<(Expr, Expr)>),
    /// `or` and `orValue`: the second is evaluated only when the first is none.
    OrElse {
        unwrap: bool,
        both: Box<(Expr, Expr)>,
    },
    /// `optMap` and `optFlatMap`: the optional, and the expression that reads its value as a variable.
    MapOptional {
        flat: bool,
        both: Box<(Expr, Expr)>,
    },
    /// A list some of whose elements are there only when they have a value.
    OptionalList(Vec<Optional<Expr>>),
    /// A map some of whose entries are there only when they have a value.
    OptionalMap(Vec<Optional<(Expr, Expr)>>),
    // What `specialise` makes of frequent combinations of the above: the same values, found without building others.
    /// A text beside a literal.
    TextIs(Box<(TextSource, TextTest, String)>),
    TextIn(Box<(TextSource, TextSet)>),
    /// `'x' in` a list of texts.
    TextsHold(Attribute, String),
    /// A field within claims, a body or metadata.
    Json(Box<JsonPath>),
    /// Such a field `== 'x'`, and `'x' in` it.
    JsonIs(Box<(JsonPath, String)>),
    JsonHolds(Box<(JsonPath, String)>),
}

/// A part of a literal, and whether it was written with `?`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Optional<T> {
    pub optional: bool,
    pub part: T,
}

/// Something of a call that is a text whenever it is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextSource {
    Attribute(Attribute),
    Header {
        response: bool,
        name: String,
    },
    /// One of Envoy's context extensions.
    Context(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextTest {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
}

/// The names that lead to a field; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonPath {
    /// The claims, the body, the metadata or the input.
    pub of: Attribute,
    pub names: Vec<String>,
}

/// Equal when written alike: `-0.0` is not `0.0`, and a NaN is itself.
#[derive(Clone, Debug)]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Type(&'static str),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    Ip(IpAddr),
    Cidr(IpNet),
}

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iana_name().hash(state);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    ToInt,
    ToUint,
    ToDouble,
    ToText,
    ToBool,
    ToBytes,
    ToTimestamp,
    ToDuration,
    TypeOf,
    Dyn,
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    pub kind: FoldKind,
    pub range: Expr,
    /// What is asked of each element; absent for a `map` without a filter.
    pub condition: Option<Expr>,
    /// What `map` makes of an element.
    pub result: Option<Expr>,
    /// The macro has two variables: the index and the element of a list, or the key and the value of a map.
    pub pairs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    /// As `Map`, into a map with the range's keys or indexes.
    TransformMap,
    /// As `Map`, into a map of the entries that the results are.
    TransformMapEntry,
    /// The elements in the order of the results.
    SortBy,
}

impl Expr {
    /// Whether the node is true or false, if it has a value: `Evaluation::test` answers it.
    pub fn is_test(&self) -> bool {
        matches!(
            self,
            Self::HasHeader { .. }
                | Self::HasAttribute(_)
                | Self::HasField { .. }
                | Self::Not(_)
                | Self::All(_)
                | Self::Any(_)
                | Self::InLiterals(..)
                | Self::Matches(..)
                | Self::TextIs(_)
                | Self::TextIn(_)
                | Self::TextsHold(..)
                | Self::JsonIs(_)
                | Self::JsonHolds(_)
        )
    }
}

impl Literal {
    /// The value as numbers and bytes, the same for what is written alike only.
    fn bits(&self) -> (std::mem::Discriminant<Self>, u64, u128, &[u8]) {
        let wide = |n: i128| (0, n.cast_unsigned(), &[][..]);
        let (bits, wide, bytes): (u64, u128, &[u8]) = match self {
            Self::Null => (0, 0, &[]),
            Self::Bool(value) => (u64::from(*value), 0, &[]),
            Self::Int(n) => (n.cast_unsigned(), 0, &[]),
            Self::Uint(n) => (*n, 0, &[]),
            Self::Double(n) => (n.to_bits(), 0, &[]),
            Self::Text(text) => (0, 0, text.as_bytes()),
            Self::Bytes(bytes) => (0, 0, bytes),
            Self::Type(name) => (0, 0, name.as_bytes()),
            Self::Timestamp(at) => wide(at.as_nanosecond()),
            Self::Duration(span) => wide(span.as_nanos()),
            Self::Ip(address) => (u64::from(address.is_ipv4()), address_bits(*address), &[]),
            Self::Cidr(net) => {
                let kind = u64::from(net.addr().is_ipv4()) << 8 | u64::from(net.prefix_len());
                (kind, address_bits(net.addr()), &[])
            }
        };
        (std::mem::discriminant(self), bits, wide, bytes)
    }
}

fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

/// What an expression reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub attributes: BTreeSet<Attribute>,
    /// Request headers read by literal name, in lower case.
    pub headers: BTreeSet<String>,
    /// The request headers are read by a computed name, or as a whole.
    pub all_headers: bool,
    /// Entries of other maps that are read by literal name.
    pub entries: BTreeSet<(Attribute, String)>,
    /// How often an attribute is read in another way than by an entry of it that `entries` names.
    pub whole: BTreeMap<Attribute, usize>,
}

impl Reads {
    /// An attribute is read, as a whole for all that is known yet.
    pub fn attribute(&mut self, attribute: Attribute) {
        self.attributes.insert(attribute);
        self.all_headers |= attribute == Attribute::Headers;
        *self.whole.entry(attribute).or_default() += 1;
    }

    /// The operand, which was the attribute itself, is read for this one entry alone.
    pub fn entry_of(&mut self, operand: &Expr, name: &str) {
        if let Expr::Attribute(attribute) = operand
            && let Some(times) = self.whole.get_mut(attribute)
        {
            *times = times.saturating_sub(1);
            self.entries.insert((*attribute, name.to_owned()));
        }
    }

    /// Whether more of an attribute is read than the entries that `entries` names.
    pub fn as_a_whole(&self, attribute: Attribute) -> bool {
        self.whole.get(&attribute).is_some_and(|times| *times > 0)
    }

    pub fn body(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.reads_body())
    }

    pub fn response(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.reads_response())
    }

    pub fn captures(&self) -> bool {
        self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Capture(_)))
    }

    /// Whether it reads what differs when the same call is sent again.
    pub fn fleeting(&self) -> bool {
        let now =
            [Attribute::Time, Attribute::Id].iter().any(|attribute| self.attributes.contains(attribute));
        now || self.all_headers || self.headers.iter().any(|name| is_fleeting_header(name))
    }

    pub fn nothing(&self) -> bool {
        self.attributes.is_empty()
    }

    pub fn headers_read(&self) -> HeadersRead {
        if self.all_headers {
            HeadersRead::All
        } else {
            HeadersRead::Named(self.headers.iter().cloned().collect())
        }
    }

    pub fn extend(&mut self, other: &Reads) {
        self.attributes.extend(&other.attributes);
        self.headers.extend(other.headers.iter().cloned());
        self.all_headers |= other.all_headers;
        self.entries.extend(other.entries.iter().cloned());
        for (attribute, times) in &other.whole {
            *self.whole.entry(*attribute).or_default() += times;
        }
    }
}
