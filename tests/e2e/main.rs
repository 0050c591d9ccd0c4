//! Portcullis behind a real Envoy, in front of a real upstream: what a caller sees, and what never happens.
//!
//! `World` is the set-up of one test, `generated` the Envoy configurations that all of them use. `decide` has verdicts,
//! `told` what upstreams and callers are told of identities, `tokens` tokens that are forged, `revocation` credentials that are taken back, `hold` held calls, `approval` the rules of their release, `notify` who is told of them, `naughty` texts that break logs and pages, `ticket` callers who do not wait, `handover` both filters in one chain,
//! `mask` masked responses, `fault` failures of ours, `figures` what the metrics say, `lifecycle` restarts and drains, `failover` replicas that go away, `bodies` what is shown of them, `bundle` policies
//! that change while the server runs, `candidate` policies on trial, `cache` decisions that are kept, `console` people in a browser, `replicas` several servers on one PostgreSQL, `kubernetes` what manifests become, `tls` who may ask, `doctor` what proxies
//! that are configured wrong let through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic"
)]
#![allow(clippy::string_slice, reason = "tests panic")]

mod world;

mod approval;
mod attack;
mod bodies;
mod bundle;
mod cache;
mod canary;
mod candidate;
mod console;
mod decide;
mod doctor;
mod failover;
mod fault;
mod figures;
mod generated;
mod grpc;
mod handover;
mod hold;
mod identity;
mod kubernetes;
mod lifecycle;
mod mask;
mod naughty;
mod notify;
mod replicas;
mod revocation;
mod schemes;
mod ticket;
mod tls;
mod tokens;
mod told;
