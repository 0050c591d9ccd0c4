//! Watches the files that policies come from, and offers what they hold when it changes.
//!
//! Events say that a look is worth it, never what changed: what counts is what the files hold once they are quiet.
//! A look every two seconds finds what no event told of: network file systems, exhausted inotify watches, folders
//! that were replaced.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::control::{Control, Outcome};
use super::load;
use super::source::{Found, Source};

/// Files that were quiet for so long are taken as written.
const QUIET: Duration = Duration::from_millis(100);

/// Files that never are quiet are looked at all the same.
const RESTLESS: Duration = Duration::from_secs(1);

/// How often a look is taken without an event.
const BACKSTOP: Duration = Duration::from_secs(2);

/// Follows `source` until the task is dropped. A source that is no file ends it at once.
pub(super) async fn follow(control: Arc<Control>, source: Source) {
    let Some(mut changes) = Changes::of(&source) else { return };
    while changes.next().await {
        if !look_at(&control, &source).await.is_pending() {
            changes.taken();
        }
    }
}

/// Changes of the files that a source names.
pub struct Changes {
    paths: Vec<PathBuf>,
    woken: mpsc::Receiver<()>,
    watches: Watches,
    /// What the files were when they were last taken.
    last: Option<Files>,
    found: Option<Files>,
    /// The first look needs no waiting.
    looked: bool,
}

impl Changes {
    /// `None` for a source that is no file.
    pub fn of(source: &Source) -> Option<Self> {
        let paths = match source {
            Source::Paths(paths) => paths.clone(),
            Source::File(path) => vec![path.clone()],
            Source::Url(_) => return None,
        };
        let (wake, woken) = mpsc::channel(1);
        let watches = Watches::new(wake);
        Some(Self { paths, woken, watches, last: None, found: None, looked: false })
    }

    /// Waits until the files differ from what was taken last; at first they do. `false`: nothing can be told any more.
    pub async fn next(&mut self) -> bool {
        loop {
            if self.looked {
                tokio::select! {
                    Some(()) = self.woken.recv() => quiet(&mut self.woken).await,
                    () = tokio::time::sleep(BACKSTOP) => {}
                }
            }
            self.looked = true;
            let paths = self.paths.clone();
            let Ok(stamp) = tokio::task::spawn_blocking(move || Stamp::of(&paths)).await else {
                return false;
            };
            self.watches.renew(&stamp.folders);
            if self.last.as_ref() != Some(&stamp.files) {
                self.found = Some(stamp.files);
                return true;
            }
        }
    }

    /// What `next` found has been dealt with.
    pub fn taken(&mut self) {
        self.last = self.found.take();
    }
}

/// What can be told of files without reading them, or why they can't be found.
type Files = Result<BTreeMap<PathBuf, [u64; 5]>, String>;

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

/// Waits until no event came for a while.
async fn quiet(woken: &mut mpsc::Receiver<()>) {
    let settled = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, woken.recv()).await {} };
    // Either way it is time to look.
    let _ = tokio::time::timeout(RESTLESS, settled).await;
}

/// What can be told of files without reading them, and the folders in which a change would show.
#[derive(Debug)]
struct Stamp {
    files: Files,
    /// With their inodes: a folder that was replaced has to be watched anew.
    folders: BTreeMap<PathBuf, u64>,
}

impl Stamp {
    fn of(paths: &[PathBuf]) -> Self {
        let mut folders = BTreeMap::new();
        for path in paths {
            add_folder(&mut folders, home(path));
        }
        // Whatever else lies there may change as it likes.
        let ours = |path: &Path| load::is_yaml(path) || paths.iter().any(|named| named == path);
        let files = load::find(paths, &ours).map_err(|error| error.to_string());
        for file in files.iter().flatten() {
            if let Some(parent) = file.parent() {
                add_folder(&mut folders, parent);
            }
        }
        let stamped = files.map(|files| files.into_iter().map(|file| (file.clone(), marks(&file))).collect());
        Self { files: stamped, folders }
    }
}

/// The folder whose entries tell of changes at `path`: itself, or the nearest one above it that exists.
fn home(path: &Path) -> &Path {
    let is_plain_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if is_plain_folder(path) {
        return path;
    }
    let above = path.ancestors().skip(1).find(|folder| folder.is_dir());
    above.unwrap_or(Path::new("."))
}

fn add_folder(folders: &mut BTreeMap<PathBuf, u64>, folder: &Path) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if let Ok(metadata) = fs::metadata(folder) {
        folders.insert(folder.to_owned(), metadata.ino());
    }
}

/// Size, inode, and both times: a file that was replaced or written again differs in one of them.
fn marks(file: &Path) -> [u64; 5] {
    match fs::metadata(file) {
        Ok(metadata) => [
            metadata.len(),
            metadata.ino(),
            metadata.mtime().unsigned_abs(),
            metadata.mtime_nsec().unsigned_abs(),
            metadata.ctime_nsec().unsigned_abs(),
        ],
        Err(_) => [0; 5],
    }
}

/// The watches of the operating system, as far as it grants them.
struct Watches {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, u64>,
}

impl Watches {
    fn new(wake: mpsc::Sender<()>) -> Self {
        let told = move |event: notify::Result<notify::Event>| {
            // Opening and reading, which we do ourselves, changes nothing. An error may hide a change.
            let is_change = event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_)));
            if is_change {
                // A wake-up that waits already is as good as two.
                let _ = wake.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told).map_err(|error| warn(&error)).ok();
        Self { watcher, watched: BTreeMap::new() }
    }

    /// Watches these folders and no others.
    fn renew(&mut self, folders: &BTreeMap<PathBuf, u64>) {
        let Some(watcher) = &mut self.watcher else { return };
        if self.watched == *folders {
            return;
        }
        for folder in self.watched.iter().filter(|(folder, inode)| folders.get(*folder) != Some(inode)) {
            // It may be gone, and its watch with it.
            let _ = watcher.unwatch(folder.0);
        }
        for folder in folders.iter().filter(|(folder, inode)| self.watched.get(*folder) != Some(inode)) {
            if let Err(error) = watcher.watch(folder.0, RecursiveMode::NonRecursive) {
                warn(&error);
            }
        }
        self.watched.clone_from(folders);
    }
}

fn warn(error: &notify::Error) {
    tracing::warn!(%error, "policies are not watched by events; they are looked at every two seconds");
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
    use super::*;

    #[test]
    fn a_stamp_changes_with_every_kind_of_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("policies");
        let stamp = || Stamp::of(std::slice::from_ref(&root)).files;
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

    #[test]
    fn a_missing_folder_is_awaited_where_it_would_appear() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(home(&root.join("a/b/c")), root);
        fs::create_dir(root.join("a")).unwrap();
        assert_eq!(home(&root.join("a/b/c")), root.join("a"));
        assert_eq!(home(&root.join("a")), root.join("a"));
        fs::write(root.join("a/x.yaml"), "").unwrap();
        assert_eq!(home(&root.join("a/x.yaml")), root.join("a"));
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        assert_eq!(home(&root.join("link")), root, "a link is swapped where it lies");
    }
}
