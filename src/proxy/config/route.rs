//! From the entries of a policy's `match` to the matches of Envoy's routes.
//!
//! What Envoy can't ask for is left out, so that a route takes in more calls than the entry, never fewer. Where Envoy and the
//! policies still read one path in two ways (`/%61` for `/a`), the call goes without its body, and is denied for that.

use std::fmt;

use super::text::json;
use crate::policy::{Entry, HostPattern, PathPattern, Segment};

/// The longest regular expression that is written. Envoy refuses one whose program has more than 100 instructions, which a text
/// of this length has not.
const LONGEST_REGEX: usize = 90;

/// Envoy's `RouteMatch`, made of one path of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    path: PathMatch,
    /// A pattern of `:method`.
    method: Option<TextMatch>,
    /// A pattern of `:authority`.
    host: Option<TextMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathMatch {
    Any,
    Exact(String),
    /// The path itself, and all below it.
    Below(String),
    Regex(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TextMatch {
    Exact(String),
    Regex(String),
}

/// The matches that together take in every call that the entry may be about.
pub(super) fn matches(entry: &Entry) -> Vec<RouteMatch> {
    let paths = match entry.paths.as_slice() {
        [] => vec![PathMatch::Any],
        paths => paths.iter().map(path).collect(),
    };
    let hosts = hosts(&entry.hosts);
    let on = |path: PathMatch| {
        let one = |host: &Option<TextMatch>| RouteMatch {
            path: path.clone(),
            method: method(&entry.methods),
            host: host.clone(),
        };
        hosts.iter().map(one).collect::<Vec<_>>()
    };
    paths.into_iter().flat_map(on).collect()
}

impl RouteMatch {
    /// Whether it takes in every call.
    pub(super) fn is_everything(&self) -> bool {
        self.path == PathMatch::Any && self.method.is_none() && self.host.is_none()
    }

    /// Whether it certainly takes in every call that the other does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let wider = |one: &Option<TextMatch>, other: &Option<TextMatch>| one.is_none() || one == other;
        self.path.covers(&other.path) && wider(&self.method, &other.method) && wider(&self.host, &other.host)
    }
}

impl PathMatch {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(top), Self::Exact(path) | Self::Below(path)) => {
                path.strip_prefix(top.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => self == other,
        }
    }
}

fn path(pattern: &PathPattern) -> PathMatch {
    let literal = |segment: &Segment| match segment {
        Segment::Literal(text) => Some(format!("/{text}")),
        Segment::One(_) | Segment::Rest(_) => None,
    };
    let all = |segments: &[Segment]| segments.iter().map(literal).collect::<Option<String>>();
    // Too long for Envoy: all that begins alike.
    let regex = || match regex(pattern) {
        text if text.len() <= LONGEST_REGEX => PathMatch::Regex(text),
        _ => match pattern.segments.iter().map_while(literal).collect::<String>() {
            top if top.is_empty() => PathMatch::Any,
            top => PathMatch::Below(top),
        },
    };
    match pattern.segments.as_slice() {
        [] => PathMatch::Exact("/".into()),
        [Segment::Rest(_)] => PathMatch::Any,
        [before @ .., Segment::Rest(_)] => all(before).map_or_else(regex, PathMatch::Below),
        segments => all(segments).map_or_else(regex, PathMatch::Exact),
    }
}

fn regex(pattern: &PathPattern) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{}", regex::escape(text)),
        Segment::One(_) => "/[^/]+".to_owned(),
        Segment::Rest(_) => "(/.*)?".to_owned(),
    };
    pattern.segments.iter().map(part).collect()
}

fn method(methods: &[String]) -> Option<TextMatch> {
    match methods {
        [] => None,
        [one] => Some(TextMatch::Exact(one.clone())),
        several => Some(several.join("|")).filter(|text| text.len() <= LONGEST_REGEX).map(TextMatch::Regex),
    }
}

/// Hosts are matched without case, port and trailing dot; as many together as fit into one expression. `None`: any host.
fn hosts(hosts: &[HostPattern]) -> Vec<Option<TextMatch>> {
    let pattern = |host: &HostPattern| match host {
        HostPattern::Any => None,
        HostPattern::Exact(name) if name.contains(':') => Some(format!("\\[{}\\]", regex::escape(name))),
        HostPattern::Exact(name) => Some(regex::escape(name)),
        HostPattern::Suffix(suffix) => Some(format!(".+{}", regex::escape(suffix))),
    };
    let whole = |patterns: &str| format!("(?i)({patterns})\\.?(:[0-9]+)?");
    let fits = |patterns: &str| whole(patterns).len() <= LONGEST_REGEX;
    let patterns = hosts.iter().map(|host| pattern(host).filter(|text| fits(text)));
    let Some(patterns) = patterns.collect::<Option<Vec<_>>>() else { return vec![None] };
    let mut groups: Vec<String> = Vec::new();
    for next in patterns {
        match groups.last_mut().filter(|group| fits(&format!("{group}|{next}"))) {
            Some(group) => group.extend(["|", &next]),
            None => groups.push(next),
        }
    }
    match groups.as_slice() {
        [] => vec![None],
        groups => groups.iter().map(|group| Some(TextMatch::Regex(whole(group)))).collect(),
    }
}

/// In YAML's flow style.
impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}", self.path)?;
        let headers = [(":method", &self.method), (":authority", &self.host)];
        let headers: Vec<_> = headers
            .into_iter()
            .filter_map(|(name, wanted)| {
                Some(format!("{{name: \"{name}\", string_match: {}}}", wanted.as_ref()?))
            })
            .collect();
        if !headers.is_empty() {
            write!(f, ", headers: [{}]", headers.join(", "))?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hex digits of an encoded byte may come in either case.
        let case = |path: &str| if path.contains('%') { ", case_sensitive: false" } else { "" };
        match self {
            Self::Any => f.write_str("prefix: \"/\""),
            Self::Exact(path) => write!(f, "path: {}{}", json(path), case(path)),
            Self::Below(path) => write!(f, "path_separated_prefix: {}{}", json(path), case(path)),
            Self::Regex(regex) => write!(f, "safe_regex: {{regex: {}}}", json(regex)),
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "{{exact: {}}}", json(text)),
            Self::Regex(regex) => write!(f, "{{safe_regex: {{regex: {}}}}}", json(regex)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy;

    fn of(entry: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  match: [{entry}]\n  rules: [{{name: a, allow: {{}}}}]\n"
        );
        let files = [policy::SourceFile { file: "p.yaml".into(), text: text.into() }];
        let compiled = policy::compile(&files, &policy::Options { gateway: true });
        let set = compiled.set.unwrap_or_else(|| panic!("{:?}", compiled.findings));
        set.demands()
            .flat_map(|demand| demand.entries.iter().flat_map(matches).collect::<Vec<_>>())
            .map(|one| one.to_string())
            .collect()
    }

    #[test]
    fn paths_become_the_narrowest_match_that_envoy_has() {
        for (path, wanted) in [
            ("/", "{path: \"/\"}"),
            ("/v1/refunds", "{path: \"/v1/refunds\"}"),
            ("/v1/refunds/", "{path: \"/v1/refunds/\"}"),
            ("/v1/refunds/{**}", "{path_separated_prefix: \"/v1/refunds\"}"),
            ("/v1/{id}/x.y", "{safe_regex: {regex: \"/v1/[^/]+/x\\\\.y\"}}"),
            ("/v1/{id}/{rest=**}", "{safe_regex: {regex: \"/v1/[^/]+(/.*)?\"}}"),
            ("/ü", "{path: \"/%C3%BC\", case_sensitive: false}"),
            ("/{**}", "{prefix: \"/\"}"),
        ] {
            let path = path.replace('ü', "%c3%bc");
            assert_eq!(of(&format!("{{paths: [\"{path}\"]}}")), [wanted], "{path}");
        }
    }

    #[test]
    fn a_match_covers_what_is_certainly_in_it() {
        let path = |text: &str| RouteMatch {
            path: path(&PathPattern::parse(text).unwrap()),
            method: None,
            host: None,
        };
        let post = |text: &str| RouteMatch { method: method(&["POST".into()]), ..path(text) };
        assert!(path("/{**}").covers(&post("/a/{id}")) && path("/{**}").is_everything());
        assert!(path("/a/{**}").covers(&path("/a")) && path("/a/{**}").covers(&post("/a/b/{**}")));
        assert!(!path("/a/{**}").covers(&path("/ab")) && !path("/a/{**}").covers(&path("/{**}")));
        assert!(!post("/a").covers(&path("/a")) && path("/a/{id}").covers(&post("/a/{id}")));
        assert!(!path("/a/{id}").covers(&path("/a/b")), "regular expressions are not compared");
    }

    #[test]
    fn methods_and_hosts_are_asked_for_and_what_envoy_cannot_ask_is_left_out() {
        assert_eq!(
            of("{methods: [POST], paths: [/a, /b]}"),
            [
                "{path: \"/a\", headers: [{name: \":method\", string_match: {exact: \"POST\"}}]}",
                "{path: \"/b\", headers: [{name: \":method\", string_match: {exact: \"POST\"}}]}"
            ]
        );
        assert_eq!(
            of("{methods: [PUT, POST], hosts: [api.example.com, \"*.example.org\", \"::1\"]}"),
            [
                "{prefix: \"/\", headers: [{name: \":method\", string_match: {safe_regex: {regex: \"PUT|POST\"}}}, \
               {name: \":authority\", string_match: {safe_regex: {regex: \
               \"(?i)(api\\\\.example\\\\.com|.+\\\\.example\\\\.org|\\\\[::1\\\\])\\\\.?(:[0-9]+)?\"}}}]}"
            ]
        );
        for wider in
            ["{ports: [80]}", "{destinations: [\"spiffe://a\"]}", "{context: {a: b}}", "{hosts: [\"*\"]}"]
        {
            assert_eq!(of(wider), ["{prefix: \"/\"}"], "{wider}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_regular_expression_of_envoy_is_split_or_widened() {
        let long = "segment".repeat(12);
        assert_eq!(of(&format!("{{paths: [\"/v1/{{id}}/{long}\"]}}")), ["{path_separated_prefix: \"/v1\"}"]);
        assert_eq!(of(&format!("{{paths: [\"/{{id}}/{long}\"]}}")), ["{prefix: \"/\"}"]);
        assert_eq!(
            of(&format!("{{paths: [\"/{long}\"]}}")),
            [format!("{{path: \"/{long}\"}}")],
            "none is needed"
        );
        let hosts: Vec<_> = (0..3).map(|n| format!("a{n}.{}.example.com", "x".repeat(40))).collect();
        let several = of(&format!("{{hosts: [{}]}}", hosts.join(", ")));
        assert_eq!(several.len(), 3, "{several:?}");
        assert_eq!(of(&format!("{{hosts: [a.example, {}.example]}}", "y".repeat(55))).len(), 2);
        let longest = ["z"; 30].join(".");
        assert_eq!(of(&format!("{{hosts: [{longest}.{longest}]}}")), ["{prefix: \"/\"}"]);
        let methods: Vec<_> = ('A'..='T').map(|letter| format!("METHOD{letter}")).collect();
        assert_eq!(of(&format!("{{methods: [{}]}}", methods.join(", "))), ["{prefix: \"/\"}"]);
    }
}
