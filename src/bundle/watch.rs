//! Offers what the files hold that policies come from, when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::control::{Control, Outcome};
use super::load;
use super::source::{Found, Source};
use crate::watch::{Changes, Stamp};

/// Follows `source` until the task is dropped. A source that is no file ends it at once.
pub(super) async fn follow(control: Arc<Control>, source: Source) {
    let Some(mut changes) = changes(&source) else { return };
    while changes.next().await {
        if !look_at(&control, &source).await.is_pending() {
            changes.taken();
        }
    }
}

/// Changes of the files that a source names; `None` for a source that is no file.
pub fn changes(source: &Source) -> Option<Changes> {
    let paths = match source {
        Source::Paths(paths) => paths.clone(),
        Source::File(path) => vec![path.clone()],
        Source::Url(_) => return None,
    };
    Some(Changes::new(move || stamp(&paths)))
}

/// What is found at these paths.
fn stamp(paths: &[PathBuf]) -> Stamp {
    // Whatever else lies there may change as it likes.
    let ours = |path: &Path| load::is_yaml(path) || paths.iter().any(|named| named == path);
    Stamp::of(paths, load::find(paths, &ours).map_err(|error| error.to_string()))
}

/// How often files that keep changing are read again; the next event reads them anew.
const MOST_READS: usize = 8;

/// Reads what the source holds now, and offers it unless it is what was judged last.
async fn look_at(control: &Arc<Control>, source: &Source) -> Outcome {
    let admission = control.admission();
    let (limits, reading) = (admission.limits.clone(), source.clone());
    let found = tokio::task::spawn_blocking(move || reading.read(&limits)).await;
    let Ok(Some(found)) = found else { return Outcome::Unchanged };
    if control.knows(&found.fingerprint).await {
        return Outcome::Unchanged;
    }
    let (judge, fingerprint) = (admission.clone(), found.fingerprint.clone());
    match tokio::task::spawn_blocking(move || found.admit(&judge)).await {
        Ok(offer) => control.offer(&source.to_string(), fingerprint, &admission, offer).await,
        Err(error) => {
            tracing::error!(%error, "new policies could not be judged");
            Outcome::Unchanged
        }
    }
}

impl Source {
    /// What the files hold now; `None` for a URL.
    pub fn read(&self, limits: &super::Limits) -> Option<Found> {
        let read = || match self {
            Self::Paths(paths) => Some(Found::paths(paths)),
            Self::File(path) => Some(Found::file(path, limits)),
            Self::Url(_) => None,
        };
        // Files are read one by one, and a swap in between would mix two revisions: what is read twice alike is one.
        let mut found = read()?;
        for _ in 0..MOST_READS {
            let again = read()?;
            if again.fingerprint == found.fingerprint {
                break;
            }
            found = again;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_stamp_changes_with_every_kind_of_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("policies");
        let stamp = || stamp(std::slice::from_ref(&root)).files;
        let mut seen = vec![stamp()];
        assert!(seen[0].is_err(), "the folder is missing");
        let mut differs = |what: &str| {
            let now = stamp();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::create_dir_all(root.join("..one")).unwrap();
        fs::create_dir_all(root.join("..two")).unwrap();
        differs("a folder");
        fs::write(root.join("..one/a.yaml"), "a").unwrap();
        fs::write(root.join("..two/a.yaml"), "b").unwrap();
        std::os::unix::fs::symlink("..one", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        differs("a file behind two links, as Kubernetes mounts a ConfigMap");
        std::os::unix::fs::symlink("..two", root.join("..next")).unwrap();
        fs::rename(root.join("..next"), root.join("..data")).unwrap();
        differs("the first link swapped, size and names the same");
        fs::write(root.join("b.yaml"), "b").unwrap();
        differs("a new file");
        fs::rename(root.join("b.yaml"), root.join("c.yaml")).unwrap();
        differs("a new name");
        fs::write(root.join("c.yaml"), "bb").unwrap();
        differs("more text");
        fs::remove_file(root.join("a.yaml")).unwrap();
        differs("a file less");
    }

    #[test]
    fn a_swap_between_two_files_that_are_read_mixes_no_revisions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let policy = |rule: &str| {
            let head = "apiVersion: portcullis.dev/v1alpha1\nkind: Policy\nmetadata: {name: NAME}\n";
            format!("{head}spec: {{rules: [{{name: {rule}, allow: {{}}}}]}}\n").replace("NAME", rule)
        };
        fs::write(at("a.yaml"), policy("a1")).unwrap();
        // Reading `b.yaml` waits here for its text, with `a.yaml` read already.
        assert!(std::process::Command::new("mkfifo").arg(at("b.yaml")).status().unwrap().success());
        let (a, b, next) = (at("a.yaml"), at("b.yaml"), at("next"));
        let (a2, b2) = (policy("a2"), policy("b2"));
        let swapping = std::thread::spawn(move || {
            let mut pipe = fs::OpenOptions::new().write(true).open(&b).unwrap();
            for (file, text) in [(a, &a2), (b, &b2)] {
                fs::write(&next, text).unwrap();
                fs::rename(&next, file).unwrap();
            }
            std::io::Write::write_all(&mut pipe, b2.as_bytes()).unwrap();
        });
        let (limits, options) = (crate::bundle::Limits::default(), crate::policy::Options::default());
        let found = Source::Paths(vec![folder.path().to_owned()]).read(&limits).unwrap();
        swapping.join().unwrap();
        let trust = crate::bundle::Trust::none();
        let offer = found.admit(&crate::bundle::Admission { trust, limits, options }).unwrap();
        let rules: Vec<_> = offer.prepared.set.rule_names().map(ToString::to_string).collect();
        assert_eq!(rules, ["a2/a2", "b2/b2"]);
    }
}
