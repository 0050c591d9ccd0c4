//! Optional selection: `a.?b`, `a[?b]`, and selection from optionals.

use cel::common::ast::{Expr as Syntax, IdedExpr, LiteralValue};

use super::{Lowered, Lowering};
use crate::policy::cel::expression::Expr;
use crate::policy::cel::function::builtin;
use crate::policy::cel::types::Type;

/// `operand.field` of an optional, or `has(operand.field)`.
pub(super) fn selected(operand: Expr, field: &str, value: Type, test: bool) -> (Expr, Type) {
    let selected = Expr::SelectOptional(Box::new(operand), field.to_owned());
    match builtin::named("hasValue", true).next() {
        Some(has_value) if test => (Expr::Builtin(has_value, vec![selected]), Type::Bool),
        _ => (selected, Type::optional(value)),
    }
}

/// `value` as an optional, when `test` holds.
fn present_if(test: Expr, value: Expr, ty: Type) -> Lowered {
    let (some, none) =
        (builtin::named("optional.of", false).next()?, builtin::named("optional.none", false).next()?);
    let parts = (test, Expr::Builtin(some, vec![value]), Expr::Builtin(none, Vec::new()));
    Some((Expr::Conditional(Box::new(parts)), Type::optional(ty)))
}

impl Lowering<'_> {
    /// `operand.?field`.
    pub(super) fn select_optional(
        &mut self,
        node: &IdedExpr,
        operand: &IdedExpr,
        field: &IdedExpr,
    ) -> Lowered {
        let Syntax::Literal(LiteralValue::String(name)) = &field.expr else { return None };
        let name = name.inner();
        if let Some(namespace) = self.namespace(operand) {
            let attribute = self.field_of(node, namespace, name)?;
            let (value, ty) = self.attribute(attribute)?;
            return present_if(Expr::HasAttribute(attribute), value, ty);
        }
        if let Some(response) = self.headers_map(operand) {
            return self.optional_header(response, name);
        }
        let (operand, ty) = self.lower(operand)?;
        self.reads.entry_of(&operand, name);
        let inside = if let Type::Optional(inside) = ty { *inside } else { ty };
        let value = self.field_type(node, &inside, name)?;
        Some(selected(operand, name, value, false))
    }

    fn optional_header(&mut self, response: bool, name: &str) -> Lowered {
        let (test, _) = self.header(response, name, true);
        let (value, ty) = self.header(response, name, false);
        present_if(test, value, ty)
    }

    /// `operand[?index]`.
    pub(super) fn index_optional(
        &mut self,
        node: &IdedExpr,
        operand: &IdedExpr,
        index: &IdedExpr,
    ) -> Lowered {
        if let (Some(response), Syntax::Literal(LiteralValue::String(name))) =
            (self.headers_map(operand), &index.expr)
        {
            return self.optional_header(response, name.inner());
        }
        let (lowered, index_lowered) = (self.lower(operand), self.lower(index));
        let ((operand, ty), (index_expr, index_type)) = (lowered?, index_lowered?);
        self.entry_by(&operand, &index_expr);
        let inside = if let Type::Optional(inside) = ty { *inside } else { ty };
        let value = self.indexed(node, &inside, index, &index_type)?;
        Some((Expr::IndexOptional(Box::new((operand, index_expr))), Type::optional(value)))
    }

    /// `operand.or(other)` and `operand.orValue(other)`.
    pub(super) fn or_else(&mut self, operand: &IdedExpr, other: &IdedExpr, unwrap: bool) -> Lowered {
        let (first, second) = (self.optional_operand(operand), self.lower(other));
        let ((first, inside), (second, second_type)) = (first?, second?);
        let wanted = if unwrap { inside.clone() } else { Type::optional(inside.clone()) };
        let both_numbers = unwrap && second_type.is_number() && wanted.is_number();
        if !second_type.fits(&wanted) && !both_numbers {
            let message = format!("the alternative must be {wanted:#}, not {second_type:#}");
            return self.refuse(other, "type-mismatch", message);
        }
        let ty = wanted.join(second_type);
        Some((Expr::OrElse { unwrap, both: Box::new((first, second)) }, ty))
    }

    /// An expression that is an optional, and the type of what it holds.
    pub(super) fn optional_operand(&mut self, node: &IdedExpr) -> Option<(Expr, Type)> {
        let (operand, ty) = self.lower(node)?;
        match ty {
            Type::Optional(inside) => Some((operand, *inside)),
            Type::Dyn => Some((operand, Type::Dyn)),
            other => self.refuse(node, "type-mismatch", format!("this must be an optional, not {other:#}")),
        }
    }
}
