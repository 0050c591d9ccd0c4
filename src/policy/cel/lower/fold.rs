//! Macros: the parser expands them to loops with an accumulator; here each is recognised again, so that it runs
//! as what it is and a loop that no macro makes is refused.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Syntax, IdedExpr, LiteralValue, operators};

use super::{Lowered, Lowering};
use crate::policy::cel::expression::{Expr, Fold, FoldKind};
use crate::policy::cel::types::Type;

/// What a loop asks of each element, and what it makes of it.
struct Shape<'n> {
    kind: FoldKind,
    condition: Option<&'n IdedExpr>,
    result: Option<&'n IdedExpr>,
}

impl Lowering<'_> {
    pub(super) fn fold(&mut self, node: &IdedExpr, comprehension: &ComprehensionExpr) -> Lowered {
        let Some(shape) = shape(comprehension).filter(|_| comprehension.iter_var2.is_none()) else {
            return self.refuse(node, "unsupported-expression", "this loop is not supported");
        };
        let (range, range_type) = self.lower(&comprehension.iter_range)?;
        let element = match range_type {
            Type::Dyn => Type::Dyn,
            Type::List(element) => *element,
            Type::Map(key, _) => *key,
            other => return self.no_elements(&comprehension.iter_range, &other),
        };
        self.locals.push((comprehension.iter_var.clone(), element.clone()));
        let condition = shape
            .condition
            .map(|node| self.lower_as(node, &Type::Bool, "what the macro asks of each element"));
        let result = shape.result.map(|node| self.lower(node));
        self.locals.pop();
        let (condition, result) = (swap(condition)?, swap(result)?);
        let (result, result_type) = result.map_or((None, None), |(expr, ty)| (Some(expr), Some(ty)));
        let ty = match shape.kind {
            FoldKind::Filter => Type::list(element),
            FoldKind::Map => Type::list(result_type.unwrap_or(Type::Dyn)),
            _ => Type::Bool,
        };
        Some((Expr::Fold(Box::new(Fold { kind: shape.kind, range, condition, result, pairs: false })), ty))
    }
}

/// An absent part is fine, a part with a mistake is not.
#[expect(clippy::option_option, reason = "that is the difference it tells")]
pub(super) fn swap<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(lowered) => lowered.map(Some),
    }
}

fn shape(comprehension: &ComprehensionExpr) -> Option<Shape<'_>> {
    let accumulator = comprehension.accu_var.as_str();
    let step = call(&comprehension.loop_step)?;
    let [first, rest @ ..] = step.args.as_slice() else { return None };
    match (step.func_name.as_str(), &comprehension.accu_init.expr, rest) {
        (operators::LOGICAL_OR, _, [condition]) if is_name(first, accumulator) => {
            Some(Shape { kind: FoldKind::Exists, condition: Some(condition), result: None })
        }
        (operators::LOGICAL_AND, _, [condition]) if is_name(first, accumulator) => {
            Some(Shape { kind: FoldKind::All, condition: Some(condition), result: None })
        }
        (operators::ADD, Syntax::List(_), [_]) => {
            let result = Some(appended(step, accumulator)?);
            Some(Shape { kind: FoldKind::Map, condition: None, result })
        }
        (operators::CONDITIONAL, Syntax::Literal(LiteralValue::Int(_)), [_, _]) => {
            Some(Shape { kind: FoldKind::ExistsOne, condition: Some(first), result: None })
        }
        (operators::CONDITIONAL, Syntax::List(_), [add, _]) => {
            let result = appended(call(add)?, accumulator)?;
            let same = is_name(result, &comprehension.iter_var);
            let kind = if same { FoldKind::Filter } else { FoldKind::Map };
            Some(Shape { kind, condition: Some(first), result: (!same).then_some(result) })
        }
        _ => None,
    }
}

/// The `x` of `accumulator + [x]`.
fn appended<'n>(call: &'n CallExpr, accumulator: &str) -> Option<&'n IdedExpr> {
    let [left, right] = call.args.as_slice() else { return None };
    match &right.expr {
        Syntax::List(list) if is_name(left, accumulator) => match list.elements.as_slice() {
            [element] => Some(element),
            _ => None,
        },
        _ => None,
    }
}

fn call(node: &IdedExpr) -> Option<&CallExpr> {
    match &node.expr {
        Syntax::Call(call) => Some(call),
        _ => None,
    }
}

fn is_name(node: &IdedExpr, name: &str) -> bool {
    matches!(&node.expr, Syntax::Ident(ident) if ident == name)
}
