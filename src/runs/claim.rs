//! A folder that a report is written into again: nobody else writes there meanwhile, nothing is overwritten that no run
//! made, and what the report is made from stands beside it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use super::{SUMS, not_made_by_a_run};
use crate::dns::lookups;
use crate::evidence::{self, Evidence, EvidenceError, parse_header};
use crate::file_mode::{FileMode, open_file};
use crate::lock::{Lock, try_lock};

/// The name of the evidence while it is copied.
const COPY: &str = ".evidence.jsonl.staging";
/// The name of what is looked up in DNS until it is whole.
const ASIDE: &str = ".dns.jsonl.staging";

/// Why a folder cannot be written into.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The run's own folder is gone, as after an unfinished run was completed.
    #[error("{} is no longer there", directory.display())]
    Gone {
        /// The folder.
        directory: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot write to {}: {source}", directory.display())]
    Write {
        /// The folder.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else is in its place.
    #[error("{} is not a folder", directory.display())]
    NotAFolder {
        /// What is there.
        directory: PathBuf,
    },
    /// Somebody else has it.
    #[error("another command is writing to {}", directory.display())]
    Taken {
        /// The folder.
        directory: PathBuf,
    },
    /// The evidence in it is another run's.
    #[error("{} belongs to another run than {run_id} and would be overwritten", evidence.display())]
    OfAnotherRun {
        /// That evidence.
        evidence: PathBuf,
        /// The run that was to be written.
        run_id: String,
    },
    /// It holds files with the names of a report's that no run wrote.
    #[error(
        "{} contains files {which}, and these would be overwritten: {}",
        directory.display(),
        files.join(", ")
    )]
    Foreign {
        /// The folder.
        directory: PathBuf,
        /// What they are, in words.
        which: &'static str,
        /// Their names.
        files: Vec<String>,
    },
    /// What was looked up in DNS cannot be read again where it was brought.
    #[error(transparent)]
    Lookups(#[from] EvidenceError),
}

/// A folder that is being written to, by this process alone.
#[derive(Debug)]
pub struct Claim<'a> {
    directory: &'a Path,
    /// Locked until the report is there.
    evidence: File,
    /// The evidence that takes the place of what was there, locked as well.
    brought: Option<File>,
    /// Whether the evidence was there already.
    had_evidence: bool,
}

impl<'a> Claim<'a> {
    /// Makes the folder where it is not there, and locks the evidence in it. The run's `own` is there, unless the run
    /// was completed just now, and has another name since.
    ///
    /// # Errors
    /// It cannot be written to, another command writes there, or it is another run's.
    pub fn on(
        directory: &'a Path,
        own: bool,
        run_id: &str,
        mode: FileMode,
    ) -> Result<Self, ClaimError> {
        let failed = |source| write_error(directory, source);
        if own && !directory.is_dir() {
            return Err(ClaimError::Gone {
                directory: directory.to_owned(),
            });
        }
        if directory.exists() && !directory.is_dir() {
            return Err(ClaimError::NotAFolder {
                directory: directory.to_owned(),
            });
        }
        if !directory.is_dir() {
            if let Some(parent) = directory.parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
            match mode.create_dir(directory) {
                // Another command was quicker.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
                made => made.map_err(failed)?,
            }
        }
        let place = directory.join(evidence::FILE_NAME);
        let evidence = match mode.create_file(&place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A pipe would be waited for without end.
                open_file(&place).and_then(|_| File::options().read(true).append(true).open(&place))
            }
            made => made,
        }
        .map_err(failed)?;
        let is_held = try_lock(&place, &evidence).map_err(failed)? == Lock::Held;
        if !is_held || is_replaced(&place, &evidence) {
            return Err(ClaimError::Taken {
                directory: directory.to_owned(),
            });
        }
        let mut line = Vec::new();
        BufReader::new(&evidence)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        // Empty where it was made just now, or by a command that was killed.
        let had_evidence = !line.is_empty();
        if had_evidence && !parse_header(&line).is_ok_and(|header| header.run_id == run_id) {
            return Err(ClaimError::OfAnotherRun {
                evidence: place,
                run_id: run_id.to_owned(),
            });
        }
        Ok(Self {
            directory,
            evidence,
            brought: None,
            had_evidence,
        })
    }

    /// Refuses to overwrite what no run made, of these files and those that every run's folder may hold.
    ///
    /// # Errors
    /// There is such a file, or the folder cannot be read.
    pub fn check_files<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<(), ClaimError> {
        let names = names.chain([lookups::FILE_NAME]);
        let mut others = not_made_by_a_run(self.directory, names)
            .map_err(|source| write_error(self.directory, source))?;
        if !self.had_evidence && self.directory.join(SUMS).exists() {
            others.push(SUMS);
        }
        if others.is_empty() {
            return Ok(());
        }
        self.give_up();
        Err(ClaimError::Foreign {
            directory: self.directory.to_owned(),
            which: match self.had_evidence {
                true => "that the run did not write or that have changed since",
                false => "that no run wrote",
            },
            files: others.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Puts the evidence beside a report that goes elsewhere, so that the report can be checked and made again there.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn bring_evidence(&mut self, source: &Path, mode: FileMode) -> Result<(), ClaimError> {
        let place = self.directory.join(evidence::FILE_NAME);
        let aside = self.directory.join(COPY);
        let bring = || {
            // A link to it would leave the report without evidence of its own.
            if !place.is_symlink() && place.canonicalize()? == source.canonicalize()? {
                return Ok(None);
            }
            remove_if_there(&aside)?;
            let copied = copy(source, &aside, mode)?;
            fs::rename(&aside, &place)?;
            Ok(Some(copied))
        };
        self.brought = bring().map_err(|source| {
            let _ = fs::remove_file(&aside);
            self.give_up();
            write_error(self.directory, source)
        })?;
        Ok(())
    }

    /// The place of what is looked up in DNS, until the report takes it.
    ///
    /// # Errors
    /// What an earlier command left there cannot be removed.
    pub fn room_for_lookups(&self) -> Result<PathBuf, ClaimError> {
        let aside = self.directory.join(ASIDE);
        remove_if_there(&aside).map_err(|source| write_error(self.directory, source))?;
        Ok(aside)
    }

    /// Puts what was looked up in DNS beside a report that goes elsewhere.
    ///
    /// # Errors
    /// It cannot be copied, or not be read again there.
    pub fn bring_lookups(&self, evidence: &mut Evidence, mode: FileMode) -> Result<(), ClaimError> {
        let Some(lookups) = evidence.lookups() else {
            return Ok(());
        };
        let place = self.directory.join(lookups::FILE_NAME);
        if place.canonicalize().ok() == lookups.path().canonicalize().ok() {
            return Ok(());
        }
        let aside = self.room_for_lookups()?;
        let brought = copy(lookups.path(), &aside, mode)
            .map_err(|source| write_error(self.directory, source))
            .and_then(|_| Ok(evidence.add_lookups(&aside)?));
        brought.inspect_err(|_| self.give_up_lookups())
    }

    /// Takes back what was looked up in DNS, and what was brought for it.
    pub fn give_up_lookups(&self) {
        let _ = fs::remove_file(self.directory.join(ASIDE));
        if self.brought.is_some() && !self.had_evidence {
            let _ = fs::remove_file(self.directory.join(evidence::FILE_NAME));
        }
        self.give_up();
    }

    /// Takes back the empty file that was made to be locked.
    fn give_up(&self) {
        if !self.had_evidence && self.evidence.metadata().is_ok_and(|data| data.len() == 0) {
            let _ = fs::remove_file(self.directory.join(evidence::FILE_NAME));
        }
    }
}

/// Whether another file is in the place where this one was opened: a command that ended just now brought it, and a lock
/// on this one keeps nobody off.
#[cfg(unix)]
fn is_replaced(place: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(there), Ok(here)) = (fs::metadata(place), file.metadata()) else {
        return true;
    };
    (there.dev(), there.ino()) != (here.dev(), here.ino())
}

#[cfg(not(unix))]
fn is_replaced(_place: &Path, _file: &File) -> bool {
    false
}

/// Copies a file to where none is.
fn copy(source: &Path, to: &Path, mode: FileMode) -> io::Result<File> {
    let mut copy = mode.create_file(to)?;
    // Whoever opens it from now on finds it locked, as the one that it replaces was.
    try_lock(to, &copy)?;
    io::copy(&mut File::open(source)?, &mut copy)?;
    copy.sync_all()?;
    Ok(copy)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_error(directory: &Path, source: io::Error) -> ClaimError {
    ClaimError::Write {
        directory: directory.to_owned(),
        source,
    }
}
