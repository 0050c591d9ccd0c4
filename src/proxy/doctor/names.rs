//! Which listener and which route a path of a dump leads through, by their names.

use crate::proxy::tree::At;

/// `listener `gateway`, route `refunds``; empty where lines tell the place, and where nothing on the way has a name.
pub(super) fn of(at: &At<'_>) -> String {
    if at.source().has_lines {
        return String::new();
    }
    let Some(mut here) = at.source().documents().next() else { return String::new() };
    let mut names: Vec<String> = Vec::new();
    let mut list = String::new();
    for step in steps(at.path()) {
        here = match step {
            Step::Field(name) => {
                list = name.clone();
                here.fields().into_iter().find(|(key, _)| *key == name).map(|(_, field)| field)
            }
            Step::Item(place) => here.items().into_iter().nth(place),
        }
        .unwrap_or_else(|| here.get(""));
        names.extend(name(&list, &here));
    }
    names.dedup();
    names.join(", ")
}

/// What is said of an element of this list, or of this field.
fn name(list: &str, at: &At<'_>) -> Option<String> {
    let named = at.get("name").text().filter(|name| !name.is_empty());
    match list {
        "listener" | "listeners" => named.map(|name| format!("listener `{name}`")),
        "virtual_hosts" | "virtualHosts" => named.map(|name| format!("virtual host `{name}`")),
        "routes" if at.get("match").exists() => {
            let matcher = at.get("match");
            let paths = ["path", "prefix", "path_separated_prefix"].map(|form| matcher.get(form).text());
            let regex = matcher.at(&["safe_regex", "regex"]).text();
            let shown = named.or(paths.into_iter().flatten().next()).or(regex)?;
            Some(format!("route `{shown}`"))
        }
        _ => None,
    }
}

enum Step {
    Field(String),
    Item(usize),
}

/// The steps of a path as [`At::path`] writes it: `a.b[0]["c.d"]`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let quoted = rest.strip_prefix("[\"").and_then(|inner| inner.split_once("\"]"));
        let indexed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        rest = match (quoted, indexed) {
            (Some((name, after)), _) => {
                steps.push(Step::Field(name.to_owned()));
                after
            }
            (None, Some((place, after))) => {
                steps.extend(place.parse().ok().map(Step::Item));
                after
            }
            (None, None) => {
                let (name, after) =
                    rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len())).unwrap_or((rest, ""));
                if name.is_empty() {
                    return steps;
                }
                steps.push(Step::Field(name.to_owned()));
                after
            }
        };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tree::Source;

    #[test]
    fn a_path_of_a_dump_is_told_by_the_names_on_it() {
        let text = r#"{"configs": [{"dynamic_listeners": [{"active_state": {"listener": {"name": "edge", "virtualHosts": [
            {"name": "shop", "routes": [{"match": {"prefix": "/v1"}, "x.y": {"z": 1}}]}]}}}]}]}"#;
        let source = Source::parse("dump.json", text).unwrap();
        let root = source.documents().next().unwrap();
        let listener = root.get("configs").items()[0].get("dynamic_listeners").items()[0]
            .at(&["active_state", "listener"]);
        assert_eq!(of(&listener.get("missing")), "listener `edge`");
        let route = listener.get("virtual_hosts").items()[0].get("routes").items()[0].clone();
        assert_eq!(of(&route.get("x.y").get("z")), "listener `edge`, virtual host `shop`, route `/v1`");
        let yaml = Source::parse("a.yaml", "listener: {name: edge}").unwrap();
        assert_eq!(of(&yaml.documents().next().unwrap().at(&["listener", "name"])), "");
    }
}
