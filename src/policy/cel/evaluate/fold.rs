//! Macros: one expression evaluated for each element of a list, or for each entry of a map.

use super::{Evaluated, Evaluation};
use crate::policy::cel::EvaluationError;
use crate::policy::cel::budget::ABSORBED_ERROR;
use crate::policy::cel::expression::{Fold, FoldKind};
use crate::policy::cel::function;
use crate::policy::cel::value::{ELEMENT_BYTES, Value};

/// What a macro goes through.
struct Range<'s> {
    /// The list, or the keys of the map.
    items: Value<'s>,
    /// The map, where the second variable is its value.
    map: Option<Value<'s>>,
    len: usize,
    pairs: bool,
}

impl<'s> Evaluation<'s> {
    pub(super) fn fold(&mut self, fold: &'s Fold) -> Evaluated<'s> {
        let range = self.range(fold)?;
        match fold.kind {
            FoldKind::All => self.quantify(fold, &range, false),
            FoldKind::Exists => self.quantify(fold, &range, true),
            FoldKind::ExistsOne => self.exactly_one(fold, &range),
            FoldKind::Filter | FoldKind::Map => {
                let mut selected = Vec::new();
                self.select(fold, &range, |_, _, made| {
                    selected.push(made);
                    Ok(())
                })?;
                Ok(Value::List(selected.into()))
            }
            FoldKind::TransformMap => {
                let mut entries = Vec::new();
                self.select(fold, &range, |this, index, made| {
                    this.budget.allocate(ELEMENT_BYTES)?;
                    entries.push((this.key(&range, index)?, made));
                    Ok(())
                })?;
                Ok(Value::Map(entries.into()))
            }
            FoldKind::TransformMapEntry => {
                let mut merged = Vec::new();
                self.select(fold, &range, |this, _, made| this.merge(&mut merged, &made))?;
                Ok(Value::Map(merged.into()))
            }
            FoldKind::SortBy => self.sort_by(fold, &range),
        }
    }

    fn range(&mut self, fold: &'s Fold) -> Result<Range<'s>, EvaluationError> {
        let range = self.value(&fold.range)?;
        if let Some(len) = range.map_len() {
            self.budget.allocate(len.saturating_mul(ELEMENT_BYTES))?;
            self.spend(range.keys_cost())?;
            let keys = range.keys().unwrap_or_default();
            let (len, items) = (keys.len(), Value::List(keys.into()));
            return Ok(Range { items, map: fold.pairs.then_some(range), len, pairs: fold.pairs });
        }
        let len = range.list_len().ok_or_else(|| EvaluationError::overload("macro", &[&range]))?;
        Ok(Range { items: range, map: None, len, pairs: fold.pairs })
    }

    /// `all` (decided by `false`) and `exists` (decided by `true`), which wins over other elements' errors.
    fn quantify(&mut self, fold: &'s Fold, range: &Range<'s>, deciding: bool) -> Evaluated<'s> {
        let mut failed = None;
        for index in 0..range.len {
            match self.with_element(range, index, |this| this.condition(fold)) {
                Ok(holds) if holds == deciding => return Ok(Value::Bool(deciding)),
                Ok(_) => {}
                Err(error) if error.is_exhaustion() => return Err(error),
                Err(error) => {
                    self.spend(ABSORBED_ERROR)?;
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    /// Every element is asked: an error of any is the macro's.
    fn exactly_one(&mut self, fold: &'s Fold, range: &Range<'s>) -> Evaluated<'s> {
        let mut count = 0_usize;
        for index in 0..range.len {
            count += usize::from(self.with_element(range, index, |this| this.condition(fold))?);
        }
        Ok(Value::Bool(count == 1))
    }

    /// Keeps the elements that meet the condition, or what `map` makes of them, each with its index.
    fn select(
        &mut self,
        fold: &'s Fold,
        range: &Range<'s>,
        mut keep: impl FnMut(&mut Self, usize, Value<'s>) -> Result<(), EvaluationError>,
    ) -> Result<(), EvaluationError> {
        for index in 0..range.len {
            let made = self.with_element(range, index, |this| {
                if !this.condition(fold)? {
                    return Ok(None);
                }
                match &fold.result {
                    Some(result) => this.value(result).map(Some),
                    None => Ok(range.items.at(index)),
                }
            })?;
            if let Some(made) = made {
                self.budget.allocate(ELEMENT_BYTES + made.owned_bytes())?;
                keep(self, index, made)?;
            }
        }
        Ok(())
    }

    /// What a `transformMap` keys the element by: the key of a map, the index of a list.
    fn key(&mut self, range: &Range<'s>, index: usize) -> Evaluated<'s> {
        if range.map.is_none() {
            return Ok(i64::try_from(index).map_or(Value::Null, Value::Int));
        }
        let key = range.items.at(index).unwrap_or(Value::Null);
        self.budget.allocate(key.owned_bytes())?;
        Ok(key)
    }

    /// Adds the entries of one map to another; a key that comes twice is an error.
    fn merge(
        &mut self,
        merged: &mut Vec<(Value<'s>, Value<'s>)>,
        map: &Value<'s>,
    ) -> Result<(), EvaluationError> {
        let len = map.map_len().ok_or_else(|| EvaluationError::overload("transformMapEntry", &[map]))?;
        self.budget.allocate(len.saturating_mul(3 * ELEMENT_BYTES))?;
        for key in map.keys().unwrap_or_default() {
            self.spend(map.lookup_cost(&key, self.budget.steps_left()))?;
            let value = map.entry(&key)?.unwrap_or(Value::Null);
            self.budget.allocate(key.owned_bytes() + value.owned_bytes())?;
            self.insert(merged, key, value)?;
        }
        Ok(())
    }

    fn sort_by(&mut self, fold: &'s Fold, range: &Range<'s>) -> Evaluated<'s> {
        let mut keys = Vec::new();
        self.select(fold, range, |_, _, key| {
            keys.push(key);
            Ok(())
        })?;
        let order = function::sorted_by("sortBy", &keys, &mut self.budget)?;
        let mut sorted = Vec::with_capacity(order.len());
        for index in order {
            let item = range.items.at(index).unwrap_or(Value::Null);
            self.budget.allocate(ELEMENT_BYTES + item.owned_bytes())?;
            sorted.push(item);
        }
        Ok(Value::List(sorted.into()))
    }

    /// Asks with the element as the macro's variable; with two variables, its index or key comes first.
    fn with_element<T>(
        &mut self,
        range: &Range<'s>,
        index: usize,
        ask: impl FnOnce(&mut Self) -> Result<T, EvaluationError>,
    ) -> Result<T, EvaluationError> {
        self.spend(1)?;
        let known = self.locals.len();
        if range.pairs {
            let key = self.key(range, index)?;
            self.locals.push(key);
        }
        let element = match &range.map {
            Some(map) => {
                let key = range.items.at(index).unwrap_or(Value::Null);
                self.spend(map.lookup_cost(&key, self.budget.steps_left()))?;
                map.entry(&key)
            }
            None => Ok(range.items.at(index)),
        };
        let answer = element.and_then(|element| {
            let element = element.unwrap_or(Value::Null);
            self.budget.allocate(element.owned_bytes())?;
            self.locals.push(element);
            ask(self)
        });
        self.locals.truncate(known);
        answer
    }

    fn condition(&mut self, fold: &'s Fold) -> Result<bool, EvaluationError> {
        match &fold.condition {
            Some(condition) => self.boolean(condition, "macro"),
            None => Ok(true),
        }
    }
}
