//! Clusters, as far as the way to Portcullis needs them.

use crate::proxy::tree::At;

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

#[derive(Debug)]
pub struct Cluster<'a> {
    pub name: &'a str,
    pub at: At<'a>,
}

impl<'a> Cluster<'a> {
    pub(super) fn of(at: At<'a>) -> Option<Self> {
        Some(Self { name: at.get("name").text()?, at })
    }

    /// Its HTTP protocol options; absent when it has none.
    pub fn options(&self) -> At<'a> {
        self.at.get("typed_extension_protocol_options").get(OPTIONS).typed().1
    }

    /// Whether it speaks HTTP/2 upstream, as gRPC needs it.
    pub fn speaks_http2(&self) -> bool {
        let options = self.options();
        let explicit = options.at(&["explicit_http_config", "http2_protocol_options"]);
        let downstream = options.get("use_downstream_protocol_config");
        explicit.exists()
            || options.get("auto_config").exists()
            || downstream.get("http2_protocol_options").exists()
            || self.at.get("http2_protocol_options").exists()
    }

    /// The addresses of its endpoints, `host:port` in lower case; none when they are not in its configuration.
    pub fn addresses(&self) -> Vec<String> {
        let groups = self.at.at(&["load_assignment", "endpoints"]).items();
        let endpoints = groups.iter().flat_map(|group| group.get("lb_endpoints").items());
        let addresses = endpoints.filter_map(|endpoint| {
            let address = endpoint.at(&["endpoint", "address", "socket_address"]);
            let (host, port) = (address.get("address").text()?, address.get("port_value").number()?);
            Some(format!("{host}:{port}").to_ascii_lowercase())
        });
        addresses.collect()
    }

    /// The circuit breaker of the priority that calls have, and its limit of requests at once, if it is set.
    pub fn breaker(&self) -> (At<'a>, Option<u64>) {
        let breakers = self.at.get("circuit_breakers");
        let is_default = |at: &At<'_>| {
            let priority = at.get("priority");
            !priority.exists() || priority.word(&["DEFAULT", "HIGH"]) == Some("DEFAULT")
        };
        match breakers.get("thresholds").items().into_iter().find(is_default) {
            Some(threshold) => {
                let requests = threshold.get("max_requests");
                let limit = requests.number();
                (requests, limit)
            }
            None => (breakers, None),
        }
    }
}
