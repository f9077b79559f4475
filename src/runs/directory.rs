//! A run's directory, from its first file to its name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::latest::{LATEST, latest_obstacle, point_latest, warn_of_latest};
use super::names::PARTIAL;
use crate::file_mode::{FileMode, sync_dir};

/// So many runs that begin in one second find a name.
const RUNS_A_SECOND: u32 = 1000;

/// A run's directory, under the name it has until it is whole.
#[derive(Debug)]
pub struct RunDirectory {
    output: PathBuf,
    /// The run's name, and its directory's in the end.
    pub run_id: String,
}

/// Why a run has no directory to write to, or cannot give it its name.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A place cannot be written to.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable {
        /// The place.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Every name for a run of this second is taken.
    #[error("{} already contains {RUNS_A_SECOND} runs named {name}", output.display())]
    NoName {
        /// The name that the first of them has.
        name: String,
        /// The folder.
        output: PathBuf,
    },
}

fn unwritable(path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

impl RunDirectory {
    /// Makes the directory of a new run. That it can be written to is found out here, before any request.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub fn create(
        output: &Path,
        started: DateTime<Utc>,
        mode: FileMode,
    ) -> Result<Self, DirectoryError> {
        make_output(output, mode)?;
        warn_of_latest(output);
        let name = started.format("%Y%m%dT%H%M%SZ").to_string();
        for number in 1..=RUNS_A_SECOND {
            let run_id = if number == 1 {
                name.clone()
            } else {
                format!("{name}-{number}")
            };
            let directory = Self {
                output: output.to_owned(),
                run_id,
            };
            let partial = directory.partial();
            match mode.create_dir(&partial) {
                Ok(()) if !directory.whole().exists() => {
                    if let Err(error) = directory.try_writing(mode) {
                        directory.discard();
                        return Err(unwritable(&partial, error));
                    }
                    return Ok(directory);
                }
                // Another run of the same second took the name, and is done already.
                Ok(()) => {
                    std::fs::remove_dir(&partial).map_err(|error| unwritable(&partial, error))?
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&partial, error)),
            }
        }
        Err(DirectoryError::NoName {
            name,
            output: output.to_owned(),
        })
    }

    /// Directory of a run that was interrupted.
    pub(super) fn unfinished(output: &Path, run_id: &str) -> Self {
        Self {
            output: output.to_owned(),
            run_id: run_id.to_owned(),
        }
    }

    /// Warns where `latest` will not be pointed to the run.
    pub fn warn_of_latest(&self) {
        warn_of_latest(&self.output);
    }

    /// The directory until the run is whole.
    pub fn partial(&self) -> PathBuf {
        self.output.join(format!("{}{PARTIAL}", self.run_id))
    }

    /// The directory of the whole run.
    pub fn whole(&self) -> PathBuf {
        self.output.join(&self.run_id)
    }

    /// Takes back a directory in which nothing stands yet.
    pub fn discard(&self) {
        if let Err(error) = std::fs::remove_dir_all(self.partial()) {
            tracing::warn!(path = %self.partial().display(), "cannot remove the unfinished run: {error}");
        }
    }

    /// Gives the directory its name, and points `latest` to it: it continues every other run, whatever their names say.
    ///
    /// # Errors
    /// It cannot be given its name.
    pub fn publish(&self) -> Result<PathBuf, DirectoryError> {
        let whole = self.whole();
        std::fs::rename(self.partial(), &whole).map_err(|error| unwritable(&whole, error))?;
        // The run is whole and in its place. Nobody loses it, or its exit code, for a link: but whoever opens `latest`
        // would take an older run for this one, so it is said even where only errors are.
        if let Err(error) = point_latest(&self.output, &self.run_id) {
            tracing::error!(
                "{} was not updated: {error}; this run is in {}",
                self.output.join(LATEST).display(),
                whole.display()
            );
        }
        if let Err(error) = sync_dir(&self.output) {
            tracing::warn!("{} may not be on the disk yet: {error}", whole.display());
        }
        Ok(whole)
    }

    /// Writes a little and takes it back: a full disk may still let folders be made.
    fn try_writing(&self, mode: FileMode) -> io::Result<()> {
        let path = self.partial().join(".try");
        let mut file = mode.create_file(&path)?;
        io::Write::write_all(&mut file, &[b' '; 64 * 1024])?;
        file.sync_all()?;
        std::fs::remove_file(&path)
    }
}

fn make_output(output: &Path, mode: FileMode) -> Result<(), DirectoryError> {
    if output.is_dir() {
        return Ok(());
    }
    if let Some(parent) = output
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        std::fs::create_dir_all(parent).map_err(|error| unwritable(parent, error))?;
    }
    match mode.create_dir(output) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !output.is_dir() => {
            Err(unwritable(output, error))
        }
        _ => Ok(()),
    }
}

/// Finds out what a run would find out that is to be kept in a folder, and leaves nothing behind. What it says is why
/// `latest` would not point to the run.
///
/// # Errors
/// A run could not be kept there.
pub fn try_out(output: &Path) -> Result<Option<String>, DirectoryError> {
    let is_there = |path: &&Path| path.as_os_str().is_empty() || path.symlink_metadata().is_ok();
    let nearest = output.ancestors().find(is_there).unwrap_or(output);
    let missing = output.strip_prefix(nearest).unwrap_or(Path::new(""));
    // What is missing is made within a folder of its own, so that no other run meets a folder that is taken away again.
    let try_in = |parent: &Path| {
        let trial = tempfile::Builder::new()
            .prefix(".cf-sso-audit-")
            .tempdir_in(parent)?;
        let run = RunDirectory {
            output: trial.path().join(missing),
            run_id: "20000101T000000Z".to_owned(),
        };
        std::fs::create_dir_all(run.partial())?;
        run.try_writing(FileMode::default())?;
        Ok(point_latest(&run.output, &run.run_id).err())
    };
    let no_link = if nearest.as_os_str().is_empty() {
        try_in(Path::new("."))
    } else {
        try_in(nearest)
    };
    let no_link = no_link.map_err(|error| unwritable(output, error))?;
    let why = latest_obstacle(output).map(str::to_owned);
    Ok(why.or(no_link.map(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_second_get_a_directory_each_and_latest_is_the_last_to_be_whole() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("a/reports");
        let started = "2026-11-21T10:15:00Z".parse().unwrap();
        let first = RunDirectory::create(&output, started, FileMode::default()).unwrap();
        let second = RunDirectory::create(&output, started, FileMode::default()).unwrap();
        assert_eq!(
            (first.run_id.as_str(), second.run_id.as_str()),
            ("20261121T101500Z", "20261121T101500Z-2")
        );
        second.publish().unwrap();
        first.publish().unwrap();
        assert_eq!(
            std::fs::read_link(output.join(LATEST)).unwrap(),
            Path::new("20261121T101500Z"),
            "the one that was whole last goes on from the other"
        );
        let third = RunDirectory::create(&output, started, FileMode::default()).unwrap();
        assert_eq!(third.run_id, "20261121T101500Z-3");
        let found = RunDirectory::unfinished(&output, &third.run_id);
        assert_eq!(found.partial(), third.partial());
        third.discard();
        assert!(!third.partial().exists());
    }
}
