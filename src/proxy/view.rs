//! Envoy's configuration as the rules ask about it: listeners with their HTTP filters and routes, and clusters.
//!
//! Made of a bootstrap or of a `config_dump` alike, with the files that a bootstrap refers to. What is spoken of and
//! not there is remembered as unread, so that no part goes unsaid.

use std::collections::BTreeMap;

use super::needs::Needs;
use super::tree::{At, Source};
use crate::diagnostic::Diagnostic;

mod cluster;
mod filter;
mod gather;
mod matcher;
mod probe;
mod route;
mod spot;
mod version;

pub use cluster::Cluster;
pub use filter::{Filter, Kind, Manager, Pipe, cluster_of, upgrade_type};
pub use route::{Host, Route, Setting, Table};
pub use spot::Spot;
pub use version::Version;

/// What a person says of a proxy that its configuration may not.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The cluster of Portcullis; otherwise it is known by its name.
    pub cluster: Option<String>,
    /// Envoy's version, where it is not in what is read.
    pub version: Option<Version>,
}

/// One Envoy's configuration.
#[derive(Debug)]
pub struct Envoy<'a> {
    /// The bootstrap, the dump, or the first of its resources.
    pub root: At<'a>,
    /// Every document that was read, short of secrets.
    pub documents: Vec<At<'a>>,
    pub version: Option<Version>,
    /// Each `admin` block.
    pub admin: Vec<At<'a>>,
    pub listeners: usize,
    /// Each list of filters, those of upgrades included.
    pub managers: Vec<Manager<'a>>,
    /// What is passed on as bytes.
    pub pipes: Vec<Pipe<'a>>,
    /// Every table of routes, those that no manager uses included.
    pub tables: Vec<Table<'a>>,
    pub clusters: BTreeMap<&'a str, Cluster<'a>>,
    /// Whether those are all: none are fetched from elsewhere.
    pub clusters_known: bool,
    /// Parts that are spoken of and not there, or of no known form: where, and what.
    pub unread: Vec<(At<'a>, String)>,
    wanted: Wanted,
}

/// What policies want of any call.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// They need the body of some.
    bodies: bool,
    /// They mask the response of some.
    masked: bool,
}

impl<'a> Envoy<'a> {
    /// The proxies that the sources tell of: each bootstrap and each dump is one; what else there is belongs to the one
    /// before it.
    ///
    /// # Errors
    /// The first document, or resource in one, that is nothing of Envoy's, with its place.
    pub fn read(sources: &[&'a Source], given: &Given) -> Result<Vec<Self>, Diagnostic> {
        Ok(gather::proxies(sources)?.into_iter().map(|parts| parts.envoy(given)).collect())
    }

    /// Finds for each route an example of a call whose body policies need, and of one whose response they mask.
    pub fn probe(&mut self, needs: &Needs) {
        self.wanted = Wanted { bodies: !needs.bodies.is_empty(), masked: needs.masks() };
        probe::routes(&mut self.tables, &needs.bodies, &needs.masked);
    }

    /// The managers with their filters that ask Portcullis.
    pub fn asking(&self) -> impl Iterator<Item = (&Manager<'a>, &Filter<'a>)> {
        self.managers.iter().flat_map(|manager| manager.asking().map(move |filter| (manager, filter)))
    }

    /// The cluster that a filter's service lies in; `None` when it is not in what was read.
    pub fn cluster(&self, service: &At<'a>) -> Option<&Cluster<'a>> {
        self.clusters.get(cluster_of(service)?)
    }

    /// Where calls that a manager sends on can be: its routes, each split of their clusters apart; with the filters of an
    /// upgrade those that allow it. A manager whose routes are not known has one spot without a route.
    pub fn spots<'e>(&'e self, manager: &'e Manager<'a>) -> impl Iterator<Item = Spot<'e, 'a>> {
        let tables = manager.tables.iter().filter_map(|table| self.tables.get(*table));
        let unknown = (!manager.complete).then(|| Spot::unknown(self.wanted));
        let met = |spot: &Spot<'e, 'a>| spot.route.is_none_or(|route| manager.serves(&route.action));
        tables.flat_map(spot::of).filter(met).chain(unknown)
    }

    /// Every setting of every route, virtual host and table.
    pub fn settings(&self) -> impl Iterator<Item = (&Table<'a>, &Setting<'a>)> {
        self.tables.iter().flat_map(|table| table.all_settings().map(move |setting| (table, setting)))
    }
}
