//! Portcullis: an Envoy-compatible external authorization server.
//!
//! One call reads top to bottom through `envoy` (decode), `engine` (decide) and back. ARCHITECTURE.md tells the
//! story; `tests/floors.rs` keeps the modules below in the order of their floors.

// floor 0: values
pub mod approval;
pub mod diagnostic;
pub mod document;
pub mod effect;
pub mod identity;
pub mod reason;
pub mod request;
pub mod secret;

// floor 1: masking
pub mod mask;

// floor 3: tools
pub mod clock;

// floor 8: the shell
pub mod cli;
