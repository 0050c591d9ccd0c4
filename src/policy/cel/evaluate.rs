//! Evaluates a lowered expression. Every node costs a step, every element and every 64 bytes of text another;
//! when the budget is spent the expression has no value.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use serde_json::Value as Json;
use smallvec::SmallVec;

use super::EvaluationError;
use super::attribute::Attribute;
use super::budget::Budget;
use super::expression::{Expr, Function, JsonPath, Operator, TextSource, TextTest};
use super::scope::Scope;
use super::time;
use super::value::{self, ELEMENT_BYTES, Value};

mod fold;
mod optional;

pub struct Evaluation<'s> {
    scope: &'s Scope<'s>,
    budget: Budget,
    locals: Vec<Value<'s>>,
}

type Evaluated<'s> = Result<Value<'s>, EvaluationError>;

impl<'s> Evaluation<'s> {
    pub fn new(scope: &'s Scope<'s>) -> Self {
        Self { scope, budget: Budget::new(), locals: Vec::new() }
    }

    pub fn value(&mut self, expr: &'s Expr) -> Evaluated<'s> {
        self.spend(1)?;
        match expr {
            Expr::Literal(literal) => Ok(literal.into()),
            Expr::Attribute(attribute) => self.scope.attribute(*attribute),
            Expr::Header { response, name } => {
                self.header(*response, name)?.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
            Expr::Local(index) => {
                let local = self.locals.get(*index);
                let local = local.ok_or_else(|| EvaluationError::Absent("variable".into()))?;
                self.budget.allocate(local.owned_bytes())?;
                Ok(local.clone())
            }
            Expr::Field { operand, name } => {
                let operand = self.value(operand)?;
                operand.field(name)?.ok_or_else(|| EvaluationError::NoKey(name.clone()))
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
            Expr::Call(function, arguments) => {
                let arguments: Result<SmallVec<[_; 3]>, _> =
                    arguments.iter().map(|item| self.value(item)).collect();
                let arguments = arguments?;
                self.spend_on(&arguments)?;
                if function.copies() {
                    self.budget.allocate(arguments.iter().map(Value::footprint).sum())?;
                }
                function.apply(&arguments)
            }
            Expr::Fold(fold) => self.fold(fold),
            Expr::Builtin(builtin, arguments) => {
                let arguments: Result<Vec<_>, _> = arguments.iter().map(|item| self.value(item)).collect();
                let arguments = arguments?;
                self.spend_on(&arguments)?;
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
            Expr::Json(path) => self.json(path).map(Value::from),
            _ => self.test(expr).map(Value::Bool),
        }
    }

    /// The value of a node that is true or false, which costs no step by itself.
    fn test(&mut self, expr: &'s Expr) -> Result<bool, EvaluationError> {
        match expr {
            Expr::HasHeader { response, name } => Ok(self.header(*response, name)?.is_some()),
            Expr::HasAttribute(attribute) => self.has_attribute(*attribute),
            Expr::HasField { operand, name } => self.has_field(operand, name),
            Expr::Not(operand) => Ok(!self.boolean(operand, "!")?),
            Expr::All(all) => self.each(all, false),
            Expr::Any(any) => self.each(any, true),
            Expr::InLiterals(operand, literals) => {
                let operand = self.value(operand)?;
                self.spend(literals.len())?;
                Ok(literals.iter().any(|literal| operand.equals(&literal.into())))
            }
            Expr::Matches(operand, pattern) => match self.value(operand)? {
                Value::Text(text) => pattern.is_match(&text, &mut self.budget),
                other => Err(EvaluationError::overload("matches", &[&other])),
            },
            Expr::TextIs(parts) => {
                let (source, test, wanted) = &**parts;
                self.text_is(source, *test, wanted)
            }
            Expr::TextIn(parts) => {
                let text = self.text(&parts.0)?;
                Ok(parts.1.contains(&text))
            }
            Expr::TextsHold(attribute, wanted) => match self.scope.attribute(*attribute)? {
                Value::Texts(texts) => {
                    self.spend(texts.len())?;
                    Ok(texts.iter().any(|text| text == wanted))
                }
                other => Err(EvaluationError::overload("in", &[&wanted.as_str().into(), &other])),
            },
            Expr::JsonIs(parts) => Ok(self.json(&parts.0)?.as_str() == Some(parts.1.as_str())),
            Expr::JsonHolds(parts) => self.json_holds(&parts.0, &parts.1),
            // INVARIANT: these are what `value` finds the values of; they are never asked here.
            Expr::Literal(_)
            | Expr::Attribute(_)
            | Expr::Header { .. }
            | Expr::Local(_)
            | Expr::Field { .. }
            | Expr::Index(_)
            | Expr::List(_)
            | Expr::Map(_)
            | Expr::Negate(_)
            | Expr::Conditional(_)
            | Expr::Binary(..)
            | Expr::Call(..)
            | Expr::Fold(_)
            | Expr::Json(_)
            | Expr::Builtin(..)
            | Expr::InZone(..)
            | Expr::Bind(_)
            | Expr::SelectOptional(..)
            | Expr::IndexOptional(_)
            | Expr::OrElse { .. }
            | Expr::MapOptional { .. }
            | Expr::OptionalList(_)
            | Expr::OptionalMap(_) => Err(EvaluationError::overload("when", &[])),
        }
    }

    fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        self.budget.spend(steps)
    }

    /// Pays for going over values once.
    fn spend_on(&mut self, values: &[Value<'s>]) -> Result<(), EvaluationError> {
        values.iter().try_for_each(|value| self.spend(value.weight(self.budget.steps_left())))
    }

    /// The value of `expr`, which `operation` needs to be true or false.
    pub fn boolean(&mut self, expr: &'s Expr, operation: &'static str) -> Result<bool, EvaluationError> {
        let bytes = self.budget.bytes_left();
        let answer = if expr.is_test() {
            self.spend(1)?;
            self.test(expr)
        } else {
            match self.value(expr) {
                Ok(Value::Bool(value)) => Ok(value),
                Ok(other) => Err(EvaluationError::overload(operation, &[&other])),
                Err(error) => Err(error),
            }
        };
        if !answer.as_ref().is_err_and(EvaluationError::is_exhaustion) {
            // A truth value holds nothing, so all that was made on the way to it is gone.
            self.budget.restore(bytes);
        }
        answer
    }

    /// `&&` (decided by `false`) and `||` (decided by `true`): a deciding side wins over the others' errors, of which
    /// the first counts.
    fn each(&mut self, sides: &'s [Expr], deciding: bool) -> Result<bool, EvaluationError> {
        let operation = if deciding { "||" } else { "&&" };
        let mut failed = None;
        for side in sides {
            match self.boolean(side, operation) {
                Ok(value) if value == deciding => return Ok(deciding),
                Ok(_) => {}
                Err(error) if error.is_exhaustion() => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(!deciding), Err)
    }

    fn header(&self, response: bool, name: &str) -> Result<Option<Value<'s>>, EvaluationError> {
        value::header(self.scope.headers(response)?, name)
    }

    fn text(&self, source: &TextSource) -> Result<Cow<'s, str>, EvaluationError> {
        match source {
            TextSource::Attribute(attribute) => {
                self.scope.text(*attribute).ok_or_else(|| EvaluationError::Absent(attribute.name(&[])))
            }
            TextSource::Header { response, name } => match self.header(*response, name)? {
                Some(Value::Text(text)) => Ok(text),
                _ => Err(EvaluationError::NoKey(name.clone())),
            },
            TextSource::Context(name) => {
                let text = self.scope.context(name).map(Cow::Borrowed);
                text.ok_or_else(|| EvaluationError::NoKey(name.clone()))
            }
        }
    }

    fn text_is(
        &mut self,
        source: &TextSource,
        test: TextTest,
        wanted: &str,
    ) -> Result<bool, EvaluationError> {
        let text = self.text(source)?;
        Ok(match test {
            TextTest::Equals => text == wanted,
            TextTest::StartsWith => text.starts_with(wanted),
            TextTest::EndsWith => text.ends_with(wanted),
            TextTest::Contains => {
                self.spend(text.len() / 64)?;
                text.contains(wanted)
            }
        })
    }

    fn json(&self, path: &'s JsonPath) -> Result<&'s Json, EvaluationError> {
        let mut names = path.names.iter();
        let first = names.next().map_or("", String::as_str);
        let mut found = member(self.scope.object(path.of, first)?, first)?;
        for name in names {
            let not_a_map =
                || EvaluationError::NotAMap { name: name.clone(), found: Value::from(found).type_name() };
            found = member(found.as_object().ok_or_else(not_a_map)?, name)?;
        }
        Ok(found)
    }

    fn json_holds(&mut self, path: &'s JsonPath, wanted: &str) -> Result<bool, EvaluationError> {
        match self.json(path)? {
            Json::Array(items) => {
                self.spend(items.len())?;
                Ok(items.iter().any(|item| item.as_str() == Some(wanted)))
            }
            Json::Object(object) => Ok(object.contains_key(wanted)),
            other => Err(EvaluationError::overload("in", &[&wanted.into(), &other.into()])),
        }
    }

    /// As protobuf has it: a field is there when it is not empty. A body is there when it has bytes.
    fn has_attribute(&mut self, attribute: Attribute) -> Result<bool, EvaluationError> {
        let value = match self.scope.attribute(attribute) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(match &value {
            Value::Text(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::Bool(value) => *value,
            Value::Int(n) => *n != 0,
            _ => value.list_len() != Some(0),
        })
    }

    fn has_field(&mut self, operand: &'s Expr, name: &str) -> Result<bool, EvaluationError> {
        let operand = match self.value(operand) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(operand.field(name)?.is_some())
    }

    fn in_zone(&mut self, function: Function, zone: &TimeZone, at: &'s Expr) -> Evaluated<'s> {
        match self.value(at)? {
            Value::Timestamp(at) => time::in_zone(function, at, zone.clone())
                .ok_or_else(|| EvaluationError::OutOfRange(function.name())),
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

/// A member of an object. Small objects are gone through: that takes less than hashing the name.
fn member<'s>(object: &'s serde_json::Map<String, Json>, name: &str) -> Result<&'s Json, EvaluationError> {
    const GONE_THROUGH: usize = 16;
    let found = if object.len() <= GONE_THROUGH {
        object.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    } else {
        object.get(name)
    };
    found.ok_or_else(|| EvaluationError::NoKey(name.to_owned()))
}
