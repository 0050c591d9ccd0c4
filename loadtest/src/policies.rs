//! The generated policy set: policies for disjoint routes, of which one matches the calls of a run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How many policies one file holds: as many as a person would still read.
const POLICIES_PER_FILE: usize = 100;

/// The path that every call asks for. Its policy stands in the middle of the set of `count`.
pub fn path(count: usize) -> String {
    format!("/{}/orders/4711", name(count / 2))
}

/// Writes `count` policies into `directory`.
pub fn write(directory: &Path, count: usize) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create `{}`", directory.display()))?;
    let policies: Vec<String> = (0..count).map(policy).collect();
    for (number, file) in policies.chunks(POLICIES_PER_FILE).enumerate() {
        let path = directory.join(format!("policies-{number:03}.yaml"));
        fs::write(&path, file.join("---\n")).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("p{number:04}")
}

fn policy(number: usize) -> String {
    let name = name(number);
    let mut yaml = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        yaml,
        "apiVersion: portcullis.dev/v1alpha1\n\
         kind: Policy\n\
         metadata: {{name: {name}}}\n\
         spec:\n  \
           match: [{{paths: [\"/{name}/**\"], methods: [GET]}}]\n  \
           rules: [{{name: allow, when: 'request.method == \"GET\"', allow: {{}}}}]\n"
    );
    yaml
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_policy_of_the_set_matches_the_path() {
        for count in [1, 2, 250, 1_000] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), count).unwrap();
            let files = fs::read_dir(directory.path()).unwrap();
            let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
            let routes: Vec<&str> = text.split('"').filter(|part| part.ends_with("/**")).collect();
            assert_eq!(routes.len(), count);
            assert_eq!(routes.iter().collect::<HashSet<_>>().len(), count);
            let path = path(count);
            let matching = routes.iter().filter(|route| path.starts_with(route.trim_end_matches("**")));
            assert_eq!(matching.count(), 1);
        }
    }
}
