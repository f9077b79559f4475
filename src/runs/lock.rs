//! The lock on the folder of all runs.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::file_mode::FileMode;
use crate::lock::wait_for_lock;

/// The file that is locked while a run is judged and published, where the folder itself cannot be.
const LOCK: &str = ".lock";

/// Held while a run is judged and published: each run continues the one before it, so they do so one at a time.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Waits until no other run of the folder is being judged or published.
///
/// # Errors
/// The folder cannot be written to.
pub fn lock_folder(output: &Path, mode: FileMode) -> io::Result<FolderLock> {
    // A folder can be locked on most systems; not by NFS, and not on Windows.
    if let Ok(folder) = File::open(output)
        && wait_for_lock(output, &folder).is_ok()
    {
        return Ok(FolderLock { _file: folder });
    }
    let path = output.join(LOCK);
    let file = match mode.create_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::options().read(true).append(true).open(&path)?
        }
        made => made?,
    };
    wait_for_lock(&path, &file)?;
    Ok(FolderLock { _file: file })
}
