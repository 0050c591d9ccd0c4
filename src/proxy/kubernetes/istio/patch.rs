//! EnvoyFilters: one `configPatches` entry each, and what it does to a configuration.

use super::{Object, Target, target};
use crate::document::{Node, Value};
use crate::proxy::kubernetes::draft::{Draft, find, merge};
use crate::proxy::tree::At;

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
    let target = target(object, &spec.at(&["workload_selector", "labels"]));
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

    /// Whether it puts an ext_authz or ext_proc filter into the chain.
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

    /// Applies it to the connection manager of a listener. What it says of something else has no effect.
    pub(super) fn apply(&self, draft: &mut Draft<'a>, manager: &mut Node) {
        match self.apply_to {
            "NETWORK_FILTER" if self.operation == "MERGE" => {
                merge(manager, draft.copy(&self.value.get("typed_config")));
            }
            "HTTP_FILTER" => self.apply_to_filters(draft, manager),
            "HTTP_ROUTE" | "VIRTUAL_HOST" | "ROUTE_CONFIGURATION" if self.operation == "MERGE" => {
                self.apply_to_route(draft, manager);
            }
            _ => {}
        }
    }

    fn apply_to_filters(&self, draft: &mut Draft<'a>, manager: &mut Node) {
        let Some(Value::Seq(filters)) = find(manager, "http_filters").map(|node| &mut node.value) else {
            return;
        };
        let place =
            self.sub_filter().and_then(|name| filters.iter().position(|filter| is_named(filter, name)));
        let value = draft.copy(&self.value);
        match (self.operation, place) {
            ("MERGE" | "REPLACE", Some(place)) => {
                if let Some(filter) = filters.get_mut(place) {
                    change(filter, value, self.operation == "REPLACE");
                }
            }
            ("REMOVE", Some(place)) => drop(filters.remove(place)),
            ("INSERT_BEFORE" | "INSERT_FIRST", Some(place)) => filters.insert(place, value),
            ("INSERT_AFTER", Some(place)) => filters.insert(place + 1, value),
            // Without a filter to stand beside: in front of all, or behind all; Istio keeps what is added before its own router.
            ("INSERT_BEFORE" | "INSERT_FIRST", None) if self.sub_filter().is_none() => {
                filters.insert(0, value)
            }
            ("INSERT_AFTER", None) if self.sub_filter().is_none() => filters.push(value),
            ("ADD", _) => filters.insert(filters.len().saturating_sub(1), value),
            _ => {}
        }
    }

    /// The one virtual host and route that are drawn up stand for all that there are.
    fn apply_to_route(&self, draft: &mut Draft<'a>, manager: &mut Node) {
        let mut place = find(manager, "route_config");
        if self.apply_to != "ROUTE_CONFIGURATION" {
            place = place.and_then(|table| find(table, "virtual_hosts")).and_then(first);
        }
        if self.apply_to == "HTTP_ROUTE" {
            place = place.and_then(|host| find(host, "routes")).and_then(first);
        }
        if let Some(place) = place {
            merge(place, draft.copy(&self.value));
        }
    }
}

fn first(list: &mut Node) -> Option<&mut Node> {
    match &mut list.value {
        Value::Seq(items) => items.first_mut(),
        _ => None,
    }
}

fn is_named(filter: &Node, name: &str) -> bool {
    matches!(filter.get("name").map(|node| &node.value), Some(Value::Str(text)) if text == name)
}

/// Changes a filter's configuration, the way in which Istio does: only between configurations of one type.
fn change(filter: &mut Node, value: Node, replace: bool) {
    if replace {
        *filter = value;
        return;
    }
    let kind =
        |node: Option<&Node>| node.and_then(|config| config.get("@type")).map(|kind| kind.value.clone());
    let new = value.get("typed_config").or_else(|| value.get("typedConfig"));
    if let (Some(old), Some(new)) = (find(filter, "typed_config"), new)
        && kind(Some(old)) == kind(Some(new))
    {
        merge(old, new.clone());
    }
}
