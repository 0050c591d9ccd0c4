//! What tests of other modules need to have a `Control`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Ports;
use crate::audit::{self, Audit};
use crate::authn::revocation::{Freshness, OnStale, Revocations};
use crate::authn::{self, Authenticator};
use crate::clock::Clock;
use crate::engine::fault::Faults;
use crate::engine::{Engine, HashKeys, HeldLimits, Ports as EnginePorts, Settings, Snapshot};
use crate::lifecycle::Lifecycle;
use crate::mask;
use crate::metrics::Metrics;
use crate::policy::PolicySet;
use crate::request::Limits;
use crate::store::{PendingLimits, Store};

/// A store, a trail and an engine without policies, in `folder`.
pub async fn ports(folder: &Path) -> Ports {
    let (metrics, clock) = (Metrics::new().unwrap(), Clock::system());
    let audit = audit::Config { path: folder.join("audit.jsonl"), mode: audit::Mode::Required };
    let audit = Audit::open(&audit, metrics.clone()).unwrap();
    let store = Store::open(&folder.join("store.db"), clock.clone()).await.unwrap();
    let authenticator = Authenticator::build(authn::Config::default(), clock.clone()).await.unwrap();
    let ports = EnginePorts {
        store: store.clone(),
        revocations: Revocations::new(
            Freshness { on_stale: OnStale::Continue, ..Freshness::default() },
            clock.clone(),
        ),
        api_keys: None,
        audit: audit.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        lifecycle: Lifecycle::new(),
        faults: Faults::default(),
    };
    let settings = Settings {
        limits: Limits::default(),
        decision_timeout: Duration::from_secs(1),
        held: HeldLimits::default(),
        pending: PendingLimits::default(),
        digest_headers: Vec::new(),
        retry_window: Duration::from_secs(10),
        ticket_status: 403,
        status_path: None,
        handover: crate::engine::HandoverKeys::random().unwrap(),
        hash_keys: HashKeys::new(mask::HashKey::random().unwrap()),
        mask_limits: mask::Limits::default(),
        masking: crate::engine::Masking::default(),
        decision_cache_bytes: 0,
    };
    let nothing = Snapshot { policies: Arc::new(PolicySet::none()), authenticator, candidate: None };
    Ports { engine: Engine::new(nothing, ports, settings), store, audit, metrics, clock }
}
