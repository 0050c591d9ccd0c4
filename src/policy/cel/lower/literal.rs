//! Literals: constants, lists and maps.

use cel::common::ast::{EntryExpr, IdedExpr, LiteralValue, MapEntryExpr};

use super::{Lowered, Lowering};
use crate::policy::cel::expression::{Expr, Literal, Optional};
use crate::policy::cel::types::Type;

pub(super) fn constant(literal: &LiteralValue) -> (Expr, Type) {
    let (literal, ty) = match literal {
        LiteralValue::Null => (Literal::Null, Type::Null),
        LiteralValue::Boolean(value) => (Literal::Bool(*value.inner()), Type::Bool),
        LiteralValue::Int(value) => (Literal::Int(*value.inner()), Type::Int),
        LiteralValue::UInt(value) => (Literal::Uint(*value.inner()), Type::Uint),
        LiteralValue::Double(value) => (Literal::Double(*value.inner()), Type::Double),
        LiteralValue::String(value) => (Literal::Text(value.inner().to_owned()), Type::Text),
        LiteralValue::Bytes(value) => (Literal::Bytes(value.inner().to_vec()), Type::Bytes),
    };
    (Expr::Literal(literal), ty)
}

impl Lowering<'_> {
    /// `optional` has the indexes of the elements that were written with `?`.
    pub(super) fn list(&mut self, elements: &[IdedExpr], optional: &[usize]) -> Lowered {
        let lowered: Vec<_> =
            elements.iter().enumerate().map(|(i, item)| self.part(item, optional.contains(&i))).collect();
        let lowered: Vec<_> = lowered.into_iter().collect::<Option<_>>()?;
        let ty = lowered.iter().map(|(_, ty)| ty.clone()).reduce(Type::join).unwrap_or(Type::Dyn);
        let items = lowered.into_iter().map(|(expr, _)| expr);
        let expr = if optional.is_empty() {
            Expr::List(items.collect())
        } else {
            let with_flag = |(i, part)| Optional { optional: optional.contains(&i), part };
            Expr::OptionalList(items.enumerate().map(with_flag).collect())
        };
        Some((expr, Type::list(ty)))
    }

    /// An element of a list or the value of an entry; the type of what an optional one holds.
    fn part(&mut self, node: &IdedExpr, optional: bool) -> Lowered {
        let (part, ty) = self.lower(node)?;
        match ty {
            ty if !optional => Some((part, ty)),
            Type::Optional(inside) => Some((part, *inside)),
            Type::Dyn => Some((part, Type::Dyn)),
            other => {
                self.refuse(node, "type-mismatch", format!("after `?` stands an optional, not {other:#}"))
            }
        }
    }

    pub(super) fn map(&mut self, entries: &[&EntryExpr]) -> Lowered {
        let mut lowered = Vec::new();
        let mut complete = true;
        let (mut key_type, mut value_type) = (None, None);
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else { return None };
            match self.entry(entry) {
                Some((part, of_key, of_value)) => {
                    key_type = Some(key_type.map_or(of_key.clone(), |ty: Type| ty.join(of_key)));
                    value_type = Some(value_type.map_or(of_value.clone(), |ty: Type| ty.join(of_value)));
                    lowered.push(Optional { optional: entry.optional, part });
                }
                None => complete = false,
            }
        }
        if !complete {
            return None;
        }
        let (key, value) = (key_type.unwrap_or(Type::Dyn), value_type.unwrap_or(Type::Dyn));
        let expr = if lowered.iter().any(|entry| entry.optional) {
            Expr::OptionalMap(lowered)
        } else {
            Expr::Map(lowered.into_iter().map(|entry| entry.part).collect())
        };
        Some((expr, Type::Map(Box::new(key), Box::new(value))))
    }

    /// Key and value, and their types.
    fn entry(&mut self, entry: &MapEntryExpr) -> Option<((Expr, Expr), Type, Type)> {
        let (key, value) = (self.lower(&entry.key), self.part(&entry.value, entry.optional));
        let ((key, of_key), (value, of_value)) = (key?, value?);
        if !matches!(of_key, Type::Text | Type::Int | Type::Uint | Type::Bool | Type::Dyn) {
            let message = format!("a map's key can't be {of_key:#}");
            return self.refuse(&entry.key, "type-mismatch", message);
        }
        Some(((key, value), of_key, of_value))
    }
}
