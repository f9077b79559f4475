//! Locks on files, so that two processes do not write to the same place.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Whether a lock was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It is held until the file is closed.
    Held,
    /// Another process holds it.
    HeldByAnother,
}

/// Locks a file for this process alone, without waiting. A file system that has no locks is warned of, and gives one.
///
/// # Errors
/// The operating system refuses for another reason.
pub fn try_lock(path: &Path, file: &File) -> io::Result<Lock> {
    match file.try_lock() {
        Ok(()) => Ok(Lock::Held),
        Err(TryLockError::WouldBlock) => Ok(Lock::HeldByAnother),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(path = %path.display(), "this file system does not support locks: make sure that no two commands write here at the same time");
            Ok(Lock::Held)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Says for as long as the file is held that a folder is being read, so that no other command removes it. Where the system
/// cannot lock folders, nothing says so.
pub fn mark_read(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.try_lock_shared().ok().map(|()| folder)
}

/// Locks a file for this process alone, and waits for it where another process holds it.
///
/// # Errors
/// The operating system refuses.
pub fn wait_for_lock(path: &Path, file: &File) -> io::Result<()> {
    if try_lock(path, file)? == Lock::HeldByAnother {
        tracing::info!(path = %path.display(), "waiting for another run that is writing its report");
        file.lock()?;
    }
    Ok(())
}
