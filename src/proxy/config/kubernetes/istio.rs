//! Istio: a mesh configuration, an AuthorizationPolicy, an EnvoyFilter and a DestinationRule.

use super::{
    Attribute, BodySource, ExtAuthzRoute, ExtProc, ExtProcRoute, Figures, Heading, Label, Mode, Name, Needs,
    Refused, Service, ServiceName, Template, buffered, changes_envoys_headers, check_times, filters, json,
    metadata, seconds,
};

/// Whom a mesh asks, and for which workloads. What the policies need is no option.
#[derive(Clone, Debug)]
pub struct IstioOptions {
    pub service: Service,
    pub portcullis: ServiceName,
    /// That of the workloads, or of the gateway.
    pub namespace: Name,
    pub selection: Selection,
    /// Whether to write what goes into the mesh configuration.
    pub mesh: bool,
    /// Whether to write the manifests.
    pub manifests: bool,
}

/// The proxies that ask.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Of the workloads that have all of these labels; without labels, of all workloads of the namespace.
    Workloads(Vec<Label>),
    /// A Gateway of the Gateway API.
    Gateway(Name),
}

#[derive(Template)]
#[template(path = "kubernetes/istio.yaml", escape = "none")]
struct Manifests {
    heading: Heading,
    ext_proc: bool,
    mesh: bool,
    manifests: bool,
    host: String,
    port: u16,
    portcullis_namespace: Name,
    namespace: Name,
    gateway: Option<Name>,
    labels: String,
    workload_labels: String,
    context: &'static str,
    check: String,
    calls: usize,
    body: usize,
    /// Whether the provider shows the body of every call.
    provider_body: bool,
    /// Whether an EnvoyFilter asks for it on every route.
    route_body: bool,
    per_route: String,
    peer_address: bool,
    filter: String,
    allow_envoy: bool,
    namespaces: String,
}

/// What a mesh needs to have its sidecars or gateways ask Portcullis.
///
/// # Errors
/// Times that Envoy doesn't take.
pub fn istio(needs: &Needs, options: &IstioOptions) -> Result<String, Refused> {
    if options.service == Service::Both {
        return Err(Refused::BothElsewhere);
    }
    check_times(needs, options.service)?;
    Ok(Manifests::of(needs, options)?.render()? + "\n")
}

impl Manifests {
    fn of(needs: &Needs, options: &IstioOptions) -> Result<Self, Refused> {
        let figures = Figures::of(needs);
        let ext_proc = options.service == Service::ExtProc;
        let reads_bodies = !buffered(needs).is_empty();
        // A server that takes every body for whole is believed; else each route tells that it shows whole bodies.
        let provider_body = !ext_proc && reads_bodies && needs.server.body == BodySource::Buffered;
        let host = options.portcullis.host();
        let cluster = json(&format!("outbound|{}||{host}", options.portcullis.port));
        let per_route = match options.service {
            Service::ExtAuthz => ExtAuthzRoute { body: figures.body }.render()?,
            Service::ExtProc | Service::Both => {
                ExtProcRoute { mode: Mode { whole_request: true } }.render()?
            }
        };
        let (gateway, labels, workload_labels) = selected(&options.selection);
        let context = context(&options.selection);
        let body = (!ext_proc && reads_bodies).then_some(if provider_body {
            BodySource::Buffered
        } else {
            BodySource::ByRoute
        });
        Ok(Self {
            heading: Heading::of("Istio", options.service, needs, body),
            ext_proc,
            mesh: options.mesh,
            manifests: options.manifests,
            port: options.portcullis.port,
            portcullis_namespace: options.portcullis.namespace.clone(),
            namespace: options.namespace.clone(),
            gateway,
            labels,
            workload_labels,
            context,
            check: seconds(figures.check),
            calls: figures.calls,
            body: figures.body,
            provider_body,
            route_body: reads_bodies && !provider_body,
            per_route,
            peer_address: context == SIDECAR && needs.reads(Attribute::SourceAddress),
            // `|` of the cluster's name may not stand in an authority: a server refuses such calls.
            filter: entry(&ExtProc::of(needs, &figures, &cluster, Some(host.clone())).render()?),
            allow_envoy: changes_envoys_headers(needs),
            namespaces: metadata(needs).0,
            host,
        })
    }
}

const SIDECAR: &str = "SIDECAR_INBOUND";

/// The gateway, the labels of the policy, and those of the workloads.
fn selected(selection: &Selection) -> (Option<Name>, String, String) {
    match selection {
        Selection::Gateway(name) => {
            // Istio gives the pods of a gateway this label.
            let label =
                Label { key: "gateway.networking.k8s.io/gateway-name".to_owned(), value: name.0.clone() };
            (Some(name.clone()), String::new(), label.to_string())
        }
        Selection::Workloads(labels) => {
            let labels = labels.iter().map(Label::to_string).collect::<Vec<_>>().join(", ");
            (None, labels.clone(), labels)
        }
    }
}

/// Where the filter sits. Istio's own gateways have a label `istio` that ends so.
fn context(selection: &Selection) -> &'static str {
    match selection {
        Selection::Gateway(_) => "GATEWAY",
        Selection::Workloads(labels)
            if labels.iter().any(|label| label.key == "istio" && label.value.ends_with("gateway")) =>
        {
            "GATEWAY"
        }
        Selection::Workloads(_) => SIDECAR,
    }
}

/// An entry of a list as the value that it is.
fn entry(item: &str) -> String {
    let lines =
        item.lines().map(|line| line.strip_prefix("- ").or_else(|| line.strip_prefix("  ")).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}
