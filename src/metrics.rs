//! Every metric, described once, with one typed method per event.
//!
//! Label values come from enums, so a caller's input never becomes a label. Handles are registered at start:
//! recording allocates nothing. A `Metrics` owns its registry, so tests in one process do not share counts.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use crate::reason::Reason;

mod cache;
mod callouts;
mod candidate;
mod grpc;
mod handover;
mod inbound;
mod logins;
mod notifications;
mod policies;
mod store;
mod tls;

pub use cache::Miss;
pub use callouts::{Callout, CalloutResult, IdentityCache};
pub use candidate::{Compared, NotComparable};
pub use handover::Handover;
pub use inbound::InboundListener;
pub use logins::ConsoleLogin;
pub use notifications::NotificationResult;
pub use policies::PollResult;
pub use tls::{HandshakeFailure, TlsListener};

/// All instruments. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// By `Service`.
    services: [PerService; 2],
    held: Gauge,
    hold_duration: Histogram,
    masked_fields: Counter,
    audit_records: Counter,
    audit_lost: Counter,
    caches: cache::Counters,
    callouts: callouts::Instruments,
    candidate: candidate::Counters,
    store: store::Instruments,
    /// The revision whose gauge is 1.
    revision: Mutex<String>,
}

/// What every call touches: found by index, not by hash.
struct PerService {
    /// By `Reason`.
    decisions: [Counter; Reason::ALL.len()],
    check_duration: Histogram,
    grpc: grpc::Instruments,
}

/// The gRPC service that brought a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    ExtAuthz,
    ExtProc,
}

/// How a call was answered, as `portcullis_decisions_total` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Allow,
    Deny,
    /// Answered here by what was asked for: the state of a request for approval.
    Answer,
    /// Answered with a ticket, or the caller hung up while the call was held.
    Hold,
    /// Denied because something failed.
    Indeterminate,
}

/// What became of a request for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalEvent {
    Created,
    Approved,
    AutoApproved,
    BrokenGlass,
    Rejected,
    Expired,
    Withdrawn,
    Revoked,
    /// One vote of it counts no more.
    VoteVoided,
    Reminded,
    Escalated,
    Released,
    /// Nobody knows whether the answer of the call that it released left.
    ReleasedUnconfirmed,
}

impl Service {
    pub const ALL: [Self; 2] = [Self::ExtAuthz, Self::ExtProc];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExtAuthz => "ext_authz",
            Self::ExtProc => "ext_proc",
        }
    }
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Answer => "answer",
            Self::Hold => "hold",
            Self::Indeterminate => "indeterminate",
        }
    }
}

impl ApprovalEvent {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Approved => "approved",
            Self::AutoApproved => "auto_approved",
            Self::BrokenGlass => "broken_glass",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Revoked => "revoked",
            Self::VoteVoided => "vote_voided",
            Self::Reminded => "reminded",
            Self::Escalated => "escalated",
            Self::Released => "released",
            Self::ReleasedUnconfirmed => "released_unconfirmed",
        }
    }
}

/// From 50 us, as a decision takes, to 10 s.
const CALL_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// People take longer.
const HOLD_BUCKETS: [f64; 9] = [0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0];

const META: Metadata<'static> = Metadata::new("portcullis", Level::INFO, None);

impl Metrics {
    /// A registry of its own with every instrument at zero.
    pub fn new() -> Result<Self, metrics_exporter_prometheus::BuildError> {
        use metrics_exporter_prometheus::Matcher;
        let recorder = PrometheusBuilder::new()
            .set_buckets(&CALL_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full("portcullis_hold_duration_seconds".into()), &HOLD_BUCKETS)?
            .build_recorder();
        describe(&recorder);
        let handle = recorder.handle();
        let instruments = Instruments {
            services: Service::ALL.map(|service| PerService::register(&recorder, service)),
            held: gauge(&recorder, "portcullis_held_calls", &[]),
            hold_duration: histogram(&recorder, "portcullis_hold_duration_seconds", &[]),
            masked_fields: counter(&recorder, "portcullis_masked_fields_total", &[]),
            audit_records: counter(&recorder, "portcullis_audit_records_total", &[]),
            audit_lost: counter(&recorder, "portcullis_audit_lost_total", &[]),
            caches: cache::Counters::new(&recorder),
            callouts: callouts::Instruments::new(&recorder),
            candidate: candidate::Counters::new(&recorder),
            store: store::Instruments::register(&recorder),
            revision: Mutex::default(),
            recorder,
            handle,
        };
        let metrics = Self(Arc::new(instruments));
        gauge(&metrics.0.recorder, "portcullis_build_info", &[("version", env!("CARGO_PKG_VERSION"))])
            .set(1.0);
        Ok(metrics)
    }

    /// The exposition text that Prometheus scrapes.
    pub fn render(&self) -> String {
        self.0.handle.run_upkeep();
        self.0.handle.render()
    }

    /// Folds histogram samples into buckets, so that memory stays bounded when nobody scrapes. Call every few
    /// seconds.
    pub fn upkeep(&self) {
        self.0.handle.run_upkeep();
    }

    /// One call was answered.
    pub fn decided(&self, service: Service, reason: Reason, took: Duration) {
        let instruments = self.of(service);
        if let Some(counter) = instruments.decisions.get(reason as usize) {
            counter.increment(1);
        }
        instruments.check_duration.record(took.as_secs_f64());
    }

    /// One call waits for a person from now until the guard is dropped.
    pub fn hold(&self) -> HoldGuard {
        self.0.held.increment(1.0);
        HoldGuard { metrics: self.clone(), since: crate::clock::instant() }
    }

    pub fn approval(&self, event: ApprovalEvent) {
        counter(&self.0.recorder, "portcullis_approvals_total", &[("result", event.as_str())]).increment(1);
        if event == ApprovalEvent::BrokenGlass {
            counter(&self.0.recorder, "portcullis_break_glass_total", &[]).increment(1);
        }
    }

    pub fn masked(&self, fields: u64) {
        self.0.masked_fields.increment(fields);
    }

    /// A body could not be masked, whatever was done with it; `reason` is `mask::Unmaskable::code` or a code of the ext_proc edge.
    pub fn mask_failed(&self, reason: &'static str) {
        counter(&self.0.recorder, "portcullis_mask_failures_total", &[("reason", reason)]).increment(1);
    }

    /// A call went from one filter of a proxy to the next, or did not.
    pub fn handover(&self, result: Handover) {
        counter(&self.0.recorder, "portcullis_handover_total", &[("result", result.as_str())]).increment(1);
    }

    pub fn audit_written(&self, records: u64) {
        self.0.audit_records.increment(records);
    }

    pub fn audit_lost(&self, records: u64) {
        self.0.audit_lost.increment(records);
    }

    /// The revision that decides from now on; the one before it goes to 0.
    pub fn revision(&self, revision: &str) {
        let gauge = |revision: &str| {
            let labels = vec![Label::new("revision", revision.to_owned())];
            let key = ::metrics::Key::from_parts("portcullis_policy_revision_info", labels);
            self.0.recorder.register_gauge(&key, &META)
        };
        let mut current = self.0.revision.lock();
        if !current.is_empty() {
            gauge(&current).set(0.0);
        }
        gauge(revision).set(1.0);
        revision.clone_into(&mut current);
    }

    /// `issuer` is from the configuration, never from a token.
    pub fn jwks_age(&self, issuer: &str, seconds: f64) {
        let labels = vec![Label::new("issuer", issuer.to_owned())];
        let key = ::metrics::Key::from_parts("portcullis_jwks_age_seconds", labels);
        self.0.recorder.register_gauge(&key, &META).set(seconds);
    }

    /// How long ago it was known last what is revoked.
    pub fn revocations_age(&self, seconds: f64) {
        gauge(&self.0.recorder, "portcullis_revocations_age_seconds", &[]).set(seconds);
    }

    fn of(&self, service: Service) -> &PerService {
        let [ext_authz, ext_proc] = &self.0.services;
        match service {
            Service::ExtAuthz => ext_authz,
            Service::ExtProc => ext_proc,
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts one held call for as long as it lives.
#[derive(Debug)]
pub struct HoldGuard {
    metrics: Metrics,
    since: std::time::Instant,
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.metrics.0.held.decrement(1.0);
        self.metrics.0.hold_duration.record(self.since.elapsed().as_secs_f64());
    }
}

// === registration ===

fn describe(recorder: &PrometheusRecorder) {
    let counters = [
        ("portcullis_decisions_total", "Calls answered, by service, outcome and reason code"),
        ("portcullis_approvals_total", "Requests for approval, by what became of them"),
        (
            "portcullis_break_glass_total",
            "Held calls that one person released alone, whatever the rules ask for",
        ),
        ("portcullis_reloads_total", "Changes of the policies, by result and the reason of a refusal"),
        ("portcullis_bundle_polls_total", "Requests for a bundle, by result"),
        ("portcullis_masked_fields_total", "Values masked in response bodies"),
        (
            "portcullis_mask_failures_total",
            "Responses that could not be masked, by reason: blocked unless rules say otherwise",
        ),
        ("portcullis_cache_hits_total", "Answers from a cache"),
        ("portcullis_cache_misses_total", "Times a cache did not answer, by reason"),
        ("portcullis_candidate_decisions_total", "Calls compared with the candidate policies, by result"),
        ("portcullis_candidate_disagreements_total", "Disagreements of the candidate policies, by kind"),
        ("portcullis_candidate_not_comparable_total", "Calls not compared with the candidate, by reason"),
        ("portcullis_callouts_total", "Credentials that another service was asked about, by result"),
        (
            "portcullis_handover_total",
            "Calls that ext_authz decides and ext_proc masks, by what became of the handover",
        ),
        ("portcullis_audit_records_total", "Audit records written"),
        ("portcullis_audit_lost_total", "Audit records lost (best_effort mode)"),
    ];
    for (name, text) in counters {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let gauges = [
        ("portcullis_held_calls", "Calls that wait for a person now"),
        ("portcullis_policy_revision_info", "The revision of the policies that decide"),
        ("portcullis_jwks_age_seconds", "Seconds since the issuer's keys were last read"),
        (
            "portcullis_revocations_age_seconds",
            "Seconds since keys and revocations were last read from the store",
        ),
        ("portcullis_bundle_pinned", "Whether the policies are pinned"),
        ("portcullis_policies_refused", "Whether the newest offered policies are refused"),
        ("portcullis_candidate_state", "1 for what the candidate policies do now"),
        ("portcullis_bundle_poll_age_seconds", "Seconds since the bundle's URL last answered well"),
        ("portcullis_build_info", "The version that runs"),
    ];
    for (name, text) in gauges {
        recorder.describe_gauge(name.into(), None, text.into());
    }
    let histograms = [
        ("portcullis_check_duration_seconds", "Time to answer a call, time held included"),
        ("portcullis_hold_duration_seconds", "Time calls waited for a person"),
        ("portcullis_callout_duration_seconds", "Time that requests about credentials took"),
    ];
    for (name, text) in histograms {
        recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
    }
    grpc::describe(recorder);
    inbound::describe(recorder);
    logins::describe(recorder);
    notifications::describe(recorder);
    store::describe(recorder);
    tls::describe(recorder);
}

impl PerService {
    fn register(recorder: &PrometheusRecorder, service: Service) -> Self {
        let decisions = Reason::ALL.map(|reason| {
            let outcome = Outcome::of(reason).as_str();
            let labels = [("service", service.as_str()), ("outcome", outcome), ("reason", reason.as_str())];
            counter(recorder, "portcullis_decisions_total", &labels)
        });
        let of_service = [("service", service.as_str())];
        Self {
            decisions,
            check_duration: histogram(recorder, "portcullis_check_duration_seconds", &of_service),
            grpc: grpc::Instruments::register(recorder, service),
        }
    }
}

impl Outcome {
    /// The outcome that a reason leads to.
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::Allowed | Reason::Approved | Reason::AutoApproved | Reason::BreakGlass => Self::Allow,
            Reason::ApprovalStatus => Self::Answer,
            Reason::ApprovalPending | Reason::CallerGone => Self::Hold,
            Reason::ConditionError
            | Reason::StoreUnavailable
            | Reason::RevocationsStale
            | Reason::AuditUnavailable
            | Reason::DecisionTimeout
            | Reason::InternalError
            | Reason::KeysUnavailable
            | Reason::IntrospectionUnavailable
            | Reason::TokenReviewUnavailable
            | Reason::TooManyCallouts
            | Reason::BasicOverloaded
            | Reason::NoPolicies
            | Reason::HandoverMissing
            | Reason::HandoverInvalid
            | Reason::HandoverStale
            | Reason::HandoverMismatch
            | Reason::HandoverPolicies
            | Reason::HandoverTooLarge => Self::Indeterminate,
            _ => Self::Deny,
        }
    }
}

fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> ::metrics::Key {
    ::metrics::Key::from_parts(
        name,
        labels.iter().map(|(k, v)| Label::from_static_parts(k, v)).collect::<Vec<_>>(),
    )
}

fn counter(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Counter {
    recorder.register_counter(&key(name, labels), &META)
}

fn gauge(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Gauge {
    recorder.register_gauge(&key(name, labels), &META)
}

fn histogram(
    recorder: &PrometheusRecorder,
    name: &'static str,
    labels: &[(&'static str, &'static str)],
) -> Histogram {
    recorder.register_histogram(&key(name, labels), &META)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_its_outcome() {
        let metrics = Metrics::new().unwrap();
        for reason in Reason::ALL {
            metrics.decided(Service::ExtAuthz, reason, Duration::from_micros(60));
        }
        let text = metrics.render();
        for reason in Reason::ALL {
            let line = format!("reason=\"{}\"}} 1", reason.as_str());
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(
            text.contains("portcullis_check_duration_seconds_bucket{service=\"ext_authz\",le=\"0.00005\"} 0")
        );
    }

    #[test]
    fn one_revision_is_in_force() {
        let metrics = Metrics::new().unwrap();
        metrics.revision("one");
        metrics.revision("two");
        let text = metrics.render();
        assert!(text.contains("portcullis_policy_revision_info{revision=\"one\"} 0"), "{text}");
        assert!(text.contains("portcullis_policy_revision_info{revision=\"two\"} 1"), "{text}");
    }

    #[test]
    fn a_held_call_counts_until_its_guard_goes() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.hold();
        assert!(metrics.render().contains("portcullis_held_calls 1"));
        drop(guard);
        assert!(metrics.render().contains("portcullis_held_calls 0"));
        assert!(metrics.render().contains("portcullis_hold_duration_seconds_count 1"));
    }
}
