//! How the functions of the extension libraries are declared: one row each, found by name and number of
//! arguments when an expression is lowered.

use std::hash::{Hash, Hasher};

use super::super::EvaluationError;
use super::super::budget::Budget;
use super::super::types::Type;
use super::super::value::Value;
use super::{encoder, format, list, math, net, optional, set, string};

/// What calling a function of a library costs, in steps.
pub const CALL: usize = 4;

pub type Applied<'a> = Result<Value<'a>, EvaluationError>;

/// A function that is applied to values.
pub struct Builtin {
    /// Its name; with its namespace where it has one, as in `math.abs`.
    pub name: &'static str,
    /// Whether it is written `x.name(..)`; `x` is then its first parameter.
    pub method: bool,
    pub parameters: &'static [Kind],
    /// The type of the result, from those of the arguments.
    pub result: fn(&[Type]) -> Type,
    /// Going over its arguments once has been paid for; it pays itself for what it makes of them.
    pub apply: for<'a> fn(&[Value<'a>], &mut Budget) -> Applied<'a>,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Builtin {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.method == other.method && self.parameters == other.parameters
    }
}

impl Eq for Builtin {}

impl Hash for Builtin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Any,
    Int,
    Double,
    Number,
    /// An `int` or a `uint`.
    Whole,
    Text,
    Bytes,
    List,
    TextList,
    NumberList,
    TextOrList,
    Ip,
    Cidr,
    IpOrText,
    CidrOrText,
    Optional,
}

impl Kind {
    pub fn takes(self, ty: &Type) -> bool {
        if *ty == Type::Dyn {
            return true;
        }
        match self {
            Self::Any => true,
            Self::Int => *ty == Type::Int,
            Self::Double => *ty == Type::Double,
            Self::Number => ty.is_number(),
            Self::Whole => matches!(ty, Type::Int | Type::Uint),
            Self::Text => *ty == Type::Text,
            Self::Bytes => *ty == Type::Bytes,
            Self::List => matches!(ty, Type::List(_)),
            Self::TextList => ty.fits(&Type::list(Type::Text)),
            Self::NumberList => matches!(ty, Type::List(element) if Self::Number.takes(element)),
            Self::TextOrList => matches!(ty, Type::Text | Type::List(_)),
            Self::Ip => *ty == Type::Ip,
            Self::Cidr => *ty == Type::Cidr,
            Self::IpOrText => matches!(ty, Type::Ip | Type::Text),
            Self::CidrOrText => matches!(ty, Type::Cidr | Type::Text),
            Self::Optional => matches!(ty, Type::Optional(_)),
        }
    }

    /// As an error message says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "value",
            Self::Int => "int",
            Self::Double => "double",
            Self::Number => "number",
            Self::Whole => "int or uint",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::TextList => "list(string)",
            Self::NumberList => "list of numbers",
            Self::TextOrList => "string or list",
            Self::Ip => "net.IP",
            Self::Cidr => "net.CIDR",
            Self::IpOrText => "net.IP or string",
            Self::CidrOrText => "net.CIDR or string",
            Self::Optional => "optional",
        }
    }
}

const TABLES: &[&[Builtin]] = &[
    string::BUILTINS,
    format::BUILTINS,
    list::BUILTINS,
    set::BUILTINS,
    math::BUILTINS,
    encoder::BUILTINS,
    net::BUILTINS,
    optional::BUILTINS,
];

/// All functions of the libraries.
pub fn builtins() -> impl Iterator<Item = &'static Builtin> {
    TABLES.iter().copied().flatten()
}

/// The rows of one name, one for each number of arguments.
pub fn named(name: &str, method: bool) -> impl Iterator<Item = &'static Builtin> {
    builtins().filter(move |known| known.method == method && known.name == name)
}

// === results ===

pub fn boolean(_: &[Type]) -> Type {
    Type::Bool
}

pub fn int(_: &[Type]) -> Type {
    Type::Int
}

pub fn double(_: &[Type]) -> Type {
    Type::Double
}

pub fn text(_: &[Type]) -> Type {
    Type::Text
}

/// The type of the first argument.
pub fn same(arguments: &[Type]) -> Type {
    arguments.first().cloned().unwrap_or(Type::Dyn)
}

// === errors ===

/// The error of a function that can't take these values.
pub fn no_overload(name: &'static str, arguments: &[Value<'_>]) -> EvaluationError {
    EvaluationError::overload(name, &arguments.iter().collect::<Vec<_>>())
}

/// The error of a function that can take them, but not with these contents.
pub fn invalid(function: &'static str, problem: impl Into<String>) -> EvaluationError {
    EvaluationError::Argument { function, problem: problem.into() }
}
