//! Where an audit keeps its runs.

use std::path::Path;

use super::error::AuditError;
use crate::file_mode::FileMode;
use crate::runs::{self, FolderLock};

/// Where the runs are kept.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder.
    pub output: &'a Path,
    /// Who may read the files.
    pub mode: FileMode,
}

impl Place<'_> {
    /// Waits until no other run of the folder is being judged or published: on a thread of its own, so that a signal
    /// still ends the program at once.
    pub(super) async fn lock(self) -> Result<FolderLock, AuditError> {
        let (output, mode) = (self.output.to_owned(), self.mode);
        let locking = tokio::task::spawn_blocking(move || {
            runs::lock_folder(&output, mode)
                .map_err(|source| AuditError::Unlockable { output, source })
        });
        locking.await?
    }
}
