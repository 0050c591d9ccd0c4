//! The macros that the parser leaves as calls: those with two variables, `sortBy`, `optMap` and `cel.bind`.

use cel::common::ast::{CallExpr, Expr as Syntax, IdedExpr};

use super::{Lowered, Lowering};
use crate::policy::cel::expression::{Expr, Fold, FoldKind};
use crate::policy::cel::types::Type;

/// How each macro is written, for the message when it is not.
const FORMS: &[(&str, &str)] = &[
    ("all", "`x.all(item, condition)` or `x.all(key, value, condition)`"),
    ("exists", "`x.exists(item, condition)` or `x.exists(key, value, condition)`"),
    ("exists_one", "`x.exists_one(item, condition)`"),
    ("existsOne", "`x.existsOne(item, condition)` or `x.existsOne(key, value, condition)`"),
    ("filter", "`x.filter(item, condition)`"),
    ("map", "`x.map(item, result)` or `x.map(item, condition, result)`"),
    (
        "transformList",
        "`x.transformList(index, item, result)`, with a condition before the result if need be",
    ),
    ("transformMap", "`x.transformMap(key, value, result)`, with a condition before the result if need be"),
    (
        "transformMapEntry",
        "`x.transformMapEntry(key, value, {key: value})`, with a condition before the result if need be",
    ),
    ("sortBy", "`x.sortBy(item, key)`"),
    ("optMap", "`x.optMap(value, result)`"),
    ("optFlatMap", "`x.optFlatMap(value, result)`"),
];

/// The names of all macros that are written as methods.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|(name, _)| *name)
}

impl Lowering<'_> {
    /// `None` when `call` is no macro.
    pub(super) fn method_macro(&mut self, node: &IdedExpr, call: &CallExpr) -> Option<Lowered> {
        let target = call.target.as_deref()?;
        let kind = match call.func_name.as_str() {
            "all" => FoldKind::All,
            "exists" => FoldKind::Exists,
            "existsOne" | "exists_one" => FoldKind::ExistsOne,
            "transformList" => FoldKind::Map,
            "transformMap" => FoldKind::TransformMap,
            "transformMapEntry" => FoldKind::TransformMapEntry,
            _ => return self.one_variable_macro(node, call, target),
        };
        let asks = matches!(kind, FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne);
        Some(match call.args.as_slice() {
            [key, value, condition] if asks => self.pairs(target, kind, [key, value], Some(condition), None),
            [key, value, result] => self.pairs(target, kind, [key, value], None, Some(result)),
            [key, value, condition, result] if !asks => {
                self.pairs(target, kind, [key, value], Some(condition), Some(result))
            }
            _ => self.malformed(node, &call.func_name),
        })
    }

    fn one_variable_macro(&mut self, node: &IdedExpr, call: &CallExpr, target: &IdedExpr) -> Option<Lowered> {
        let name = call.func_name.as_str();
        FORMS.iter().find(|(known, _)| *known == name)?;
        Some(match (name, call.args.as_slice()) {
            ("sortBy", [variable, key]) => self.sort_by(target, variable, key),
            ("optMap", [variable, result]) => self.map_optional(target, variable, result, false),
            ("optFlatMap", [variable, result]) => self.map_optional(target, variable, result, true),
            _ => self.malformed(node, name),
        })
    }

    fn malformed<T>(&mut self, node: &IdedExpr, name: &str) -> Option<T> {
        let form = FORMS.iter().find(|(known, _)| *known == name).map_or("", |(_, form)| *form);
        let message = format!("`{name}` is a macro with other arguments");
        let mistake = super::Mistake::new(self.at(node), "wrong-arguments", message);
        self.mistakes.push(mistake.help(format!("write {form}")));
        None
    }

    /// The name of a macro's variable.
    pub(super) fn variable(&mut self, node: &IdedExpr) -> Option<String> {
        match &node.expr {
            Syntax::Ident(name) if !name.starts_with('.') => Some(name.clone()),
            _ => self.refuse(node, "invalid-expression", "here stands the name of the macro's variable"),
        }
    }

    fn pairs(
        &mut self,
        target: &IdedExpr,
        kind: FoldKind,
        variables: [&IdedExpr; 2],
        condition: Option<&IdedExpr>,
        result: Option<&IdedExpr>,
    ) -> Lowered {
        let [key_node, value_node] = variables;
        let (key, value) = (self.variable(key_node), self.variable(value_node));
        let (range, range_type) = self.lower(target)?;
        let (key, value) = (key?, value?);
        if key == value {
            return self.refuse(value_node, "invalid-expression", "the two variables need two names");
        }
        let (key_type, value_type) = match range_type {
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::List(element) => (Type::Int, *element),
            Type::Map(key, value) => (*key, *value),
            other => return self.no_elements(target, &other),
        };
        self.locals.push((key, key_type.clone()));
        self.locals.push((value, value_type));
        let condition = condition.map(|node| self.lower_as(node, &Type::Bool, "what the macro asks"));
        let lowered = result.map(|node| self.lower(node));
        self.locals.pop();
        self.locals.pop();
        let condition = super::fold::swap(condition)?;
        let (lowered, result_type) = match super::fold::swap(lowered)? {
            Some((expr, ty)) => (Some(expr), ty),
            None => (None, Type::Bool),
        };
        let ty = match (kind, result_type, result) {
            (FoldKind::Map, ty, _) => Type::list(ty),
            (FoldKind::TransformMap, ty, _) => Type::Map(Box::new(key_type), Box::new(ty)),
            (FoldKind::TransformMapEntry, ty @ (Type::Map(..) | Type::Dyn), _) => ty,
            (FoldKind::TransformMapEntry, other, Some(node)) => {
                let message = format!("the result must be a map, not {other:#}");
                return self.refuse(node, "type-mismatch", message);
            }
            _ => Type::Bool,
        };
        Some((Expr::Fold(Box::new(Fold { kind, range, condition, result: lowered, pairs: true })), ty))
    }

    fn sort_by(&mut self, target: &IdedExpr, variable: &IdedExpr, key: &IdedExpr) -> Lowered {
        let name = self.variable(variable);
        let (range, range_type) = self.lower(target)?;
        let element = match &range_type {
            Type::Dyn => Type::Dyn,
            Type::List(element) => (**element).clone(),
            other => return self.no_elements(target, other),
        };
        self.locals.push((name?, element));
        let lowered = self.lower(key);
        self.locals.pop();
        let (result, key_type) = lowered?;
        if !key_type.is_ordered() {
            return self.refuse(key, "type-mismatch", format!("{key_type:#} has no order to sort by"));
        }
        let kind = FoldKind::SortBy;
        Some((
            Expr::Fold(Box::new(Fold { kind, range, condition: None, result: Some(result), pairs: false })),
            range_type,
        ))
    }

    fn map_optional(
        &mut self,
        target: &IdedExpr,
        variable: &IdedExpr,
        body: &IdedExpr,
        flat: bool,
    ) -> Lowered {
        let name = self.variable(variable);
        let (operand, inside) = self.optional_operand(target)?;
        self.locals.push((name?, inside));
        let lowered = self.lower(body);
        self.locals.pop();
        let (result, ty) = lowered?;
        let ty = match ty {
            ty if !flat => Type::optional(ty),
            ty @ (Type::Optional(_) | Type::Dyn) => ty,
            other => {
                let message = format!("the result of `optFlatMap` must be an optional, not {other:#}");
                return self.refuse(body, "type-mismatch", message);
            }
        };
        Some((Expr::MapOptional { flat, both: Box::new((operand, result)) }, ty))
    }

    /// `cel.bind(variable, value, expression)`.
    pub(super) fn bind(&mut self, variable: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> Lowered {
        let name = self.variable(variable);
        let (value, ty) = self.lower(value)?;
        self.locals.push((name?, ty));
        let lowered = self.lower(body);
        self.locals.pop();
        let (body, ty) = lowered?;
        Some((Expr::Bind(Box::new((value, body))), ty))
    }

    pub(super) fn no_elements<T>(&mut self, node: &IdedExpr, ty: &Type) -> Option<T> {
        self.refuse(node, "type-mismatch", format!("{ty:#} has no elements to go through"))
    }
}
