//! Frequent combinations of nodes, replaced by one node each that finds the same value without building others.
//!
//! What a combination evaluates to is not changed, nor whether it can be evaluated; which of several errors is
//! reported, and how many steps it takes, may be.

use super::attribute::Attribute;
use super::expression::{Expr, Fold, Function, JsonPath, Literal, Operator, TextSet, TextSource, TextTest};
use super::types::Type;

/// The same expression, with every combination that has a node of its own replaced.
pub fn specialise(expr: Expr) -> Expr {
    match children(expr) {
        Expr::All(all) => Expr::All(flat(all, |expr| match expr {
            Expr::All(inner) => Ok(inner),
            other => Err(other),
        })),
        Expr::Any(any) => Expr::Any(flat(any, |expr| match expr {
            Expr::Any(inner) => Ok(inner),
            other => Err(other),
        })),
        Expr::Field { operand, name } => field(*operand, name),
        Expr::Index(both) => match *both {
            (operand, Expr::Literal(Literal::Text(name))) if is_json(&operand) => field(operand, name),
            both => Expr::Index(Box::new(both)),
        },
        Expr::Binary(operator, both) => binary(operator, *both),
        Expr::InLiterals(operand, literals) => in_literals(*operand, literals),
        Expr::Call(function, arguments) => call(function, arguments),
        other => other,
    }
}

/// The node with its children specialised.
fn children(expr: Expr) -> Expr {
    let each = |items: Vec<Expr>| items.into_iter().map(specialise).collect();
    let boxed = |expr: Box<Expr>| Box::new(specialise(*expr));
    match expr {
        Expr::Field { operand, name } => Expr::Field { operand: boxed(operand), name },
        Expr::HasField { operand, name } => Expr::HasField { operand: boxed(operand), name },
        Expr::Index(both) => Expr::Index(pair(*both)),
        Expr::List(items) => Expr::List(each(items)),
        Expr::Map(entries) => {
            Expr::Map(entries.into_iter().map(|(key, value)| (specialise(key), specialise(value))).collect())
        }
        Expr::Not(operand) => Expr::Not(boxed(operand)),
        Expr::Negate(operand) => Expr::Negate(boxed(operand)),
        Expr::All(items) => Expr::All(each(items)),
        Expr::Any(items) => Expr::Any(each(items)),
        Expr::Conditional(parts) => {
            let (test, yes, no) = *parts;
            Expr::Conditional(Box::new((specialise(test), specialise(yes), specialise(no))))
        }
        Expr::Binary(operator, both) => Expr::Binary(operator, pair(*both)),
        Expr::InLiterals(operand, literals) => Expr::InLiterals(boxed(operand), literals),
        Expr::Matches(operand, pattern) => Expr::Matches(boxed(operand), pattern),
        Expr::Call(function, arguments) => Expr::Call(function, each(arguments)),
        Expr::Fold(fold) => {
            let Fold { kind, range, condition, result, pairs } = *fold;
            let (condition, result) = (condition.map(specialise), result.map(specialise));
            Expr::Fold(Box::new(Fold { kind, range: specialise(range), condition, result, pairs }))
        }
        Expr::Builtin(builtin, arguments) => Expr::Builtin(builtin, each(arguments)),
        Expr::InZone(function, zone, at) => Expr::InZone(function, zone, boxed(at)),
        Expr::Bind(both) => Expr::Bind(pair(*both)),
        Expr::OrElse { unwrap, both } => Expr::OrElse { unwrap, both: pair(*both) },
        Expr::MapOptional { flat, both } => Expr::MapOptional { flat, both: pair(*both) },
        Expr::SelectOptional(operand, name) => Expr::SelectOptional(boxed(operand), name),
        Expr::IndexOptional(both) => Expr::IndexOptional(pair(*both)),
        leaf => leaf,
    }
}

fn pair((left, right): (Expr, Expr)) -> Box<(Expr, Expr)> {
    Box::new((specialise(left), specialise(right)))
}

/// `(a && b) && c` as one list.
fn flat(items: Vec<Expr>, inner: impl Fn(Expr) -> Result<Vec<Expr>, Expr>) -> Vec<Expr> {
    let items = items.into_iter().map(inner);
    items.flat_map(|item| item.unwrap_or_else(|other| vec![other])).collect()
}

/// Whether names lead on from `expr` to fields of JSON.
fn is_json(expr: &Expr) -> bool {
    use Attribute::{Body, Claims, Input, Metadata};
    matches!(expr, Expr::Json(_) | Expr::Attribute(Body | Claims | Input | Metadata))
}

fn field(operand: Expr, name: String) -> Expr {
    match operand {
        Expr::Json(mut path) => {
            path.names.push(name);
            Expr::Json(path)
        }
        Expr::Attribute(of) if is_json(&operand) => Expr::Json(Box::new(JsonPath { of, names: vec![name] })),
        operand => Expr::Field { operand: Box::new(operand), name },
    }
}

/// The text that `expr` is whenever it is there.
fn text_source(expr: &Expr) -> Option<TextSource> {
    match expr {
        Expr::Attribute(attribute) if attribute.ty() == Type::Text => Some(TextSource::Attribute(*attribute)),
        Expr::Header { response, name } => {
            Some(TextSource::Header { response: *response, name: name.clone() })
        }
        Expr::Field { operand, name } if **operand == Expr::Attribute(Attribute::Context) => {
            Some(TextSource::Context(name.clone()))
        }
        Expr::Index(both) => match &**both {
            (Expr::Attribute(Attribute::Context), Expr::Literal(Literal::Text(name))) => {
                Some(TextSource::Context(name.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn binary(operator: Operator, both: (Expr, Expr)) -> Expr {
    match operator {
        Operator::Equal => equal(both),
        Operator::NotEqual => match equal(both) {
            Expr::Binary(_, both) => Expr::Binary(Operator::NotEqual, both),
            equal => Expr::Not(Box::new(equal)),
        },
        Operator::In => match both {
            (
                Expr::Literal(Literal::Text(text)),
                Expr::Attribute(list @ (Attribute::Groups | Attribute::Scopes)),
            ) => Expr::TextsHold(list, text),
            (Expr::Literal(Literal::Text(text)), Expr::Json(path)) => {
                Expr::JsonHolds(Box::new((*path, text)))
            }
            both => Expr::Binary(operator, Box::new(both)),
        },
        _ => Expr::Binary(operator, Box::new(both)),
    }
}

fn equal(both: (Expr, Expr)) -> Expr {
    let (value, text) = match both {
        (value, Expr::Literal(Literal::Text(text))) | (Expr::Literal(Literal::Text(text)), value) => {
            (value, text)
        }
        both => return Expr::Binary(Operator::Equal, Box::new(both)),
    };
    if let Some(source) = text_source(&value) {
        return Expr::TextIs(Box::new((source, TextTest::Equals, text)));
    }
    match value {
        Expr::Json(path) => Expr::JsonIs(Box::new((*path, text))),
        value => Expr::Binary(Operator::Equal, Box::new((value, Expr::Literal(Literal::Text(text))))),
    }
}

fn in_literals(operand: Expr, literals: Vec<Literal>) -> Expr {
    let Some(source) = text_source(&operand) else { return Expr::InLiterals(Box::new(operand), literals) };
    // What is no text is never equal to one.
    let texts = literals.into_iter().filter_map(|literal| match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    });
    Expr::TextIn(Box::new((source, TextSet::new(texts.collect()))))
}

fn call(function: Function, mut arguments: Vec<Expr>) -> Expr {
    let test = match function {
        Function::StartsWith => TextTest::StartsWith,
        Function::EndsWith => TextTest::EndsWith,
        Function::Contains => TextTest::Contains,
        _ => return Expr::Call(function, arguments),
    };
    let source = arguments.first().and_then(text_source);
    match (source, arguments.pop()) {
        (Some(source), Some(Expr::Literal(Literal::Text(text)))) => {
            Expr::TextIs(Box::new((source, test, text)))
        }
        (_, last) => {
            arguments.extend(last);
            Expr::Call(function, arguments)
        }
    }
}

#[cfg(test)]
mod tests;
