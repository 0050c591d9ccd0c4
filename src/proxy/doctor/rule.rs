//! One kind of mistake: the words of its page, and how it is found.

use super::Report;
use crate::diagnostic::Severity;
use crate::proxy::view::Envoy;

/// One kind of mistake. Its page in `docs/doctor/` is made of this.
#[derive(Debug)]
pub struct Rule {
    /// Stable and in kebab case: `fail-open`.
    pub id: &'static str,
    /// An error lets calls slip by, or fails those that should pass; a warning may.
    pub severity: Severity,
    /// One line: what is wrong.
    pub title: &'static str,
    /// What is looked at, in which proxies.
    pub what: &'static str,
    /// What goes wrong, for whom.
    pub why: &'static str,
    /// What a real Envoy did with the mistake and without it, or what else it is known from.
    pub demonstrated: &'static str,
    /// The test of that demonstration: a function under `tests/e2e/doctor/`.
    pub test: Option<&'static str>,
    /// What to do.
    pub fix: &'static str,
    /// YAML that has it right.
    pub example: &'static str,
    /// How it is found in Envoy's own configuration; `None` where only other forms can have it.
    pub envoy: Option<fn(&Envoy<'_>, &mut Report<'_>)>,
}
