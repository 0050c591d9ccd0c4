//! From what files and the admin port say to proxies.

use self::kind::DocumentKind;
use self::names::Names;
use super::filter::Pipe;
use super::route::Table;
use super::{Cluster, Envoy, Given, Version, Wanted};
use crate::diagnostic::Diagnostic;
use crate::proxy::tree::{At, Source, is_field};

mod kind;
mod mark;
mod names;

/// The resources of one proxy.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    root: At<'a>,
    /// All that was read, short of secrets.
    documents: Vec<At<'a>>,
    version: Option<Version>,
    admin: Vec<At<'a>>,
    /// Where a bootstrap has resources fetched.
    dynamic: Vec<At<'a>>,
    listeners: Vec<At<'a>>,
    clusters: Vec<At<'a>>,
    tables: Vec<At<'a>>,
    scopes: Vec<At<'a>>,
    extensions: Vec<At<'a>>,
    /// Parts of a dump that are not known: where, and what.
    unread: Vec<(At<'a>, String)>,
    /// A bootstrap or a dump, not resources alone.
    whole: bool,
    /// Whether it is a dump that lists the clusters.
    lists_clusters: bool,
    /// Whether what a bootstrap has fetched of listeners is there: a dump lists them, or a file holds some.
    lists_listeners: bool,
}

/// What a field of `dynamic_resources` has fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    Listeners,
    Clusters,
}

const FETCHED: [(&str, Fetched); 4] = [
    ("lds_config", Fetched::Listeners),
    ("lds_resources_locator", Fetched::Listeners),
    ("cds_config", Fetched::Clusters),
    ("cds_resources_locator", Fetched::Clusters),
];

/// See [`Envoy::read`].
pub(super) fn proxies<'a>(sources: &[&'a Source]) -> Result<Vec<Parts<'a>>, Diagnostic> {
    let mut proxies: Vec<Parts<'_>> = Vec::new();
    for source in sources.iter().copied() {
        if source.documents().next().is_none() {
            return Err(kind::nothing(source));
        }
        for root in source.documents() {
            let mut parts = Parts::new(root.clone());
            parts.take(root)?;
            match proxies.last_mut() {
                // What comes first may be the resources of the bootstrap after them.
                Some(last) if !parts.whole || !last.whole => last.join(parts),
                _ => proxies.push(parts),
            }
        }
    }
    Ok(proxies)
}

impl<'a> Parts<'a> {
    fn new(root: At<'a>) -> Self {
        Self {
            root,
            documents: Vec::new(),
            version: None,
            admin: Vec::new(),
            dynamic: Vec::new(),
            listeners: Vec::new(),
            clusters: Vec::new(),
            tables: Vec::new(),
            scopes: Vec::new(),
            extensions: Vec::new(),
            unread: Vec::new(),
            whole: false,
            lists_clusters: false,
            lists_listeners: false,
        }
    }

    fn join(&mut self, other: Self) {
        if other.whole {
            self.root = other.root;
            self.whole = true;
        }
        self.lists_clusters |= other.lists_clusters;
        self.lists_listeners |= other.lists_listeners;
        self.documents.extend(other.documents);
        self.unread.extend(other.unread);
        self.version = self.version.or(other.version);
        self.admin.extend(other.admin);
        self.dynamic.extend(other.dynamic);
        self.listeners.extend(other.listeners);
        self.clusters.extend(other.clusters);
        self.tables.extend(other.tables);
        self.scopes.extend(other.scopes);
        self.extensions.extend(other.extensions);
    }

    /// Takes what a document holds. The error is a document, or a resource in one, that is nothing of Envoy's.
    fn take(&mut self, at: At<'a>) -> Result<(), Diagnostic> {
        let kind = DocumentKind::of(&at).ok_or_else(|| kind::unknown(&at))?;
        if kind != DocumentKind::Secret {
            self.documents.push(at.clone());
        }
        match kind {
            DocumentKind::Typed => self.resource(&at).then_some(()).ok_or_else(|| kind::unknown(&at))?,
            DocumentKind::DiscoveryResponse => {
                for item in at.get("resources").items() {
                    self.resource(&item).then_some(()).ok_or_else(|| kind::unknown(&item))?;
                }
            }
            DocumentKind::ConfigDump => self.dump(&at),
            DocumentKind::ServerInfo => self.version = Version::of_server_info(&at),
            DocumentKind::Bootstrap => self.bootstrap(&at, true),
            DocumentKind::Listener => self.listener(at),
            DocumentKind::Cluster => self.clusters.push(at),
            DocumentKind::RouteConfiguration => self.tables.push(at),
            DocumentKind::ScopedRouteConfiguration => self.scopes.push(at),
            // Nothing in them bears on what is asked.
            DocumentKind::ClusterLoadAssignment | DocumentKind::Secret | DocumentKind::Runtime => {}
        }
        Ok(())
    }

    /// One that stands in no bootstrap.
    fn listener(&mut self, at: At<'a>) {
        self.lists_listeners = true;
        self.listeners.push(at);
    }

    fn dump(&mut self, at: &At<'a>) {
        self.whole = true;
        let configs = at.get("configs").items();
        let of_listeners = |item: &At<'_>| item.typed().0.ends_with(".ListenersConfigDump");
        let listed = configs.iter().any(of_listeners);
        self.lists_listeners |= listed;
        self.lists_clusters = configs.iter().any(|item| item.typed().0.ends_with(".ClustersConfigDump"));
        for item in &configs {
            if item.typed().0.ends_with(".BootstrapConfigDump") {
                // What it has of resources stands in their own lists, as it is now.
                self.bootstrap(&item.get("bootstrap"), !listed);
            } else if !self.resource(item) {
                let what = format!("`{}`, a part of a dump that this program doesn't know", item.typed().0);
                self.unread.push((item.clone(), what));
            }
        }
    }

    fn bootstrap(&mut self, at: &At<'a>, with_resources: bool) {
        self.whole = true;
        self.version = Version::of_node(&at.get("node")).or(self.version);
        self.admin.extend(Some(at.get("admin")).filter(At::exists));
        if with_resources {
            let resources = at.get("static_resources");
            self.listeners.extend(resources.get("listeners").items());
            self.clusters.extend(resources.get("clusters").items());
        }
        let dynamic = at.get("dynamic_resources").fields();
        self.dynamic.extend(dynamic.into_iter().map(|(_, at)| at));
    }

    /// Takes a typed resource, or a part of a dump; false when it is of another kind.
    fn resource(&mut self, at: &At<'a>) -> bool {
        let (name, message) = at.typed();
        match name.rsplit('.').next().unwrap_or_default() {
            "Resource" => return self.resource(&message.get("resource")),
            "Listener" => self.listener(message),
            "Cluster" => self.clusters.push(message),
            "RouteConfiguration" => self.tables.push(message),
            "ScopedRouteConfiguration" => self.scopes.push(message),
            "TypedExtensionConfig" => self.extensions.push(message),
            "ListenersConfigDump"
            | "ClustersConfigDump"
            | "RoutesConfigDump"
            | "ScopedRoutesConfigDump"
            | "EcdsConfigDump" => message
                .fields()
                .into_iter()
                .flat_map(|(_, list)| list.items())
                .for_each(|item| self.dumped(&item)),
            "StaticListener" | "DynamicListener" | "StaticCluster" | "DynamicCluster"
            | "StaticRouteConfig" | "DynamicRouteConfig" | "EcdsFilterConfig" => self.dumped(&message),
            "DiscoveryResponse" => {
                return message.get("resources").items().iter().all(|item| self.resource(item));
            }
            "Bootstrap" => self.bootstrap(&message, true),
            "VirtualHost" => {
                let what = "a virtual host that Envoy fetched on demand, apart from its table".to_owned();
                self.unread.push((message, what));
            }
            "SecretsConfigDump" | "EndpointsConfigDump" | "ClusterLoadAssignment" | "Secret" | "Runtime" => {}
            _ => return false,
        }
        true
    }

    /// An element of a dump's list. A listener that drains serves nobody new.
    fn dumped(&mut self, item: &At<'a>) {
        let states = ["active_state", "warming_state"].map(|name| item.get(name));
        let state = states.into_iter().find(At::exists).unwrap_or_else(|| item.clone());
        for name in ["listener", "cluster", "route_config", "ecds_filter"] {
            let message = state.get(name);
            if message.exists() {
                self.resource(&message);
            }
        }
        for scoped in item.get("scoped_route_configs").items() {
            self.scopes.push(scoped.typed().1);
        }
    }

    pub fn envoy(self, given: &Given) -> Envoy<'a> {
        let mut unread = self.unread.clone();
        let tables: Vec<_> = self.tables.iter().map(|at| Table::of(at.clone(), &mut unread)).collect();
        let mut envoy = Envoy {
            root: self.root.clone(),
            documents: self.documents.clone(),
            version: given.version.or(self.version),
            admin: self.admin.clone(),
            listeners: self.listeners.len(),
            managers: Vec::new(),
            pipes: Vec::new(),
            tables,
            clusters: self
                .clusters
                .iter()
                .filter_map(|at| Cluster::of(at.clone()))
                .map(|cluster| (cluster.name, cluster))
                .collect(),
            clusters_known: self.knows_clusters(),
            unread,
            wanted: Wanted::default(),
        };
        let names = Names::of(&self, &envoy.tables);
        for listener in &self.listeners {
            self.managers(listener, &names, &mut envoy);
        }
        mark::filters(&mut envoy, given.cluster.as_deref());
        self.missing(&mut envoy);
        envoy
    }

    /// Whether no cluster can be in what was not given: a dump lists them, and a bootstrap says where others come from.
    fn knows_clusters(&self) -> bool {
        let is_source = |at: &At<'_>| {
            let name = at.path().rsplit('.').next().unwrap_or_default();
            let listeners = |(field, what): &&(&str, _)| *what == Fetched::Listeners && is_field(field, name);
            !FETCHED.iter().any(|field| listeners(&field))
        };
        self.lists_clusters || (self.whole && !self.dynamic.iter().any(is_source))
    }

    /// What a bootstrap has fetched from elsewhere, and is in none of the sources.
    fn missing(&self, envoy: &mut Envoy<'a>) {
        for at in &self.dynamic {
            let name = at.path().rsplit('.').next().unwrap_or_default();
            let found = match FETCHED.iter().find(|(field, _)| is_field(field, name)) {
                Some((_, Fetched::Listeners)) => self.lists_listeners,
                Some((_, Fetched::Clusters)) => !self.clusters.is_empty(),
                // `ads_config` says how the others are fetched.
                None => true,
            };
            if !found {
                let what = "resources that Envoy fetches, and that are in none of the files".to_owned();
                envoy.unread.push((at.clone(), what));
            }
        }
        if envoy.managers.is_empty() {
            let what = "no HTTP connection manager: there is nothing that Portcullis could be asked about";
            envoy.unread.push((envoy.root.clone(), what.to_owned()));
        }
    }

    fn managers(&self, listener: &At<'a>, names: &Names<'a>, envoy: &mut Envoy<'a>) {
        let fetched = listener.get("fcds_config");
        if fetched.exists() {
            envoy.unread.push((fetched, "filter chains that Envoy fetches".to_owned()));
        }
        let chains = listener.get("filter_chains").items().into_iter();
        let chains = chains.chain([listener.get("default_filter_chain")]);
        let filters = chains.flat_map(|chain| {
            let filters = chain.get("filters").items().into_iter();
            filters.map(move |filter| (chain.clone(), filter))
        });
        let mut found: Vec<_> = filters
            .map(|(chain, filter)| {
                let (any, unread) = names.configuration(&filter);
                envoy.unread.extend(unread);
                (chain, any.typed())
            })
            .collect();
        found.push((listener.clone(), listener.at(&["api_listener", "api_listener"]).typed()));
        for (chain, (name, at)) in found {
            if name.ends_with(".HttpConnectionManager") {
                let manager = names.manager(listener, chain, at, envoy);
                let upgrades = names.upgrades(&manager, envoy);
                envoy.managers.push(manager);
                envoy.managers.extend(upgrades);
            } else if name.ends_with(".tcp_proxy.v3.TcpProxy") {
                envoy.pipes.push(Pipe { at, listener: listener.clone(), chain });
            }
        }
    }
}
