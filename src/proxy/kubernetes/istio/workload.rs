//! What proxies run beside, and whether calls can go around them.

use super::Object;
use crate::proxy::kubernetes::labels;
use crate::proxy::tree::At;

/// The label of the pods that are made for a Gateway of the Gateway API.
pub(super) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// What a proxy runs beside: a Pod, or what makes pods by a template.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    pub object: Object<'a>,
    /// The pod, or the template: `metadata` and `spec`.
    pub pod: At<'a>,
    pub labels: Vec<(&'a str, &'a str)>,
}

/// The two kinds of proxies that Istio configures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Sidecar,
    Gateway,
}

impl<'a> Workload<'a> {
    /// A workload, if that is what the object is.
    pub(super) fn of(object: &Object<'a>) -> Option<Self> {
        let pod = match (object.group, object.kind) {
            ("", "Pod") => object.at.clone(),
            ("batch", "CronJob") => object.spec().at(&["job_template", "spec", "template"]),
            ("apps" | "batch", _) => object.spec().get("template"),
            _ => return None,
        };
        Some(Self { labels: labels(&pod.at(&["metadata", "labels"])), pod, object: object.clone() })
    }

    fn annotation(&self, name: &str) -> At<'a> {
        self.pod.at(&["metadata", "annotations", name])
    }

    /// A gateway is a pod that is the proxy itself.
    pub fn class(&self) -> Class {
        let template = self.annotation("inject.istio.io/templates");
        let containers = self.pod.at(&["spec", "containers"]).items();
        let routes = |container: &At<'_>| {
            container.get("args").items().iter().any(|argument| argument.text() == Some("router"))
        };
        let gateway = is_gateway(&self.labels)
            || template.text().is_some_and(|names| names.split(',').any(|name| name.trim() == "gateway"))
            || containers.iter().any(routes);
        if gateway { Class::Gateway } else { Class::Sidecar }
    }

    /// Whether it takes calls: what runs to its end does not.
    pub fn serves(&self) -> bool {
        !matches!(self.object.kind, "Job" | "CronJob")
    }

    /// Whether it is Portcullis itself.
    pub fn is_portcullis(&self) -> bool {
        self.object.name.contains("portcullis")
            || self.labels.iter().any(|(_, value)| value.contains("portcullis"))
    }

    /// Why it has no sidecar, with the place that says so.
    pub fn without_sidecar(&self) -> Option<(At<'a>, &'static str)> {
        const INJECT: &str = "sidecar.istio.io/inject";
        // The label counts before the annotation.
        let label = self.pod.at(&["metadata", "labels", INJECT]);
        let inject = if label.exists() { label } else { self.annotation(INJECT) };
        let network = self.pod.at(&["spec", "host_network"]);
        let mode = self.annotation("sidecar.istio.io/interceptionMode");
        if inject.flag() == Some(false) {
            Some((inject, "has no sidecar (`sidecar.istio.io/inject`)"))
        } else if network.is_true() {
            Some((network, "gets no sidecar: its pods are on the network of their node (`hostNetwork`)"))
        } else if mode.text() == Some("NONE") {
            Some((mode, "has a sidecar that takes no connections (`interceptionMode: NONE`)"))
        } else {
            None
        }
    }

    /// The annotations by which some ports go around the sidecar.
    pub fn excluding(&self) -> Option<(At<'a>, Excluded)> {
        let excluded = self.annotation("traffic.sidecar.istio.io/excludeInboundPorts");
        let included = self.annotation("traffic.sidecar.istio.io/includeInboundPorts");
        if let Some(only) = listed(&included).filter(|text| text.trim() != "*") {
            return Some((included, Excluded::AllBut(ports(&only))));
        }
        let ports = ports(&listed(&excluded)?);
        (!ports.is_empty()).then_some((excluded, Excluded::Only(ports)))
    }

    /// The numbers of the ports that its containers name.
    pub fn ports(&self) -> Vec<u64> {
        let containers = self.pod.at(&["spec", "containers"]).items();
        let ports = containers.iter().flat_map(|container| container.get("ports").items());
        ports.filter_map(|port| port.get("container_port").number()).collect()
    }

    /// The number of a port of its containers, by its number or its name.
    pub fn port(&self, port: &At<'_>) -> Option<u64> {
        if let Some(number) = port.number() {
            return Some(number);
        }
        let containers = self.pod.at(&["spec", "containers"]).items();
        let mut ports = containers.iter().flat_map(|container| container.get("ports").items());
        ports.find(|named| named.get("name").text() == port.text())?.get("container_port").number()
    }
}

/// The ports that go around a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excluded {
    Only(Vec<u64>),
    AllBut(Vec<u64>),
}

impl Excluded {
    pub fn has(&self, port: u64) -> bool {
        match self {
            Self::Only(ports) => ports.contains(&port),
            Self::AllBut(ports) => !ports.contains(&port),
        }
    }
}

/// Whether labels are those of a gateway's pods.
pub(super) fn is_gateway(labels: &[(&str, &str)]) -> bool {
    let named =
        |(key, value): &(&str, &str)| *key == GATEWAY_NAME || (*key == "istio" && value.ends_with("gateway"));
    labels.iter().any(named)
}

/// An annotation's text: one port may be written as a number.
fn listed(at: &At<'_>) -> Option<String> {
    at.text().map(str::to_owned).or_else(|| at.number().map(|number| number.to_string()))
}

fn ports(text: &str) -> Vec<u64> {
    text.split(',').filter_map(|port| port.trim().parse().ok()).collect()
}
