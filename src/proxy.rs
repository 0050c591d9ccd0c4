//! The proxy's side of the contract: the configuration that these policies need (`config`), and what an existing one gets
//! wrong (`doctor`).
//!
//! Both start from `Needs`, so that what is written and what is asked for can't differ. Knows proxies by their
//! configuration alone: nothing here serves a call.

pub mod config;
pub mod doctor;
pub mod kubernetes;
pub mod needs;
pub mod tree;
pub mod view;

pub use needs::{BodySource, ListenerTls, Needs, Server};
