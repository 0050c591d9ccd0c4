//! Evaluates a lowered expression. Every node costs a step, every element and every 32 bytes of text another;
//! when the budget is spent the expression has no value.

use jiff::tz::TimeZone;
use smallvec::SmallVec;

use super::EvaluationError;
use super::budget::{Budget, CONVERSION};
use super::expression::{Expr, Function, Operator};
use super::function::builtin;
use super::pattern::Searches;
use super::scope::Scope;
use super::time;
use super::value::{ELEMENT_BYTES, Value};

mod fold;
mod optional;
mod truth;

pub struct Evaluation<'s> {
    scope: &'s Scope<'s>,
    budget: Budget,
    locals: Vec<Value<'s>>,
    /// Those with each pattern so far.
    searches: SmallVec<[Searches<'s>; 1]>,
}

type Evaluated<'s> = Result<Value<'s>, EvaluationError>;
/// Boxed where results are small: an error then takes no more room than they do.
type Failed = Box<EvaluationError>;

impl<'s> Evaluation<'s> {
    pub fn new(scope: &'s Scope<'s>) -> Self {
        Self { scope, budget: Budget::new(), locals: Vec::new(), searches: SmallVec::new() }
    }

    pub fn value(&mut self, expr: &'s Expr) -> Evaluated<'s> {
        self.spend(1)?;
        match expr {
            Expr::Literal(literal) => Ok(literal.into()),
            Expr::Attribute(attribute) => {
                self.spend(self.scope.read_cost(*attribute))?;
                self.scope.attribute(*attribute)
            }
            Expr::Header { response, name } => {
                let header = self.header(*response, name).map_err(|error| *error)?;
                header.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
            Expr::Local(index) => {
                let local = self.locals.get(*index);
                let local = local.ok_or_else(|| EvaluationError::Absent("variable".into()))?;
                self.budget.allocate(local.owned_bytes())?;
                Ok(local.clone())
            }
            Expr::Field { operand, name } => {
                let operand = self.value(operand)?;
                self.field(&operand, name)?.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
            Expr::Index(both) => self.index(&both.0, &both.1),
            Expr::List(items) => {
                self.budget.allocate(items.len().saturating_mul(ELEMENT_BYTES))?;
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(items?.into()))
            }
            Expr::Map(entries) => self.map(entries),
            Expr::Negate(operand) => self.value(operand)?.negate(),
            Expr::Conditional(parts) => {
                let (test, yes, no) = &**parts;
                if self.boolean(test, "?")? { self.value(yes) } else { self.value(no) }
            }
            Expr::Binary(operator, both) => self.binary(*operator, &both.0, &both.1),
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Fold(fold) => self.fold(fold),
            Expr::Builtin(builtin, arguments) => {
                let arguments: Result<Vec<_>, _> = arguments.iter().map(|item| self.value(item)).collect();
                let arguments = arguments?;
                self.spend_on(&arguments)?;
                self.spend(builtin::CALL)?;
                (builtin.apply)(&arguments, &mut self.budget)
            }
            Expr::InZone(function, zone, at) => self.in_zone(*function, &zone.0, at),
            Expr::Bind(both) => self.bind(&both.0, &both.1),
            Expr::SelectOptional(..)
            | Expr::IndexOptional(_)
            | Expr::OrElse { .. }
            | Expr::MapOptional { .. }
            | Expr::OptionalList(_)
            | Expr::OptionalMap(_) => self.optional(expr),
            Expr::Json(path) => self.json(path).map(Value::from).map_err(|error| *error),
            _ => self.test(expr).map(Value::Bool).map_err(|error| *error),
        }
    }

    #[inline]
    fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        self.budget.spend(steps)
    }

    /// Pays for going over values once.
    fn spend_on(&mut self, values: &[Value<'s>]) -> Result<(), EvaluationError> {
        values.iter().try_for_each(|value| self.spend(value.weight(self.budget.steps_left())))
    }

    // Apart, so that the room for its arguments is taken only when there are some.
    #[inline(never)]
    fn call(&mut self, function: Function, arguments: &'s [Expr]) -> Evaluated<'s> {
        let arguments: Result<SmallVec<[_; 3]>, _> = arguments.iter().map(|item| self.value(item)).collect();
        let arguments = arguments?;
        self.spend_on(&arguments)?;
        self.spend(function.cost(&arguments))?;
        if function.copies() {
            self.budget.allocate(arguments.iter().map(Value::footprint).sum())?;
        }
        function.apply(&arguments)
    }

    fn in_zone(&mut self, function: Function, zone: &TimeZone, at: &'s Expr) -> Evaluated<'s> {
        match self.value(at)? {
            Value::Timestamp(at) => {
                self.spend(CONVERSION)?;
                time::in_zone(function, at, zone.clone())
                    .ok_or_else(|| EvaluationError::OutOfRange(function.name()))
            }
            other => Err(EvaluationError::overload(function.name(), &[&other])),
        }
    }

    /// `cel.bind`: the value is evaluated once, before the expression that reads it.
    fn bind(&mut self, value: &'s Expr, body: &'s Expr) -> Evaluated<'s> {
        let value = self.value(value)?;
        self.locals.push(value);
        let answer = self.value(body);
        self.locals.pop();
        answer
    }

    /// The entry of a map whose key is text.
    fn field(&mut self, operand: &Value<'s>, name: &str) -> Result<Option<Value<'s>>, EvaluationError> {
        self.spend(operand.field_cost(name))?;
        let found = operand.field(name)?;
        self.budget.allocate(found.as_ref().map_or(0, Value::owned_bytes))?;
        Ok(found)
    }

    fn index(&mut self, operand: &'s Expr, index: &'s Expr) -> Evaluated<'s> {
        let (operand, index) = (self.value(operand)?, self.value(index)?);
        let found = self.element(&operand, &index)?;
        found.ok_or_else(|| match operand.list_len() {
            Some(_) => EvaluationError::NoIndex(index.shown()),
            None => EvaluationError::NoKey(index.shown()),
        })
    }

    /// The element of a list or the entry of a map; `None` when there is none.
    fn element(
        &mut self,
        operand: &Value<'s>,
        index: &Value<'s>,
    ) -> Result<Option<Value<'s>>, EvaluationError> {
        let found = if operand.list_len().is_none() {
            self.spend(operand.lookup_cost(index, self.budget.steps_left()))?;
            operand.entry(index)?
        } else {
            let at = match index {
                Value::Int(at) => usize::try_from(*at).ok(),
                Value::Uint(at) => usize::try_from(*at).ok(),
                Value::Double(at) => super::number::whole(*at).and_then(|at| usize::try_from(at).ok()),
                _ => return Err(EvaluationError::overload("[]", &[operand, index])),
            };
            at.and_then(|at| operand.at(at))
        };
        self.budget.allocate(found.as_ref().map_or(0, Value::owned_bytes))?;
        Ok(found)
    }

    fn map(&mut self, entries: &'s [(Expr, Expr)]) -> Evaluated<'s> {
        self.budget.allocate(entries.len().saturating_mul(2 * ELEMENT_BYTES))?;
        let mut built: Vec<(Value<'s>, Value<'s>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            self.insert(&mut built, key, value)?;
        }
        Ok(Value::Map(built.into()))
    }

    /// Adds an entry to a map that is being made.
    fn insert(
        &mut self,
        built: &mut Vec<(Value<'s>, Value<'s>)>,
        key: Value<'s>,
        value: Value<'s>,
    ) -> Result<(), EvaluationError> {
        let weight = 1 + key.weight(self.budget.steps_left());
        self.spend(built.len().saturating_mul(weight))?;
        if !matches!(key, Value::Text(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_)) {
            return Err(EvaluationError::overload("{}", &[&key]));
        }
        if built.iter().any(|(known, _)| known.equals(&key)) {
            return Err(EvaluationError::RepeatedKey(key.shown()));
        }
        built.push((key, value));
        Ok(())
    }

    fn binary(&mut self, operator: Operator, left: &'s Expr, right: &'s Expr) -> Evaluated<'s> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if operator == Operator::In {
            return self.contains(&right, &left).map(Value::Bool);
        }
        self.spend(left.weight(self.budget.steps_left()))?;
        self.spend(right.weight(self.budget.steps_left()))?;
        if operator == Operator::Add {
            self.budget.allocate(left.footprint().saturating_add(right.footprint()))?;
        }
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
            self.spend(collection.lookup_cost(item, self.budget.steps_left()))?;
            return Ok(collection.entry(item)?.is_some());
        }
        let Some(len) = collection.list_len() else {
            return Err(EvaluationError::overload("in", &[item, collection]));
        };
        self.spend(collection.weight(self.budget.steps_left()).saturating_add(len))?;
        Ok((0..len).any(|index| collection.at(index).is_some_and(|value| value.equals(item))))
    }
}
