//! The floors of ARCHITECTURE.md, kept: a module uses modules of lower floors only, and Envoy's world stays at the
//! edge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up.
const FLOORS: [&[&str]; 9] = [
    &[
        "actor",
        "approval",
        "challenge",
        "credential",
        "diagnostic",
        "disagreement",
        "document",
        "effect",
        "identity",
        "notice",
        "reason",
        "request",
        "secret",
        "strict_json",
        "verdict",
        "visible",
    ],
    &["mask"],
    &["policy"],
    &["clock", "inbound", "lifecycle", "metrics", "outbound", "tls", "watch"],
    &["audit", "authn", "store"],
    &["engine"],
    &["bundle", "envoy", "notify", "proxy"],
    &["admin", "ops"],
    &["app", "cli", "config", "telemetry"],
];

/// Floors whose modules may use each other: values are made of values, the shell is one. Elsewhere neighbours are
/// strangers.
const MIXED: [usize; 3] = [0, 3, 8];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// Every source file with the module at the root of the crate that it belongs to.
fn files() -> Vec<(String, PathBuf)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let first = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
                found.push((first.trim_end_matches(".rs").to_owned(), path));
            }
        }
    }
    found
}

/// The root modules that a text names by `crate::`.
fn uses(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name =
        |after: &str| after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names: Vec<String> = code.split("crate::").skip(1).map(name).collect();
    // `use crate::{a, b::c}`
    for group in code.split("crate::{").skip(1) {
        let inner = group.split('}').next().unwrap_or_default();
        names.extend(inner.split(',').map(|item| name(item.trim())));
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn nothing_looks_up() {
    let mut arrows = Vec::new();
    for (module, path) in files() {
        if module == "lib" || module == "main" {
            continue;
        }
        let own = floor(&module).unwrap_or_else(|| panic!("`{module}` has no floor"));
        for used in uses(&fs::read_to_string(&path).unwrap()) {
            let Some(other) = floor(&used) else { continue };
            let sideways = own == other && used != module && !MIXED.contains(&own);
            if other > own || sideways {
                arrows.push(format!("{}: {module} -> {used}", path.display()));
            }
        }
    }
    assert!(arrows.is_empty(), "{arrows:#?}");
}

#[test]
fn envoy_stays_at_the_edge() {
    for (module, path) in files() {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("envoy_types") {
            assert_eq!(module, "envoy", "{}", path.display());
        }
        if text.contains("tonic::") {
            assert!(["admin", "envoy"].contains(&module.as_str()), "{}", path.display());
        }
    }
}

#[test]
fn an_arrow_up_would_be_seen() {
    assert_eq!(uses("use crate::engine::Engine;\n// crate::cli"), ["engine"]);
    assert_eq!(uses("use crate::{admin, mask::Plan};"), ["admin", "mask"]);
    assert!(floor("engine") > floor("mask"));
}
