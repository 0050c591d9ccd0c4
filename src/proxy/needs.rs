//! What the policies and the server's own configuration ask of a proxy.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::policy::cel::Reads;
use crate::policy::cel::attribute::Attribute;
use crate::policy::{Entry, MaskedParts, PolicySet};

pub use crate::request::BodySource;

/// What the server's configuration says that a proxy's has to agree with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whether a configuration was read; otherwise these are the defaults, and the real ones may differ.
    pub known: bool,
    /// `holds.max_message_timeout`.
    pub max_message_timeout: Duration,
    /// Whether `mask.response_body` is `full_duplex_streamed`.
    pub full_duplex: bool,
    /// `decision_timeout`.
    pub decision_timeout: Duration,
    /// `limits.body`, in bytes.
    pub body_limit: usize,
    /// `holds.total`: calls held at once.
    pub held: usize,
    /// Whether replicas share their store (`store.postgres`), so that each finds what another one held.
    pub shared_store: bool,
    /// `listen.gateway`
    pub gateway: bool,
    /// `listen.request_body`
    pub body: BodySource,
    /// Whether `listen.handover` is `always`: every ext_authz decides for an ext_proc behind it.
    pub handover_always: bool,
    /// `identity.mtls`
    pub mtls: bool,
    /// `listen.grpc.tls`
    pub tls: ListenerTls,
    /// Headers that credentials are read from, in lower case.
    pub credentials: Vec<String>,
    /// `identity.mtls.forwarded_client_cert`: what trusted proxies say of their clients' certificates is read.
    pub forwarded_certificates: bool,
    /// Request headers that the server sets or removes whatever the policies say.
    pub changes: Vec<String>,
    /// Whether tokens are taken out of the query.
    pub changes_query: bool,
    /// Headers that every approval covers, in lower case.
    pub digest_headers: Vec<String>,
}

/// What a listener asks of those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerTls {
    Off,
    On,
    /// And a client certificate.
    Mutual,
}

/// What a proxy must show, and be ready for.
#[derive(Clone, Debug)]
pub struct Needs {
    pub server: Server,
    /// The calls whose complete request body a rule reads or an approval covers; an entry without fields is every call.
    pub bodies: Vec<Entry>,
    /// The longest hold; `None` when no rule holds.
    pub longest_wait: Option<Duration>,
    /// The calls whose responses a rule may mask; an entry without fields is every call.
    pub masked: Vec<Entry>,
    /// What all rules together read.
    pub reads: Reads,
    /// Request headers that rules change.
    pub changes_request: BTreeSet<String>,
    /// Response headers that rules change or mask; a name that ends in `*` is all that begin so.
    pub changes_response: BTreeSet<String>,
    /// What rules may mask of one response, each combination once.
    pub masked_parts: Vec<MaskedParts>,
}

impl Needs {
    pub fn of(policies: &PolicySet, server: Server) -> Self {
        let mut needs = Self {
            server,
            bodies: Vec::new(),
            longest_wait: None,
            masked: Vec::new(),
            reads: Reads::default(),
            changes_request: BTreeSet::new(),
            changes_response: BTreeSet::new(),
            masked_parts: Vec::new(),
        };
        needs.changes_request.extend(needs.server.changes.iter().cloned());
        needs.add(policies);
        needs
    }

    /// What these policies ask for on top, which may come to decide calls too.
    pub fn add(&mut self, policies: &PolicySet) {
        for demand in policies.demands() {
            self.longest_wait = self.longest_wait.max(demand.longest_wait);
            self.reads.extend(&demand.reads);
            self.changes_request.extend(demand.changes_request.iter().map(|name| (*name).to_owned()));
            self.changes_response.extend(demand.changes_response.iter().map(|name| (*name).to_owned()));
            if demand.needs.may_mask && !self.masked_parts.contains(&demand.needs.masked) {
                self.masked_parts.push(demand.needs.masked);
            }
            let wanted = [(demand.needs.body, &mut self.bodies), (demand.needs.may_mask, &mut self.masked)];
            for (_, calls) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
                match demand.entries {
                    [] => calls.push(Entry::default()),
                    entries => calls.extend(entries.iter().cloned()),
                }
            }
        }
    }

    /// Whether any rule holds calls.
    pub fn holds(&self) -> bool {
        self.longest_wait.is_some()
    }

    /// Whether any rule masks responses: only ext_proc can.
    pub fn masks(&self) -> bool {
        !self.masked.is_empty()
    }

    /// Whether rules may change headers that begin with `x-envoy-`: requests' where `responses` is false, else those of
    /// either.
    pub fn changes_envoys_headers(&self, responses: bool) -> bool {
        const ENVOYS: &str = "x-envoy-";
        let begins = |name: &String| match name.strip_suffix('*') {
            Some(prefix) => prefix.starts_with(ENVOYS) || ENVOYS.starts_with(prefix),
            None => name.starts_with(ENVOYS),
        };
        self.changes_request.iter().any(begins) || responses && self.changes_response.iter().any(begins)
    }

    pub fn reads(&self, attribute: Attribute) -> bool {
        self.reads.attributes.contains(&attribute)
    }

    /// How long a proxy must be ready to wait for one answer: the longest hold, which the server cuts at its
    /// `max_message_timeout`, and the time to decide before and after it.
    pub fn longest_answer(&self) -> Duration {
        let hold = self.longest_wait.unwrap_or_default().min(self.server.max_message_timeout);
        hold.saturating_add(self.server.decision_timeout.saturating_mul(2))
    }
}
