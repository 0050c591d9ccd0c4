//! Portcullis: an Envoy-compatible external authorization server.
//!
//! One call reads top to bottom through `envoy` (decode), `engine` (decide) and back. ARCHITECTURE.md tells the
//! story; `tests/floors.rs` keeps the modules below in the order of their floors.

#![cfg_attr(test, allow(clippy::string_slice, reason = "a test may panic"))]

// floor 0: values
pub mod actor;
pub mod approval;
pub mod challenge;
pub mod credential;
pub mod diagnostic;
pub mod disagreement;
pub mod document;
pub mod effect;
pub mod identity;
pub mod notice;
pub mod reason;
pub mod request;
pub mod secret;
pub mod strict_json;
pub mod verdict;
pub mod visible;

// floor 1: masking
pub mod mask;

// floor 2: policies
pub mod policy;

// floor 3: tools
pub mod clock;
pub mod inbound;
pub mod lifecycle;
pub mod metrics;
pub mod outbound;
pub mod tls;
pub mod watch;

// floor 4: ports
pub mod audit;
pub mod authn;
pub mod store;

// floor 5: the engine
pub mod engine;

// floor 6: edges
pub mod bundle;
pub mod envoy;
pub mod notify;
pub mod proxy;

// floor 7: the admin API and operations
pub mod admin;
pub mod ops;

// floor 8: the shell
pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;
