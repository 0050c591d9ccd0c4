//! The lowered form of an expression: a tree with names resolved, regexes compiled and macros recognised.

use std::collections::BTreeSet;

use regex::Regex;

use super::attribute::Attribute;
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
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
