//! EnvoyPatchPolicies: JSON patches of what Envoy Gateway made.

use super::Object;
use crate::document::{Entry, Node, Value};
use crate::proxy::kubernetes::draft::{Draft, find};
use crate::proxy::tree::At;

const LISTENER: &str = "envoy.config.listener.v3.Listener";
const MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// Applies the patches of listeners to a connection manager, and gives back those that can't be followed: they name their
/// place by a number, which only the running gateway knows, or by an expression other than a name.
pub(super) fn apply<'a>(draft: &mut Draft<'a>, patches: &Object<'a>, manager: &mut Node) -> Vec<At<'a>> {
    let patches = patches.spec().get("json_patches").items();
    let listeners = patches
        .into_iter()
        .filter(|patch| patch.get("type").text().is_some_and(|name| name.ends_with(LISTENER)));
    listeners.filter_map(|patch| apply_one(draft, &patch, manager).is_none().then_some(patch)).collect()
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
    let below = below.split('.').filter(|part| !part.is_empty());
    let path = operation.get("path").text().unwrap_or_default();
    let mut steps: Vec<String> = below.map(str::to_owned).collect();
    steps.extend(
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(|part| part.replace("~1", "/").replace("~0", "~")),
    );
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
