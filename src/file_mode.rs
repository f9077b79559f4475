//! Who may read what the program writes.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Who may read what is written, as on Unix: `0o600` for files and `0o700` for folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Default for FileMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FileMode {
    /// Creates a folder that those who may read the files may enter.
    ///
    /// # Errors
    /// The folder cannot be made, or is there already.
    pub fn create_dir(self, path: &Path) -> io::Result<()> {
        #[cfg_attr(not(unix), allow(unused_mut, reason = "only Unix has modes"))]
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
            let mode = self.0 | (self.0 & 0o444) >> 2;
            builder.mode(mode).create(path)?;
            // The umask takes bits away: what was asked for is given all the same.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        #[cfg(not(unix))]
        builder.create(path)
    }

    /// Creates a file of a name that nobody has in a folder; it is removed unless it is moved into its place.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create_aside(self, folder: &Path) -> io::Result<NamedTempFile> {
        let file = tempfile::Builder::new()
            .prefix(".cf-sso-audit-")
            .tempfile_in(folder)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(self.0);
            file.as_file().set_permissions(mode)?;
        }
        Ok(file)
    }

    /// Creates a file that is not there yet.
    ///
    /// # Errors
    /// The file cannot be made, or is there already.
    pub fn create_file(self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).append(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            let file = options.mode(self.0).open(path)?;
            // The umask takes bits away: what was asked for is given all the same.
            file.set_permissions(fs::Permissions::from_mode(self.0))?;
            Ok(file)
        }
        #[cfg(not(unix))]
        options.open(path)
    }
}

/// Opens a file to read it, and nothing that only looks like one: a pipe would be waited for without end.
///
/// # Errors
/// The file cannot be opened, or is none.
pub fn open_file(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is not a regular file",
        ));
    }
    File::open(path)
}

/// Opens a file to append to it, where it is the file itself: not a link to another one, nor another name of one.
///
/// # Errors
/// The file cannot be opened, or is another's.
pub fn open_own_file(path: &Path) -> io::Result<File> {
    let refused = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let listed = fs::symlink_metadata(path)?;
    if !listed.is_file() {
        return refused("is not a regular file");
    }
    let file = File::options().read(true).append(true).open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let opened = file.metadata()?;
        if (opened.dev(), opened.ino()) != (listed.dev(), listed.ino()) || opened.nlink() != 1 {
            return refused("has hard links elsewhere, which would change too");
        }
    }
    Ok(file)
}

/// Has the operating system put a folder's entries on the disk.
///
/// # Errors
/// The disk refuses.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_told_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        fs::write(place("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", place("link")).unwrap();
        assert!(open_own_file(&place("file")).is_ok());
        assert!(open_own_file(&place("link")).is_err() && open_file(&place("link")).is_ok());
        assert!(open_file(dir.path()).is_err());
        fs::hard_link(place("file"), place("other")).unwrap();
        assert!(open_own_file(&place("file")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_unless_told_otherwise() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (mode, folder) in [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755)] {
            let path = dir.path().join(format!("{mode:o}"));
            FileMode(mode).create_dir(&path).unwrap();
            FileMode(mode).create_file(&path.join("f")).unwrap();
            let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((bits(&path.join("f")), bits(&path)), (mode, folder));
        }
    }
}
