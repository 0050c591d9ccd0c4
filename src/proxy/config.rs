//! Writes the Envoy configuration that the loaded policies need.
//!
//! What the server notices when it is missing (a body, room for a hold) is asked for where a rule needs it. What it could
//! not tell from absent (headers, attributes, the right to mask) is always asked for: policies change while Envoy runs.

use std::time::Duration;

use super::needs::Needs;

mod address;
pub mod kubernetes;
mod piece;
mod route;
mod text;

pub use address::Address;
pub use route::RouteMatch;

use askama::Template as _;

/// The service by which Envoy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    ExtAuthz,
    ExtProc,
}

/// Where Envoy listens, whom it asks and what it protects. What the policies need is no option.
#[derive(Clone, Debug)]
pub struct Options {
    pub service: Service,
    /// Where callers come in.
    pub listen: Address,
    /// Envoy's own admin interface.
    pub admin: Address,
    /// The replicas of the server, the preferred one first; at least one.
    pub portcullis: Vec<Address>,
    pub upstream: Address,
    /// Whether the upstream speaks HTTP/2: needed for gRPC, and for trailers.
    pub upstream_http2: bool,
}

/// Why a configuration can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("no replica of Portcullis is named")]
    NoReplica,
    #[error("`{socket}` and `{name}` can't be in one cluster: Envoy resolves no names beside Unix sockets")]
    MixedAddresses { socket: Address, name: Address },
    #[error("`{0}` names no Service of Kubernetes: `--portcullis` has to be `SERVICE.NAMESPACE:PORT`")]
    NoService(Address),
    #[error("{0}")]
    Template(#[from] askama::Error),
}

impl Service {
    /// ext_proc where a rule masks, which only it can; else ext_authz, which costs less.
    pub fn for_needs(needs: &Needs) -> Self {
        if needs.masks() { Self::ExtProc } else { Self::ExtAuthz }
    }
}

/// A whole bootstrap: an Envoy between callers and one upstream.
///
/// # Errors
/// Options that no Envoy configuration can express.
pub fn bootstrap(needs: &Needs, options: &Options) -> Result<String, Refused> {
    Ok(piece::Bootstrap::of(needs, options)?.render()? + "\n")
}

/// The pieces to paste into an existing configuration, one YAML document each, with comments that say where.
///
/// # Errors
/// Options that no Envoy configuration can express.
pub fn snippet(needs: &Needs, options: &Options) -> Result<String, Refused> {
    Ok(piece::Snippet::of(needs, options)?.render()? + "\n")
}

/// Which calls wait until their body is complete; none, when no rule asks for one.
fn buffered(needs: &Needs) -> Vec<RouteMatch> {
    let mut routes: Vec<RouteMatch> = Vec::new();
    for one in needs.bodies.iter().flat_map(route::matches) {
        if !routes.iter().any(|earlier| earlier.covers(&one)) {
            routes.retain(|earlier| !one.covers(earlier));
            routes.push(one);
        }
    }
    routes
}

/// The figures of a configuration, from those of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    /// How long one answer may take in which nothing is held.
    answer: Duration,
    /// How long a Check may take.
    check: Duration,
    /// The server's own `holds.max_message_timeout`: more is ignored, and ends in a 504.
    longest_message: Duration,
    /// How long a call may be silent.
    idle: Duration,
    /// The largest body, in bytes.
    body: usize,
    /// Calls under way at once.
    calls: usize,
}

/// On top of what the server takes at most: the way there and back, and time for its own answer.
const ROOM: Duration = Duration::from_secs(5);
/// Envoy's own default of `stream_idle_timeout`: no call should be cut off that would have lived without us.
const LEAST_IDLE: Duration = Duration::from_secs(300);
/// Calls that are being decided while `holds.total` others wait.
const DECIDING: usize = 10_000;

impl Figures {
    fn of(needs: &Needs) -> Self {
        let server = &needs.server;
        let answer = whole_seconds(2 * server.decision_timeout + ROOM);
        let check = whole_seconds(needs.longest_answer() + ROOM);
        let idle = whole_seconds(server.max_message_timeout + 2 * server.decision_timeout + LEAST_IDLE / 5);
        Self {
            answer,
            check,
            longest_message: server.max_message_timeout,
            idle: idle.max(check + ROOM).max(LEAST_IDLE),
            body: server.body_limit,
            calls: server.held.saturating_add(DECIDING),
        }
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests;
