//! What listeners name, and which resource that is.

use std::collections::{BTreeMap, BTreeSet};

use super::Parts;
use crate::proxy::tree::At;
use crate::proxy::view::Envoy;
use crate::proxy::view::filter::{Filter, Manager};
use crate::proxy::view::route::Table;

/// What listeners name and other resources say.
pub(super) struct Names<'a> {
    tables: BTreeMap<&'a str, usize>,
    extensions: BTreeMap<&'a str, At<'a>>,
    scopes: BTreeSet<&'a str>,
    /// Tables that stand in scopes.
    of_scopes: Vec<At<'a>>,
}

impl<'a> Names<'a> {
    pub fn of(parts: &Parts<'a>, tables: &[Table<'a>]) -> Self {
        let extension = |at: &At<'a>| Some((at.get("name").text()?, at.get("typed_config")));
        Self {
            tables: tables.iter().enumerate().map(|(place, table)| (table.name, place)).collect(),
            extensions: parts.extensions.iter().filter_map(extension).collect(),
            scopes: parts
                .scopes
                .iter()
                .filter_map(|scope| scope.get("route_configuration_name").text())
                .collect(),
            of_scopes: parts
                .scopes
                .iter()
                .map(|scope| scope.get("route_configuration"))
                .filter(At::exists)
                .collect(),
        }
    }

    /// The `Any` of a filter: its own, or the one that discovery has for it. Says where neither is known.
    pub fn configuration(&self, filter: &At<'a>) -> (At<'a>, Option<(At<'a>, String)>) {
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

    pub fn manager(
        &self,
        listener: &At<'a>,
        chain: At<'a>,
        at: At<'a>,
        envoy: &mut Envoy<'a>,
    ) -> Manager<'a> {
        let filters = self.filters(&at.get("http_filters"), envoy);
        let (tables, complete) = self.routes(&at, envoy);
        Manager { listener: listener.clone(), chain, filters, tables, complete, at, upgrade: None }
    }

    /// The manager with each list of filters that upgrades have in place of its own.
    pub fn upgrades(&self, manager: &Manager<'a>, envoy: &mut Envoy<'a>) -> Vec<Manager<'a>> {
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
            let others = [at.get("rds"), scoped].into_iter().filter(At::exists);
            envoy.unread.extend(others.map(|other| {
                (other, "routes from elsewhere beside `route_config`, of which Envoy takes one".to_owned())
            }));
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
                tables.extend(self.of_scopes.iter().map(|table| add(table.clone(), envoy)));
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
