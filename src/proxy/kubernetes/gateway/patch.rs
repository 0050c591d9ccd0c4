//! EnvoyPatchPolicies: JSON patches of what Envoy Gateway made.

use super::Object;
use crate::document::{Entry, Node, Value};
use crate::proxy::kubernetes::draft::{Draft, find};
use crate::proxy::kubernetes::envoy::{first, manager};
use crate::proxy::tree::At;

const LISTENER: &str = "envoy.config.listener.v3.Listener";
const ROUTES: &str = "envoy.config.route.v3.RouteConfiguration";
const MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// Applies the patches of a policy to a bootstrap. What can't be followed comes back: a place within a listener that is told by
/// a number, which only the running gateway knows, or by an expression other than a name; and resources that aren't drawn up.
pub(super) fn apply<'a>(
    draft: &mut Draft<'a>,
    policy: &Object<'a>,
    root: &mut Node,
) -> Vec<(At<'a>, String)> {
    let patches = policy.spec().get("json_patches").items();
    let mut unread = Vec::new();
    for patch in patches {
        let kind = patch.get("type").text().unwrap_or_default();
        let kind = kind.rsplit('/').next().unwrap_or_default();
        let done = match (kind, manager(root)) {
            (LISTENER, Some(manager)) => apply_one(draft, &patch, manager),
            (ROUTES, Some(manager)) => apply_to_routes(draft, &patch, manager),
            _ => None,
        };
        if done.is_none() {
            let what = kind.rsplit('.').next().unwrap_or_default();
            let what = match kind {
                LISTENER | ROUTES => format!("a patch of the {what} whose place can't be told"),
                _ => format!("a patch of a {what}"),
            };
            unread.push((patch, format!("{what}, of {}", policy.title())));
        }
    }
    unread
}

/// `None` when the place can't be told, or isn't there.
fn apply_one<'a>(draft: &mut Draft<'a>, patch: &At<'a>, manager: &mut Node) -> Option<()> {
    let operation = patch.get("operation");
    let expression = operation.get("json_path").text()?;
    let mut names = names(expression).into_iter().filter(|name| *name != MANAGER);
    let target = match names.next() {
        Some(name) => filter(manager, name)?,
        None if expression.contains(MANAGER) => manager,
        None => return None,
    };
    // Below the configuration that the expression ends in.
    let (_, below) = expression.rsplit_once("typed_config")?;
    let mut steps: Vec<String> =
        below.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    steps.extend(pointer(&operation));
    change(draft, &operation, target, steps)
}

/// The one virtual host and route that are drawn up stand for all that there are, whichever a patch names.
fn apply_to_routes<'a>(draft: &mut Draft<'a>, patch: &At<'a>, manager: &mut Node) -> Option<()> {
    let operation = patch.get("operation");
    let expression = operation.get("json_path").text().unwrap_or_default();
    let table = find(manager, "route_config")?;
    let mut steps = Vec::new();
    for list in ["virtual_hosts", "routes"].into_iter().filter(|list| expression.contains(list)) {
        // An expression may name routes without their hosts: `..routes[*]`.
        if list == "routes" && steps.is_empty() {
            steps.extend(["virtual_hosts", "0"].map(str::to_owned));
        }
        steps.extend([list, "0"].map(str::to_owned));
    }
    let below = expression.rsplit_once(']').map_or(expression, |(_, below)| below);
    steps.extend(below.split('.').filter(|part| !matches!(*part, "" | "$")).map(str::to_owned));
    steps.extend(pointer(&operation));
    let mut steps = steps.into_iter().peekable();
    let mut target = table;
    for list in ["virtual_hosts", "routes"] {
        if steps.next_if(|step| step == list).is_none() {
            break;
        }
        // A whole list, or a new element of it, is not drawn up.
        steps.next_if(|step| step.parse::<usize>().is_ok())?;
        target = first(find(target, list)?)?;
    }
    change(draft, &operation, target, steps.collect())
}

/// The steps of the `path` of an operation.
fn pointer(operation: &At<'_>) -> Vec<String> {
    let path = operation.get("path").text().unwrap_or_default();
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// Does what an operation says below a target.
fn change<'a>(
    draft: &mut Draft<'a>,
    operation: &At<'a>,
    target: &mut Node,
    mut steps: Vec<String>,
) -> Option<()> {
    let last = steps.pop()?;
    let value = draft.copy(&operation.get("value"));
    match operation.get("op").text()? {
        "add" | "replace" => put(target, &steps, last, value),
        "remove" => take(target, &steps, &last),
        _ => None,
    }
}

/// The names that an expression asks for: of `[?(@.name=='x')]`.
fn names(expression: &str) -> Vec<&str> {
    let after = expression.split("@.name").skip(1);
    after.filter_map(|rest| rest.split(['\'', '"']).nth(1)).collect()
}

/// The configuration of the HTTP filter with a name.
fn filter<'n>(manager: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    let Value::Seq(filters) = &mut find(manager, "http_filters")?.value else { return None };
    let named = |filter: &&mut Node| matches!(filter.get("name"), Some(node) if node.value == Value::Str(name.to_owned()));
    find(filters.iter_mut().find(named)?, "typed_config")
}

/// Envoy Gateway makes the objects on the way that are missing.
fn put(target: &mut Node, steps: &[String], last: String, value: Node) -> Option<()> {
    let mut place = target;
    for step in steps {
        if find(place, step).is_none() {
            add(place, step.clone(), Node { value: Value::Map(vec![]), span: value.span })?;
        }
        place = find(place, step)?;
    }
    add(place, last, value)
}

fn add(place: &mut Node, key: String, value: Node) -> Option<()> {
    let Value::Map(entries) = &mut place.value else { return None };
    entries.retain(|entry| entry.key != key);
    entries.push(Entry { key, key_span: value.span, value });
    Some(())
}

fn take(target: &mut Node, steps: &[String], last: &str) -> Option<()> {
    let mut place = target;
    for step in steps {
        place = find(place, step)?;
    }
    let Value::Map(entries) = &mut place.value else { return None };
    entries.retain(|entry| entry.key != last);
    Some(())
}
