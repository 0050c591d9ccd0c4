//! Tables of routes, and what they set for filters.

use super::filter::{Filter, Kind};
use super::matcher::Matcher;
use crate::proxy::tree::At;

/// One route configuration.
#[derive(Debug)]
pub struct Table<'a> {
    pub name: &'a str,
    pub at: At<'a>,
    pub settings: Vec<Setting<'a>>,
    pub hosts: Vec<Host<'a>>,
}

/// One virtual host.
#[derive(Debug)]
pub struct Host<'a> {
    pub at: At<'a>,
    pub domains: Vec<&'a str>,
    pub settings: Vec<Setting<'a>>,
    pub routes: Vec<Route<'a>>,
}

/// One route.
#[derive(Debug)]
pub struct Route<'a> {
    pub at: At<'a>,
    /// Its `route` action; absent when it answers by itself.
    pub action: At<'a>,
    pub(super) matcher: Matcher<'a>,
    pub settings: Vec<Setting<'a>>,
    /// What each of its weighted clusters sets; empty without them.
    pub splits: Vec<Vec<Setting<'a>>>,
    /// A call that takes it and whose body policies need: see [`super::Envoy::probe`].
    pub body: Option<String>,
    /// The same for a call whose response policies mask.
    pub masked: Option<String>,
}

/// What one level sets for the filter of a name: an entry of `typed_per_filter_config`.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    pub name: &'a str,
    /// The type of `config`.
    pub kind: String,
    /// The entry.
    pub at: At<'a>,
    /// The filter's own message.
    pub config: At<'a>,
    /// Where the filter is switched off.
    pub disabled: Option<At<'a>>,
}

impl<'a> Table<'a> {
    /// Reads a `RouteConfiguration`. Parts of a form that is not known go to `unread`.
    pub(super) fn of(at: At<'a>, unread: &mut Vec<(At<'a>, String)>) -> Self {
        let hosts = at.get("virtual_hosts").items();
        let hosts: Vec<_> = hosts.into_iter().map(|host| Host::of(host, unread)).collect();
        if at.get("vhds").exists() {
            unread.push((at.get("vhds"), "virtual hosts that Envoy fetches on demand".to_owned()));
        }
        Self { name: at.get("name").text().unwrap_or_default(), settings: settings(&at), hosts, at }
    }

    /// The settings of all its levels.
    pub fn all_settings(&self) -> impl Iterator<Item = &Setting<'a>> {
        let below = self.hosts.iter().flat_map(|host| {
            let splits = |route| Route::splits(route).chain(&route.settings);
            host.settings.iter().chain(host.routes.iter().flat_map(splits))
        });
        self.settings.iter().chain(below)
    }
}

impl<'a> Host<'a> {
    fn of(at: At<'a>, unread: &mut Vec<(At<'a>, String)>) -> Self {
        let matcher = at.get("matcher");
        if matcher.exists() {
            unread.push((matcher, "routes that a matcher chooses".to_owned()));
        }
        Self {
            domains: at.get("domains").items().iter().filter_map(At::text).collect(),
            settings: settings(&at),
            routes: at.get("routes").items().into_iter().map(Route::of).collect(),
            at,
        }
    }
}

impl<'a> Route<'a> {
    fn of(at: At<'a>) -> Self {
        let action = at.get("route");
        let clusters = action.at(&["weighted_clusters", "clusters"]).items();
        Self {
            matcher: Matcher::of(&at.get("match")),
            settings: settings(&at),
            splits: clusters.iter().map(settings).collect(),
            body: None,
            masked: None,
            action,
            at,
        }
    }

    /// The clusters that it names.
    pub fn clusters(&self) -> impl Iterator<Item = &'a str> {
        let weighted = self.action.at(&["weighted_clusters", "clusters"]).items();
        let named = weighted.into_iter().map(|cluster| cluster.get("name"));
        named.chain([self.action.get("cluster")]).filter_map(|name| name.text())
    }

    fn splits(&self) -> impl Iterator<Item = &Setting<'a>> {
        self.splits.iter().flatten()
    }

    /// Whether calls that take it leave Envoy.
    pub fn forwards(&self) -> bool {
        self.action.exists() || self.at.get("filter_action").exists()
    }
}

fn settings<'a>(at: &At<'a>) -> Vec<Setting<'a>> {
    let fields = at.get("typed_per_filter_config").fields();
    fields.into_iter().map(|(name, at)| Setting::of(name, at)).collect()
}

impl<'a> Setting<'a> {
    fn of(name: &'a str, at: At<'a>) -> Self {
        let (kind, config) = at.typed();
        if kind != "envoy.config.route.v3.FilterConfig" {
            let disabled = Some(config.get("disabled")).filter(At::is_true);
            return Self { name, kind, at, config, disabled };
        }
        let off = config.get("disabled");
        let (kind, config) = config.get("config").typed();
        let disabled = [off, config.get("disabled")].into_iter().find(At::is_true);
        Self { name, kind, at, config, disabled }
    }

    /// Whether it is a message of ext_authz, or of ext_proc.
    pub fn is_ours(&self) -> bool {
        self.is_of_kind(&Kind::ExtAuthz) || self.is_of_kind(&Kind::ExtProc)
    }

    /// Whether it is a message of this one of the two.
    pub(super) fn is_of_kind(&self, kind: &Kind) -> bool {
        let message = if *kind == Kind::ExtAuthz { ".ExtAuthzPerRoute" } else { ".ExtProcPerRoute" };
        self.kind.ends_with(message)
    }

    /// Whether the filter reads it: it is no message of the other service.
    pub fn is_of(&self, filter: &Filter<'_>) -> bool {
        match filter.kind {
            Kind::ExtAuthz => !self.kind.ends_with(".ExtProcPerRoute"),
            Kind::ExtProc => !self.kind.ends_with(".ExtAuthzPerRoute"),
            _ => true,
        }
    }
}
