//! Watches files, and tells when what they are may have changed.
//!
//! Events say that a look is worth it, never what changed: what counts is what the files are once they are quiet.
//! A look every two seconds finds what no event told of: network file systems, exhausted inotify watches, folders
//! that were replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Files that were quiet for so long are taken as written.
const QUIET: Duration = Duration::from_millis(100);

/// Files that never are quiet are looked at all the same.
const RESTLESS: Duration = Duration::from_secs(1);

/// How often a look is taken without an event.
const BACKSTOP: Duration = Duration::from_secs(2);

/// Changes of the files that a look finds.
pub struct Changes {
    look: Look,
    woken: mpsc::Receiver<()>,
    watches: Watches,
    /// What the files were when they were last taken.
    last: Option<Files>,
    found: Option<Files>,
    /// The first look needs no waiting.
    looked: bool,
}

/// Finds the files, and tells what they are without reading them. May block.
type Look = Arc<dyn Fn() -> Stamp + Send + Sync>;

impl Changes {
    pub fn new(look: impl Fn() -> Stamp + Send + Sync + 'static) -> Self {
        let (wake, woken) = mpsc::channel(1);
        let watches = Watches::new(wake);
        Self { look: Arc::new(look), woken, watches, last: None, found: None, looked: false }
    }

    /// Changes of just these files.
    pub fn of_files(files: Vec<PathBuf>) -> Self {
        Self::new(move || Stamp::of(&files, Ok(files.iter().cloned().collect())))
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
            let look = self.look.clone();
            let Ok(stamp) = tokio::task::spawn_blocking(move || look()).await else {
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

/// Waits until no event came for a while.
async fn quiet(woken: &mut mpsc::Receiver<()>) {
    let settled = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, woken.recv()).await {} };
    // Either way it is time to look.
    let _ = tokio::time::timeout(RESTLESS, settled).await;
}

/// What can be told of files without reading them, and the folders in which a change would show.
#[derive(Debug)]
pub struct Stamp {
    pub(crate) files: Files,
    /// With their inodes: a folder that was replaced has to be watched anew.
    folders: BTreeMap<PathBuf, u64>,
}

impl Stamp {
    /// Of `files`, which were found at the paths that are `named`, or could not be.
    pub fn of(named: &[PathBuf], files: Result<BTreeSet<PathBuf>, String>) -> Self {
        let mut folders = BTreeMap::new();
        for path in named {
            add_folder(&mut folders, home(path));
        }
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
    tracing::warn!(%error, "files are not watched by events; they are looked at every two seconds");
}

#[cfg(test)]
mod tests {
    use super::*;

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
