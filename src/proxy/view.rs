//! Envoy's configuration as the rules ask about it: listeners with their HTTP filters and routes, and clusters.
//!
//! Made of a bootstrap or of a `config_dump` alike.

use super::tree::{At, Source};

/// One Envoy's configuration.
#[derive(Debug, Default)]
pub struct Envoy<'a> {
    pub managers: Vec<Manager<'a>>,
}

/// One HTTP connection manager.
#[derive(Debug)]
pub struct Manager<'a> {
    /// Its configuration.
    pub at: At<'a>,
    pub filters: Vec<Filter<'a>>,
}

/// One HTTP filter, in the order of requests.
#[derive(Debug)]
pub struct Filter<'a> {
    /// The name by which routes override it.
    pub name: &'a str,
    pub kind: Kind,
    /// The whole entry in the list of filters.
    pub entry: At<'a>,
    /// Its configuration.
    pub config: At<'a>,
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

impl<'a> Envoy<'a> {
    /// What the source says of an Envoy; `None` when it is something else.
    pub fn of(source: &'a Source) -> Option<Self> {
        let root = source.documents().next()?;
        let listeners = root.at(&["static_resources", "listeners"]).items();
        (!listeners.is_empty()).then(|| Self { managers: listeners.iter().flat_map(managers).collect() })
    }
}

fn managers<'a>(listener: &At<'a>) -> Vec<Manager<'a>> {
    let chains =
        listener.get("filter_chains").items().into_iter().chain([listener.get("default_filter_chain")]);
    let filters = chains.flat_map(|chain| chain.get("filters").items());
    filters
        .map(|filter| filter.get("typed_config").typed())
        .filter(|(name, _)| name.ends_with(".HttpConnectionManager"))
        .map(|(_, at)| Manager {
            filters: at.get("http_filters").items().into_iter().map(filter).collect(),
            at,
        })
        .collect()
}

fn filter(entry: At<'_>) -> Filter<'_> {
    let (name, config) = entry.get("typed_config").typed();
    let kind = match name.as_str() {
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz" => Kind::ExtAuthz,
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor" => Kind::ExtProc,
        "envoy.extensions.filters.http.router.v3.Router" => Kind::Router,
        _ => Kind::Other(name),
    };
    Filter { name: entry.get("name").text().unwrap_or_default(), kind, entry, config }
}
