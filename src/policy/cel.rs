//! CEL: expressions parsed by the `cel` crate, checked against the names a call has, lowered once, and evaluated
//! with a budget over borrowed data.
//!
//! Knows nothing of policies or rules. An expression that compiles can be evaluated in bounded time on any call.

use std::hash::{Hash, Hasher};

use crate::diagnostic::Diagnostic;

pub mod attribute;
mod budget;
mod compare;
mod display;
mod evaluate;
mod expression;
mod function;
mod lower;
mod number;
mod parse;
mod pattern;
mod scope;
mod specialise;
mod time;
mod types;
mod value;

pub use attribute::Attribute;
pub use expression::Reads;
pub use scope::Scope;
pub use types::Type;
pub use value::Value;

use expression::Expr;
pub(in crate::policy) use parse::syntax;

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    root: Expr,
    pub ty: Type,
    pub reads: Reads,
}

/// Equal expressions have the same value for every call that captures the same.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.root.hash(state);
    }
}

/// The names an expression may use besides the attributes of every call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// What the path patterns capture, readable as `path.<name>`.
    pub captures: &'a [String],
    /// Whether `input` is readable.
    pub input: bool,
}

/// A mistake in an expression, at its place within the expression.
#[derive(Clone, Debug)]
pub struct Mistake {
    pub at: At,
    pub finding: Diagnostic,
}

/// A byte range within an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    pub offset: usize,
    pub len: usize,
}

/// Why an expression has no value for this call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    #[error("`{0}` is not there")]
    Absent(String),
    #[error("the request's body is not here in full")]
    BodyUnavailable,
    #[error("there is no key `{0}`")]
    NoKey(String),
    #[error("the index {0} is out of range")]
    NoIndex(String),
    #[error("a {found} has no field `{name}`")]
    NotAMap { name: String, found: &'static str },
    #[error("`{operation}` can't take {operands}")]
    NoOverload { operation: &'static str, operands: String },
    #[error("the result of `{0}` is out of range")]
    OutOfRange(&'static str),
    #[error("division by zero")]
    DivisionByZero,
    #[error("the value can't be converted to {0}")]
    Conversion(&'static str),
    #[error("the header `{0}` is not UTF-8")]
    HeaderNotText(String),
    #[error("the query can't be decoded")]
    QueryInvalid,
    #[error("the body is not JSON that every reader reads alike: {0}")]
    BodyInvalid(String),
    #[error("the map has the key `{0}` twice")]
    RepeatedKey(String),
    #[error("`{function}`: {problem}")]
    Argument { function: &'static str, problem: String },
    #[error("the optional has no value")]
    NoValue,
    #[error("the expression takes too many steps")]
    BudgetSpent,
    #[error("the expression takes too much memory")]
    MemorySpent,
}

impl EvaluationError {
    fn overload(operation: &'static str, operands: &[&Value<'_>]) -> Self {
        let operands: Vec<_> = operands.iter().map(|value| types::with_article(value.type_name())).collect();
        Self::NoOverload { operation, operands: operands.join(" and ") }
    }

    /// Whether the budget is spent: no operator may absorb that.
    pub fn is_exhaustion(&self) -> bool {
        matches!(self, Self::BudgetSpent | Self::MemorySpent)
    }
}

impl Mistake {
    fn new(at: At, code: &'static str, message: impl Into<String>) -> Self {
        Self { at, finding: Diagnostic::error(code, message) }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.finding = self.finding.help(help);
        self
    }
}

impl Expression {
    /// Parses, checks and lowers `text`; every mistake found is returned.
    pub fn compile(text: &str, environment: &Environment<'_>) -> Result<Self, Vec<Mistake>> {
        let Self { root, ty, reads } = Self::lowered(text, environment)?;
        Ok(Self { root: specialise::specialise(root), ty, reads })
    }

    /// As written, node for node.
    fn lowered(text: &str, environment: &Environment<'_>) -> Result<Self, Vec<Mistake>> {
        let parsed = parse::parse(text)?;
        let mut lowering = lower::Lowering::new(&parsed, environment);
        match lowering.lower(&parsed.root) {
            Some((root, ty)) if lowering.mistakes.is_empty() => Ok(Self { root, ty, reads: lowering.reads }),
            _ if lowering.mistakes.is_empty() => Err(vec![Mistake::new(
                At::default(),
                "unsupported-expression",
                "the expression is not supported",
            )]),
            _ => Err(lowering.mistakes),
        }
    }

    /// The value for one call.
    pub fn evaluate<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Value<'s>, EvaluationError> {
        evaluate::Evaluation::new(scope).value(&self.root)
    }

    /// The value of a condition. The error is boxed because there hardly ever is one.
    pub fn holds<'s>(&'s self, scope: &'s Scope<'s>) -> Result<bool, Box<EvaluationError>> {
        evaluate::Evaluation::new(scope).truth(&self.root, "when")
    }
}

#[cfg(test)]
mod tests;
