//! Evaluates a lowered expression. Every node costs a step, every element and every 64 bytes of text another;
//! when the budget is spent the expression has no value.

use std::rc::Rc;

use super::EvaluationError;
use super::expression::{Expr, Fold, FoldKind, Operator};
use super::scope::Scope;
use super::value::{self, Value};

/// Steps for one evaluation of one expression.
const BUDGET: usize = 100_000;

pub struct Evaluation<'s> {
    scope: &'s Scope<'s>,
    steps_left: usize,
    locals: Vec<Value<'s>>,
}

type Evaluated<'s> = Result<Value<'s>, EvaluationError>;

impl<'s> Evaluation<'s> {
    pub fn new(scope: &'s Scope<'s>) -> Self {
        Self { scope, steps_left: BUDGET, locals: Vec::new() }
    }

    pub fn value(&mut self, expr: &'s Expr) -> Evaluated<'s> {
        self.spend(1)?;
        match expr {
            Expr::Literal(literal) => Ok(literal.into()),
            Expr::Attribute(attribute) => self.scope.attribute(*attribute),
            Expr::Header { response, name } => {
                self.header(*response, name)?.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
            Expr::HasHeader { response, name } => Ok(Value::Bool(self.header(*response, name)?.is_some())),
            Expr::Local(index) => {
                self.locals.get(*index).cloned().ok_or_else(|| EvaluationError::Absent("variable".into()))
            }
            Expr::Field { operand, name } => {
                let operand = self.value(operand)?;
                operand.field(name)?.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
            Expr::Index(both) => self.index(&both.0, &both.1),
            Expr::HasAttribute(attribute) => self.has_attribute(*attribute),
            Expr::HasField { operand, name } => self.has_field(operand, name),
            Expr::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(items?.into()))
            }
            Expr::Map(entries) => self.map(entries),
            Expr::Not(operand) => Ok(Value::Bool(!self.boolean(operand, "!")?)),
            Expr::Negate(operand) => self.value(operand)?.negate(),
            Expr::And(both) => self.either(&both.0, &both.1, false),
            Expr::Or(both) => self.either(&both.0, &both.1, true),
            Expr::Conditional(parts) => {
                let (test, yes, no) = &**parts;
                if self.boolean(test, "?")? { self.value(yes) } else { self.value(no) }
            }
            Expr::Binary(operator, both) => self.binary(*operator, &both.0, &both.1),
            Expr::InLiterals(operand, literals) => {
                let operand = self.value(operand)?;
                self.spend(literals.len())?;
                Ok(Value::Bool(literals.iter().any(|literal| operand.equals(&literal.into()))))
            }
            Expr::Matches(operand, regex) => match self.value(operand)? {
                Value::Text(text) => {
                    self.spend(text.len() / 8)?;
                    Ok(Value::Bool(regex.is_match(&text)))
                }
                other => Err(EvaluationError::overload("matches", &[&other])),
            },
            Expr::Call(function, arguments) => {
                let arguments: Result<Vec<_>, _> = arguments.iter().map(|item| self.value(item)).collect();
                let arguments = arguments?;
                let bytes: usize = arguments.iter().map(Value::weight).sum();
                self.spend(bytes)?;
                function.apply(&arguments)
            }
            Expr::Fold(fold) => self.fold(fold),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(EvaluationError::BudgetSpent)
            }
        }
    }

    fn boolean(&mut self, expr: &'s Expr, operation: &'static str) -> Result<bool, EvaluationError> {
        match self.value(expr)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvaluationError::overload(operation, &[&other])),
        }
    }

    /// `&&` (decided by `false`) and `||` (decided by `true`): a deciding side wins over the other side's error.
    fn either(&mut self, left: &'s Expr, right: &'s Expr, deciding: bool) -> Evaluated<'s> {
        let operation = if deciding { "||" } else { "&&" };
        let left = self.boolean(left, operation);
        if left == Ok(deciding) {
            return Ok(Value::Bool(deciding));
        }
        let right = self.boolean(right, operation)?;
        if right == deciding { Ok(Value::Bool(deciding)) } else { left.map(Value::Bool) }
    }

    fn header(&self, response: bool, name: &str) -> Result<Option<Value<'s>>, EvaluationError> {
        let attribute = if response {
            super::attribute::Attribute::ResponseHeaders
        } else {
            super::attribute::Attribute::Headers
        };
        match self.scope.attribute(attribute)? {
            Value::Headers(headers) => value::header(headers, name),
            _ => Ok(None),
        }
    }

    /// As protobuf has it: a field is there when it is not empty. A body is there when it has bytes.
    fn has_attribute(&mut self, attribute: super::attribute::Attribute) -> Evaluated<'s> {
        let value = match self.scope.attribute(attribute) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => return Ok(Value::Bool(false)),
            Err(error) => return Err(error),
        };
        Ok(Value::Bool(match &value {
            Value::Text(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::Bool(value) => *value,
            Value::Int(n) => *n != 0,
            _ => value.list_len() != Some(0),
        }))
    }

    fn has_field(&mut self, operand: &'s Expr, name: &str) -> Evaluated<'s> {
        let operand = match self.value(operand) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => return Ok(Value::Bool(false)),
            Err(error) => return Err(error),
        };
        Ok(Value::Bool(operand.field(name)?.is_some()))
    }

    fn index(&mut self, operand: &'s Expr, index: &'s Expr) -> Evaluated<'s> {
        let (operand, index) = (self.value(operand)?, self.value(index)?);
        if operand.list_len().is_none() {
            self.spend(operand.lookup_cost())?;
            let found = operand.entry(&index)?;
            return found.ok_or_else(|| EvaluationError::NoKey(index.shown()));
        }
        let at = match &index {
            Value::Int(at) => usize::try_from(*at).ok(),
            Value::Uint(at) => usize::try_from(*at).ok(),
            Value::Double(at) => super::number::whole(*at).and_then(|at| usize::try_from(at).ok()),
            _ => return Err(EvaluationError::overload("[]", &[&operand, &index])),
        };
        at.and_then(|at| operand.at(at)).ok_or_else(|| EvaluationError::NoIndex(index.shown()))
    }

    fn map(&mut self, entries: &'s [(Expr, Expr)]) -> Evaluated<'s> {
        let mut built: Vec<(Value<'s>, Value<'s>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            self.spend(built.len())?;
            if built.iter().any(|(known, _)| known.equals(&key)) {
                return Err(EvaluationError::RepeatedKey(key.shown()));
            }
            built.push((key, value));
        }
        Ok(Value::Map(built.into()))
    }

    fn binary(&mut self, operator: Operator, left: &'s Expr, right: &'s Expr) -> Evaluated<'s> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if operator == Operator::In {
            return self.contains(&right, &left).map(Value::Bool);
        }
        self.spend(left.weight() + right.weight())?;
        Ok(match operator {
            Operator::Equal => Value::Bool(left.equals(&right)),
            Operator::NotEqual => Value::Bool(!left.equals(&right)),
            Operator::Less => Value::Bool(left.order(&right, "<")?.is_some_and(std::cmp::Ordering::is_lt)),
            Operator::LessOrEqual => {
                Value::Bool(left.order(&right, "<=")?.is_some_and(std::cmp::Ordering::is_le))
            }
            Operator::Greater => Value::Bool(left.order(&right, ">")?.is_some_and(std::cmp::Ordering::is_gt)),
            Operator::GreaterOrEqual => {
                Value::Bool(left.order(&right, ">=")?.is_some_and(std::cmp::Ordering::is_ge))
            }
            _ => return left.arithmetic(operator, &right),
        })
    }

    fn contains(&mut self, collection: &Value<'s>, item: &Value<'s>) -> Result<bool, EvaluationError> {
        if collection.is_map() {
            self.spend(collection.lookup_cost())?;
            return Ok(collection.entry(item)?.is_some());
        }
        let Some(len) = collection.list_len() else {
            return Err(EvaluationError::overload("in", &[item, collection]));
        };
        self.spend(collection.weight() + len)?;
        Ok((0..len).any(|index| collection.at(index).is_some_and(|value| value.equals(item))))
    }

    fn fold(&mut self, fold: &'s Fold) -> Evaluated<'s> {
        let range = self.value(&fold.range)?;
        let range = match range.keys() {
            Some(keys) => {
                self.spend(keys.len())?;
                Value::List(Rc::from(keys))
            }
            None => range,
        };
        let Some(len) = range.list_len() else { return Err(EvaluationError::overload("macro", &[&range])) };
        match fold.kind {
            FoldKind::All => self.quantify(fold, &range, len, false),
            FoldKind::Exists => self.quantify(fold, &range, len, true),
            FoldKind::ExistsOne => Ok(Value::Bool(self.select(fold, &range, len)?.len() == 1)),
            FoldKind::Filter | FoldKind::Map => Ok(Value::List(self.select(fold, &range, len)?.into())),
        }
    }

    /// `all` (decided by `false`) and `exists` (decided by `true`), which wins over other elements' errors.
    fn quantify(&mut self, fold: &'s Fold, range: &Value<'s>, len: usize, deciding: bool) -> Evaluated<'s> {
        let mut failed = None;
        for index in 0..len {
            match self.with_element(range, index, |this| this.condition(fold)) {
                Ok(holds) if holds == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(EvaluationError::BudgetSpent) => return Err(EvaluationError::BudgetSpent),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    /// The elements that meet the condition, or what `map` makes of them.
    fn select(
        &mut self,
        fold: &'s Fold,
        range: &Value<'s>,
        len: usize,
    ) -> Result<Vec<Value<'s>>, EvaluationError> {
        let mut selected = Vec::new();
        for index in 0..len {
            let made = self.with_element(range, index, |this| {
                if !this.condition(fold)? {
                    return Ok(None);
                }
                match &fold.result {
                    Some(result) => this.value(result).map(Some),
                    None => Ok(range.at(index)),
                }
            })?;
            selected.extend(made);
        }
        Ok(selected)
    }

    fn with_element<T>(
        &mut self,
        range: &Value<'s>,
        index: usize,
        ask: impl FnOnce(&mut Self) -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        self.spend(1)?;
        self.locals.push(range.at(index).unwrap_or(Value::Null));
        let answer = ask(self);
        self.locals.pop();
        answer
    }

    fn condition(&mut self, fold: &'s Fold) -> Result<bool, EvaluationError> {
        match &fold.condition {
            Some(condition) => self.boolean(condition, "macro"),
            None => Ok(true),
        }
    }
}
