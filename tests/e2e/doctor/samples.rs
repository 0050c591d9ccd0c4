//! The samples themselves: Envoy takes each, each differs from its clean one by its mistake alone, and each is listed and shown.

use std::collections::BTreeSet;

use portcullis_sample::envoy::validate;
use portcullis_sample::repository;

use super::tls::Tls;
use super::{CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, CLEAN_MTLS, CLEAN_TLS};

/// Those that need more lines than a setting does: a whole listener, filter or route.
const LONG: [&str; 8] = [
    "both-filters",
    "cache-before-portcullis",
    "compressed-responses",
    "filter-disabled.weighted-cluster",
    "filter-missing",
    "filter-order",
    "half-handover.unexpected",
    "not-checked",
];

/// Shown by no test, and why: nothing but the proxy's own files would be.
const NOT_SHOWN: [&str; 1] = ["not-checked"];

pub fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join("envoy/mistakes").join(name)).unwrap()
}

/// The names of all files, without `.yaml`; first the clean ones, then those with a mistake.
pub fn names() -> (Vec<String>, Vec<String>) {
    let files = std::fs::read_dir(repository().join("envoy/mistakes")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.retain(|name| !name.starts_with("portcullis"));
    names.sort();
    names.into_iter().partition(|name| name.starts_with("clean-"))
}

/// The doctor's rule that a sample is about.
pub fn rule(name: &str) -> &str {
    name.split('.').next().unwrap()
}

/// The clean sample that this one comes from.
pub fn base(text: &str) -> &'static str {
    if text.contains("UpstreamTlsContext") {
        return CLEAN_TLS;
    }
    match (text.contains("ext_proc.v3.ExternalProcessor"), text.contains("tls_certificates")) {
        (true, _) => CLEAN_EXT_PROC,
        (false, true) => CLEAN_MTLS,
        (false, false) => CLEAN_EXT_AUTHZ,
    }
}

/// The lines without the comment at the top.
fn lines(text: &str) -> Vec<&str> {
    text.lines().skip_while(|line| line.starts_with('#')).collect()
}

/// How many lines have to be taken out of one, and how many put in, to get the other.
fn changed(from: &[&str], to: &[&str]) -> (usize, usize) {
    let mut common = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, line) in from.iter().enumerate() {
        for (j, other) in to.iter().enumerate() {
            common[i + 1][j + 1] =
                if line == other { common[i][j] + 1 } else { common[i][j + 1].max(common[i + 1][j]) };
        }
    }
    let kept = common[from.len()][to.len()];
    (from.len() - kept, to.len() - kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_sample() {
    let (clean, mistakes) = names();
    let tls = Tls::for_hosts(&["shop"]);
    for name in clean.iter().chain(&mistakes) {
        validate(&tls.in_place(&read(&format!("{name}.yaml"))))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_sample_is_a_clean_one_with_one_mistake() {
    let (clean, mistakes) = names();
    assert_eq!(clean, [CLEAN_EXT_AUTHZ, CLEAN_EXT_PROC, CLEAN_MTLS, CLEAN_TLS]);
    let rules: BTreeSet<_> = mistakes.iter().map(|name| rule(name)).collect();
    assert!(rules.len() >= 30, "{}", rules.len());
    for name in &mistakes {
        let text = read(&format!("{name}.yaml"));
        let clean = read(&format!("{}.yaml", base(&text)));
        let (taken, put) = changed(&lines(&clean), &lines(&text));
        let most = if LONG.contains(&name.as_str()) { 36 } else { 6 };
        assert!(taken + put <= most, "{name}: {taken} lines fewer, {put} more");
        // Its mistake is the server's: it has policies that no ext_authz can serve.
        assert_eq!(taken + put == 0, name == "masks-need-ext-proc", "{name}");
    }
}

#[test]
fn every_sample_is_listed_with_its_own_words() {
    let readme = read("README.md");
    let (clean, mistakes) = names();
    for name in clean.iter().chain(&mistakes) {
        assert!(readme.contains(&format!("| [{name}]({name}.yaml) |")), "{name}");
    }
    let rows = readme.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(rows, clean.len() + mistakes.len());
    for name in &mistakes {
        let text = read(&format!("{name}.yaml"));
        let top = text.lines().take_while(|line| line.starts_with('#'));
        let words: Vec<_> = top.map(|line| line.trim_start_matches("# ")).collect();
        assert!(readme.contains(&words.join(" ")), "{name}: {words:?}");
    }
}

#[test]
fn every_mistake_is_shown_by_a_test_of_its_name() {
    let folder = repository().join("tests/e2e/doctor");
    let tests: String = ["filters", "holds", "impostor", "responses", "shown"]
        .map(|file| std::fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap())
        .concat();
    for name in names().1.iter().filter(|name| !NOT_SHOWN.contains(&rule(name))) {
        let function = format!("async fn {}()", rule(name).replace('-', "_"));
        assert!(tests.contains(&function), "{function}");
        assert!(tests.contains(&format!("\"{name}\"")) || name.contains("filter-disabled"), "{name}");
    }
}
