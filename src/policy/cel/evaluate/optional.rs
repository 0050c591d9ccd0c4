//! Optional values: selection that may find nothing, alternatives, and literals with optional parts.

use std::rc::Rc;

use super::{Evaluated, Evaluation};
use crate::policy::cel::EvaluationError;
use crate::policy::cel::budget::ABSORBED_ERROR;
use crate::policy::cel::expression::{Expr, Optional};
use crate::policy::cel::value::{ELEMENT_BYTES, Value};

impl<'s> Evaluation<'s> {
    pub(super) fn optional(&mut self, expr: &'s Expr) -> Evaluated<'s> {
        match expr {
            Expr::SelectOptional(operand, name) => self.select_optional(operand, name),
            Expr::IndexOptional(both) => self.index_optional(&both.0, &both.1),
            Expr::OrElse { unwrap, both } => self.or_else(*unwrap, &both.0, &both.1),
            Expr::MapOptional { flat, both } => self.map_optional(*flat, &both.0, &both.1),
            Expr::OptionalList(items) => self.optional_list(items),
            Expr::OptionalMap(entries) => self.optional_map(entries),
            _ => self.value(expr),
        }
    }

    fn some(&mut self, value: Option<Value<'s>>) -> Evaluated<'s> {
        self.budget.allocate(ELEMENT_BYTES)?;
        Ok(Value::Optional(value.map(Rc::new)))
    }

    /// What to select from: the value of an optional, or the value itself; `None` when there is nothing. What is
    /// not there in a call is nothing, as `has()` sees it.
    fn present(&mut self, operand: &'s Expr) -> Result<Option<Value<'s>>, EvaluationError> {
        match self.value(operand) {
            Ok(Value::Optional(None)) => Ok(None),
            Err(EvaluationError::Absent(_)) => {
                self.spend(ABSORBED_ERROR)?;
                Ok(None)
            }
            Ok(Value::Optional(Some(value))) => {
                self.budget.allocate(value.owned_bytes())?;
                Ok(Some((*value).clone()))
            }
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error),
        }
    }

    fn select_optional(&mut self, operand: &'s Expr, name: &str) -> Evaluated<'s> {
        let Some(operand) = self.present(operand)? else { return Ok(Value::Optional(None)) };
        let found = self.field(&operand, name)?;
        self.some(found)
    }

    fn index_optional(&mut self, operand: &'s Expr, index: &'s Expr) -> Evaluated<'s> {
        let Some(operand) = self.present(operand)? else { return Ok(Value::Optional(None)) };
        let index = self.value(index)?;
        let found = self.element(&operand, &index)?;
        self.some(found)
    }

    fn or_else(&mut self, unwrap: bool, first: &'s Expr, second: &'s Expr) -> Evaluated<'s> {
        let name = if unwrap { "orValue" } else { "or" };
        match self.value(first)? {
            Value::Optional(Some(value)) if unwrap => {
                self.budget.allocate(value.owned_bytes())?;
                Ok((*value).clone())
            }
            first @ Value::Optional(Some(_)) => Ok(first),
            Value::Optional(None) => match self.value(second)? {
                second @ Value::Optional(_) => Ok(second),
                second if unwrap => Ok(second),
                second => Err(EvaluationError::overload(name, &[&second])),
            },
            other => Err(EvaluationError::overload(name, &[&other])),
        }
    }

    fn map_optional(&mut self, flat: bool, operand: &'s Expr, body: &'s Expr) -> Evaluated<'s> {
        let name = if flat { "optFlatMap" } else { "optMap" };
        match self.value(operand)? {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => {
                self.budget.allocate(value.owned_bytes())?;
                self.locals.push((*value).clone());
                let made = self.value(body);
                self.locals.pop();
                match made? {
                    made if !flat => self.some(Some(made)),
                    made @ Value::Optional(_) => Ok(made),
                    made => Err(EvaluationError::overload(name, &[&made])),
                }
            }
            other => Err(EvaluationError::overload(name, &[&other])),
        }
    }

    /// A part of a literal; `None` when it is left out.
    fn part(&mut self, optional: bool, part: &'s Expr) -> Result<Option<Value<'s>>, EvaluationError> {
        match self.value(part)? {
            value if !optional => Ok(Some(value)),
            Value::Optional(None) => Ok(None),
            Value::Optional(Some(value)) => {
                self.budget.allocate(value.owned_bytes())?;
                Ok(Some((*value).clone()))
            }
            other => Err(EvaluationError::overload("?", &[&other])),
        }
    }

    fn optional_list(&mut self, items: &'s [Optional<Expr>]) -> Evaluated<'s> {
        self.budget.allocate(items.len().saturating_mul(ELEMENT_BYTES))?;
        let mut built = Vec::with_capacity(items.len());
        for item in items {
            built.extend(self.part(item.optional, &item.part)?);
        }
        Ok(Value::List(built.into()))
    }

    fn optional_map(&mut self, entries: &'s [Optional<(Expr, Expr)>]) -> Evaluated<'s> {
        self.budget.allocate(entries.len().saturating_mul(2 * ELEMENT_BYTES))?;
        let mut built: Vec<(Value<'s>, Value<'s>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.value(&entry.part.0)?;
            let Some(value) = self.part(entry.optional, &entry.part.1)? else { continue };
            self.insert(&mut built, key, value)?;
        }
        Ok(Value::Map(built.into()))
    }
}
