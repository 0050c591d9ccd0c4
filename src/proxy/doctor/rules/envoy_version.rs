//! Versions with known advisories.

use crate::diagnostic::Severity;
use crate::proxy::doctor::{Report, Rule};
use crate::proxy::view::Envoy;

pub static RULE: Rule = Rule {
    id: "envoy-version",
    severity: Severity::Error,
    title: "this version of Envoy has known vulnerabilities",
    what: "Envoy's version: of a dump's node, of `/server_info`, or of `--envoy-version`. Silent when \
          it is not known. The table in Portcullis is of 2026-11-21.",
    why: "Among what is fixed since: a smuggled request in an upgrade (CVE-2026-73548), a crash of \
          ext_authz by CONNECT (CVE-2026-73547), path parameters that hide `..` (CVE-2026-73551, \
          -73511), a crash by several answers in one ext_proc message (CVE-2026-47207), repeated \
          headers that get past RBAC (CVE-2026-26308).",
    demonstrated: "Envoy's security advisories.",
    test: None,
    fix: "Update to the newest patch release of a line that is maintained.",
    example: "# 1.36.10, 1.37.6, 1.38.4, 1.39.1, 1.40.0 or newer\n",
    envoy: Some(envoy),
};

/// The first release of each line, by its minor number, without a known advisory.
const FIXED: [(u64, u64); 4] = [(36, 10), (37, 6), (38, 4), (39, 1)];
/// Of this line and newer ones none is known.
const NEWEST: u64 = 40;

fn envoy(envoy: &Envoy<'_>, report: &mut Report<'_>) {
    let Some(version) = envoy.version else { return };
    let fixed = FIXED.iter().find(|(minor, _)| *minor == version.minor).map(|(_, patch)| *patch);
    if version.major != 1 || version.minor >= NEWEST || fixed.is_some_and(|patch| version.patch >= patch) {
        return;
    }
    let fix = match fixed {
        Some(patch) => format!("update to 1.{}.{patch} or newer", version.minor),
        None => format!("update to 1.{NEWEST}.0 or newer: this line gets no fixes"),
    };
    report.find(&RULE, &envoy.root, format!("Envoy {version} has known vulnerabilities"), fix);
}
