//! The lowered form of an expression: a tree with names resolved, regexes compiled and macros recognised.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use super::attribute::Attribute;
use super::function::Builtin;
use crate::policy::decision::HeadersRead;

/// One node. Every child is shallower than `lower::MAX_DEPTH`, so recursion over the tree is bounded.
#[derive(Debug)]
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
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    Conditional(Box<(Expr, Expr, Expr)>),
    Binary(Operator, Box<(Expr, Expr)>),
    /// `x in ['a', 'b']` with literals only: nothing is built to answer it.
    InLiterals(Box<Expr>, Vec<Literal>),
    Matches(Box<Expr>, Regex),
    Call(Function, Vec<Expr>),
    Fold(Box<Fold>),
    /// A function of the extension libraries.
    Builtin(&'static Builtin, Vec<Expr>),
    /// What a getter says of a timestamp in a time zone.
    InZone(Function, TimeZone, Box<Expr>),
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
}

/// A part of a literal, and whether it was written with `?`.
#[derive(Debug)]
pub struct Optional<T> {
    pub optional: bool,
    pub part: T,
}

#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Debug)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What an expression reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub attributes: BTreeSet<Attribute>,
    /// Request headers read by literal name, in lower case.
    pub headers: BTreeSet<String>,
    /// The request headers are read by a computed name, or as a whole.
    pub all_headers: bool,
}

impl Reads {
    pub fn body(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.reads_body())
    }

    pub fn response(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.reads_response())
    }

    pub fn captures(&self) -> bool {
        self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Capture(_)))
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
    }
}
