//! Envoy Gateway: a SecurityPolicy or an EnvoyExtensionPolicy, and what has to stand beside it.

use super::{
    BodySource, Figures, Heading, Name, Needs, Refused, Service, ServiceName, Template, buffered,
    changes_envoys_headers, check_times, json, metadata, seconds,
};

/// What is protected, and who is asked. What the policies need is no option.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    pub service: Service,
    pub portcullis: ServiceName,
    /// That of the gateway.
    pub namespace: Name,
    pub gateway: Name,
    /// The HTTPRoute that asks; `None`: all routes of the gateway.
    pub route: Option<Name>,
    /// The gateway's listeners, by their names.
    pub listeners: Vec<Name>,
}

#[derive(Template)]
#[template(path = "kubernetes/gateway.yaml", escape = "none")]
struct Manifests {
    heading: Heading,
    ext_proc: bool,
    namespace: Name,
    gateway: Name,
    target_kind: &'static str,
    target_name: Name,
    listeners: Vec<Name>,
    service: Name,
    portcullis_namespace: Name,
    port: u16,
    check: String,
    answer: String,
    idle: String,
    calls: usize,
    body: usize,
    buffer: usize,
    whole_request: bool,
    namespaces: String,
    filter_name: String,
    patches: Vec<Patch>,
}

/// One thing that Envoy Gateway has no field for.
struct Patch {
    why: &'static str,
    path: &'static str,
    /// As YAML writes it.
    value: String,
}

/// What a gateway needs to ask Portcullis.
///
/// # Errors
/// Times that Envoy doesn't take.
pub fn envoy_gateway(needs: &Needs, options: &GatewayOptions) -> Result<String, Refused> {
    if options.service == Service::Both {
        return Err(Refused::BothElsewhere);
    }
    check_times(needs, options.service)?;
    Ok(Manifests::of(needs, options).render()? + "\n")
}

impl Manifests {
    fn of(needs: &Needs, options: &GatewayOptions) -> Self {
        let figures = Figures::of(needs);
        let ext_proc = options.service == Service::ExtProc;
        let whole_request = !buffered(needs).is_empty();
        let (target_kind, target_name) = match &options.route {
            Some(route) => ("HTTPRoute", route.clone()),
            None => ("Gateway", options.gateway.clone()),
        };
        let policy = format!("{}/portcullis", options.namespace.0);
        let filter_name = match options.service {
            Service::ExtAuthz => format!("envoy.filters.http.ext_authz/securitypolicy/{policy}"),
            Service::ExtProc | Service::Both => {
                format!("envoy.filters.http.ext_proc/envoyextensionpolicy/{policy}/extproc/0")
            }
        };
        Self {
            heading: Heading::of(
                "Envoy Gateway",
                options.service,
                needs,
                whole_request.then_some(BodySource::Buffered),
            ),
            ext_proc,
            namespace: options.namespace.clone(),
            gateway: options.gateway.clone(),
            target_kind,
            target_name,
            listeners: options.listeners.clone(),
            service: options.portcullis.name.clone(),
            portcullis_namespace: options.portcullis.namespace.clone(),
            port: options.portcullis.port,
            check: seconds(figures.check),
            answer: seconds(figures.answer),
            idle: seconds(figures.idle),
            calls: figures.calls,
            body: figures.body,
            buffer: figures.body,
            whole_request,
            namespaces: metadata(needs).0,
            filter_name,
            patches: patches(needs, &figures, options.service, whole_request),
        }
    }
}

fn patches(needs: &Needs, figures: &Figures, service: Service, whole_request: bool) -> Vec<Patch> {
    let patch = |why, path, value: String| Patch { why, path, value };
    let yes = || "true".to_owned();
    let query = if needs.server.changes_query { ", allow_expression: {regex: \":path\"}" } else { "" };
    let rules = format!(
        "{{allow_all_routing: false, allow_envoy: {}, disallow_is_error: true{query}}}",
        changes_envoys_headers(needs)
    );
    let mutation = "A change that Envoy would not make fails the call: a header that should be gone must not get through.";
    let status = patch(
        "Who can't be asked is not the caller's fault: 503.",
        "/status_on_error",
        "{code: ServiceUnavailable}".to_owned(),
    );
    let mut patches = match service {
        Service::ExtAuthz => vec![
            patch(
                "Repeated headers and bytes that are not UTF-8 arrive as they were sent.",
                "/encode_raw_headers",
                yes(),
            ),
            patch(mutation, "/validate_mutations", yes()),
            patch("As above.", "/decoder_header_mutation_rules", rules),
            patch("`connection.requested_server_name` of conditions.", "/include_tls_session", yes()),
        ],
        Service::ExtProc | Service::Both => vec![
            patch(
                "Bounds a hold; has to equal Portcullis's `holds.max_message_timeout`.",
                "/max_message_timeout",
                json(&seconds(figures.longest_message)),
            ),
            patch(mutation, "/mutation_rules", rules),
        ],
    };
    patches.push(status);
    let namespaces = metadata(needs).0;
    match service {
        Service::ExtAuthz if !namespaces.is_empty() => {
            patches.push(patch(
                "`metadata` of conditions.",
                "/metadata_context_namespaces",
                format!("[{namespaces}]"),
            ));
        }
        _ => {}
    }
    if whole_request {
        patches.push(match service {
            Service::ExtAuthz => patch(
                "Bodies arrive byte by byte as they were sent.",
                "/with_request_body/pack_as_bytes",
                yes(),
            ),
            Service::ExtProc | Service::Both => patch(
                "Trailers in the body's place must not take a call past its verdict.",
                "/processing_mode/request_trailer_mode",
                "SEND".to_owned(),
            ),
        });
    }
    patches
}
