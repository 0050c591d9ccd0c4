use std::fs;
use std::time::Duration;

use super::*;

const HEAD: &str = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec: {match: [{paths: [/a]}], rules: ";
const PLAIN: &str = "[{name: a, allow: {}}]}\n";
const HOLDS: &str = "[{name: a, when: 'request.body.x == 1', hold: {approvers: {groups: [g]}, wait: 7m}}, {name: m, mask: [{field: x, with: last4}]}]}\n";

/// A folder with policies, and a configuration of the server that says this of them.
fn folder(active: &str, candidate: &str, says: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, rules) in [("active", active), ("next", candidate)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("p.yaml"), format!("{HEAD}{rules}")).unwrap();
    }
    fs::write(folder.path().join("portcullis.yaml"), format!("policies: {says}\n")).unwrap();
    folder
}

#[test]
fn what_a_candidate_needs_is_needed() {
    let of = |active: &str, candidate: &str, says: &str| {
        let folder = folder(active, candidate, says);
        let config = Some(folder.path().join("portcullis.yaml"));
        let needs = needs(&For { config, policies: Vec::new() }).unwrap();
        (needs.longest_wait, needs.masks(), needs.bodies.len())
    };
    let (nothing, all) = ((None, false, 0), (Some(Duration::from_secs(420)), true, 1));
    assert_eq!(of(PLAIN, HOLDS, "{paths: [active]}"), nothing);
    assert_eq!(of(PLAIN, HOLDS, "{paths: [active], candidate: {paths: [next]}}"), all);
    assert_eq!(of(HOLDS, PLAIN, "{paths: [active], candidate: {paths: [next], share: 5}}"), all);
}

#[test]
fn a_candidate_counts_beside_policies_that_are_named() {
    let folder = folder(PLAIN, HOLDS, "{url: \"https://x.example/b.tgz\", candidate: {paths: [next]}}");
    let policies = vec![folder.path().join("active")];
    let needs = needs(&For { config: Some(folder.path().join("portcullis.yaml")), policies }).unwrap();
    assert!(needs.masks());
}

#[test]
fn a_candidate_that_is_broken_stops_it() {
    let folder = folder(PLAIN, "[{name: a}]}\n", "{paths: [active], candidate: {paths: [next]}}");
    let config = Some(folder.path().join("portcullis.yaml"));
    assert!(needs(&For { config, policies: Vec::new() }).is_err());
}
