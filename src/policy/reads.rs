//! What the rules about one call read of it.

use std::collections::BTreeSet;

use super::cel::Reads;
use super::rule::HeaderTemplate;
use super::{Candidates, PolicySet, decide};

impl PolicySet {
    /// Everything that the conditions and header templates of these rules read.
    pub fn reads(&self, candidates: &Candidates) -> Reads {
        let mut reads = Reads::default();
        decide::asked(self, &candidates.0).for_each(|asked| reads.extend(&asked.rule.reads));
        reads
    }

    /// The request headers whose values, as these rules set them, differ each time that the same call is sent.
    pub fn fleeting_headers(&self, candidates: &Candidates) -> BTreeSet<String> {
        let rules = decide::asked(self, &candidates.0).map(|asked| asked.rule);
        let templates = rules.flat_map(|rule| &rule.headers.request);
        let fleeting =
            |template: &&HeaderTemplate| template.expressions().any(|expression| expression.reads.fleeting());
        templates.filter(fleeting).map(|template| template.name().to_owned()).collect()
    }

    /// Whether any policy is about a destination, a port or a context: not every source of calls knows those.
    pub fn matches_destinations(&self) -> bool {
        let asks = |entry: &super::route::Entry| {
            !(entry.destinations.is_empty() && entry.ports.is_empty() && entry.context.is_empty())
        };
        self.policies.iter().any(|policy| policy.entries.iter().any(asks))
    }
}
