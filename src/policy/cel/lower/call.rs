//! Functions and methods: the one list of them, with the types they take.

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr, LiteralValue};
use regex::RegexBuilder;

use super::{Lowered, Lowering};
use crate::diagnostic::closest;
use crate::policy::cel::expression::{Expr, Function};
use crate::policy::cel::types::Type;

/// How large a compiled regex may be, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Name, function, types of target (or sole argument) and argument, result.
type Signature = (&'static str, Function, &'static [Type], &'static [Type], Type);

const TEXT: &[Type] = &[Type::Text];
const METHODS: &[Signature] = &[
    ("startsWith", Function::StartsWith, TEXT, TEXT, Type::Bool),
    ("endsWith", Function::EndsWith, TEXT, TEXT, Type::Bool),
    ("contains", Function::Contains, TEXT, TEXT, Type::Bool),
    ("lowerAscii", Function::LowerAscii, TEXT, &[], Type::Text),
    ("upperAscii", Function::UpperAscii, TEXT, &[], Type::Text),
    ("getFullYear", Function::FullYear, &[Type::Timestamp], &[], Type::Int),
    ("getMonth", Function::Month, &[Type::Timestamp], &[], Type::Int),
    ("getDate", Function::Date, &[Type::Timestamp], &[], Type::Int),
    ("getDayOfMonth", Function::DayOfMonth, &[Type::Timestamp], &[], Type::Int),
    ("getDayOfWeek", Function::DayOfWeek, &[Type::Timestamp], &[], Type::Int),
    ("getDayOfYear", Function::DayOfYear, &[Type::Timestamp], &[], Type::Int),
    ("getHours", Function::Hours, &[Type::Timestamp, Type::Duration], &[], Type::Int),
    ("getMinutes", Function::Minutes, &[Type::Timestamp, Type::Duration], &[], Type::Int),
    ("getSeconds", Function::Seconds, &[Type::Timestamp, Type::Duration], &[], Type::Int),
    ("getMilliseconds", Function::Milliseconds, &[Type::Timestamp, Type::Duration], &[], Type::Int),
];

const NUMERIC: &[Type] = &[Type::Int, Type::Uint, Type::Double, Type::Text];
const FUNCTIONS: &[Signature] = &[
    (
        "int",
        Function::ToInt,
        &[Type::Int, Type::Uint, Type::Double, Type::Text, Type::Timestamp],
        &[],
        Type::Int,
    ),
    ("uint", Function::ToUint, NUMERIC, &[], Type::Uint),
    ("double", Function::ToDouble, NUMERIC, &[], Type::Double),
    (
        "string",
        Function::ToText,
        &[
            Type::Text,
            Type::Bool,
            Type::Int,
            Type::Uint,
            Type::Double,
            Type::Bytes,
            Type::Timestamp,
            Type::Duration,
        ],
        &[],
        Type::Text,
    ),
    ("bool", Function::ToBool, &[Type::Bool, Type::Text], &[], Type::Bool),
    ("bytes", Function::ToBytes, &[Type::Bytes, Type::Text], &[], Type::Bytes),
    ("timestamp", Function::ToTimestamp, &[Type::Timestamp, Type::Text, Type::Int], &[], Type::Timestamp),
    ("duration", Function::ToDuration, &[Type::Duration, Type::Text], &[], Type::Duration),
];

impl Lowering<'_> {
    pub(super) fn function(&mut self, node: &IdedExpr, call: &CallExpr) -> Lowered {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("size", Some(operand), []) | ("size", None, [operand]) => self.size(operand),
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(text, pattern)
            }
            ("type", None, [operand]) => {
                let (operand, _) = self.lower(operand)?;
                Some((Expr::Call(Function::TypeOf, vec![operand]), Type::Type))
            }
            ("dyn", None, [operand]) => {
                let (operand, _) = self.lower(operand)?;
                Some((Expr::Call(Function::Dyn, vec![operand]), Type::Dyn))
            }
            (_, Some(target), arguments) => self.listed(node, METHODS, name, target, arguments),
            (_, None, [first, arguments @ ..]) => self.listed(node, FUNCTIONS, name, first, arguments),
            (_, None, []) => self.unknown(node, FUNCTIONS, name),
        }
    }

    fn listed(
        &mut self,
        node: &IdedExpr,
        list: &[Signature],
        name: &str,
        first: &IdedExpr,
        rest: &[IdedExpr],
    ) -> Lowered {
        let Some((_, function, first_types, rest_types, result)) = list.iter().find(|known| known.0 == name)
        else {
            return self.unknown(node, list, name);
        };
        if rest.len() != rest_types.len() {
            let message = format!("`{name}` takes {} arguments here, not {}", rest_types.len(), rest.len());
            return self.refuse(node, "wrong-arguments", message);
        }
        let lowered = self.lower(first);
        let rest: Vec<_> =
            rest.iter().zip(*rest_types).map(|(node, ty)| self.lower_as(node, ty, "the argument")).collect();
        let (target, ty) = lowered?;
        if !first_types.iter().any(|known| ty.fits(known)) {
            return self.refuse(first, "type-mismatch", format!("`{name}` can't take a {ty}"));
        }
        let arguments: Option<Vec<_>> = std::iter::once(Some(target)).chain(rest).collect();
        Some((Expr::Call(*function, arguments?), result.clone()))
    }

    fn unknown(&mut self, node: &IdedExpr, list: &[Signature], name: &str) -> Lowered {
        let known =
            list.iter().map(|known| known.0).chain(["size", "matches", "all", "exists", "map", "filter"]);
        let message = format!("unknown function `{name}`");
        let mistake = super::Mistake::new(self.at(node), "unknown-function", message);
        self.mistakes.push(match closest(name, known) {
            Some(meant) if meant != name => mistake.help(format!("did you mean `{meant}`?")),
            _ => mistake,
        });
        None
    }

    fn size(&mut self, operand: &IdedExpr) -> Lowered {
        let (lowered, ty) = self.lower(operand)?;
        match ty {
            Type::Text | Type::Bytes | Type::List(_) | Type::Map(..) | Type::Dyn => {
                Some((Expr::Call(Function::Size, vec![lowered]), Type::Int))
            }
            _ => self.refuse(operand, "type-mismatch", format!("a {ty} has no size")),
        }
    }

    /// The pattern is compiled here, so it must be a literal.
    fn matches(&mut self, text: &IdedExpr, pattern: &IdedExpr) -> Lowered {
        let lowered = self.lower_as(text, &Type::Text, "what `matches` searches");
        let Syntax::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.refuse(
                pattern,
                "regex-not-literal",
                "the pattern of `matches` must be a literal string",
            );
        };
        match RegexBuilder::new(literal.inner()).size_limit(REGEX_SIZE).build() {
            Ok(regex) => Some((Expr::Matches(Box::new(lowered?), regex), Type::Bool)),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.refuse(pattern, "invalid-regex", "the pattern is too large")
            }
            Err(error) => {
                let message = error.to_string();
                let last = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.refuse(
                    pattern,
                    "invalid-regex",
                    format!("the pattern is not a regular expression: {last}"),
                )
            }
        }
    }
}
