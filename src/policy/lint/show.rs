//! A parsed expression as text in one style: two expressions that differ in layout alone give the same text.

use std::fmt::Write as _;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators,
};

/// How tightly an expression binds; a looser one inside a tighter one needs brackets.
const TERNARY: u8 = 0;
const RELATION: u8 = 3;
const UNARY: u8 = 6;
const MEMBER: u8 = 7;
const PRIMARY: u8 = 8;

/// The expression as CEL text.
pub fn show(node: &IdedExpr) -> String {
    shown(node).0
}

fn shown(node: &IdedExpr) -> (String, u8) {
    match &node.expr {
        Expr::Unspecified => (String::new(), PRIMARY),
        Expr::Ident(name) => (name.clone(), PRIMARY),
        Expr::Literal(value) => (literal(value), PRIMARY),
        Expr::Select(select) => {
            let text = format!("{}.{}", at_least(&select.operand, MEMBER), field_name(&select.field));
            if select.test { (format!("has({text})"), PRIMARY) } else { (text, MEMBER) }
        }
        Expr::List(items) => {
            let item = |(index, item)| {
                let optional = if items.optional_indices.contains(&index) { "?" } else { "" };
                format!("{optional}{}", show(item))
            };
            let items: Vec<_> = items.elements.iter().enumerate().map(item).collect();
            (format!("[{}]", items.join(", ")), PRIMARY)
        }
        Expr::Map(map) => (format!("{{{}}}", entries(&map.entries)), PRIMARY),
        Expr::Struct(message) => (format!("{}{{{}}}", message.type_name, entries(&message.entries)), PRIMARY),
        Expr::Call(call) => called(call),
        Expr::Comprehension(comprehension) => (folded(comprehension), MEMBER),
    }
}

fn at_least(node: &IdedExpr, level: u8) -> String {
    let (text, own) = shown(node);
    if own < level { format!("({text})") } else { text }
}

/// Backticks around what is no plain name, so that ``a.`b-c` `` and `a.b - c` differ.
fn field_name(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { name.to_owned() } else { format!("`{name}`") }
}

fn listed(items: &[IdedExpr]) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn entries(entries: &[IdedEntryExpr]) -> String {
    let entry = |entry: &IdedEntryExpr| match &entry.expr {
        EntryExpr::MapEntry(entry) => {
            let optional = if entry.optional { "?" } else { "" };
            format!("{optional}{}: {}", show(&entry.key), show(&entry.value))
        }
        EntryExpr::StructField(field) => format!("{}: {}", field.field, show(&field.value)),
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

fn called(call: &CallExpr) -> (String, u8) {
    let name = call.func_name.as_str();
    match (name, call.args.as_slice()) {
        (operators::CONDITIONAL, [test, yes, no]) => {
            let text = format!("{} ? {} : {}", at_least(test, 1), at_least(yes, 1), at_least(no, TERNARY));
            (text, TERNARY)
        }
        (operators::LOGICAL_NOT, [operand]) => (format!("!{}", at_least(operand, UNARY + 1)), UNARY),
        (operators::NEGATE, [operand]) => (format!("-{}", at_least(operand, UNARY + 1)), UNARY),
        (operators::INDEX, [operand, index]) => {
            (format!("{}[{}]", at_least(operand, MEMBER), show(index)), MEMBER)
        }
        (operators::OPT_INDEX, [operand, index]) => {
            (format!("{}[?{}]", at_least(operand, MEMBER), show(index)), MEMBER)
        }
        (operators::OPT_SELECT, [operand, field]) => {
            (format!("{}.?{}", at_least(operand, MEMBER), show(field)), MEMBER)
        }
        (_, [left, right]) if binary(name).is_some() => {
            let (symbol, level) = binary(name).unwrap_or(("", PRIMARY));
            (format!("{} {symbol} {}", at_least(left, level), at_least(right, level + 1)), level)
        }
        (_, args) => match &call.target {
            Some(target) => (format!("{}.{name}({})", at_least(target, MEMBER), listed(args)), MEMBER),
            None => (format!("{name}({})", listed(args)), PRIMARY),
        },
    }
}

fn binary(name: &str) -> Option<(&'static str, u8)> {
    Some(match name {
        operators::LOGICAL_OR => ("||", 1),
        operators::LOGICAL_AND => ("&&", 2),
        operators::EQUALS => ("==", RELATION),
        operators::NOT_EQUALS => ("!=", RELATION),
        operators::LESS => ("<", RELATION),
        operators::LESS_EQUALS => ("<=", RELATION),
        operators::GREATER => (">", RELATION),
        operators::GREATER_EQUALS => (">=", RELATION),
        operators::IN => ("in", RELATION),
        operators::ADD => ("+", 4),
        operators::SUBSTRACT => ("-", 4),
        operators::MULTIPLY => ("*", 5),
        operators::DIVIDE => ("/", 5),
        operators::MODULO => ("%", 5),
        _ => return None,
    })
}

/// A macro, written out again where its shape is known; else all its parts, so that no two different ones look alike.
fn folded(fold: &ComprehensionExpr) -> String {
    let range = at_least(&fold.iter_range, MEMBER);
    let known = fold.iter_var2.is_none().then(|| quantifier(fold)).flatten();
    match known {
        Some((name, condition)) => format!("{range}.{name}({}, {})", fold.iter_var, show(condition)),
        None => {
            let second = fold.iter_var2.as_deref().unwrap_or_default();
            let parts =
                [&fold.accu_init, &fold.loop_cond, &fold.loop_step, &fold.result].map(show).join("; ");
            format!("{range}.fold({} {second} {}: {parts})", fold.iter_var, fold.accu_var)
        }
    }
}

fn quantifier(fold: &ComprehensionExpr) -> Option<(&'static str, &IdedExpr)> {
    let Expr::Call(step) = &fold.loop_step.expr else { return None };
    let [first, condition] = step.args.as_slice() else { return None };
    let accumulates = matches!(&first.expr, Expr::Ident(name) if *name == fold.accu_var);
    match step.func_name.as_str() {
        operators::LOGICAL_AND if accumulates => Some(("all", condition)),
        operators::LOGICAL_OR if accumulates => Some(("exists", condition)),
        _ => None,
    }
}

fn literal(value: &LiteralValue) -> String {
    match value {
        LiteralValue::Null => "null".into(),
        LiteralValue::Boolean(value) => value.inner().to_string(),
        LiteralValue::Int(value) => value.inner().to_string(),
        LiteralValue::UInt(value) => format!("{}u", value.inner()),
        LiteralValue::Double(value) => format!("{:?}", value.inner()),
        LiteralValue::String(value) => quoted(value.inner()),
        LiteralValue::Bytes(value) => {
            let mut text = "b\"".to_owned();
            for byte in value.inner() {
                let _ = write!(text, "\\x{byte:02x}");
            }
            text + "\""
        }
    }
}

/// The text as a CEL string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use cel::parser::PrattParser;

    use super::*;

    #[test]
    fn what_is_shown_parses_to_the_same() {
        for text in [
            "a.b == \"x\\\"y\\n\" && (c || !d) && -(e + 1) * 2 < 3.0",
            "(a ? b : c) ? d : (e ? f : g)",
            "x in [1, 2u, -3, null, true] || {\"k\": b\"\\x00z\"}[\"k\"] == m",
            "has(a.b.c) && size(a.b) == a.b.size() && a[\"x-y\"][0].startsWith(\"p\")",
            "groups.exists(g, g in [\"a\", \"b\"]) || groups.all(g, g != \"c\")",
            "a - (b - c) == a - b - c && (a == b) == (c == d)",
        ] {
            let first = show(&PrattParser::new().parse(text).unwrap());
            let again = show(&PrattParser::new().parse(&first).unwrap_or_else(|e| panic!("{first}: {e:?}")));
            assert_eq!(first, again, "{text}");
        }
        let shown = |text| show(&PrattParser::new().parse(text).unwrap());
        assert_eq!(shown("a-(b - c)==d"), "a - (b - c) == d");
        assert_ne!(shown("l.map(x, x + 1)"), shown("l.map(x, x + 2)"));
        assert_ne!(shown("l.filter(x, x > 1)"), shown("l.exists_one(x, x > 1)"));
    }
}
