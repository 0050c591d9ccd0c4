//! A policy's `match` as tests, so that conditions can be held against it, and whether one covers another.

use super::formula::{Constant, Question, Test};
use super::solve::{Cube, implies_test};
use crate::policy::route::{Entry, HostPattern, PathPattern, Segment};
use crate::request::Path;

/// One entry of `match` with one of its paths.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'p> {
    entry: Option<&'p Entry>,
    path: Option<&'p PathPattern>,
}

/// The ways in which a call can be the policy's; a policy without `match` has the one that asks for nothing.
pub fn reaches(entries: &[Entry]) -> Vec<Reach<'_>> {
    if entries.is_empty() {
        return vec![Reach { entry: None, path: None }];
    }
    let mut reaches = Vec::new();
    for entry in entries {
        if entry.paths.is_empty() {
            reaches.push(Reach { entry: Some(entry), path: None });
        }
        reaches.extend(entry.paths.iter().map(|path| Reach { entry: Some(entry), path: Some(path) }));
    }
    reaches
}

impl Reach<'_> {
    /// What is true of every call that comes this way.
    pub fn tests(&self) -> Cube {
        let mut tests = Cube::new();
        let mut one_of = |subject: &str, constants: Vec<Constant>| {
            if !constants.is_empty() {
                let (subject, question) = (subject.to_owned(), Question::OneOf(constants));
                tests.push(Test { subject, question, negated: false });
            }
        };
        let Some(entry) = self.entry else { return tests };
        one_of("request.method", entry.methods.iter().cloned().map(Constant::Text).collect());
        one_of(
            "destination.port",
            entry.ports.iter().map(|port| Constant::Number(f64::from(*port))).collect(),
        );
        let exact = |host: &HostPattern| match host {
            HostPattern::Exact(name) => Some(Constant::Text(name.clone())),
            _ => None,
        };
        let hosts: Option<Vec<_>> = entry.hosts.iter().map(exact).collect();
        one_of("request.host", hosts.unwrap_or_default());
        for (key, value) in &entry.context {
            one_of(&format!("context.{key}"), vec![Constant::Text(value.clone())]);
            one_of(&format!("context[{}]", super::show::quoted(key)), vec![Constant::Text(value.clone())]);
        }
        if let Some(path) = self.path.and_then(literal) {
            one_of("request.url_path", vec![Constant::Text(path)]);
        }
        tests
    }

    /// Whether a call that comes this way can pass the tests of its path.
    pub fn path_allows(&self, cube: &[Test]) -> bool {
        let Some(pattern) = self.path else { return true };
        cube.iter().filter(|test| test.subject == "request.url_path" && !test.negated).all(|test| match &test
            .question
        {
            Question::OneOf(constants) => constants.iter().any(|constant| match constant {
                Constant::Text(text) => matches(pattern, text),
                _ => false,
            }),
            Question::StartsWith(prefix) => may_start(pattern, prefix),
            _ => true,
        })
    }

    /// Whether every call that comes the way of `other`, and passes `tests`, comes this way too.
    pub fn covers(&self, other: &Reach<'_>, tests: &[Test]) -> bool {
        let Some(entry) = self.entry else { return true };
        let empty = Entry::default();
        let narrower = other.entry.unwrap_or(&empty);
        let path = match (self.path, other.path) {
            (None, _) => true,
            (Some(path), Some(narrower)) => covers_path(&path.segments, &narrower.segments),
            (Some(_), None) => false,
        };
        // On listeners that are no gateways an entry by host alone matches nothing.
        let trusted = !entry.trusts_host() || narrower.trusts_host();
        let hosts = entry.hosts.is_empty()
            || (!narrower.hosts.is_empty()
                && narrower
                    .hosts
                    .iter()
                    .all(|host| entry.hosts.iter().any(|wider| covers_host(wider, host))));
        let destinations = entry.destinations.is_empty()
            || (!narrower.destinations.is_empty()
                && narrower.destinations.iter().all(|destination| entry.destinations.contains(destination)));
        let context = entry.context.iter().all(|(key, value)| narrower.context.get(key) == Some(value));
        let route = Entry { hosts: Vec::new(), context: empty.context.clone(), ..entry.clone() };
        let rest = Reach { entry: Some(&route), path: None }.tests();
        path && trusted
            && hosts
            && destinations
            && context
            && rest.iter().all(|test| implies_test(tests, test))
    }

    /// Whether both capture the same parts of a path.
    pub fn captures_like(&self, other: &Reach<'_>) -> bool {
        self.path == other.path
    }

    /// The literal segments that the path begins with; a wider pattern begins with a part of them.
    pub fn prefixes(&self) -> impl Iterator<Item = String> {
        let mut prefixes = vec![String::new()];
        let segments = self.path.map_or(&[][..], |path| path.segments.as_slice());
        for segment in segments {
            let Segment::Literal(text) = segment else { break };
            let longest = prefixes.last().map_or("", String::as_str);
            prefixes.push(format!("{longest}/{text}"));
        }
        prefixes.into_iter()
    }
}

/// The one path that the pattern matches, if it is one.
fn literal(pattern: &PathPattern) -> Option<String> {
    let mut path = String::new();
    for segment in &pattern.segments {
        let Segment::Literal(text) = segment else { return None };
        path.push('/');
        path.push_str(text);
    }
    Some(if path.is_empty() { "/".into() } else { path })
}

fn matches(pattern: &PathPattern, path: &str) -> bool {
    let (path, _) = Path::parse(path.to_owned());
    let mut segments = path.segments();
    for part in &pattern.segments {
        match (part, segments.next()) {
            (Segment::Rest(_), _) => return true,
            (Segment::One(_), Some(segment)) if !segment.is_empty() => {}
            (Segment::Literal(text), Some(segment)) if text == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

/// Whether some path that the pattern matches begins with `prefix`, which begins with `/`.
fn may_start(pattern: &PathPattern, prefix: &str) -> bool {
    let Some(inner) = prefix.strip_prefix('/') else { return true };
    let segments: Vec<&str> = inner.split('/').collect();
    let mut parts = pattern.segments.iter();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match parts.next() {
            Some(Segment::Rest(_)) => return true,
            Some(Segment::One(_)) if last || !segment.is_empty() => {}
            Some(Segment::Literal(text)) if text == segment || (last && text.starts_with(segment)) => {}
            None if last && segment.is_empty() && index == 0 => {}
            _ => return false,
        }
    }
    true
}

fn covers_path(wider: &[Segment], narrower: &[Segment]) -> bool {
    match (wider, narrower) {
        ([Segment::Rest(_), ..], _) | ([], []) => true,
        ([Segment::One(_), wider @ ..], [Segment::One(_), narrower @ ..]) => covers_path(wider, narrower),
        ([Segment::One(_), wider @ ..], [Segment::Literal(text), narrower @ ..]) if !text.is_empty() => {
            covers_path(wider, narrower)
        }
        ([Segment::Literal(a), wider @ ..], [Segment::Literal(b), narrower @ ..]) if a == b => {
            covers_path(wider, narrower)
        }
        _ => false,
    }
}

fn covers_host(wider: &HostPattern, narrower: &HostPattern) -> bool {
    match (wider, narrower) {
        (HostPattern::Any, _) => true,
        (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
        (HostPattern::Suffix(a), HostPattern::Suffix(b)) => b.ends_with(a.as_str()),
        (HostPattern::Suffix(suffix), HostPattern::Exact(name)) => {
            name.len() > suffix.len() && name.ends_with(suffix.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn wider_patterns_cover_narrower_ones() {
        for (wider, narrower, covers) in [
            ("/{**}", "/a/b", true),
            ("/a/{**}", "/a", true),
            ("/a/{id}", "/a/b", true),
            ("/a/{id}", "/a/{name}", true),
            ("/a/{id}", "/a/{**}", false),
            ("/a/b", "/a/{id}", false),
            ("/a/{id}", "/a/", false),
            ("/a", "/a/", false),
        ] {
            let found = covers_path(&pattern(wider).segments, &pattern(narrower).segments);
            assert_eq!(found, covers, "{wider} {narrower}");
        }
    }

    #[test]
    fn prefixes_are_held_against_patterns() {
        for (text, prefix, may) in [
            ("/v1/orders/{id}", "/v1/or", true),
            ("/v1/orders/{id}", "/v1/orders/", true),
            ("/v1/orders/{id}", "/v1/orders/o-1/x", false),
            ("/v1/orders/{**}", "/v1/orders/o-1/x", true),
            ("/v1/orders", "/admin", false),
            ("/", "/", true),
            ("/", "/a", false),
            ("/v1/orders", "/v1/orders/", false),
        ] {
            assert_eq!(may_start(&pattern(text), prefix), may, "{text} {prefix}");
        }
    }
}
