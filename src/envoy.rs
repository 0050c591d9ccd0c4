//! Envoy's side: the gRPC services that proxies call, decoded to `Request`s and encoded from `Verdict`s.
//!
//! The only place, with the admin API's server, that knows protobuf and tonic.

mod answers;
pub mod connection;
mod counted;
mod decode;
pub mod ext_authz;
pub mod ext_proc;
mod grpc_status;
mod handover;
mod mutation;
mod server;
mod services;

pub use server::{Health, Server, ServerConfig, Socket, bind_unix};
