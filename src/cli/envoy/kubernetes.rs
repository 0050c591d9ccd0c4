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
    /// The namespace of what is protected
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: Name,
    /// Istio: the workloads with this label [default: all of the namespace]
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "gateway")]
    selector: Vec<Label>,
    /// The Gateway, of the Gateway API
    #[arg(long, value_name = "NAME")]
    gateway: Option<Name>,
    /// Envoy Gateway: the one HTTPRoute that asks [default: all of the gateway]
    #[arg(long, value_name = "NAME", requires = "gateway")]
    route: Option<Name>,
    /// Envoy Gateway: the gateway's listeners, by their names
    #[arg(long, value_name = "NAME", default_value = "http")]
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
    #[error("Envoy Gateway protects what a gateway lets in: name it with `--gateway`")]
    NoGateway,
    #[error("one Service of Kubernetes stands for all replicas: name `--portcullis` once")]
    SeveralServices,
}

impl Target {
    pub fn istio(&self, needs: &Needs, service: Service, asked: &[Address]) -> Result<String, Mistake> {
        let options = IstioOptions {
            service,
            portcullis: named(asked)?,
            namespace: self.namespace.clone(),
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
            namespace: self.namespace.clone(),
            gateway: self.gateway.clone().ok_or(Mistake::NoGateway)?,
            route: self.route.clone(),
            listeners: self.listener.clone(),
        };
        Ok(envoy_gateway(needs, &options)?)
    }
}

fn named(asked: &[Address]) -> Result<ServiceName, Mistake> {
    match asked {
        [one] => Ok(ServiceName::of(one)?),
        [] => Err(Mistake::Refused(Refused::NoReplica)),
        _ => Err(Mistake::SeveralServices),
    }
}
