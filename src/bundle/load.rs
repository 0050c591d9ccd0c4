//! Finds and reads policy files: named ones, those below named directories, and, for tools, those of bundles.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Bundle, Limits, Refused, Trust};
use crate::policy::SourceFile;

/// A larger policy file is a mistake.
pub(super) const MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("can't read `{}`: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("`{}` is larger than {most} bytes", path.display())]
    TooLarge { path: PathBuf, most: u64 },
    #[error("`{}` is not UTF-8", path.display())]
    NotText { path: PathBuf },
    #[error("there is no policy file (`*.yaml`, `*.yml`) in {0}")]
    Nothing(String),
    #[error("`{}` is refused: {}", path.display(), said(refused))]
    Refused { path: PathBuf, refused: Box<Refused> },
}

/// All findings of a refusal, on one line.
fn said(refused: &Refused) -> String {
    let findings: Vec<_> = refused.findings.iter().map(|finding| finding.message.as_str()).collect();
    findings.join("; ")
}

/// The policy files at `paths`, sorted by name; `*.cases.yaml` are left out of directories.
pub fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, LoadError> {
    some(policies(paths)?, paths)
}

/// The policies and cases at `paths`, each of which is a file, a directory or a bundle. For tools: signatures are not
/// asked for, so a server must not load what comes back.
pub fn gather(paths: &[PathBuf]) -> Result<Bundle, LoadError> {
    let (mut archives, mut plain) = (Vec::new(), Vec::new());
    for path in paths {
        match archive_at(path)? {
            Some(bytes) => archives.push((path, bytes)),
            None => plain.push(path.clone()),
        }
    }
    let mut all = Bundle::of_files(policies(&plain)?, cases(&plain)?);
    for (path, bytes) in archives {
        let refused = |refused| LoadError::Refused { path: path.clone(), refused: Box::new(refused) };
        let opened = Bundle::open(&bytes, &Trust::none(), &Limits::default()).map_err(refused)?;
        let within = |source: SourceFile| {
            let file = path.join(&*source.file).display().to_string().into();
            SourceFile { file, ..source }
        };
        all.policies.extend(opened.policies.into_iter().map(within));
        all.cases.extend(opened.cases.into_iter().map(within));
    }
    all.policies = some(all.policies, paths)?;
    Ok(all)
}

/// The bytes of a file that begins as gzip does, up to one more than a bundle may have.
fn archive_at(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    const GZIP: [u8; 2] = [0x1F, 0x8B];
    let failed = |error| LoadError::Io { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(None);
    }
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref().take(2).read_to_end(&mut bytes).map_err(failed)?;
    if bytes != GZIP {
        return Ok(None);
    }
    file.take(Limits::default().packed).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn policies(paths: &[PathBuf]) -> Result<Vec<SourceFile>, LoadError> {
    // A file that was named itself may have any name.
    let named = |path: &Path| paths.iter().any(|named| named == path);
    let files = find(paths, &|path| (is_yaml(path) || named(path)) && !is_cases(path))?;
    files.iter().map(|path| read_file(path)).collect()
}

fn some(files: Vec<SourceFile>, paths: &[PathBuf]) -> Result<Vec<SourceFile>, LoadError> {
    if files.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(LoadError::Nothing(names.join(", ")));
    }
    Ok(files)
}

/// The `*.cases.yaml` files at `paths` and beside the policies named there, sorted by name.
pub fn cases(paths: &[PathBuf]) -> Result<Vec<SourceFile>, LoadError> {
    let beside = |path: &PathBuf| {
        let cases = path.with_extension("cases.yaml");
        (path.is_file() && !is_cases(path) && cases.is_file()).then_some(cases)
    };
    let paths: Vec<_> = paths.iter().cloned().chain(paths.iter().filter_map(beside)).collect();
    find(&paths, &is_cases)?.iter().map(|path| read_file(path)).collect()
}

/// The files at `paths`, and in folders those that are `wanted`.
pub(super) fn find(
    paths: &[PathBuf],
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<BTreeSet<PathBuf>, LoadError> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| LoadError::Io { path: path.clone(), error })?;
        if metadata.is_dir() {
            walk(path, wanted, &mut seen, &mut found)?;
        } else if wanted(path) {
            found.insert(path.clone());
        }
    }
    Ok(found)
}

/// Symlinks are followed, since Kubernetes mounts ConfigMaps through them, but no directory is entered twice.
/// Names that begin with a dot are passed over: there they hold the same files again.
fn walk(
    directory: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut BTreeSet<PathBuf>,
) -> Result<(), LoadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| LoadError::Io { path, error }
    };
    if !seen.insert(directory.canonicalize().map_err(failed(directory))?) {
        return Ok(());
    }
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(failed(&path))?;
        if metadata.is_dir() {
            walk(&path, wanted, seen, found)?;
        } else if wanted(&path) {
            found.insert(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<SourceFile, LoadError> {
    let bytes = read_bytes(path, MAX_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| LoadError::NotText { path: path.to_owned() })?;
    Ok(SourceFile { file: path.display().to_string().into(), text: text.into() })
}

/// A file of at most `most` bytes.
pub(super) fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |error| LoadError::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > most) {
        return Err(LoadError::TooLarge { path: path.to_owned(), most });
    }
    Ok(bytes)
}

pub(super) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn is_cases(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".cases.yaml") || name.ends_with(".cases.yml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_read_recursively_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("a/.hidden")).unwrap();
        for name in ["b.yaml", "a/c.yml", "a/c.cases.yaml", "a/.hidden/d.yaml", "note.txt"] {
            fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        let names =
            |files: Vec<SourceFile>| files.iter().map(|file| file.text.to_string()).collect::<Vec<_>>();
        assert_eq!(names(read(&[root.to_owned()]).unwrap()), ["a/c.yml", "b.yaml"]);
        assert_eq!(names(cases(&[root.to_owned()]).unwrap()), ["a/c.cases.yaml"]);
        assert_eq!(names(cases(&[root.join("a/c.yml")]).unwrap()), ["a/c.cases.yaml"]);
        assert!(cases(&[root.join("b.yaml")]).unwrap().is_empty());
    }

    #[test]
    fn folders_files_and_bundles_are_gathered_alike() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("p")).unwrap();
        for (name, text) in [("p/a.yaml", "a"), ("p/a.cases.yaml", "b"), ("p/c.yaml", "c")] {
            fs::write(root.join(name), text).unwrap();
        }
        let texts = |bundle: &Bundle| {
            let texts =
                |files: &[SourceFile]| files.iter().map(|file| file.text.to_string()).collect::<Vec<_>>();
            (texts(&bundle.policies), texts(&bundle.cases))
        };
        let folder = gather(&[root.join("p")]).unwrap();
        let bundle = root.join("no-ending-needed");
        fs::write(&bundle, folder.pack(&crate::bundle::tests::label()).unwrap()).unwrap();
        let opened = gather(std::slice::from_ref(&bundle)).unwrap();
        assert_eq!(texts(&opened), (vec!["a".into(), "c".into()], vec!["b".into()]));
        assert_eq!(texts(&opened), texts(&folder));
        assert_eq!(&*opened.policies[0].file, bundle.join("policies/a.yaml").to_str().unwrap());
        let both = gather(&[root.join("p/c.yaml"), bundle.clone()]).unwrap();
        assert_eq!(texts(&both), (vec!["c".into(), "a".into(), "c".into()], vec!["b".into()]));
        assert!(
            read(std::slice::from_ref(&bundle)).is_err(),
            "a server does not load bundles as plain files"
        );
        let mut bytes = fs::read(&bundle).unwrap();
        bytes.push(0);
        fs::write(&bundle, bytes).unwrap();
        let error = gather(&[bundle]).unwrap_err().to_string();
        assert!(error.contains("no-ending-needed` is refused: something follows the end"), "{error}");
        assert!(matches!(gather(&[root.join("p/a.cases.yaml")]), Err(LoadError::Nothing(_))));
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.yaml");
        let error = || read(std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error().contains("x.yaml"));
        fs::write(&path, [0xFF]).unwrap();
        assert!(error().ends_with("is not UTF-8"));
        fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(error().contains("is larger than"));
        assert!(matches!(read(&[directory.path().join("none")]), Err(LoadError::Io { .. })));
    }
}
