//! The options of `portcullis envoy config` for Kubernetes.

use crate::proxy::Needs;
use crate::proxy::config::kubernetes::{
    GatewayOptions, IstioOptions, Label, Name, Selection, ServiceName, envoy_gateway, istio,
};
use crate::proxy::config::{Address, Refused, Service};

/// What is protected.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct Target {
    /// The namespace of what is protected [default: default]
    #[arg(long, value_name = "NAME")]
    namespace: Option<Name>,
    /// Istio: the workloads with this label [default: all of the namespace]
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "gateway")]
    selector: Vec<Label>,
    /// The Gateway, of the Gateway API
    #[arg(long, value_name = "NAME")]
    gateway: Option<Name>,
    /// Envoy Gateway: the one HTTPRoute that asks [default: all of the gateway]
    #[arg(long, value_name = "NAME", requires = "gateway")]
    route: Option<Name>,
    /// Envoy Gateway: the gateway's listeners, by their names [default: http]
    #[arg(long, value_name = "NAME")]
    listener: Vec<Name>,
    /// Istio: only what goes into the mesh configuration, or only what `kubectl apply` takes
    #[arg(long, value_enum)]
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    MeshConfig,
    Manifests,
}

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum Mistake {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Name(String),
    #[error("Envoy Gateway protects what a gateway lets in: name it with `--gateway`")]
    NoGateway,
    #[error("one Service of Kubernetes stands for all replicas: name `--portcullis` once")]
    SeveralServices,
}

impl Target {
    /// Which options are given that both of Istio and Envoy Gateway take.
    pub fn of_both(&self) -> [(bool, &'static str); 2] {
        [(self.namespace.is_some(), "--namespace"), (self.gateway.is_some(), "--gateway")]
    }

    /// Which options are given that only Istio takes.
    pub fn of_istio(&self) -> [(bool, &'static str); 2] {
        [(!self.selector.is_empty(), "--selector"), (self.part.is_some(), "--part")]
    }

    /// Which options are given that only Envoy Gateway takes.
    pub fn of_gateway(&self) -> [(bool, &'static str); 2] {
        [(self.route.is_some(), "--route"), (!self.listener.is_empty(), "--listener")]
    }

    /// Whether what is protected are workloads beside their sidecars, and no gateway.
    pub fn is_sidecar(&self) -> bool {
        let is_gateway = |label: &Label| label.key == "istio" && label.value.ends_with("gateway");
        self.gateway.is_none() && !self.selector.iter().any(is_gateway)
    }

    fn namespace(&self) -> Result<Name, Mistake> {
        self.namespace.clone().map_or_else(|| default("default"), Ok)
    }

    pub fn istio(&self, needs: &Needs, service: Service, asked: &[Address]) -> Result<String, Mistake> {
        let options = IstioOptions {
            service,
            portcullis: named(asked)?,
            namespace: self.namespace()?,
            selection: match &self.gateway {
                Some(gateway) => Selection::Gateway(gateway.clone()),
                None => Selection::Workloads(self.selector.clone()),
            },
            mesh: self.part != Some(Part::Manifests),
            manifests: self.part != Some(Part::MeshConfig),
        };
        Ok(istio(needs, &options)?)
    }

    pub fn envoy_gateway(
        &self,
        needs: &Needs,
        service: Service,
        asked: &[Address],
    ) -> Result<String, Mistake> {
        let options = GatewayOptions {
            service,
            portcullis: named(asked)?,
            namespace: self.namespace()?,
            gateway: self.gateway.clone().ok_or(Mistake::NoGateway)?,
            route: self.route.clone(),
            listeners: match self.listener.as_slice() {
                [] => vec![default("http")?],
                named => named.to_vec(),
            },
        };
        Ok(envoy_gateway(needs, &options)?)
    }
}

/// A name that is used where none is given.
fn default(name: &str) -> Result<Name, Mistake> {
    name.parse().map_err(Mistake::Name)
}

fn named(asked: &[Address]) -> Result<ServiceName, Mistake> {
    match asked {
        [one] => Ok(ServiceName::of(one)?),
        [] => Err(Mistake::Refused(Refused::NoReplica)),
        _ => Err(Mistake::SeveralServices),
    }
}
