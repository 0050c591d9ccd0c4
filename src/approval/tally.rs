//! How far a request has come: who counts for what.

use super::{Approval, Choice, Requirement, Vote, quorum};

/// How far one part of one rule has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally<'a> {
    /// The approvals that count for it. Who could speak for several parts counts for one of them, and for another as soon
    /// as they are needed there.
    pub by: Vec<&'a Vote>,
    /// The rule approved by itself: nobody is needed.
    pub by_itself: bool,
}

impl Approval {
    /// Whether every rule is satisfied: by itself, or by as many different people as it asks for.
    pub fn is_satisfied(&self) -> bool {
        let met = self.by_rule().all(|(rule, first)| {
            let (_, speakers) = self.speakers(rule, first);
            self.is_by_itself(rule) || quorum::is_met(&counts(rule), &speakers)
        });
        met && !self.requires.is_empty()
    }

    /// How far each part has come, in the order of `Approval::parts`.
    pub fn tally(&self) -> Vec<Tally<'_>> {
        let mut all = Vec::new();
        for (rule, first) in self.by_rule() {
            let by_itself = self.is_by_itself(rule);
            let (votes, speakers) = self.speakers(rule, first);
            let counted = quorum::counted(&counts(rule), &speakers);
            all.extend((0..rule.all_of.len()).map(|part| {
                let by = votes.iter().zip(&counted).filter(|(_, counted)| **counted == Some(part));
                Tally { by: by.map(|(vote, _)| *vote).collect(), by_itself }
            }));
        }
        all
    }

    /// Every rule, with the number of its first part.
    fn by_rule(&self) -> impl Iterator<Item = (&Requirement, usize)> {
        self.requires.iter().scan(0, |next, rule| {
            let first = *next;
            *next += rule.all_of.len();
            Some((rule, first))
        })
    }

    fn is_by_itself(&self, rule: &Requirement) -> bool {
        self.votes.iter().any(|vote| vote.rule.as_ref() == Some(&rule.rule))
    }

    /// The approvals of people, each with the parts of this rule that they could speak for.
    fn speakers(&self, rule: &Requirement, first: usize) -> (Vec<&Vote>, Vec<Vec<usize>>) {
        let parts = first..first + rule.all_of.len();
        let approvals = self
            .votes
            .iter()
            .filter(|vote| vote.choice == Choice::Approve && vote.approves() && vote.rule.is_none());
        let own = |vote: &Vote| {
            let own = vote.speaks_for.iter().filter(|part| parts.contains(part));
            own.map(|part| part - parts.start).collect()
        };
        approvals.map(|vote| (vote, own(vote))).unzip()
    }
}

fn counts(rule: &Requirement) -> Vec<u32> {
    rule.all_of.iter().map(|part| part.count).collect()
}

#[cfg(test)]
mod tests {
    use crate::approval::testing::{approval, vote};
    use crate::effect::Approvers;

    use super::*;

    #[test]
    fn each_part_names_who_counts_for_it_and_each_rule_counts_by_itself() {
        let part = |group: &str, count| Approvers { groups: vec![group.into()], people: vec![], count };
        let by = |name: &str, speaks_for: &[usize]| Vote {
            person: Some(name.into()),
            speaks_for: speaks_for.to_vec(),
            ..vote(Choice::Approve)
        };
        let alone = Vote { rule: Some("p/c".into()), ..by("", &[]) };
        // Bob could speak for both parts of the first rule, and does for the one that Carl can't.
        let mut one = approval(vec![by("bob", &[0, 1, 2]), by("carl", &[0]), alone]);
        one.requires = vec![
            Requirement::of("p/a", vec![part("finance", 2), part("security", 1)]),
            Requirement::of("p/b", vec![part("finance", 1)]),
            Requirement::of("p/c", vec![part("legal", 1)]),
        ];
        let names =
            |tally: &Tally<'_>| tally.by.iter().map(|vote| vote.author()).collect::<Vec<_>>().join(" ");
        let tally = one.tally();
        assert_eq!(tally.iter().map(names).collect::<Vec<_>>().len(), 4);
        let shown: Vec<_> = tally.iter().map(|part| (names(part), part.by_itself)).collect();
        let counts = [&shown[0].0, &shown[1].0].map(|names| names.split_whitespace().count());
        assert_eq!(counts.iter().sum::<usize>(), 2, "nobody counts for two: {shown:?}");
        assert_eq!(shown[2], ("bob".into(), false));
        assert_eq!(shown[3], (String::new(), true));
        assert!(!one.is_satisfied());
        one.votes.push(by("dora", &[0, 1]));
        assert!(one.is_satisfied());
        let by: Vec<_> = one.tally().iter().map(|part| part.by.len()).collect();
        assert_eq!(by, [2, 1, 1, 0]);
    }
}
