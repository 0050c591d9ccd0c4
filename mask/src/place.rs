//! Where in a document a value stands, as the rules see it: for formats that have names, but no JSON around them.
//!
//! Elements have no known places and members no siblings here, so an index means every element, and filters hold.

use std::sync::Arc;

use super::detect::Active;
use super::json::Text;
use super::plan::{Action, Plan};
use super::unmaskable::Limits;

/// How far the rules' paths have matched on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    reach: Vec<u64>,
}

impl Place {
    /// The whole document.
    pub fn root(plan: &Plan) -> Self {
        let mut reach = vec![0; plan.width()];
        plan.at_root(&mut reach);
        plan.pass_filters(&mut reach, |_| true);
        Self { reach }
    }

    /// The member of that name in the object that is here.
    pub fn member(&self, plan: &Plan, name: &[u8]) -> Self {
        let mut reach = vec![0; plan.width()];
        plan.at_member(&self.reach, name, &mut reach);
        plan.pass_filters(&mut reach, |_| true);
        Self { reach }
    }

    /// Any element of the array that is here.
    pub fn element(&self, plan: &Plan) -> Self {
        let mut reach = self.reach.clone();
        plan.at_elements(&mut reach);
        plan.pass_filters(&mut reach, |_| true);
        Self { reach }
    }

    /// The same place for a value that is no string: it counts as the document that a string would hold.
    pub fn of_structure(&self, plan: &Plan) -> Self {
        let mut reach = self.reach.clone();
        plan.pass_texts(&mut reach);
        plan.pass_filters(&mut reach, |_| true);
        Self { reach }
    }

    /// The document in a string that stands here, where rules read it as JSON.
    pub fn text(&self, plan: &Arc<Plan>, limits: Limits) -> Option<Text> {
        plan.parses(&self.reach).then(|| Text::new(plan, limits, &self.reach))
    }

    /// A value that counts as standing in both places.
    pub fn and(mut self, other: &Self) -> Self {
        self.reach.iter_mut().zip(&other.reach).for_each(|(word, more)| *word |= more);
        self
    }

    /// Whether no rule can match here or below.
    pub fn is_clear(&self, plan: &Plan) -> bool {
        self.reach.iter().all(|word| *word == 0) && self.active(plan).is_none()
    }

    /// The detectors that look into a value here, if any.
    pub fn active(&self, plan: &Plan) -> Option<Active> {
        let mut active = Active::default();
        plan.activate(&self.reach, &mut active);
        (!active.is_empty()).then_some(active)
    }

    /// What happens to the value here; the strictest rule decides.
    pub fn action<'p>(&self, plan: &'p Plan, is_leaf: bool) -> Option<&'p Action> {
        plan.action(&self.reach, is_leaf)
    }
}
