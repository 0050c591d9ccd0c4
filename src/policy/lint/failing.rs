//! Constants inside a condition that have no value, such as `duration("5")` or `1 / 0`: whatever the call, the part that
//! holds one can't be evaluated.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::show::show;
use crate::policy::cel::{Environment, Expression, Scope, syntax};

/// The first constant without a value, and why it has none.
pub fn constant(text: &str) -> Option<(String, String)> {
    search(&syntax(text)?)
}

fn search(node: &IdedExpr) -> Option<(String, String)> {
    if is_constant(node) {
        let text = show(node);
        let expression = Expression::compile(&text, &Environment::default()).ok()?;
        let scope = Scope::empty();
        return expression.evaluate(&scope).err().map(|error| (text.clone(), error.to_string()));
    }
    children(node).into_iter().find_map(search)
}

/// Whether the node has no name in it and is more than a literal.
fn is_constant(node: &IdedExpr) -> bool {
    matches!(node.expr, Expr::Call(_)) && children(node).into_iter().all(nameless)
}

fn nameless(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Literal(_) => true,
        Expr::Call(_) | Expr::List(_) | Expr::Map(_) => children(node).into_iter().all(nameless),
        _ => false,
    }
}

fn children(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => {
            let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                EntryExpr::StructField(_) => None,
            });
            entries.flatten().collect()
        }
        Expr::Comprehension(fold) => vec![&fold.iter_range, &fold.loop_step],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_without_a_value_are_found_wherever_they_stand() {
        for text in [
            "request.size > 1 / 0",
            "request.method == 'GET' && request.size > 5 % 0",
            "identity.groups.exists(g, size(g) == int('x'))",
            "1 / 0 == 1 || request.method == 'GET'",
        ] {
            assert!(constant(text).is_some(), "{text}");
        }
        for text in
            ["request.size > 1 + 1", "request.time > timestamp('2026-01-01T00:00:00Z')", "a.b.c == []"]
        {
            assert_eq!(constant(text), None, "{text}");
        }
    }
}
