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
mod tls;

pub use address::Address;
pub use route::RouteMatch;
pub use tls::Tls;

use askama::Template as _;

/// The service by which Envoy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    ExtAuthz,
    ExtProc,
    /// Both in one chain: ext_authz decides, ext_proc masks by what that says.
    Both,
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
    /// TLS to the server.
    pub tls: Option<Tls>,
}

/// Why a configuration can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "both filters in one chain are written for `--for envoy` alone: an `extensionProviders` entry of Istio and a policy of \
         Envoy Gateway have no place for the `initial_metadata` that says which filter asks, and for `forwarding_namespaces`. \
         Choose `--service ext_proc`, which decides, holds and masks by itself"
    )]
    BothElsewhere,
    #[error("no replica of Portcullis is named")]
    NoReplica,
    #[error("`{socket}` and `{name}` can't be in one cluster: Envoy resolves no names beside Unix sockets")]
    MixedAddresses { socket: Address, name: Address },
    #[error("`{0}` names no Service of Kubernetes: `--portcullis` has to be `SERVICE.NAMESPACE:PORT`")]
    NoService(Address),
    #[error(
        "`{option} {address}` is a name, and Envoy listens on addresses alone: write 0.0.0.0 in its place for every \
         address of this machine, or 127.0.0.1"
    )]
    NameToListen { option: &'static str, address: Address },
    /// With what makes it so long, in the server's configuration or the policies.
    #[error("{} s ({what}) is more than the {} s that Envoy takes: shorten it{advice}", .time.as_secs(), .most.as_secs())]
    TooLong { what: &'static str, time: Duration, most: Duration, advice: &'static str },
    #[error(
        "the server's `listen.grpc` has TLS: say with `--tls-ca FILE` where Envoy finds the CA of its certificate"
    )]
    TlsWanted,
    #[error("the server's `listen.grpc` has no TLS: leave out `--tls-ca`, or set `listen.grpc.tls`")]
    NoTls,
    #[error(
        "the server's `listen.grpc.tls` has a `client_ca`: say with `--tls-certificate FILE` and `--tls-key FILE` where \
         Envoy finds a certificate to show"
    )]
    ClientCertificateWanted,
    #[error("`{0}` is a Unix socket, which has no TLS")]
    TlsOnSocket(Address),
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
    options.check(needs)?;
    Ok(piece::Bootstrap::of(needs, options)?.render()? + "\n")
}

/// The pieces to paste into an existing configuration, one YAML document each, with comments that say where.
///
/// # Errors
/// Options that no Envoy configuration can express.
pub fn snippet(needs: &Needs, options: &Options) -> Result<String, Refused> {
    options.check(needs)?;
    Ok(piece::Snippet::of(needs, options)?.render()? + "\n")
}

impl Options {
    /// Refuses what no Envoy takes.
    fn check(&self, needs: &Needs) -> Result<(), Refused> {
        for (option, address) in [("--listen", &self.listen), ("--admin", &self.admin)] {
            if let Address::Name(..) = address {
                return Err(Refused::NameToListen { option, address: address.clone() });
            }
        }
        check_times(needs, self.service)
    }
}

/// Refuses times that Envoy doesn't take.
fn check_times(needs: &Needs, service: Service) -> Result<(), Refused> {
    let figures = Figures::of(needs);
    let other = "; ext_authz takes more";
    let (message, general) = ((LONGEST_MESSAGE, other), (LONGEST, ""));
    let of_service = match service {
        Service::ExtProc => [
            ("two `limits.decision_timeout` and 5 s", figures.answer, message),
            ("`holds.max_message_timeout`", figures.longest_message, message),
        ],
        Service::ExtAuthz | Service::Both => [
            ("the longest hold, two `limits.decision_timeout` and 5 s", figures.check, general),
            ("two `limits.decision_timeout` and 5 s", figures.answer, general),
        ],
    };
    let idle = ("the longest hold, two `limits.decision_timeout` and 60 s", figures.idle, general);
    for (what, time, (most, advice)) in of_service.into_iter().chain([idle]) {
        if time > most {
            return Err(Refused::TooLong { what, time, most, advice });
        }
    }
    Ok(())
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

/// The longest time that Envoy takes: it counts nanoseconds in 63 bits. 1.40.0 refuses one second more.
const LONGEST: Duration = Duration::from_secs(9_223_372_035);
/// The longest `message_timeout` and `max_message_timeout` of ext_proc, by the rules of its own fields.
const LONGEST_MESSAGE: Duration = Duration::from_secs(3_600);
/// On top of what the server takes at most: the way there and back, and time for its own answer.
const ROOM: Duration = Duration::from_secs(5);
/// Envoy's own default of `stream_idle_timeout`: no call should be cut off that would have lived without us.
const LEAST_IDLE: Duration = Duration::from_secs(300);
/// Calls that are being decided while `holds.total` others wait.
const DECIDING: usize = 10_000;

impl Figures {
    fn of(needs: &Needs) -> Self {
        let server = &needs.server;
        let decisions = server.decision_timeout.saturating_mul(2);
        let answer = whole_seconds(decisions.saturating_add(ROOM));
        let check = whole_seconds(needs.longest_answer().saturating_add(ROOM));
        let idle = server.max_message_timeout.saturating_add(decisions).saturating_add(LEAST_IDLE / 5);
        let idle = whole_seconds(idle);
        Self {
            answer,
            check,
            longest_message: server.max_message_timeout,
            idle: idle.max(check.saturating_add(ROOM)).max(LEAST_IDLE),
            body: server.body_limit,
            calls: server.held.saturating_add(DECIDING),
        }
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests;
