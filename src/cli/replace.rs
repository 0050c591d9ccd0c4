//! Files that are written whole, or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes a file: beside its place first, to disk, then in one step in place of what was there, which stays as it is on any
/// error. A link leads on to its file; what is no file (a pipe, a terminal) is written to.
///
/// # Errors
/// What the system says: no right to write in the folder, a full disk, a folder in its place.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let earlier = match fs::metadata(&path) {
        Ok(found) if !found.is_file() => return fs::write(&path, text),
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Narrowed by the umask, as those of any new file are.
    let usual = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(".portcullis-").permissions(usual).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Some(earlier) = earlier {
        file.as_file().set_permissions(earlier)?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_made_or_replaced_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy.yaml");
        replace(&path, "one").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(entries(folder.path()), 1, "nothing is left beside it");
    }

    #[test]
    fn a_reader_of_the_old_file_reads_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy.yaml");
        fs::write(&path, "the old one").unwrap();
        let old = File::open(&path).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(io::read_to_string(old).unwrap(), "the old one");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(folder.path(), "text").is_err());
        assert_eq!(entries(folder.path()), 0);
        replace(Path::new("/dev/null"), "text").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(replace(&folder.path().join("none/envoy.yaml"), "text").is_err());
    }
}
