//! Nodes that are true or false. They are answered without making a value of it, and the frequent ones apart from
//! each other: each then takes only the registers and the stack that it needs, which is most of what it costs.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{Evaluation, Failed};
use crate::policy::cel::EvaluationError;
use crate::policy::cel::attribute::Attribute;
use crate::policy::cel::budget::{ABSORBED_ERROR, BYTES_PER_STEP, SEARCHED_BYTES_PER_STEP};
use crate::policy::cel::expression::{Expr, JsonPath, Literal, TextSet, TextSource, TextTest};
use crate::policy::cel::pattern::Pattern;
use crate::policy::cel::value::{self, Value};

/// Going over this many headers costs a step.
const HEADERS_PER_STEP: usize = 4;

impl<'s> Evaluation<'s> {
    /// The value of `expr`, which `operation` needs to be true or false.
    #[inline]
    pub fn truth(&mut self, expr: &'s Expr, operation: &'static str) -> Result<bool, Failed> {
        let bytes = self.budget.bytes_left();
        let answer = if expr.is_test() {
            self.spend(1)?;
            self.test(expr)
        } else {
            self.boolean_value(expr, operation)
        };
        if !answer.as_ref().is_err_and(|error| error.is_exhaustion()) {
            // A truth value holds nothing, so all that was made on the way to it is gone.
            self.budget.restore(bytes);
        }
        answer
    }

    /// The same for those who keep errors unboxed.
    pub(super) fn boolean(
        &mut self,
        expr: &'s Expr,
        operation: &'static str,
    ) -> Result<bool, EvaluationError> {
        self.truth(expr, operation).map_err(|error| *error)
    }

    #[inline(never)]
    fn boolean_value(&mut self, expr: &'s Expr, operation: &'static str) -> Result<bool, Failed> {
        match self.value(expr)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvaluationError::overload(operation, &[&other]).into()),
        }
    }

    /// The value of a node that is true or false, which costs no step by itself.
    #[inline]
    pub(super) fn test(&mut self, expr: &'s Expr) -> Result<bool, Failed> {
        match expr {
            Expr::Not(operand) => self.not(operand),
            Expr::All(all) => self.each(all, false),
            Expr::Any(any) => self.each(any, true),
            Expr::TextIs(parts) => self.text_is(&parts.0, parts.1, &parts.2),
            Expr::TextIn(parts) => self.text_in(&parts.0, &parts.1),
            Expr::TextsHold(attribute, wanted) => self.texts_hold(*attribute, wanted),
            Expr::JsonIs(parts) => self.json_is(&parts.0, &parts.1),
            Expr::JsonHolds(parts) => self.json_holds(&parts.0, &parts.1),
            _ => self.rarer_test(expr),
        }
    }

    #[inline(never)]
    fn rarer_test(&mut self, expr: &'s Expr) -> Result<bool, Failed> {
        match expr {
            Expr::HasHeader { response, name } => Ok(self.header(*response, name)?.is_some()),
            Expr::HasAttribute(attribute) => self.has_attribute(*attribute),
            Expr::HasField { operand, name } => self.has_field(operand, name),
            Expr::InLiterals(operand, literals) => self.in_literals(operand, literals),
            Expr::Matches(operand, pattern) => self.matches(operand, pattern),
            // The others are what `value` finds the values of and `test` answers: they are never asked here.
            _ => Err(EvaluationError::overload("when", &[]).into()),
        }
    }

    #[inline(never)]
    fn not(&mut self, operand: &'s Expr) -> Result<bool, Failed> {
        Ok(!self.truth(operand, "!")?)
    }

    /// `&&` (decided by `false`) and `||` (decided by `true`): a deciding side wins over the others' errors, of which
    /// the first counts.
    #[inline(never)]
    fn each(&mut self, sides: &'s [Expr], deciding: bool) -> Result<bool, Failed> {
        let operation = if deciding { "||" } else { "&&" };
        let mut failed = None;
        for side in sides {
            match self.truth(side, operation) {
                Ok(value) if value == deciding => return Ok(deciding),
                Ok(_) => {}
                Err(error) if error.is_exhaustion() => return Err(error),
                Err(error) => {
                    self.spend(ABSORBED_ERROR)?;
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(!deciding), Err)
    }

    fn in_literals(&mut self, operand: &'s Expr, literals: &'s [Literal]) -> Result<bool, Failed> {
        let operand = self.value(operand)?;
        self.spend(literals.len())?;
        Ok(literals.iter().any(|literal| operand.equals(&literal.into())))
    }

    fn matches(&mut self, operand: &'s Expr, pattern: &'s Pattern) -> Result<bool, Failed> {
        let text = match self.value(operand)? {
            Value::Text(text) => text,
            other => return Err(EvaluationError::overload("matches", &[&other]).into()),
        };
        let known = self.searches.iter().position(|searches| searches.is_of(pattern));
        let at = known.unwrap_or_else(|| {
            self.searches.push(pattern.searches());
            self.searches.len() - 1
        });
        let Some(searches) = self.searches.get_mut(at) else {
            return Err(EvaluationError::BudgetSpent.into());
        };
        Ok(searches.is_match(&text, &mut self.budget)?)
    }

    /// All headers are gone through, and copies of one are joined to a text of its own.
    pub(super) fn header(&mut self, response: bool, name: &str) -> Result<Option<Value<'s>>, Failed> {
        let headers = self.scope.headers(response)?;
        self.spend(headers.iter().count() / HEADERS_PER_STEP)?;
        let found = match value::header(headers, name) {
            Ok(found) => found,
            Err(error) => {
                // It has been read as far as it is text.
                self.spend(headers.all(name).map(<[u8]>::len).sum::<usize>() / BYTES_PER_STEP)?;
                return Err(error.into());
            }
        };
        if let Some(Value::Text(text)) = &found {
            self.spend(text.len() / BYTES_PER_STEP)?;
        }
        self.budget.allocate(found.as_ref().map_or(0, Value::owned_bytes))?;
        Ok(found)
    }

    /// As protobuf has it: a field is there when it is not empty. A body is there when it has bytes.
    fn has_attribute(&mut self, attribute: Attribute) -> Result<bool, Failed> {
        self.spend(self.scope.read_cost(attribute))?;
        let value = match self.scope.attribute(attribute) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => {
                self.spend(ABSORBED_ERROR)?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match &value {
            Value::Text(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::Bool(value) => *value,
            Value::Int(n) => *n != 0,
            _ => value.list_len() != Some(0),
        })
    }

    fn has_field(&mut self, operand: &'s Expr, name: &str) -> Result<bool, Failed> {
        let operand = match self.value(operand) {
            Ok(value) => value,
            Err(EvaluationError::Absent(_)) => {
                self.spend(ABSORBED_ERROR)?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.field(&operand, name)?.is_some())
    }

    fn text(&mut self, source: &TextSource) -> Result<Cow<'s, str>, Failed> {
        match source {
            TextSource::Attribute(attribute) => {
                self.spend(self.scope.read_cost(*attribute))?;
                self.scope.text(*attribute).ok_or_else(|| EvaluationError::Absent(attribute.name(&[])).into())
            }
            TextSource::Header { response, name } => match self.header(*response, name)? {
                Some(Value::Text(text)) => Ok(text),
                _ => Err(EvaluationError::NoKey(name.clone()).into()),
            },
            TextSource::Context(name) => {
                let text = self.scope.context(name).map(Cow::Borrowed);
                text.ok_or_else(|| EvaluationError::NoKey(name.clone()).into())
            }
        }
    }

    #[inline(never)]
    fn text_is(&mut self, source: &TextSource, test: TextTest, wanted: &str) -> Result<bool, Failed> {
        let borrowed = match source {
            TextSource::Attribute(attribute) => {
                self.spend(self.scope.read_cost(*attribute))?;
                self.scope.borrowed_text(*attribute)
            }
            _ => None,
        };
        let made;
        let text = match borrowed {
            Some(text) => text,
            None => {
                made = self.text(source)?;
                &made
            }
        };
        let searched = if test == TextTest::Contains { text.len() / SEARCHED_BYTES_PER_STEP } else { 0 };
        self.spend(text.len() / BYTES_PER_STEP + searched)?;
        Ok(match test {
            TextTest::Equals => same(text, wanted),
            TextTest::StartsWith => text.get(..wanted.len()).is_some_and(|start| same(start, wanted)),
            TextTest::EndsWith => text.ends_with(wanted),
            TextTest::Contains => text.contains(wanted),
        })
    }

    #[inline(never)]
    fn text_in(&mut self, source: &TextSource, set: &TextSet) -> Result<bool, Failed> {
        let text = self.text(source)?;
        self.spend(text.len() / BYTES_PER_STEP)?;
        Ok(set.contains(&text))
    }

    #[inline(never)]
    fn texts_hold(&mut self, attribute: Attribute, wanted: &str) -> Result<bool, Failed> {
        match self.scope.attribute(attribute)? {
            Value::Texts(texts) => {
                self.spend(texts.len())?;
                Ok(texts.iter().any(|text| same(text, wanted)))
            }
            other => Err(EvaluationError::overload("in", &[&wanted.into(), &other]).into()),
        }
    }

    #[inline(never)]
    fn json_is(&mut self, path: &'s JsonPath, wanted: &str) -> Result<bool, Failed> {
        Ok(self.json(path)?.as_str().is_some_and(|text| same(text, wanted)))
    }

    pub(super) fn json(&mut self, path: &'s JsonPath) -> Result<&'s Json, Failed> {
        self.spend(path.names.iter().map(|name| 1 + name.len() / BYTES_PER_STEP).sum())?;
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

    #[inline(never)]
    fn json_holds(&mut self, path: &'s JsonPath, wanted: &str) -> Result<bool, Failed> {
        match self.json(path)? {
            Json::Array(items) => {
                self.spend(items.len())?;
                Ok(items.iter().any(|item| item.as_str().is_some_and(|text| same(text, wanted))))
            }
            Json::Object(object) => Ok(object.contains_key(wanted)),
            other => Err(EvaluationError::overload("in", &[&wanted.into(), &other.into()]).into()),
        }
    }
}

/// Whether two texts are equal. Short ones are compared by their two ends, which may overlap: that takes less than the call
/// that compares long ones.
#[inline]
fn same(text: &str, other: &str) -> bool {
    let (a, b) = (text.as_bytes(), other.as_bytes());
    a.len() == b.len()
        && match a.len() {
            0 => true,
            1 => a.first() == b.first(),
            2..=3 => ends::<2>(a) == ends(b),
            4..=7 => ends::<4>(a) == ends(b),
            8..=16 => ends::<8>(a) == ends(b),
            _ => a == b,
        }
}

/// The first and the last bytes of a text that has so many.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> Option<([u8; N], [u8; N])> {
    Some((*text.first_chunk()?, *text.last_chunk()?))
}

/// A member of an object. Small objects are gone through: that takes less than hashing the name.
fn member<'s>(object: &'s serde_json::Map<String, Json>, name: &str) -> Result<&'s Json, Failed> {
    const GONE_THROUGH: usize = 16;
    let found = if object.len() <= GONE_THROUGH {
        object.iter().find(|(known, _)| same(known, name)).map(|(_, value)| value)
    } else {
        object.get(name)
    };
    found.ok_or_else(|| EvaluationError::NoKey(name.to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn texts_are_the_same_when_every_byte_is() {
        for len in 0..40 {
            let text = "x".repeat(len);
            assert!(same(&text, &text.clone()), "{len}");
            assert!(!same(&text, &format!("{text}x")), "{len}");
            for at in 0..len {
                let mut other = text.clone();
                other.replace_range(at..=at, "y");
                assert!(!same(&text, &other), "{len} {at}");
            }
        }
    }
}
