//! EnvoyFilters: one `configPatches` entry each, and what it does to a configuration.

use super::workload::Class;
use super::{Object, Target};
use crate::document::{Node, Value};
use crate::proxy::kubernetes::draft::{Draft, find, merge, set};
use crate::proxy::kubernetes::envoy::{clusters, first, listener, manager};
use crate::proxy::tree::At;

const MANAGER_NAME: &str = "envoy.filters.network.http_connection_manager";

/// The listener of a sidecar that all calls come in by.
const INBOUND: &str = "virtualInbound";

/// Fields of a listener that don't tell which connections come to which filters.
const PLAIN: [&str; 8] = [
    "access_log",
    "connection_balance_config",
    "continue_on_listener_filters_timeout",
    "listener_filters_timeout",
    "per_connection_buffer_limit_bytes",
    "socket_options",
    "stat_prefix",
    "tcp_backlog_size",
];

/// One entry of `configPatches`.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    pub object: Object<'a>,
    pub target: Target<'a>,
    pub at: At<'a>,
    pub apply_to: &'a str,
    pub context: Context,
    pub operation: &'a str,
    /// `patch.value`
    pub value: At<'a>,
}

/// `match.context`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Any,
    SidecarInbound,
    SidecarOutbound,
    Gateway,
}

/// The entries of one EnvoyFilter.
pub(super) fn patches<'a>(object: &Object<'a>) -> Vec<Patch<'a>> {
    let spec = object.spec();
    let target = Target::of(object, &spec.at(&["workload_selector", "labels"]));
    let entry = |at: At<'a>| Patch {
        object: object.clone(),
        target: target.clone(),
        apply_to: at.get("apply_to").text().unwrap_or_default(),
        context: match at.at(&["match", "context"]).text() {
            Some("SIDECAR_INBOUND") => Context::SidecarInbound,
            Some("SIDECAR_OUTBOUND") => Context::SidecarOutbound,
            Some("GATEWAY") => Context::Gateway,
            _ => Context::Any,
        },
        operation: at.at(&["patch", "operation"]).text().unwrap_or_default(),
        value: at.at(&["patch", "value"]),
        at,
    };
    spec.get("config_patches").items().into_iter().map(entry).collect()
}

impl<'a> Patch<'a> {
    /// The type of the HTTP filter that it puts into the chain; `None` when it adds none.
    fn adds_filter(&self) -> Option<String> {
        let adds = self.operation.starts_with("INSERT") || self.operation == "ADD";
        (self.apply_to == "HTTP_FILTER" && adds).then(|| self.value.get("typed_config").typed().0)
    }

    /// Whether it puts an ext_authz or ext_proc filter into the chain of proxies that calls come to, or is meant to.
    pub fn adds_service(&self) -> bool {
        let kind = self.adds_filter().unwrap_or_default();
        kind.ends_with(".ExtAuthz") || kind.ends_with(".ExternalProcessor")
    }

    /// Whether what it inserts or changes is an ext_authz or ext_proc filter.
    pub fn is_about_service(&self) -> bool {
        let kind = self.value.get("typed_config").typed().0;
        self.apply_to == "HTTP_FILTER"
            && (kind.ends_with(".ExtAuthz") || kind.ends_with(".ExternalProcessor"))
    }

    /// The HTTP filter beside which it is put, or that it changes.
    pub fn sub_filter(&self) -> Option<&'a str> {
        self.at.at(&["match", "listener", "filter_chain", "filter", "sub_filter", "name"]).text()
    }

    /// Whether Istio applies it where calls come to this kind of proxy. The cluster that is asked is an outbound one.
    pub(super) fn is_for(&self, class: Class) -> bool {
        match (class, self.context) {
            (_, Context::Any) => true,
            (Class::Gateway, context) => context == Context::Gateway,
            (Class::Sidecar, Context::SidecarOutbound) => self.apply_to == "CLUSTER",
            (Class::Sidecar, context) => context == Context::SidecarInbound,
        }
    }

    /// What narrows it to some versions, ports, filter chains or routes, which are not drawn up apart.
    pub(super) fn narrowed_by(&self) -> Option<At<'a>> {
        let asked = self.at.get("match");
        let proxy = Some(asked.get("proxy")).filter(At::exists);
        let listener = asked.get("listener");
        let ports = ["port_number", "port_name"].map(|field| listener.get(field));
        let named = Some(listener.get("name")).filter(|name| name.text() != Some(INBOUND));
        let chain = listener.get("filter_chain").fields().into_iter();
        let chain = chain.filter(|(name, _)| *name != "filter").map(|(_, field)| field);
        let routes = asked.get("route_configuration").fields().into_iter().map(|(_, field)| field);
        proxy.into_iter().chain(ports).chain(named).chain(chain).chain(routes).find(At::exists)
    }

    /// `MERGE of HTTP_FILTER`
    pub(super) fn title(&self) -> String {
        let word = |word: &'a str| if word.is_empty() { "?" } else { word };
        format!("{} of {}", word(self.operation), word(self.apply_to))
    }

    /// Applies it to a bootstrap with one listener; `None` when what it does can't be told.
    pub(super) fn apply(&self, draft: &mut Draft<'a>, root: &mut Node) -> Option<()> {
        match (self.apply_to, self.operation) {
            ("NETWORK_FILTER", "MERGE") => self.apply_to_manager(draft, manager(root)?),
            ("HTTP_FILTER", _) => self.apply_to_filters(draft, manager(root)?),
            ("HTTP_ROUTE" | "VIRTUAL_HOST" | "ROUTE_CONFIGURATION", "MERGE") => {
                self.apply_to_route(draft, manager(root)?)
            }
            ("LISTENER", "MERGE") => self.apply_to_listener(draft, listener(root)?),
            ("CLUSTER", "MERGE" | "ADD") => self.apply_to_clusters(draft, clusters(root)?),
            ("BOOTSTRAP", "MERGE") => {
                merge(root, draft.copy(&self.value));
                Some(())
            }
            _ => None,
        }
    }

    /// A MERGE into another network filter changes nothing of calls.
    fn apply_to_manager(&self, draft: &mut Draft<'a>, manager: &mut Node) -> Option<()> {
        let config = self.value.get("typed_config");
        let named = self.at.at(&["match", "listener", "filter_chain", "filter", "name"]).text();
        match (named, config.typed().0.ends_with(".HttpConnectionManager")) {
            (Some(name), _) if name != MANAGER_NAME => {}
            (_, true) => merge(manager, draft.copy(&config)),
            // Without a configuration it changes a name at most.
            (Some(_), false) if !config.exists() => {}
            (_, false) => return None,
        }
        Some(())
    }

    fn apply_to_filters(&self, draft: &mut Draft<'a>, manager: &mut Node) -> Option<()> {
        let Value::Seq(filters) = &mut find(manager, "http_filters")?.value else { return None };
        let place =
            self.sub_filter().and_then(|name| filters.iter().position(|filter| is_named(filter, name)));
        let value = draft.copy(&self.value);
        match (self.operation, place) {
            ("MERGE", Some(place)) => change(filters.get_mut(place)?, value)?,
            ("REPLACE", Some(place)) => *filters.get_mut(place)? = value,
            ("REMOVE", Some(place)) => drop(filters.remove(place)),
            ("REMOVE", None) if self.sub_filter().is_none() => filters.clear(),
            ("INSERT_FIRST", _) => filters.insert(0, value),
            ("INSERT_BEFORE", Some(place)) => filters.insert(place, value),
            ("INSERT_AFTER", Some(place)) => filters.insert(place + 1, value),
            // Without a filter to stand beside: in front of all, or behind all; Istio keeps what is added before its own router.
            ("INSERT_BEFORE", None) if self.sub_filter().is_none() => filters.insert(0, value),
            ("INSERT_AFTER", None) if self.sub_filter().is_none() => filters.push(value),
            ("ADD", _) => filters.insert(filters.len().saturating_sub(1), value),
            // Beside a filter that isn't drawn up, or merged into every one.
            _ => return None,
        }
        Some(())
    }

    /// What else a listener has decides which connections come to which filters.
    fn apply_to_listener(&self, draft: &mut Draft<'a>, listener: &mut Node) -> Option<()> {
        for (name, field) in self.value.fields() {
            let known = PLAIN.iter().find(|known| self.value.get(known).path() == field.path());
            match known {
                Some(known) => set(listener, known, draft.copy(&field)),
                None if name == "name" => {}
                None => return None,
            }
        }
        Some(())
    }

    fn apply_to_clusters(&self, draft: &mut Draft<'a>, clusters: &mut Node) -> Option<()> {
        let value = draft.copy(&self.value);
        let Value::Seq(clusters) = &mut clusters.value else { return None };
        if self.operation == "ADD" {
            clusters.push(value);
            return Some(());
        }
        for cluster in clusters.iter_mut().filter(|cluster| self.is_of(cluster)) {
            merge(cluster, value.clone());
        }
        Some(())
    }

    /// Whether `match.cluster` is met by a cluster that is drawn up: `outbound|PORT||HOST`.
    fn is_of(&self, cluster: &Node) -> bool {
        let name = match cluster.get("name").map(|name| &name.value) {
            Some(Value::Str(name)) => name.as_str(),
            _ => return false,
        };
        let (host, port) = super::translate::outbound(name).unwrap_or_default();
        let asked = self.at.at(&["match", "cluster"]);
        let number = asked.get("port_number").number().filter(|number| *number != 0);
        asked.get("name").text().is_none_or(|asked| asked == name)
            && asked.get("service").text().is_none_or(|asked| asked == host)
            && number.is_none_or(|number| number.to_string() == port)
    }

    /// The one virtual host and route that are drawn up stand for all that there are.
    fn apply_to_route(&self, draft: &mut Draft<'a>, manager: &mut Node) -> Option<()> {
        let mut place = find(manager, "route_config")?;
        if self.apply_to != "ROUTE_CONFIGURATION" {
            place = find(place, "virtual_hosts").and_then(first)?;
        }
        if self.apply_to == "HTTP_ROUTE" {
            place = find(place, "routes").and_then(first)?;
        }
        merge(place, draft.copy(&self.value));
        Some(())
    }
}

fn is_named(filter: &Node, name: &str) -> bool {
    matches!(filter.get("name").map(|node| &node.value), Some(Value::Str(text)) if text == name)
}

/// Merges into a filter's configuration; `None` when that is of another type, where Istio's result can't be told.
fn change(filter: &mut Node, value: Node) -> Option<()> {
    let kind = |config: &Node| config.get("@type").map(|kind| kind.value.clone());
    let Some(new) = value.get("typed_config").or_else(|| value.get("typedConfig")) else { return Some(()) };
    let old = find(filter, "typed_config")?;
    if kind(old) != kind(new) {
        return None;
    }
    merge(old, new.clone());
    Some(())
}
