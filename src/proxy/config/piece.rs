//! The templates of `templates/envoy/`, with what each is filled in with.

use askama::Template;

use super::text::{json, seconds};
use super::{Address, Figures, Options, Refused, RouteMatch, Service, buffered, tls};
use crate::policy::cel::attribute::Attribute;
use crate::proxy::Needs;
use crate::request::Handover;

/// Envoy's own default of `per_connection_buffer_limit_bytes`.
const LEAST_BUFFER: usize = 1 << 20;

/// An Envoy between callers and one upstream.
#[derive(Template)]
#[template(path = "envoy/bootstrap.yaml", escape = "none")]
pub(super) struct Bootstrap {
    pieces: Pieces,
    admin: String,
    listen: String,
    upstream_discovery: &'static str,
    upstream_http2: bool,
    upstream: String,
    calls: usize,
}

/// What goes into an Envoy that exists.
#[derive(Template)]
#[template(path = "envoy/snippet.yaml", escape = "none")]
pub(super) struct Snippet {
    pieces: Pieces,
}

/// Of the service that a filter asks. Only what no replica has begun with is sent to another one, so that nothing is decided twice.
const RETRY: &str =
    "retry_policy: {retry_on: \"connect-failure,refused-stream,reset-before-request\", num_retries: 2}";

/// What both have.
struct Pieces {
    /// What Portcullis is to the proxy.
    role: &'static str,
    heading: Heading,
    manager: Manager,
    /// The entry of `http_filters`.
    filter: String,
    buffer: usize,
    cluster: Cluster,
    /// The routes that need `per_route`.
    routes: Vec<RouteMatch>,
    /// Whether those are all routes.
    everything: bool,
    per_route: String,
    /// What all other routes need: the filter of ext_authz shows bodies unless it is told otherwise.
    others: Option<String>,
}

#[derive(Template)]
#[template(path = "envoy/heading.yaml", escape = "none")]
struct Heading {
    ext_proc: bool,
    longest_message: String,
}

#[derive(Template)]
#[template(path = "envoy/manager.yaml", escape = "none")]
struct Manager {
    idle: String,
    forwards_certificates: bool,
}

#[derive(Template)]
#[template(path = "envoy/ext_authz.yaml", escape = "none")]
struct ExtAuthz {
    check: String,
    retry: &'static str,
    /// The mark by which the filter says that it takes part in a handover.
    mark: Option<Mark>,
    peer_certificate: bool,
    allow_envoy: bool,
    changes_query: bool,
    namespaces: String,
    any_metadata: bool,
    /// The largest body that is shown; `None` where no rule asks for one.
    body: Option<usize>,
}

/// An entry of `initial_metadata`.
struct Mark {
    key: &'static str,
    value: &'static str,
}

impl Mark {
    fn of(value: &'static str) -> Self {
        Self { key: Handover::MARK, value }
    }
}

#[derive(Template)]
#[template(path = "envoy/ext_authz_route.yaml", escape = "none")]
pub(super) struct ExtAuthzRoute {
    pub body: usize,
}

/// The routes whose bodies no rule reads.
#[derive(Template)]
#[template(path = "envoy/ext_authz_others.yaml", escape = "none")]
struct ExtAuthzOthers;

#[derive(Template)]
#[template(path = "envoy/ext_proc.yaml", escape = "none")]
pub(super) struct ExtProc {
    /// As YAML writes it.
    cluster: String,
    /// What Portcullis is called, where the cluster's name can be no host.
    authority: Option<String>,
    answer: String,
    longest_message: String,
    retry: &'static str,
    /// As for ext_authz.
    mark: Option<Mark>,
    mode: Mode,
    allow_envoy: bool,
    changes_query: bool,
    namespaces: String,
    any_metadata: bool,
}

#[derive(Template)]
#[template(path = "envoy/ext_proc_route.yaml", escape = "none")]
pub(super) struct ExtProcRoute {
    pub mode: Mode,
}

/// Which parts of a call Envoy shows. The server itself asks for the body of a response that it masks.
#[derive(Template)]
#[template(path = "envoy/mode.yaml", escape = "none")]
pub(super) struct Mode {
    pub whole_request: bool,
}

#[derive(Template)]
#[template(path = "envoy/cluster.yaml", escape = "none")]
struct Cluster {
    discovery: &'static str,
    tls: Option<tls::Socket>,
    calls: usize,
    /// Whether the endpoints stand in an order of preference.
    preferred: bool,
    /// By priority.
    endpoints: Vec<(usize, Vec<String>)>,
}

impl Bootstrap {
    pub fn of(needs: &Needs, options: &Options) -> Result<Self, Refused> {
        Ok(Self {
            pieces: Pieces::of(needs, options)?,
            admin: options.admin.yaml(),
            listen: options.listen.yaml(),
            upstream_discovery: discovery(std::slice::from_ref(&options.upstream))?,
            upstream_http2: options.upstream_http2,
            upstream: options.upstream.yaml(),
            calls: Figures::of(needs).calls,
        })
    }
}

impl Snippet {
    pub fn of(needs: &Needs, options: &Options) -> Result<Self, Refused> {
        Ok(Self { pieces: Pieces::of(needs, options)? })
    }
}

impl Pieces {
    fn of(needs: &Needs, options: &Options) -> Result<Self, Refused> {
        let figures = Figures::of(needs);
        let (ext_authz, ext_proc) =
            (ExtAuthz::of(needs, &figures), ExtProc::of(needs, &figures, "portcullis", None));
        let ext_authz_route = ExtAuthzRoute { body: figures.body };
        let (role, filter, per_route) = match options.service {
            Service::ExtAuthz => ("authorization service", ext_authz.render()?, ext_authz_route.render()?),
            Service::ExtProc => (
                "external processor",
                ext_proc.render()?,
                ExtProcRoute { mode: Mode { whole_request: true } }.render()?,
            ),
            Service::Both => (
                "authorization service, and as the processor that masks what it decided",
                format!("{}\n{}", ext_authz.handing_over().render()?, ext_proc.taking_over().render()?),
                ext_authz_route.render()?,
            ),
        };
        let routes = buffered(needs);
        let everything = routes.iter().any(RouteMatch::is_everything);
        let shows_some = options.service != Service::ExtProc && !routes.is_empty() && !everything;
        let others = if shows_some { Some(ExtAuthzOthers.render()?) } else { None };
        Ok(Self {
            role,
            heading: Heading {
                ext_proc: options.service == Service::ExtProc,
                longest_message: seconds(figures.longest_message),
            },
            manager: Manager {
                idle: seconds(figures.idle),
                forwards_certificates: needs.server.forwarded_certificates,
            },
            filter,
            buffer: figures.body.max(LEAST_BUFFER),
            cluster: Cluster::of(needs, options, &figures)?,
            everything,
            routes,
            per_route,
            others,
        })
    }
}

impl ExtAuthz {
    fn of(needs: &Needs, figures: &Figures) -> Self {
        let (namespaces, any_metadata) = metadata(needs);
        Self {
            check: seconds(figures.check),
            retry: RETRY,
            mark: None,
            peer_certificate: needs.server.mtls,
            allow_envoy: changes_envoys_headers(needs),
            changes_query: needs.server.changes_query,
            namespaces,
            any_metadata,
            body: (!needs.bodies.is_empty()).then_some(figures.body),
        }
    }
}

impl ExtAuthz {
    /// Before an ext_proc that masks.
    fn handing_over(self) -> Self {
        Self { mark: Some(Mark::of(Handover::GIVES)), ..self }
    }
}

impl ExtProc {
    /// After an ext_authz that decides.
    fn taking_over(self) -> Self {
        let own = json(Handover::NAMESPACE);
        let others = self.namespaces.split(", ").filter(|name| !name.is_empty() && *name != own);
        let namespaces = std::iter::once(own.as_str()).chain(others).collect::<Vec<_>>().join(", ");
        Self { mark: Some(Mark::of(Handover::EXPECTS)), namespaces, ..self }
    }

    pub fn of(needs: &Needs, figures: &Figures, cluster: &str, authority: Option<String>) -> Self {
        let (namespaces, any_metadata) = metadata(needs);
        Self {
            cluster: cluster.to_owned(),
            authority,
            answer: seconds(figures.answer),
            longest_message: seconds(figures.longest_message),
            retry: RETRY,
            mark: None,
            mode: Mode { whole_request: false },
            allow_envoy: changes_envoys_headers(needs),
            changes_query: needs.server.changes_query,
            namespaces,
            any_metadata,
        }
    }
}

impl Cluster {
    /// Where calls are held, a retry has to find the store that has its approval: without a store that all share, one replica
    /// is preferred.
    fn of(needs: &Needs, options: &Options, figures: &Figures) -> Result<Self, Refused> {
        let replicas = options.portcullis.as_slice();
        let preferred = needs.holds() && !needs.server.shared_store && replicas.len() > 1;
        let endpoints = replicas.iter().map(Address::yaml);
        let endpoints = match preferred {
            true => endpoints.enumerate().map(|(priority, address)| (priority, vec![address])).collect(),
            false => vec![(0, endpoints.collect())],
        };
        let tls = tls::Socket::of(options.tls.as_ref(), &needs.server, replicas)?;
        Ok(Self { discovery: discovery(replicas)?, tls, calls: figures.calls, preferred, endpoints })
    }
}

/// How Envoy finds a cluster's endpoints.
fn discovery(addresses: &[Address]) -> Result<&'static str, Refused> {
    let name = addresses.iter().find(|address| matches!(address, Address::Name(..)));
    let socket = addresses.iter().find(|address| matches!(address, Address::Unix(_)));
    match (addresses, name, socket) {
        ([], ..) => Err(Refused::NoReplica),
        (_, Some(name), Some(socket)) => {
            Err(Refused::MixedAddresses { socket: socket.clone(), name: name.clone() })
        }
        (_, Some(_), None) => Ok("STRICT_DNS"),
        (_, None, _) => Ok("STATIC"),
    }
}

/// The namespaces of filter metadata that rules read, as a YAML list without its brackets, and whether some rule reads by a
/// name that isn't known before the call.
pub(super) fn metadata(needs: &Needs) -> (String, bool) {
    let entries = needs.reads.entries.iter();
    let named =
        entries.filter(|(attribute, _)| *attribute == Attribute::Metadata).map(|(_, name)| json(name));
    (named.collect::<Vec<_>>().join(", "), needs.reads.as_a_whole(Attribute::Metadata))
}

/// Envoy keeps changes of its own headers to itself unless it is told otherwise.
pub(super) fn changes_envoys_headers(needs: &Needs) -> bool {
    needs.changes_envoys_headers(true)
}

/// What templates may do to a value.
pub(super) mod filters {
    use std::fmt::Display;

    /// Lets all lines but the first begin at this column. (askama's own `indent` goes to 16.)
    #[askama::filter_fn]
    pub fn at(text: impl Display, _: &dyn askama::Values, column: usize) -> askama::Result<String> {
        Ok(text.to_string().replace('\n', &format!("\n{}", " ".repeat(column))))
    }
}
