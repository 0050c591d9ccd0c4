//! The shipped policies pass `policy check` and `policy test`, and their cases reach every rule.

use std::path::Path;

use portcullis::bundle;
use portcullis::policy::{self, cases};

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

#[test]
fn shipped_policies_do_what_their_cases_say() {
    let files = bundle::read(&[shipped()]).unwrap();
    let compiled = policy::compile(&files, &policy::Options::default());
    assert!(compiled.findings.is_empty(), "{:#?}", compiled.findings);
    let (cases, findings) = cases::read(&bundle::cases(&[shipped()]).unwrap());
    assert!(findings.is_empty(), "{findings:#?}");
    let set = compiled.set.unwrap();
    assert_eq!(cases::check(&cases, &set), []);
    let report = cases::run(&set, &cases);
    let failed: Vec<_> = report.results.iter().filter(|result| !result.failures.is_empty()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(report.unreached.is_empty(), "no case reaches {:?}", report.unreached);
    assert_eq!(report.coverage(), 100);
}

#[test]
fn each_file_has_cases_and_a_line_of_explanation() {
    let readme = std::fs::read_to_string(shipped().join("README.md")).unwrap();
    for source in bundle::read(&[shipped()]).unwrap() {
        let name = Path::new(&*source.file).file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("| `{name}` |")), "policies/README.md lacks {name}");
        assert!(Path::new(&*source.file).with_extension("cases.yaml").is_file(), "{name} has no cases");
    }
}
