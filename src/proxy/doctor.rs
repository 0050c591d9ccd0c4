//! What a proxy's configuration gets wrong: calls that slip by, or fail, because of it.
//!
//! Each file of `rules` is one kind of mistake: the words of its page of documentation, and how it is found.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::kubernetes;
use super::needs::Needs;
use super::tree::{At, Source};
use super::view::{Envoy, Given};
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::document::{Node, Value};

mod handover;
mod manifests;
mod names;
mod page;
mod rule;
mod rules;
mod text;

pub use manifests::{CHECKS, Manifests};
pub use page::{page, pages};
pub use rule::Rule;
pub use rules::{RULES, by_id};

/// One mistake.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    #[serde(rename = "rule", serialize_with = "id")]
    pub rule: &'static Rule,
    pub severity: Severity,
    /// What is wrong here, with the names and figures of this configuration.
    pub message: String,
    /// What to write, and where.
    pub fix: String,
    /// The file or URL.
    pub file: String,
    /// In a file whose lines say something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// `static_resources.listeners[0].name`: where it is, or where it is missing.
    pub path: String,
    /// In a dump, the names of the listener, virtual host and route on that path: its numbers say little.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub names: String,
    #[serde(skip)]
    place: Option<Place>,
}

/// So many findings of one rule are shown; the last says how many more there are.
const SHOWN: usize = 100;

/// Gathers findings: one for each rule and place.
#[derive(Debug)]
pub struct Report<'n> {
    pub needs: &'n Needs,
    findings: Vec<Finding>,
    seen: HashSet<(&'static str, String, String, Option<u32>)>,
    counts: BTreeMap<&'static str, usize>,
    /// While a configuration is examined that was drawn up from manifests.
    lens: Option<manifests::Lens<'n>>,
}

/// What was examined, and what is wrong with it.
#[derive(Debug)]
pub struct Examined {
    pub findings: Vec<Finding>,
    pub proxies: usize,
    pub listeners: usize,
    pub routes: usize,
    /// Filters that ask Portcullis.
    pub filters: usize,
    /// Whether the server's own configuration was known.
    pub server_known: bool,
}

/// Reports what is wrong with the proxies that the sources tell of: errors first, each kind in the order of its places.
///
/// # Errors
/// A source that is no proxy's configuration.
pub fn examine(sources: &[Source], needs: &Needs, given: &Given) -> Result<Examined, Diagnostic> {
    let (manifests, others) = by_kind(sources);
    let inner = kubernetes::embedded(&manifests)?;
    let found = Manifests::of(&manifests.iter().chain(&inner).collect::<Vec<_>>());
    let drawn = found.draw(needs);
    let mut examined = Examined {
        findings: Vec::new(),
        proxies: 0,
        listeners: 0,
        routes: 0,
        filters: 0,
        server_known: needs.server.known,
    };
    let mut report = Report::new(needs);
    let others: Vec<&Source> = others.iter().map(AsRef::as_ref).collect();
    examine_envoys(&others, given, &mut report, &mut examined)?;
    found.check(&mut report);
    for drawn in &drawn {
        drawn.report_unread(&mut report);
        report.lens = Some(drawn.lens());
        examine_envoys(&[&drawn.source], given, &mut report, &mut examined)?;
        report.lens = None;
    }
    if let (false, Some(first)) = (found.ask(), manifests.first()) {
        let message = format!("`{}`: no manifest among these makes a proxy ask Portcullis", first.name);
        return Err(Diagnostic::error("not-a-proxy", message)
            .help("give the AuthorizationPolicies with their mesh configuration, the SecurityPolicies or EnvoyExtensionPolicies"));
    }
    examined.findings = report.finish();
    Ok(examined)
}

/// The manifests among the sources, and everything else, which may be a dump of many megabytes and is not copied. A file
/// with documents of both kinds is taken apart.
fn by_kind(sources: &[Source]) -> (Vec<Source>, Vec<Cow<'_, Source>>) {
    let (mut manifests, mut others) = (Vec::new(), Vec::new());
    for source in sources {
        if !kubernetes::is_manifest(source) {
            others.push(Cow::Borrowed(source));
            continue;
        }
        let alone = |root: &Node| Source { roots: vec![root.clone()], ..source.clone() };
        let roots = source.roots.iter().filter(|root| root.value != Value::Null);
        let (own, rest) = roots.cloned().partition::<Vec<_>, _>(|root| kubernetes::is_manifest(&alone(root)));
        manifests.push(Source { roots: own, ..source.clone() });
        if !rest.is_empty() {
            others.push(Cow::Owned(Source { roots: rest, ..source.clone() }));
        }
    }
    (manifests, others)
}

fn examine_envoys(
    sources: &[&Source],
    given: &Given,
    report: &mut Report<'_>,
    examined: &mut Examined,
) -> Result<(), Diagnostic> {
    let envoys = Envoy::read(sources, given)?;
    examined.proxies += envoys.len();
    for mut envoy in envoys {
        envoy.probe(report.needs);
        RULES.iter().filter_map(|rule| rule.envoy).for_each(|check| check(&envoy, report));
        examined.listeners += envoy.listeners;
        examined.filters += envoy.asking().count();
        examined.routes += routes(&envoy);
    }
    Ok(())
}

/// How many routes there are. A dump has a table that stands in a listener a second time, in its list of tables.
fn routes(envoy: &Envoy<'_>) -> usize {
    let used: HashSet<_> = envoy.managers.iter().flat_map(|manager| &manager.tables).copied().collect();
    let names: HashSet<_> =
        used.iter().filter_map(|place| envoy.tables.get(*place)).map(|table| table.name).collect();
    let tables = envoy.tables.iter().enumerate();
    let counted = tables.filter(|(place, table)| used.contains(place) || !names.contains(table.name));
    counted.flat_map(|(_, table)| &table.hosts).map(|host| host.routes.len()).sum()
}

impl<'n> Report<'n> {
    fn new(needs: &'n Needs) -> Self {
        Self { needs, findings: Vec::new(), seen: HashSet::new(), counts: BTreeMap::new(), lens: None }
    }

    /// Whether what is under examination was drawn up from manifests.
    pub fn is_of_manifests(&self) -> bool {
        self.lens.is_some()
    }

    /// A mistake at this value, or where it is missing: what is wrong, with the names and figures of this configuration, and
    /// what to write.
    pub fn find(
        &mut self,
        rule: &'static Rule,
        at: &At<'_>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(rule, rule.severity, at, message.into(), fix.into());
    }

    /// The same, where a rule that mostly tells errors has found what only may be one.
    pub fn warn(
        &mut self,
        rule: &'static Rule,
        at: &At<'_>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(rule, Severity::Warning, at, message.into(), fix.into());
    }

    fn add(
        &mut self,
        rule: &'static Rule,
        severity: Severity,
        at: &At<'_>,
        message: String,
        mut fix: String,
    ) {
        let origin = self.lens.and_then(|lens| lens.origin(at));
        let at = origin.as_ref().unwrap_or(at);
        if let Some(lens) = self.lens {
            lens.add_field(rule.id, at.path(), &mut fix);
        }
        let file = at.source().name.to_string();
        let place = at.place();
        // Documents of one file have the same paths.
        let line = place.as_ref().map(|place| place.line);
        if !self.seen.insert((rule.id, file.clone(), at.path().to_owned(), line)) {
            return;
        }
        let count = self.counts.entry(rule.id).or_default();
        *count += 1;
        if *count > SHOWN {
            return;
        }
        self.findings.push(Finding {
            rule,
            severity,
            message,
            fix,
            file,
            line,
            column: place.as_ref().map(|place| place.column),
            path: at.path().to_owned(),
            names: names::of(at),
            place,
        });
    }

    fn finish(mut self) -> Vec<Finding> {
        for (id, count) in self.counts.into_iter().filter(|(_, count)| *count > SHOWN) {
            if let Some(last) = self.findings.iter_mut().rfind(|finding| finding.rule.id == id) {
                last.message += &format!("; so it is in {} more places", count - SHOWN);
            }
        }
        self.findings.sort_by_key(|finding| finding.severity);
        self.findings
    }
}

impl Finding {
    /// The finding as other commands show theirs.
    pub fn diagnostic(&self) -> Diagnostic {
        let parts = [self.names.as_str(), self.path.as_str()].into_iter().filter(|part| !part.is_empty());
        let path = parts.collect::<Vec<_>>().join(": ");
        let path = if path.is_empty() { path } else { format!(" ({path})") };
        Diagnostic {
            severity: self.severity,
            code: self.rule.id,
            message: format!("{}{path}", self.message),
            place: self.place.clone(),
            help: Some(self.fix.clone()),
        }
    }
}

fn id<S: serde::Serializer>(rule: &&'static Rule, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rule.id)
}

#[cfg(test)]
mod tests;
