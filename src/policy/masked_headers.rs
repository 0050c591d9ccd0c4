//! The headers and trailers of a response that rules name, masked.

use crate::effect::HeaderChange;
use crate::mask::{HeaderPlan, Section};
use crate::request::{Header, Headers};

/// What masks do to one block of headers.
#[derive(Debug, Default)]
pub struct MaskedHeaders {
    /// A name with a masked value is removed, with all its values, and those that stay are set again: no clear one can be
    /// left beside them.
    changes: Vec<HeaderChange>,
    /// How many values were masked.
    pub taken: u64,
}

impl MaskedHeaders {
    /// Masks every value of every header that a rule of the plan is about.
    pub fn of(plan: &HeaderPlan, section: Section, headers: &Headers) -> Self {
        let mut masked = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for header in headers.iter() {
            if seen.contains(&header.name.as_str()) {
                continue;
            }
            seen.push(&header.name);
            masked.mask_name(plan, section, &header.name, headers);
        }
        masked
    }

    fn mask_name(&mut self, plan: &HeaderPlan, section: Section, name: &str, headers: &Headers) {
        let before = self.taken;
        let mut values = Vec::new();
        for value in headers.all(name) {
            match plan.mask(section, name, value) {
                Some(masked) => {
                    self.taken += masked.taken;
                    values.extend(masked.value);
                }
                None => values.push(value.to_vec()),
            }
        }
        if self.taken == before {
            return;
        }
        self.changes.push(HeaderChange::Remove { name: name.to_owned() });
        for (place, value) in values.into_iter().enumerate() {
            // What a rule has looked into is UTF-8, and what takes its place too.
            let (name, value) = (name.to_owned(), String::from_utf8_lossy(&value).into_owned());
            self.changes.push(match place {
                0 => HeaderChange::Set { name, value },
                _ => HeaderChange::Append { name, value },
            });
        }
    }

    /// The headers as they are now.
    pub fn applied(&self, headers: &Headers) -> Headers {
        let changed = |name: &str| self.changes.iter().any(|change| change.name() == name);
        let kept = headers.iter().filter(|header| !changed(&header.name)).cloned();
        let masked = self.changes.iter().filter_map(|change| match change {
            HeaderChange::Set { name, value } | HeaderChange::Append { name, value } => {
                Some(Header::new(name, value.as_str()))
            }
            HeaderChange::Remove { .. } => None,
        });
        kept.chain(masked).collect()
    }

    /// The changes, less what `others`, which are made after them, set or remove: Envoy removes before it sets, so that
    /// a masked value would come back.
    pub fn before<'c>(self, others: impl Iterator<Item = &'c HeaderChange> + Clone) -> Vec<HeaderChange> {
        let replaced = |name: &str| {
            let mut others = others.clone().filter(|other| !matches!(other, HeaderChange::Append { .. }));
            others.any(|other| other.name() == name)
        };
        let stays =
            |change: &HeaderChange| matches!(change, HeaderChange::Remove { .. }) || !replaced(change.name());
        self.changes.into_iter().filter(stays).collect()
    }
}

/// What the block of headers at the beginning of a response is. That of a gRPC answer without messages has its trailers
/// too, and so has every block that says how a call of gRPC ended.
pub fn section(headers: &Headers, has_body: bool) -> Section {
    if headers.says_how_grpc_ended() || headers.is_grpc() && !has_body {
        Section::Both
    } else {
        Section::Headers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mask::{HashKey, HeaderNames, Method, Part, Rule};

    fn plan(rules: &[(&str, Method)]) -> HeaderPlan {
        let rule = |(name, method): &(&str, Method)| {
            Arc::new(Rule::of_headers(Part::Header(HeaderNames::parse(name).unwrap()), method.clone()))
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        HeaderPlan::compile(&rules, &HashKey::new(&[0; 32]).unwrap())
    }

    fn headers(list: &[(&str, &str)]) -> Headers {
        list.iter().map(|(name, value)| Header::new(name, *value)).collect()
    }

    fn set(name: &str, value: &str) -> HeaderChange {
        HeaderChange::Set { name: name.into(), value: value.into() }
    }

    fn append(name: &str, value: &str) -> HeaderChange {
        HeaderChange::Append { name: name.into(), value: value.into() }
    }

    fn remove(name: &str) -> HeaderChange {
        HeaderChange::Remove { name: name.into() }
    }

    #[test]
    fn every_value_of_a_repeated_header_is_masked_and_no_clear_one_stays() {
        let given = headers(&[("x-id", "account-123456"), ("x-other", "1"), ("x-id", "account-654321")]);
        let masked = MaskedHeaders::of(&plan(&[("x-id", Method::Last4)]), Section::Headers, &given);
        assert_eq!(masked.taken, 2);
        let (one, two) = ("**********3456", "**********4321");
        assert_eq!(masked.applied(&given), headers(&[("x-other", "1"), ("x-id", one), ("x-id", two)]));
        assert_eq!(masked.before([].iter()), [remove("x-id"), set("x-id", one), append("x-id", two)]);
    }

    #[test]
    fn a_removed_header_is_gone_and_others_are_not_touched() {
        let given = headers(&[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-other", "1")]);
        let masked = MaskedHeaders::of(&plan(&[("set-cookie", Method::Remove)]), Section::Headers, &given);
        assert_eq!(masked.applied(&given), headers(&[("x-other", "1")]));
        assert_eq!(masked.before([].iter()), [remove("set-cookie")]);
        let none = MaskedHeaders::of(&plan(&[("x-absent", Method::Remove)]), Section::Headers, &given);
        assert_eq!((none.taken, none.before([].iter())), (0, vec![]));
    }

    #[test]
    fn what_is_changed_afterwards_does_not_come_back() {
        let given = headers(&[("x-a", "1"), ("x-b", "1"), ("x-c", "1")]);
        let masked = MaskedHeaders::of(&plan(&[("x-*", Method::redact())]), Section::Headers, &given);
        let others = [remove("x-a"), set("x-b", "policy"), append("x-c", "policy")];
        assert_eq!(
            masked.before(others.iter()),
            [remove("x-a"), remove("x-b"), remove("x-c"), set("x-c", "[redacted]")]
        );
    }

    #[test]
    fn a_grpc_answer_without_messages_has_its_trailers_among_its_headers() {
        let grpc = ("content-type", "application/grpc");
        for (list, has_body, expected) in [
            (&[grpc][..], false, Section::Both),
            (&[grpc], true, Section::Headers),
            (&[grpc, ("grpc-status", "5")], true, Section::Both),
            (&[("grpc-status", "5")], false, Section::Both),
            (&[("content-type", "text/plain")], false, Section::Headers),
        ] {
            assert_eq!(section(&headers(list), has_body), expected, "{list:?}");
        }
    }
}
