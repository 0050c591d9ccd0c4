//! Functions and methods: the one list of them, with the types they take.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr, LiteralValue};

use super::{Lowered, Lowering, Mistake, macros};
use crate::diagnostic::closest;
use crate::policy::cel::expression::{Expr, Function, Literal, Zone};
use crate::policy::cel::pattern::Pattern;
use crate::policy::cel::time;
use crate::policy::cel::types::Type;

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
            Type::Ip,
            Type::Cidr,
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
        let name = call.func_name.strip_prefix('.').unwrap_or(&call.func_name);
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("size", Some(operand), []) | ("size", None, [operand]) => self.size(operand),
            ("size", ..) => {
                self.refuse(node, "wrong-arguments", "`size` takes one value: `size(x)` or `x.size()`")
            }
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
            ("or", Some(operand), [other]) => self.or_else(operand, other, false),
            ("orValue", Some(operand), [other]) => self.or_else(operand, other, true),
            (_, Some(target), arguments) => match self.library_function(target, name) {
                Some(name) => self.of_library(node, &name, arguments),
                None => self.method(node, call, target, arguments),
            },
            (_, None, arguments) => {
                let nodes: Vec<_> = arguments.iter().collect();
                match (self.builtin(node, name, false, &nodes), arguments) {
                    (Some(lowered), _) => lowered,
                    (None, [first, rest @ ..]) => self.listed(node, FUNCTIONS, name, first, rest),
                    (None, []) => self.unknown(node, FUNCTIONS, name),
                }
            }
        }
    }

    /// A function with a namespace.
    fn of_library(&mut self, node: &IdedExpr, name: &str, arguments: &[IdedExpr]) -> Lowered {
        if let ("cel.bind", [variable, value, body]) = (name, arguments) {
            return self.bind(variable, value, body);
        }
        let nodes: Vec<_> = arguments.iter().collect();
        self.builtin(node, name, false, &nodes).unwrap_or_else(|| self.unknown(node, FUNCTIONS, name))
    }

    fn method(
        &mut self,
        node: &IdedExpr,
        call: &CallExpr,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Lowered {
        if let Some(lowered) = self.method_macro(node, call) {
            return lowered;
        }
        let name = call.func_name.as_str();
        let nodes: Vec<_> = std::iter::once(target).chain(arguments).collect();
        if let Some(lowered) = self.builtin(node, name, true, &nodes) {
            return lowered;
        }
        match (METHODS.iter().find(|known| known.0 == name), arguments) {
            (Some((_, function, [Type::Timestamp, ..], ..)), [zone]) => self.in_zone(*function, target, zone),
            _ => self.listed(node, METHODS, name, target, arguments),
        }
    }

    /// A getter of a timestamp with a time zone, which is looked up here, so it must be a literal.
    fn in_zone(&mut self, function: Function, target: &IdedExpr, zone: &IdedExpr) -> Lowered {
        let operand = self.lower_as(target, &Type::Timestamp, "what has a time zone");
        let Syntax::Literal(LiteralValue::String(name)) = &zone.expr else {
            return self.refuse(zone, "zone-not-literal", "the time zone must be a literal string");
        };
        let Some(zone) = time::parse_zone(name.inner()) else {
            let message = format!("unknown time zone `{}`", name.inner());
            let mistake = Mistake::new(self.at(zone), "invalid-literal", message);
            self.mistakes.push(
                mistake.help("write an IANA name, as in `Europe/Berlin`, or an offset, as in `+02:00`"),
            );
            return None;
        };
        Some((Expr::InZone(function, Zone(zone), Box::new(operand?)), Type::Int))
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
            let plural = if rest_types.len() == 1 { "" } else { "s" };
            let message =
                format!("`{name}` takes {} argument{plural} here, not {}", rest_types.len(), rest.len());
            return self.refuse(node, "wrong-arguments", message);
        }
        let lowered = self.lower(first);
        let rest: Vec<_> =
            rest.iter().zip(*rest_types).map(|(node, ty)| self.lower_as(node, ty, "the argument")).collect();
        let (target, ty) = lowered?;
        if !first_types.iter().any(|known| ty.fits(known)) {
            return self.cannot_take(first, name, &ty);
        }
        if let Expr::Literal(Literal::Text(text)) = &target
            && matches!(function, Function::ToTimestamp | Function::ToDuration)
        {
            return self.literal_time(first, *function, text);
        }
        let arguments: Option<Vec<_>> = std::iter::once(Some(target)).chain(rest).collect();
        Some((Expr::Call(*function, arguments?), result.clone()))
    }

    fn cannot_take<T>(&mut self, node: &IdedExpr, name: &str, ty: &Type) -> Option<T> {
        let mistake = Mistake::new(self.at(node), "type-mismatch", format!("`{name}` can't take {ty:#}"));
        self.mistakes.push(match (name, ty) {
            ("string", Type::List(_)) => {
                mistake.help("join its elements, as in `x.join(', ')`, or use `'%s'.format([x])`")
            }
            ("string", Type::Map(..)) => mistake.help("read one of its entries, or use `'%s'.format([x])`"),
            _ => mistake,
        });
        None
    }

    /// A literal timestamp or duration is parsed here, once.
    fn literal_time(&mut self, node: &IdedExpr, function: Function, text: &str) -> Lowered {
        let (parsed, help) = if function == Function::ToTimestamp {
            let parsed = time::parse_timestamp(text).map(|at| (Literal::Timestamp(at), Type::Timestamp));
            (parsed, "write it as RFC 3339 has it, as in `2026-11-21T07:30:00Z`")
        } else {
            let parsed = time::parse_duration(text).map(|span| (Literal::Duration(span), Type::Duration));
            (parsed, "write it with units, as in `1h30m` or `250ms`")
        };
        let Some((literal, ty)) = parsed else {
            let message = format!("`{text}` is not a {}", function.name());
            self.mistakes.push(Mistake::new(self.at(node), "invalid-literal", message).help(help));
            return None;
        };
        Some((Expr::Literal(literal), ty))
    }

    fn unknown(&mut self, node: &IdedExpr, list: &[Signature], name: &str) -> Lowered {
        let method = std::ptr::eq(list, METHODS);
        let core = list.iter().map(|known| known.0).chain(["size", "matches"]);
        let macros =
            macros::names().filter(|_| method).chain(["or", "orValue"].into_iter().filter(|_| method));
        let meant = closest(name, core.chain(macros)).or_else(|| Self::closest_builtin(name, method));
        let mistake = Mistake::new(self.at(node), "unknown-function", format!("unknown function `{name}`"));
        let exists_as = |other: bool| {
            let known = if other { METHODS } else { FUNCTIONS };
            known.iter().any(|known| known.0 == name)
                || crate::policy::cel::function::builtin::named(name, other).next().is_some()
        };
        self.mistakes.push(match meant {
            _ if name == "not" => mistake.help("write `!`, as in `!(a in b)`"),
            _ if !method && exists_as(true) => mistake.help(format!("it is a method: `x.{name}(..)`")),
            _ if method && exists_as(false) => mistake.help(format!("it is a function: `{name}(x)`")),
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
            _ => self.refuse(operand, "type-mismatch", format!("{ty:#} has no size")),
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
        match Pattern::compile(literal.inner(), &mut self.patterns) {
            Ok(compiled) => Some((Expr::Matches(Box::new(lowered?), Arc::new(compiled)), Type::Bool)),
            Err(problem) => self.refuse(pattern, "invalid-regex", problem),
        }
    }
}

/// The functions and methods of the core language, and the macros; and whether each is written as a method.
#[cfg(test)]
pub fn function_names() -> impl Iterator<Item = (&'static str, bool)> {
    let methods = METHODS.iter().map(|known| known.0).chain(["size", "matches", "or", "orValue"]);
    let functions = FUNCTIONS.iter().map(|known| known.0).chain(["size", "type", "dyn", "has", "cel.bind"]);
    methods.chain(macros::names()).map(|name| (name, true)).chain(functions.map(|name| (name, false)))
}
