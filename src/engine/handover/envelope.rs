//! What a Check tells the Process of the same call, as bytes: each field with its length before it, so that no two
//! envelopes have the same bytes and no bytes are two envelopes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::document::{Node, Reader, Span};
use crate::effect::HeaderChange;
use crate::identity::{Identity, Method};
use crate::mask;

/// Names the layout: an envelope of another version is none.
const VERSION: &[u8] = b"portcullis handover 1";

/// A decided call.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    pub decision_id: String,
    /// The policies that decided.
    pub revision: String,
    /// Milliseconds since 1970.
    pub expires: u64,
    pub bound: Bound,
    /// With what conditions read of it only where `rest` is present.
    pub identity: Identity,
    /// Trusted proxies that vouch for it, besides the connection's peer.
    pub proxies: Vec<String>,
    pub masks: Vec<mask::Rule>,
    /// Changes to the response's headers.
    pub response: Vec<HeaderChange>,
    /// Present when masks depend on the response: what their conditions may read, besides the request itself.
    pub rest: Option<Rest>,
}

/// What must be the same of the call that the envelope comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub method: String,
    pub host: String,
    /// Path and query, as they go on from the Check.
    pub path: String,
    /// `x-request-id`.
    pub request_id: String,
    /// The name in the peer's certificate, where it is a URI: the two services agree on no other.
    pub peer: String,
    /// The headers with credentials that the Check left as they were.
    pub credentials: Vec<String>,
    /// What those say: a digest.
    pub proof: Vec<u8>,
}

/// What is not to be seen at the response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Envoy's context extensions, which only Checks have.
    pub context: BTreeMap<String, String>,
}

impl Envelope {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(512));
        out.bytes(VERSION);
        out.text(&self.decision_id);
        out.text(&self.revision);
        out.bytes(&self.expires.to_be_bytes());
        let Bound { method, host, path, request_id, peer, credentials, proof } = &self.bound;
        for text in [method, host, path, request_id, peer] {
            out.text(text);
        }
        out.list(credentials, |out, name| out.text(name));
        out.bytes(proof);
        self.encode_identity(&mut out);
        out.list(&self.proxies, |out, proxy| out.text(proxy));
        out.list(&self.masks, |out, rule| out.text(&mask::rule_to_json(rule).to_string()));
        out.list(&self.response, |out, change| match change {
            HeaderChange::Set { name, value } => out.texts(&["set", name, value]),
            HeaderChange::Append { name, value } => out.texts(&["append", name, value]),
            HeaderChange::Remove { name } => out.texts(&["remove", name, ""]),
        });
        if let Some(rest) = &self.rest {
            let pairs: Vec<_> = rest.context.iter().collect();
            out.list(&pairs, |out, (key, value)| out.texts(&[key, value]));
        }
        out.0
    }

    /// What revocations name always; what conditions read only where some are left to be asked.
    fn encode_identity(&self, out: &mut Writer) {
        let identity = &self.identity;
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        out.texts(&[
            identity.method.as_str(),
            &identity.issuer,
            &identity.subject,
            &identity.spiffe,
            &identity.token_id,
            &identity.session,
            &time(identity.issued),
            &time(identity.expires),
        ]);
        out.list(identity.person.as_slice(), |out, person| out.text(person));
        if self.rest.is_none() {
            return out.text("");
        }
        out.text("whole");
        out.texts(&[&identity.email, &identity.tenant]);
        out.list(&identity.groups, |out, group| out.text(group));
        out.list(&identity.scopes, |out, scope| out.text(scope));
        out.text(&Value::Object(identity.claims.clone()).to_string());
    }

    /// `None` for anything that `encode` does not write.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Fields(bytes);
        if from.bytes()? != VERSION {
            return None;
        }
        let (decision_id, revision) = (from.text()?, from.text()?);
        let expires = u64::from_be_bytes(from.bytes()?.try_into().ok()?);
        let bound = Bound {
            method: from.text()?,
            host: from.text()?,
            path: from.text()?,
            request_id: from.text()?,
            peer: from.text()?,
            credentials: from.list(Fields::text)?,
            proof: from.bytes()?.to_vec(),
        };
        let (identity, whole) = identity(&mut from)?;
        let proxies = from.list(Fields::text)?;
        let masks = from.list(|from| rule(&from.text()?))?;
        let response = from.list(change)?;
        let rest = match whole {
            true => Some(Rest {
                context: from.list(|from| Some((from.text()?, from.text()?)))?.into_iter().collect(),
            }),
            false => None,
        };
        from.0.is_empty().then_some(Self {
            decision_id,
            revision,
            expires,
            bound,
            identity,
            proxies,
            masks,
            response,
            rest,
        })
    }
}

/// An identity, and whether all of it is there.
fn identity(from: &mut Fields<'_>) -> Option<(Identity, bool)> {
    let mut identity = Identity::clone(&Identity::anonymous());
    let time = |text: String| match text.as_str() {
        "" => Some(None),
        text => text.parse::<Timestamp>().ok().map(Some),
    };
    identity.method = Method::from_name(&from.text()?)?;
    identity.issuer = from.text()?;
    identity.subject = from.text()?;
    identity.spiffe = from.text()?;
    identity.token_id = from.text()?;
    identity.session = from.text()?;
    identity.issued = time(from.text()?)?;
    identity.expires = time(from.text()?)?;
    identity.person = from.list(Fields::text)?.pop();
    let whole = match from.text()?.as_str() {
        "" => false,
        "whole" => true,
        _ => return None,
    };
    if whole {
        identity.email = from.text()?;
        identity.tenant = from.text()?;
        identity.groups = from.list(Fields::text)?;
        identity.scopes = from.list(Fields::text)?;
        identity.claims = serde_json::from_str::<Map<String, Value>>(&from.text()?).ok()?;
    }
    Some((identity, whole))
}

/// A mask rule, in the words of policies.
fn rule(text: &str) -> Option<mask::Rule> {
    let node = Node::from_json(Value::Array(vec![serde_json::from_str(text).ok()?]), Span::default());
    let mut reader = Reader::new(&"handover".into());
    let mut rules = mask::response_rules_from_node(&node, &mut reader);
    rules.pop().filter(|_| !reader.findings.iter().any(Diagnostic::is_error))
}

fn change(from: &mut Fields<'_>) -> Option<HeaderChange> {
    let (kind, name, value) = (from.text()?, from.text()?, from.text()?);
    match kind.as_str() {
        "set" => Some(HeaderChange::Set { name, value }),
        "append" => Some(HeaderChange::Append { name, value }),
        "remove" => Some(HeaderChange::Remove { name }),
        _ => None,
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn bytes(&mut self, field: &[u8]) {
        self.count(field.len());
        self.0.extend_from_slice(field);
    }

    fn text(&mut self, field: &str) {
        self.bytes(field.as_bytes());
    }

    fn texts(&mut self, fields: &[&str]) {
        fields.iter().for_each(|field| self.text(field));
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        items.iter().for_each(|item| write(self, item));
    }
}

/// What is not read yet.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn count(&mut self) -> Option<usize> {
        let (count, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*count)).ok()
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.count()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // Memory follows what is there, not what the count says.
        (0..self.count()?).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use super::*;
    use crate::mask::{FieldPath, Method as Masking};

    pub fn sample() -> Envelope {
        let mut identity = Identity::clone(&Identity::anonymous());
        identity.method = Method::Jwt;
        (identity.issuer, identity.subject) = ("https://idp".into(), "ana".into());
        identity.person = Some("ana@example.com".into());
        identity.issued = Some(Timestamp::UNIX_EPOCH);
        let rule = |field: &str, method| mask::Rule::new(FieldPath::parse(field).unwrap(), method);
        let set = |name: &str| HeaderChange::Set { name: name.into(), value: "1".into() };
        Envelope {
            decision_id: "d-1".into(),
            revision: "r".into(),
            expires: 1_000,
            bound: Bound {
                method: "GET".into(),
                host: "api".into(),
                path: "/a?b".into(),
                request_id: "q".into(),
                peer: String::new(),
                credentials: vec!["authorization".into()],
                proof: vec![1, 2],
            },
            identity,
            proxies: vec!["spiffe://example.com/edge".into()],
            masks: vec![
                rule("**.card.number", Masking::Last4),
                rule("\"a.b\"", Masking::Redact { text: "\"x\"\n".into() }),
                rule("n", Masking::Null),
                mask::Rule {
                    on_unmaskable: mask::OnUnmaskable::RedactAll,
                    ..rule("p[json].card", Masking::Hash)
                },
            ],
            response: vec![
                set("x-a"),
                HeaderChange::Append { name: "x-b".into(), value: String::new() },
                HeaderChange::Remove { name: "server".into() },
            ],
            rest: None,
        }
    }

    fn whole() -> Envelope {
        let mut envelope = sample();
        envelope.identity.groups = vec!["staff".into(), String::new()];
        envelope.identity.scopes = vec!["a".into()];
        envelope.identity.claims = serde_json::from_str(r#"{"plan": {"name": "gold"}, "n": 1.5}"#).unwrap();
        envelope.rest = Some(Rest { context: [("team".to_owned(), "shop".to_owned())].into() });
        envelope
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for envelope in [sample(), whole()] {
            let bytes = envelope.encode();
            assert_eq!(Envelope::decode(&bytes), Some(envelope.clone()));
            for cut in 0..bytes.len() {
                assert_eq!(Envelope::decode(&bytes[..cut]), None, "{cut}");
            }
            assert_eq!(Envelope::decode(&[&bytes[..], b"x"].concat()), None);
            for place in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[place] ^= 1;
                assert_ne!(Envelope::decode(&changed), Some(envelope.clone()), "{place}");
            }
        }
    }

    #[test]
    fn claims_are_written_only_where_conditions_are_left_to_be_asked() {
        let mut envelope = whole();
        envelope.rest = None;
        let read = Envelope::decode(&envelope.encode()).unwrap();
        assert!(read.identity.claims.is_empty() && read.identity.groups.is_empty());
        assert_eq!(read.identity.subject, "ana");
    }

    #[test]
    fn every_mask_method_is_handed_over() {
        let methods = [Masking::Remove, Masking::Null, Masking::redact(), Masking::Hash, Masking::Last4];
        for method in methods {
            let rule = mask::Rule::new(FieldPath::parse("**.a").unwrap(), method);
            assert_eq!(super::rule(&mask::rule_to_json(&rule).to_string()), Some(rule));
        }
        for other in ["", "[]", "{}", r#"{"field": "a"}"#, r#"{"field": "a", "with": "shred"}"#] {
            assert_eq!(super::rule(other), None, "{other}");
        }
    }
}
