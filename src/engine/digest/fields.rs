//! The bytes that are hashed: length-prefixed, so that no two lists of fields run together.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};

use super::headers::Value;
use super::{Asked, COVERED_FOR_TOKENS, Target};
use crate::effect::{HeaderChange, Part};
use crate::identity::Identity;
use crate::request::Request;

/// A hash of fields.
pub(super) struct Fields(Context);

impl Fields {
    /// Begins with what is hashed, and by which version of this program's rules.
    pub fn of(what: &str) -> Self {
        let mut fields = Self(Context::new(&SHA256));
        fields.add(what.as_bytes());
        fields
    }

    /// The hash, in hex.
    pub fn finish(self) -> String {
        hex::encode(self.0.finish())
    }

    /// Who calls, with all that upstreams may be told of them: the same login of another tenant, or of another person, is
    /// another caller.
    pub fn identity(&mut self, identity: &Identity) {
        let person = identity.person.as_deref().unwrap_or_default();
        let Identity { issuer, subject, spiffe, email, tenant, .. } = identity;
        self.add_texts([&**issuer, subject, spiffe, person, email, tenant]);
        for list in [&identity.groups, &identity.scopes] {
            let list: BTreeSet<&str> = list.iter().map(String::as_str).collect();
            self.count(list.len());
            self.add_texts(list);
        }
    }

    /// What the policies change of the request's headers.
    pub fn sets(&mut self, sets: &[&HeaderChange]) {
        self.count(sets.len());
        for change in sets {
            match change {
                HeaderChange::Set { name, value } => self.add_texts(["set", name, value]),
                HeaderChange::Append { name, value } => self.add_texts(["append", name, value]),
                HeaderChange::Remove { name } => self.add_texts(["remove", name]),
            }
        }
    }

    pub fn add_texts<'f>(&mut self, fields: impl IntoIterator<Item = &'f str>) {
        fields.into_iter().for_each(|field| self.add(field.as_bytes()));
    }

    pub fn add(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.update(field);
    }

    pub fn values(&mut self, values: &[Value<'_>], target: &Target<'_>) {
        self.count(values.len());
        let tokens = target.redacted.map(|redaction| (redaction, redaction.tokens(target.request)));
        for Value { name, raw } in values {
            self.add(name.as_bytes());
            match (std::str::from_utf8(raw), &tokens) {
                (Ok(text), Some((redaction, tokens))) => {
                    self.add(redaction.header(name, text, tokens, COVERED_FOR_TOKENS).as_bytes());
                }
                _ => self.add(raw),
            }
        }
    }

    /// One part of a call that makes it one of a class.
    pub fn part(&mut self, part: &Part, request: &Request, target: &Target<'_>) {
        let (path, query) = match target.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target.path, None),
        };
        match part {
            Part::Method => self.add(request.method.as_bytes()),
            Part::Host => self.add(request.host.as_bytes()),
            Part::Path => self.add(path.as_bytes()),
            Part::Query => {
                self.count(usize::from(query.is_some()));
                self.add(query.unwrap_or_default().as_bytes());
            }
            Part::Body => self.add(target.body),
            // A credential too: the class is then narrower than its author thought, and never wider.
            Part::Header(name) => {
                let values: Vec<_> = Value::all(request, name).collect();
                self.values(&values, target);
            }
        }
    }

    pub fn rules(&mut self, asked: &Asked<'_>) {
        self.count(asked.rules.len());
        for rule in asked.rules {
            self.add(rule.name.as_bytes());
            self.add(&rule.content);
        }
        // Nothing is added without any, so that approvals outlive the version that did not know them.
        if !asked.auto_approved.is_empty() {
            self.add(b"approved by");
            for (rule, _) in asked.auto_approved {
                self.add(rule.as_bytes());
            }
        }
    }

    pub fn count(&mut self, count: usize) {
        self.0.update(&u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes());
    }
}
