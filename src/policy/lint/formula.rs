//! A condition as a formula of tests that can be reasoned about: `&&`, `||` and `!` taken apart, and each test told
//! by its subject (`request.method`) and what is asked of it (is it one of these, is it below that).

use std::cmp::Ordering;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::show::{quoted, show};
use crate::policy::cel::syntax;

/// Negations stand at the tests only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Formula {
    Constant(bool),
    Test(Test),
    All(Vec<Formula>),
    Any(Vec<Formula>),
}

/// One question about one value. The negated test asks the opposite of the same value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The expression that is tested, as `show` writes it.
    pub subject: String,
    pub question: Question,
    pub negated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Equal to one of these, sorted.
    OneOf(Vec<Constant>),
    /// The subject itself is true or false. Unlike `== true` it has no answer for another value.
    Holds,
    Less(Constant),
    LessOrEqual(Constant),
    Greater(Constant),
    GreaterOrEqual(Constant),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
}

/// A constant that equality and order are understood of.
#[derive(Clone, Debug)]
pub enum Constant {
    Null,
    Bool(bool),
    /// Exact: whole numbers beyond 2^53 are not taken for constants.
    Number(f64),
    Text(String),
}

impl Formula {
    /// A condition about which nothing is known but its text.
    pub fn opaque(text: &str) -> Self {
        Self::Test(Test { subject: text.to_owned(), question: Question::Holds, negated: false })
    }

    /// The formula of a condition that compiles; `None` for text that does not parse.
    pub fn parse(text: &str) -> Option<Self> {
        syntax(text).map(|root| Self::of(&root, false))
    }

    fn of(node: &IdedExpr, negated: bool) -> Self {
        if let Expr::Literal(LiteralValue::Boolean(value)) = &node.expr {
            return Self::Constant(*value.inner() != negated);
        }
        if let Expr::Call(call) = &node.expr {
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_NOT, [operand]) => return Self::of(operand, !negated),
                (operators::LOGICAL_AND, [left, right]) => {
                    return Self::joined(left, right, negated, negated);
                }
                (operators::LOGICAL_OR, [left, right]) => {
                    return Self::joined(left, right, negated, !negated);
                }
                _ => {}
            }
        }
        Self::Test(test(node, negated))
    }

    fn joined(left: &IdedExpr, right: &IdedExpr, negated: bool, any: bool) -> Self {
        let mut parts = Vec::new();
        for part in [Self::of(left, negated), Self::of(right, negated)] {
            match part {
                Self::Any(inner) if any => parts.extend(inner),
                Self::All(inner) if !any => parts.extend(inner),
                part => parts.push(part),
            }
        }
        if any { Self::Any(parts) } else { Self::All(parts) }
    }

    #[must_use]
    pub fn negate(&self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Test(test) => Self::Test(test.negate()),
            Self::All(parts) => Self::Any(parts.iter().map(Self::negate).collect()),
            Self::Any(parts) => Self::All(parts.iter().map(Self::negate).collect()),
        }
    }

    /// Whether somebody wrote `true` or `false` into it, as people do to switch a rule on or off.
    pub fn has_constant(&self) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Test(_) => false,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::has_constant),
        }
    }

    /// One text for all conditions that differ in layout, quoting, the order of `&&` and `||`, or repetition alone.
    pub fn canonical(&self) -> String {
        match self {
            Self::Constant(value) => value.to_string(),
            Self::Test(test) => test.show(),
            Self::All(parts) => Self::canonical_parts(parts, " && "),
            Self::Any(parts) => Self::canonical_parts(parts, " || "),
        }
    }

    fn canonical_parts(parts: &[Self], between: &str) -> String {
        let mut shown: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Self::All(_) | Self::Any(_) => format!("({})", part.canonical()),
                _ => part.canonical(),
            })
            .collect();
        shown.sort_unstable();
        shown.dedup();
        shown.join(between)
    }
}

fn test(node: &IdedExpr, negated: bool) -> Test {
    understood(node).map_or_else(
        || Test { subject: subject(node), question: Question::Holds, negated },
        |(subject, question, opposite)| Test { subject, question, negated: negated != opposite },
    )
}

/// Subject, question, and whether the node asks the opposite of it.
fn understood(node: &IdedExpr) -> Option<(String, Question, bool)> {
    let Expr::Call(call) = &node.expr else { return None };
    if let (Some(target), [argument]) = (&call.target, call.args.as_slice()) {
        let Some(Constant::Text(text)) = constant(argument) else { return None };
        let question = match call.func_name.as_str() {
            "startsWith" => Question::StartsWith(text),
            "endsWith" => Question::EndsWith(text),
            "contains" => Question::Contains(text),
            _ => return None,
        };
        return Some((subject(target), question, false));
    }
    let [left, right] = call.args.as_slice() else { return None };
    let name = call.func_name.as_str();
    if name == operators::IN {
        let Expr::List(list) = &right.expr else { return None };
        let constants: Option<Vec<_>> = list.elements.iter().map(constant).collect();
        return Some((subject(left), one_of(constants?), false));
    }
    let (subject_node, limit, flipped) = match (constant(left), constant(right)) {
        (None, Some(limit)) => (left, limit, false),
        (Some(limit), None) => (right, limit, true),
        _ => return equality_of_two(name, left, right),
    };
    let subject = subject(subject_node);
    let number = matches!(limit, Constant::Number(_));
    let question = match (name, flipped) {
        (operators::EQUALS, _) => return Some((subject, one_of(vec![limit]), false)),
        (operators::NOT_EQUALS, _) => return Some((subject, one_of(vec![limit]), true)),
        (operators::LESS, false) | (operators::GREATER, true) => Question::Less(limit),
        (operators::LESS_EQUALS, false) | (operators::GREATER_EQUALS, true) => Question::LessOrEqual(limit),
        (operators::GREATER, false) | (operators::LESS, true) => Question::Greater(limit),
        (operators::GREATER_EQUALS, false) | (operators::LESS_EQUALS, true) => {
            Question::GreaterOrEqual(limit)
        }
        _ => return None,
    };
    // The order of texts is not reasoned about.
    number.then_some((subject, question, false))
}

/// `a == b` and `b == a` ask the same; `a != b` the opposite.
fn equality_of_two(name: &str, left: &IdedExpr, right: &IdedExpr) -> Option<(String, Question, bool)> {
    let opposite = match name {
        operators::EQUALS => false,
        operators::NOT_EQUALS => true,
        _ => return None,
    };
    let mut sides = [left, right].map(|side| {
        let text = show(side);
        let simple = matches!(side.expr, Expr::Ident(_) | Expr::Select(_) | Expr::Literal(_) | Expr::List(_));
        if simple { text } else { format!("({text})") }
    });
    sides.sort_unstable();
    Some((sides.join(" == "), Question::Holds, opposite))
}

fn one_of(mut constants: Vec<Constant>) -> Question {
    constants.sort();
    constants.dedup();
    Question::OneOf(constants)
}

/// The tested expression; headers are read by any case of their name.
fn subject(node: &IdedExpr) -> String {
    let Expr::Call(call) = &node.expr else { return show(node) };
    let lower = |name: String| quoted(&name.to_ascii_lowercase());
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::INDEX, [map, name]) if is_headers(map) => match constant(name) {
            Some(Constant::Text(name)) => format!("{}[{}]", show(map), lower(name)),
            _ => show(node),
        },
        (operators::IN, [name, map]) if is_headers(map) => match constant(name) {
            Some(Constant::Text(name)) => format!("{} in {}", lower(name), show(map)),
            _ => show(node),
        },
        _ => show(node),
    }
}

fn is_headers(node: &IdedExpr) -> bool {
    let Expr::Select(select) = &node.expr else { return false };
    let Expr::Ident(of) = &select.operand.expr else { return false };
    !select.test && select.field == "headers" && (of == "request" || of == "response")
}

fn constant(node: &IdedExpr) -> Option<Constant> {
    let Expr::Literal(value) = &node.expr else { return None };
    #[expect(clippy::cast_precision_loss, reason = "whole numbers that a double can't hold are left out")]
    match value {
        LiteralValue::Null => Some(Constant::Null),
        LiteralValue::Boolean(value) => Some(Constant::Bool(*value.inner())),
        LiteralValue::Int(value) => {
            let exact = value.inner().unsigned_abs() <= 1 << 53;
            exact.then_some(Constant::Number(*value.inner() as f64))
        }
        LiteralValue::UInt(value) => {
            (*value.inner() <= 1 << 53).then_some(Constant::Number(*value.inner() as f64))
        }
        LiteralValue::Double(value) => {
            Some(Constant::Number(*value.inner())).filter(|_| !value.inner().is_nan())
        }
        LiteralValue::String(value) => Some(Constant::Text(value.inner().to_owned())),
        LiteralValue::Bytes(_) => None,
    }
}

impl Test {
    #[must_use]
    pub fn negate(&self) -> Self {
        Self { negated: !self.negated, ..self.clone() }
    }

    /// As CEL text.
    pub fn show(&self) -> String {
        let Self { subject, question, negated } = self;
        let not = if *negated { "!" } else { "" };
        let text = |name: &str, text: &str| format!("{not}{subject}.{name}({})", quoted(text));
        let order = |symbol: &str, limit: &Constant| match negated {
            true => format!("!({subject} {symbol} {})", limit.show()),
            false => format!("{subject} {symbol} {}", limit.show()),
        };
        match question {
            Question::Holds if *negated && subject.contains(' ') => format!("!({subject})"),
            Question::Holds => format!("{not}{subject}"),
            Question::OneOf(constants) => match constants.as_slice() {
                [constant] if *negated => format!("{subject} != {}", constant.show()),
                [constant] => format!("{subject} == {}", constant.show()),
                constants => {
                    let listed = constants.iter().map(Constant::show).collect::<Vec<_>>().join(", ");
                    if *negated {
                        format!("!({subject} in [{listed}])")
                    } else {
                        format!("{subject} in [{listed}]")
                    }
                }
            },
            Question::Less(limit) => order("<", limit),
            Question::LessOrEqual(limit) => order("<=", limit),
            Question::Greater(limit) => order(">", limit),
            Question::GreaterOrEqual(limit) => order(">=", limit),
            Question::StartsWith(part) => text("startsWith", part),
            Question::EndsWith(part) => text("endsWith", part),
            Question::Contains(part) => text("contains", part),
        }
    }
}

impl Constant {
    pub fn show(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => quoted(text),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
        }
    }
}

impl Ord for Constant {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Constant {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Constant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_that_say_the_same_have_one_text() {
        let canonical = |text: &str| Formula::parse(text).unwrap().canonical();
        for (a, b) in [
            ("a == 'x'&&b", "b && \"x\" == a"),
            ("a && (b && a)", "b && a"),
            ("!(a == 1 || b)", "a != 1 && !b"),
            ("x in ['b', 'a', 'b']", "x in ['a', 'b']"),
            ("5 < x", "x > 5"),
            ("request.headers['X-A'] == 'b'", "request.headers[\"x-a\"] == 'b'"),
            ("a == b", "b == a"),
            ("!!a", "a"),
        ] {
            assert_eq!(canonical(a), canonical(b));
        }
        for (a, b) in [
            ("a && b", "a || b"),
            ("a && (b || c)", "(a && b) || c"),
            ("x == '1'", "x == 1"),
            ("!x", "x != true"),
            ("identity.claims.headers['A'] == 'b'", "identity.claims.headers['a'] == 'b'"),
        ] {
            assert_ne!(canonical(a), canonical(b));
        }
    }
}
