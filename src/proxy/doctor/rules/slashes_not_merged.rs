//! `merge_slashes`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "slashes-not-merged",
    severity: Severity::Warning,
    title: "double slashes stay in paths",
    what: "HTTP connection managers that ask Portcullis, without `merge_slashes: true`.",
    why: "Many backends take `//admin` for `/admin`, Envoy's routes and most policies do not. \
          Portcullis refuses such paths as ambiguous.",
    demonstrated: "Envoy 1.40.0: `/public//hello` was refused by Portcullis with `path_ambiguous`; with slashes \
          merged, it was served.",
    test: Some("slashes_not_merged"),
    fix: "Set `merge_slashes: true`.",
    example: "merge_slashes: true\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let set = manager.at.get("merge_slashes");
        if !set.is_true() {
            report.find(
                &RULE,
                &set,
                "`//` stays in paths: backends read it in different ways, and Portcullis refuses it",
                "set `merge_slashes: true`",
            );
        }
    }
}
