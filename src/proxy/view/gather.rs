//! From what files and the admin port say to proxies.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::{Filter, Manager, Pipe, cluster_of};
use super::route::Table;
use super::{Cluster, Envoy, Given, Version};
use crate::proxy::tree::{At, Source};

/// The resources of one proxy.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    root: At<'a>,
    version: Option<Version>,
    admin: Vec<At<'a>>,
    /// Where a bootstrap has resources fetched.
    dynamic: Vec<At<'a>>,
    listeners: Vec<At<'a>>,
    clusters: Vec<At<'a>>,
    tables: Vec<At<'a>>,
    scopes: Vec<At<'a>>,
    extensions: Vec<At<'a>>,
    /// A bootstrap or a dump, not resources alone.
    whole: bool,
    /// Whether it is a dump that lists the clusters.
    lists_clusters: bool,
}

/// See [`Envoy::read`].
pub(super) fn proxies<'a>(sources: &[&'a Source]) -> Result<Vec<Parts<'a>>, &'a Source> {
    let mut proxies: Vec<Parts<'_>> = Vec::new();
    for source in sources.iter().copied() {
        let mut known = false;
        for root in source.documents() {
            let mut parts = Parts::new(root.clone());
            if !parts.take(root) {
                continue;
            }
            known = true;
            match proxies.last_mut() {
                // What comes first may be the resources of the bootstrap after them.
                Some(last) if !parts.whole || !last.whole => last.join(parts),
                _ => proxies.push(parts),
            }
        }
        if !known {
            return Err(source);
        }
    }
    Ok(proxies)
}

impl<'a> Parts<'a> {
    fn new(root: At<'a>) -> Self {
        Self {
            root,
            version: None,
            admin: Vec::new(),
            dynamic: Vec::new(),
            listeners: Vec::new(),
            clusters: Vec::new(),
            tables: Vec::new(),
            scopes: Vec::new(),
            extensions: Vec::new(),
            whole: false,
            lists_clusters: false,
        }
    }

    fn join(&mut self, other: Self) {
        if other.whole {
            self.root = other.root;
            self.whole = true;
        }
        self.lists_clusters |= other.lists_clusters;
        self.version = self.version.or(other.version);
        self.admin.extend(other.admin);
        self.dynamic.extend(other.dynamic);
        self.listeners.extend(other.listeners);
        self.clusters.extend(other.clusters);
        self.tables.extend(other.tables);
        self.scopes.extend(other.scopes);
        self.extensions.extend(other.extensions);
    }

    /// Takes what a document holds; false when it is nothing of Envoy's.
    fn take(&mut self, at: At<'a>) -> bool {
        if at.get("@type").exists() {
            return self.resource(&at);
        }
        if at.get("configs").exists() {
            self.dump(&at);
        } else if at.get("resources").exists() {
            // Each of them, whatever the first is.
            return at.get("resources").items().iter().filter(|item| self.resource(item)).count() > 0;
        } else if at.get("command_line_options").exists() && at.get("version").exists() {
            self.version = Version::of_server_info(&at);
        } else if ["static_resources", "dynamic_resources"].iter().any(|name| at.get(name).exists()) {
            self.bootstrap(&at, true);
        } else if at.get("virtual_hosts").exists() {
            self.tables.push(at);
        } else if at.get("filter_chains").exists() {
            self.listeners.push(at);
        } else {
            return false;
        }
        true
    }

    fn dump(&mut self, at: &At<'a>) {
        self.whole = true;
        let configs = at.get("configs").items();
        let of_listeners = |item: &At<'_>| item.typed().0.ends_with(".ListenersConfigDump");
        let listed = configs.iter().any(of_listeners);
        self.lists_clusters = configs.iter().any(|item| item.typed().0.ends_with(".ClustersConfigDump"));
        for item in &configs {
            if item.typed().0.ends_with(".BootstrapConfigDump") {
                // What it has of resources stands in their own lists, as it is now.
                self.bootstrap(&item.get("bootstrap"), !listed);
            } else {
                self.resource(item);
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
            "Listener" => self.listeners.push(message),
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
            "SecretsConfigDump" | "EndpointsConfigDump" => {}
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
        let mut unread = Vec::new();
        let tables: Vec<_> = self.tables.iter().map(|at| Table::of(at.clone(), &mut unread)).collect();
        let mut envoy = Envoy {
            root: self.root.clone(),
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
            bodies: false,
        };
        let names = Names::of(&self, &envoy.tables);
        for listener in &self.listeners {
            self.managers(listener, &names, &mut envoy);
        }
        mark(&mut envoy.managers, given.cluster.as_deref());
        self.missing(&mut envoy);
        envoy
    }

    /// Whether no cluster can be in what was not given: a dump lists them, and a bootstrap says where others come from.
    fn knows_clusters(&self) -> bool {
        let is_source = |at: &At<'_>| {
            let name = at.path().rsplit('.').next().unwrap_or_default();
            !matches!(name, "lds_config" | "ldsConfig")
        };
        self.lists_clusters || (self.whole && !self.dynamic.iter().any(is_source))
    }

    /// What a bootstrap has fetched from elsewhere, and is in none of the sources.
    fn missing(&self, envoy: &mut Envoy<'a>) {
        for at in &self.dynamic {
            let found = match at.path().rsplit('.').next().unwrap_or_default() {
                "lds_config" | "ldsConfig" => !self.listeners.is_empty(),
                "cds_config" | "cdsConfig" => !self.clusters.is_empty(),
                // `ads_config` says how the others are fetched.
                _ => true,
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

/// What listeners name and other resources say.
struct Names<'a> {
    tables: BTreeMap<&'a str, usize>,
    extensions: BTreeMap<&'a str, At<'a>>,
    scopes: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(parts: &Parts<'a>, tables: &[Table<'a>]) -> Self {
        let extension = |at: &At<'a>| Some((at.get("name").text()?, at.get("typed_config")));
        Self {
            tables: tables.iter().enumerate().map(|(place, table)| (table.name, place)).collect(),
            extensions: parts.extensions.iter().filter_map(extension).collect(),
            scopes: parts
                .scopes
                .iter()
                .filter_map(|scope| scope.get("route_configuration_name").text())
                .collect(),
        }
    }

    /// The `Any` of a filter: its own, or the one that discovery has for it. Says where neither is known.
    fn configuration(&self, filter: &At<'a>) -> (At<'a>, Option<(At<'a>, String)>) {
        let (own, discovery) = (filter.get("typed_config"), filter.get("config_discovery"));
        if !discovery.exists() {
            // An extension that Envoy does not know, or a form that Envoy no longer takes.
            let unread = (!own.exists() && filter.get("config").exists())
                .then(|| (filter.get("config"), "a filter's configuration without a type".to_owned()));
            return (own, unread);
        }
        let found = filter.get("name").text().and_then(|name| self.extensions.get(name));
        let fallback = discovery.get("default_config");
        match found {
            Some(found) => (found.clone(), None),
            None => {
                let what = "a filter's configuration that Envoy fetches, and that is in none of the files";
                (fallback, Some((discovery, what.to_owned())))
            }
        }
    }

    fn manager(&self, listener: &At<'a>, chain: At<'a>, at: At<'a>, envoy: &mut Envoy<'a>) -> Manager<'a> {
        let filters = self.filters(&at.get("http_filters"), envoy);
        let (tables, complete) = self.routes(&at, envoy);
        Manager { listener: listener.clone(), chain, filters, tables, complete, at, upgrade: None }
    }

    /// The manager with each list of filters that upgrades have in place of its own.
    fn upgrades(&self, manager: &Manager<'a>, envoy: &mut Envoy<'a>) -> Vec<Manager<'a>> {
        let upgrades = manager.at.get("upgrade_configs").items().into_iter();
        let own = upgrades.filter(|upgrade| !upgrade.get("filters").items().is_empty());
        own.map(|upgrade| Manager {
            filters: self.filters(&upgrade.get("filters"), envoy),
            upgrade: Some(upgrade),
            ..manager.clone()
        })
        .collect()
    }

    fn filters(&self, list: &At<'a>, envoy: &mut Envoy<'a>) -> Vec<Filter<'a>> {
        let mut filters = Vec::new();
        for entry in list.items() {
            let (any, unread) = self.configuration(&entry);
            envoy.unread.extend(unread);
            filters.push(Filter::of(entry, &any));
        }
        filters
    }

    /// The tables of a manager, and whether those are all.
    fn routes(&self, at: &At<'a>, envoy: &mut Envoy<'a>) -> (Vec<usize>, bool) {
        let (inline, scoped) = (at.get("route_config"), at.get("scoped_routes"));
        if inline.exists() {
            return (vec![add(inline, envoy)], true);
        }
        let mut names = Vec::new();
        let mut tables = Vec::new();
        if scoped.exists() {
            let list = scoped.at(&["scoped_route_configurations_list", "scoped_route_configurations"]);
            for item in list.items() {
                let whole = item.get("route_configuration");
                names.extend(item.get("route_configuration_name").text());
                if whole.exists() {
                    tables.push(add(whole, envoy));
                }
            }
            if scoped.get("scoped_rds").exists() {
                names.extend(&self.scopes);
            }
        } else {
            names.extend(at.at(&["rds", "route_config_name"]).text());
        }
        let known: Vec<_> = names.iter().filter_map(|name| self.tables.get(name).copied()).collect();
        let complete = known.len() == names.len() && known.len() + tables.len() > 0;
        if !complete {
            let rds = [at.get("rds"), scoped].into_iter().find(At::exists).unwrap_or_else(|| at.clone());
            let missing = names.iter().find(|name| !self.tables.contains_key(*name));
            let missing = missing.map_or_else(String::new, |name| format!(" (`{name}`)"));
            envoy.unread.push((rds, format!("a table of routes{missing} that is in none of the files")));
        }
        tables.extend(known);
        (tables, complete)
    }
}

fn add<'a>(at: At<'a>, envoy: &mut Envoy<'a>) -> usize {
    let table = Table::of(at, &mut envoy.unread);
    envoy.tables.push(table);
    envoy.tables.len() - 1
}

/// Marks the filters that ask Portcullis: those of the cluster that was named, else those of the one whose name says
/// so, else all.
fn mark(managers: &mut [Manager<'_>], named: Option<&str>) {
    let filters = managers.iter().flat_map(|manager| &manager.filters).filter(|filter| filter.is_service());
    let clusters: BTreeSet<_> = filters.filter_map(|filter| cluster_of(&filter.service())).collect();
    let mut likely = clusters.iter().filter(|name| name.to_ascii_lowercase().contains("portcullis"));
    let wanted = match (named, likely.next(), likely.next()) {
        (Some(named), _, _) => Some(named.to_owned()),
        (None, Some(likely), None) => Some((*likely).to_owned()),
        _ => None,
    };
    for filter in managers.iter_mut().flat_map(|manager| &mut manager.filters) {
        let asked = cluster_of(&filter.service());
        filter.asks = filter.is_service() && (wanted.is_none() || asked == wanted.as_deref());
    }
}
