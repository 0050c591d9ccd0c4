//! What audit trails say of releases.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

/// How many calls each approval released, by all of these trails together. A line that a crash cut short is left out.
pub fn releases(trails: &[PathBuf]) -> Result<HashMap<String, u32>> {
    let mut releases = HashMap::new();
    for trail in trails {
        let failed = || format!("cannot read `{}`", trail.display());
        for line in BufReader::new(File::open(trail).with_context(failed)?).split(b'\n') {
            let record = serde_json::from_slice::<Value>(&line.with_context(failed)?).unwrap_or_default();
            let text = |name: &str| record.get(name).and_then(Value::as_str);
            if let (Some("approved"), Some(approval)) = (text("reason"), text("approval")) {
                *releases.entry(approval.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(releases)
}

/// Releases beyond the first of each approval.
pub fn beyond_the_first(releases: &HashMap<String, u32>) -> u32 {
    releases.values().map(|count| count.saturating_sub(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_releases_over_several_trails_and_leaves_out_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let released = |id: &str| format!("{{\"reason\":\"approved\",\"approval\":\"{id}\"}}\n");
        let denied = "{\"reason\":\"caller_gone\",\"approval\":\"a\"}\n";
        let trails = [folder.path().join("1"), folder.path().join("2")];
        std::fs::write(
            &trails[0],
            format!("{}{denied}{{\"reason\":\"appr\n{}", released("a"), released("b")),
        )
        .unwrap();
        std::fs::write(&trails[1], released("a")).unwrap();
        let releases = releases(&trails).unwrap();
        assert_eq!(releases, HashMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        assert_eq!(beyond_the_first(&releases), 1);
    }
}
