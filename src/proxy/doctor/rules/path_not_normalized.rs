//! `normalize_path`.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "path-not-normalized",
    severity: Severity::Error,
    title: "paths are decided on as they were sent",
    what: "HTTP connection managers that ask Portcullis, without `normalize_path: true`.",
    why: "`/public/../admin` is one path to a policy and another to an upstream that resolves it. \
          Portcullis refuses paths that backends read in different ways, so calls fail that should \
          pass.",
    demonstrated: "Envoy 1.40.0: `/public/./hello` was refused by Portcullis with `path_ambiguous`; normalised, \
          it was served. In neither case did `/public/../internal/keys` pass as a public path.",
    test: Some("path_not_normalized"),
    fix: "Set `normalize_path: true`.",
    example: "normalize_path: true\n",
    envoy: Some(envoy),
};

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    for manager in envoy.managers.iter().filter(|manager| manager.asking().next().is_some()) {
        let set = manager.at.get("normalize_path");
        if !set.is_true() {
            report.find(
                &RULE,
                &set,
                "what is authorized is not what the upstream may read: `..` stays in paths",
                "set `normalize_path: true`",
            );
        }
    }
}
