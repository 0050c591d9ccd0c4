//! HTTP connection managers and their filters.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::document::{Node, Value};
use crate::proxy::tree::At;

/// One HTTP connection manager.
#[derive(Clone, Debug)]
pub struct Manager<'a> {
    /// Its configuration.
    pub at: At<'a>,
    pub listener: At<'a>,
    /// The filter chain that it is in.
    pub chain: At<'a>,
    pub filters: Vec<Filter<'a>>,
    /// Where its tables stand among those of the proxy.
    pub tables: Vec<usize>,
    /// Whether all of its tables are known.
    pub complete: bool,
    /// The entry of `upgrade_configs` whose filters these are; `None` where they are the manager's own.
    pub upgrade: Option<At<'a>>,
}

/// A `tcp_proxy`: what its connections carry meets no HTTP filter.
#[derive(Debug)]
pub struct Pipe<'a> {
    pub at: At<'a>,
    pub listener: At<'a>,
    /// The filter chain that it is in.
    pub chain: At<'a>,
}

/// One HTTP filter, in the order of requests.
#[derive(Clone, Debug)]
pub struct Filter<'a> {
    /// The name by which routes override it.
    pub name: &'a str,
    pub kind: Kind,
    /// The whole entry in the list of filters.
    pub entry: At<'a>,
    /// Its configuration: of the filter that is within, when a matcher decides whether it runs.
    pub config: At<'a>,
    /// The matcher that decides whether it runs.
    pub condition: Option<At<'a>>,
    /// Whether it asks Portcullis.
    pub asks: bool,
    /// The names by which services are known as Portcullis; none where every service may be.
    pub(super) portcullis: Rc<BTreeSet<String>>,
}

/// What a filter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    ExtAuthz,
    ExtProc,
    Router,
    /// By its configuration's type.
    Other(String),
}

impl Kind {
    fn of(name: String) -> Self {
        match name.as_str() {
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz" => Self::ExtAuthz,
            "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor" => Self::ExtProc,
            "envoy.extensions.filters.http.router.v3.Router" => Self::Router,
            _ => Self::Other(name),
        }
    }

    /// The filter's name in its type: `header_mutation` of `envoy.extensions.filters.http.header_mutation.v3.X`.
    pub fn short(&self) -> &str {
        match self {
            Self::ExtAuthz => "ext_authz",
            Self::ExtProc => "ext_proc",
            Self::Router => "router",
            Self::Other(name) => {
                let parts = name.split_once(".http.").map_or(name.as_str(), |(_, rest)| rest);
                parts.split('.').next().unwrap_or(name)
            }
        }
    }
}

impl<'a> Manager<'a> {
    /// The filters that ask Portcullis.
    pub fn asking(&self) -> impl Iterator<Item = &Filter<'a>> {
        self.filters.iter().filter(|filter| filter.asks)
    }

    /// The filters that requests meet after the last one that asks Portcullis; none when none asks.
    pub fn after(&self) -> &[Filter<'a>] {
        let last = self.filters.iter().rposition(|filter| filter.asks);
        last.and_then(|last| self.filters.get(last + 1..)).unwrap_or_default()
    }

    /// The filters that requests meet before the first one that asks Portcullis; none when none asks.
    pub fn before(&self) -> &[Filter<'a>] {
        let first = self.filters.iter().position(|filter| filter.asks);
        first.and_then(|first| self.filters.get(..first)).unwrap_or_default()
    }

    /// Whether calls that take a route with this action can meet these filters. Those of an upgrade are met where it is
    /// allowed: what a route says of its type is in force there, else what the manager says.
    pub(super) fn serves(&self, action: &At<'a>) -> bool {
        let Some(upgrade) = &self.upgrade else { return true };
        let kind = upgrade_type(upgrade);
        let own = action.get("upgrade_configs").items().into_iter().find(|own| upgrade_type(own) == kind);
        own.as_ref().unwrap_or(upgrade).get("enabled").flag() != Some(false)
    }
}

/// The type of an entry of `upgrade_configs` in lower case: Envoy compares it in any.
pub fn upgrade_type(upgrade: &At<'_>) -> String {
    upgrade.get("upgrade_type").text().unwrap_or_default().to_ascii_lowercase()
}

impl<'a> Pipe<'a> {
    /// The clusters that connections can go to.
    pub fn clusters(&self) -> Vec<At<'a>> {
        let weighted = self.at.at(&["weighted_clusters", "clusters"]).items();
        let named = weighted.iter().map(|cluster| cluster.get("name"));
        [self.at.get("cluster")].into_iter().chain(named).filter(At::exists).collect()
    }

    /// Whether another filter of its chain asks a service about connections.
    pub fn asks(&self) -> bool {
        self.chain.get("filters").items().iter().any(|filter| {
            let (kind, _) = filter.get("typed_config").typed();
            [".network.ext_authz.", ".network.ext_proc."].iter().any(|name| kind.contains(name))
        })
    }
}

impl<'a> Filter<'a> {
    /// Reads an entry of a list of filters whose configuration is `any`: its own, or what discovery answered.
    pub(super) fn of(entry: At<'a>, any: &At<'a>) -> Self {
        let name = entry.get("name").text().unwrap_or_default();
        let (kind, config) = any.typed();
        let outer = Self {
            name,
            kind: Kind::of(kind),
            entry,
            config,
            condition: None,
            asks: false,
            portcullis: Rc::default(),
        };
        if outer.is_service() || outer.kind == Kind::Router {
            return outer;
        }
        // A service within another filter's configuration runs when that one's matcher says so.
        match within(&outer.config) {
            Some((kind, config)) => {
                let matchers = ["xds_matcher", "matcher"].map(|name| outer.config.get(name));
                let condition = matchers.into_iter().find(At::exists).unwrap_or_else(|| outer.config.clone());
                Self { kind, config, condition: Some(condition), ..outer }
            }
            None => outer,
        }
    }

    /// Whether it asks a service by gRPC, as Portcullis is asked.
    pub fn is_service(&self) -> bool {
        matches!(self.kind, Kind::ExtAuthz | Kind::ExtProc) && self.service().exists()
    }

    /// Whether it is ext_authz or ext_proc, or would be with a type: by its name, and a service that it has.
    pub fn is_meant_to_ask(&self) -> bool {
        let named = || ["ext_authz", "ext_proc", "portcullis"].iter().any(|name| self.name.contains(name));
        let untyped = || self.kind == Kind::Other(String::new()) && (self.service().exists() || named());
        matches!(self.kind, Kind::ExtAuthz | Kind::ExtProc) || untyped()
    }

    /// Its `grpc_service`.
    pub fn service(&self) -> At<'a> {
        self.config.get("grpc_service")
    }

    pub fn is(&self, kind: &Kind) -> bool {
        self.kind == *kind
    }
}

/// The cluster, or with Google's client the target, of a `grpc_service`.
pub fn cluster_of<'a>(service: &At<'a>) -> Option<&'a str> {
    let envoy = service.at(&["envoy_grpc", "cluster_name"]);
    envoy.text().or_else(|| service.at(&["google_grpc", "target_uri"]).text())
}

/// The first ext_authz or ext_proc by gRPC within a configuration. Its depth is bounded by what reads the files.
fn within<'a>(at: &At<'a>) -> Option<(Kind, At<'a>)> {
    let holds_more = |node: &Node| matches!(node.value, Value::Map(_) | Value::Seq(_));
    let children = at.fields().into_iter().map(|(_, child)| child).chain(at.items());
    children.filter(|child| child.node().is_some_and(holds_more)).find_map(|child| {
        let (name, config) = child.typed();
        let kind = Kind::of(name);
        let asks = matches!(kind, Kind::ExtAuthz | Kind::ExtProc) && config.get("grpc_service").exists();
        if asks { Some((kind, config)) } else { within(&child) }
    })
}
