//! A cluster that can not speak gRPC.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "http1-to-portcullis",
    severity: Severity::Error,
    title: "Portcullis can't be asked over HTTP/1",
    what: "Clusters of Portcullis without `http2_protocol_options`.",
    why: "gRPC needs HTTP/2. Every call fails; with `failure_mode_allow` every call passes.",
    demonstrated: "Envoy 1.40.0: with HTTP/1.1 to Portcullis every call was refused with 503, also those that \
          policies allow. With HTTP/2 they passed.",
    test: Some("http1_to_portcullis"),
    fix: "Give the cluster HTTP/2.",
    example: "typed_extension_protocol_options:\n  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n    explicit_http_config: {http2_protocol_options: {}}\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for (_, filter) in envoy.asking() {
        if let Some(cluster) = envoy.cluster(&filter.service()).filter(|cluster| !cluster.speaks_http2()) {
            let message = format!("the cluster `{}` has no HTTP/2: no call can be authorized", cluster.name);
            let fix = "set `explicit_http_config: {http2_protocol_options: {}}` in its protocol options";
            report.find(&RULE, &cluster.at, message, fix);
        }
    }
}
