//! Which whole runs of a folder stay, and how the others are removed: `audit --keep`.
//!
//! A run is removed file by file, by its own list of checksums, and never by its name alone. Before its first file goes
//! it gets a name that no run has, so that whatever ends the program, nothing half there passes for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::api_asked::ApiAsked;
use super::latest::LATEST;
use super::list::{WholeRun, whole_runs};
use super::names::{BY_OWNER, REMOVED, is_run_id};
use super::sums::{SUMS, check_sums, sha256_of_file, sums_of};
use crate::evidence;
use crate::file_mode::sync_dir;
use crate::ledger::{self, Ledger, TrendPoint};
use crate::lock::{Lock, try_lock};

/// What was removed, and what was not though it was to be.
#[derive(Debug, Default)]
pub struct Removal {
    /// The names of the runs that are gone, the newest first.
    pub removed: Vec<String>,
    /// The runs that are still there.
    pub left: Vec<Left>,
}

/// A run that was to be removed and is still there.
#[derive(Debug)]
pub struct Left {
    /// The name of its directory.
    pub name: String,
    /// Why, in words.
    pub cause: String,
}

/// Removes the older runs of an API from a folder, but for the newest `most`. What stays besides:
/// - the run that `newest` was compared with, and the one whose memory it carries on,
/// - the last run in which everything was read that the folder knows,
/// - the run that `latest` points to,
/// - runs that another command reads or writes,
/// - whatever the run did not write: a link, or a folder in which anything stands that is not in its list of checksums.
///
/// A run whose ledger cannot be read counts for nothing and stays. `newest` was published just now, and the folder is
/// still locked; `trend` has the figures of its ledger.
///
/// # Errors
/// The folder, or the ledger of the newest run, cannot be read; then nothing is removed.
pub fn keep_newest(
    output: &Path,
    api: ApiAsked<'_>,
    newest: &str,
    most: NonZeroUsize,
    trend: &[TrendPoint],
) -> io::Result<Removal> {
    let mut removal = Removal::default();
    finish_removals(output, &mut removal)?;
    let mut stays = kept_for_the_newest(output, newest)?;
    let older = whole_runs(output, api, newest)?;
    stays.extend(last_whole(output, newest, &older, trend));
    let mut kept = 1;
    for run in &older {
        let is_ours = is_removable(run);
        if kept < most.get() {
            kept += usize::from(is_ours.is_ok());
        } else if !stays.contains(&run.run_id) {
            match is_ours.and_then(|()| remove(output, run)) {
                Ok(()) => {
                    tracing::info!("removed {}", run.path.display());
                    removal.removed.push(run.run_id.clone());
                }
                Err(cause) => removal.left.push(left(&run.run_id, cause)),
            }
        }
    }
    Ok(removal)
}

/// Refuses what is no run of ours by its looks alone; in words.
fn is_removable(run: &WholeRun) -> Result<(), String> {
    // What a link points to may be anywhere.
    if !is_folder(&run.path) {
        return Err("it is a link, not a folder".to_owned());
    }
    run.header.as_ref().map(drop).map_err(String::clone)
}

fn left(name: &str, cause: String) -> Left {
    Left {
        name: name.to_owned(),
        cause,
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// The newest run, and those without which it cannot be judged again.
fn kept_for_the_newest(output: &Path, newest: &str) -> io::Result<BTreeSet<String>> {
    let path = output.join(newest).join(ledger::FILE_NAME);
    let header = ledger::read_header(&path).map_err(io::Error::other)?;
    let mut stays = BTreeSet::from([newest.to_owned()]);
    stays.extend(header.compared_with);
    stays.extend(header.carries_on);
    if let Ok(target) = fs::read_link(output.join(LATEST)) {
        stays.insert(target.to_string_lossy().into_owned());
    }
    Ok(stays)
}

/// The last run in which everything was read that the folder knows, and that is still what was written.
fn last_whole(
    output: &Path,
    newest: &str,
    older: &[WholeRun],
    trend: &[TrendPoint],
) -> Option<String> {
    let known: BTreeMap<&str, bool> = trend
        .iter()
        .map(|point| (point.run_id.as_str(), point.whole))
        .collect();
    let is_whole = |run_id: &str| match known.get(run_id) {
        Some(whole) => *whole,
        // Older than the trend reaches, or passed over: its own ledger knows.
        None => {
            let ledger = Ledger::open(&output.join(run_id).join(ledger::FILE_NAME));
            let own = |ledger: &Ledger| ledger.trend().last().map(|point| point.whole);
            ledger.ok().as_ref().and_then(own).unwrap_or(false)
        }
    };
    if is_whole(newest) {
        return Some(newest.to_owned());
    }
    let mut whole = older.iter().filter(|run| {
        is_removable(run).is_ok() && is_whole(&run.run_id) && is_unaltered(&run.path)
    });
    whole.next().map(|run| run.run_id.clone())
}

/// Whether later runs can be compared with a run: its evidence and its ledger are those that it wrote.
fn is_unaltered(run: &Path) -> bool {
    let sum = |name| sha256_of_file(&run.join(name));
    let (Ok(evidence), Ok(ledger)) = (sum(evidence::FILE_NAME), sum(ledger::FILE_NAME)) else {
        return false;
    };
    let files = [
        (evidence::FILE_NAME, evidence.as_str()),
        (ledger::FILE_NAME, ledger.as_str()),
    ];
    check_sums(run, &files).is_ok()
}

/// Removes a report that stands in a folder of its own, as an owner's does; else why it stays, in words.
///
/// # Errors
/// Something in the folder is not known to be the report's, or cannot be removed.
pub fn remove_report(folder: &Path) -> Result<(), String> {
    let mut contents = Contents::default();
    if !contents.add_report(folder, Path::new(""), None)? {
        return Err(format!("it has no {SUMS} to say what was written"));
    }
    contents.delete(folder).map_err(|error| error.to_string())
}

/// Removes a run; else why it stays, in words.
fn remove(output: &Path, run: &WholeRun) -> Result<(), String> {
    let _locks = lock_run(&run.path)?;
    let contents = Contents::of(&run.path)?;
    if !contents.has_sums {
        return Err(format!("it has no {SUMS} to say what the run wrote"));
    }
    let aside = output.join(format!("{}{REMOVED}", run.run_id));
    if aside.symlink_metadata().is_ok() {
        return Err(format!("{} is in the way", aside.display()));
    }
    fs::rename(&run.path, &aside).map_err(|error| {
        tracing::warn!("cannot remove {}: {error}", run.path.display());
        format!("it cannot be renamed: {error}")
    })?;
    // Else a power cut could bring back a run of which half is gone.
    sync_dir(output).map_err(|error| unfinished(&aside, &error))?;
    contents
        .delete(&aside)
        .map_err(|error| unfinished(&aside, &error))
}

fn unfinished(aside: &Path, error: &io::Error) -> String {
    let aside = aside.display();
    tracing::warn!("cannot remove {aside}: {error}");
    format!(
        "it is only removed in part, as {aside}: {error}; the next run with --keep removes the rest"
    )
}

/// Removes what an interrupted removal left.
fn finish_removals(output: &Path, removal: &mut Removal) -> io::Result<()> {
    for entry in fs::read_dir(output)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.strip_suffix(REMOVED).is_some_and(is_run_id);
        if !is_ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let place = entry.path();
        let deleted = Contents::of(&place)
            .and_then(|contents| contents.delete(&place).map_err(|error| error.to_string()));
        if let Err(cause) = deleted {
            removal.left.push(left(name, cause));
        }
    }
    Ok(())
}

/// Locks a run against every command that reads or writes it; else why that cannot be.
fn lock_run(run: &Path) -> Result<Vec<File>, String> {
    let mut locks = Vec::new();
    // A folder that the system cannot lock is marked by nobody either.
    if let Ok(folder) = File::open(run)
        && let Ok(lock) = try_lock(run, &folder)
    {
        if lock == Lock::HeldByAnother {
            return Err("another command is reading it".to_owned());
        }
        locks.push(folder);
    }
    let path = run.join(evidence::FILE_NAME);
    let failed = |error: io::Error| format!("{}: {error}", evidence::FILE_NAME);
    let file = File::options()
        .read(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    if try_lock(&path, &file).map_err(failed)? == Lock::HeldByAnother {
        return Err("another command is writing to it".to_owned());
    }
    // Elsewhere than on Unix a folder cannot be renamed while a file in it is open, and that is protection enough.
    if cfg!(unix) {
        locks.push(file);
    }
    Ok(locks)
}

/// All that is in a run's folder, where the run wrote all of it. Paths are relative to the folder.
#[derive(Debug, Default)]
struct Contents {
    /// In the order in which they can go: a list of checksums comes after the files that it has, for as long as a file is
    /// there, so is what says whose it is.
    files: Vec<PathBuf>,
    /// Those within others come first.
    folders: Vec<PathBuf>,
    has_sums: bool,
}

impl Contents {
    /// Looks at everything in a run's folder.
    ///
    /// # Errors
    /// Something in it is not known to be the run's, or cannot be read; in words.
    fn of(run: &Path) -> Result<Self, String> {
        let mut contents = Self::default();
        let owners = Path::new(BY_OWNER);
        if is_folder(&run.join(owners)) {
            for name in names_in(&run.join(owners))? {
                let report = owners.join(name);
                if !is_folder(&run.join(&report)) {
                    return Err(foreign(&report));
                }
                contents.add_report(run, &report, None)?;
                contents.folders.push(report);
            }
            contents.folders.push(owners.to_owned());
        }
        contents.has_sums = contents.add_report(run, Path::new(""), Some(BY_OWNER))?;
        Ok(contents)
    }

    /// Adds the files of one report, in whose folder one other folder may stand; whether it has a list of checksums.
    fn add_report(
        &mut self,
        run: &Path,
        report: &Path,
        folder: Option<&str>,
    ) -> Result<bool, String> {
        let place = run.join(report);
        let sums = sums_of(&place).map_err(|error| format!("{SUMS}: {error}"))?;
        for name in names_in(&place)? {
            let path = place.join(&name);
            let is_expected_folder = folder == Some(&name) && is_folder(&path);
            if is_expected_folder || name == SUMS && sums.is_some() && is_file(&path) {
                continue;
            }
            let written = sums.as_ref().and_then(|sums| sums.get(&name));
            let is_own = written.is_some_and(|written| {
                is_file(&path) && sha256_of_file(&path).is_ok_and(|found| found == *written)
            });
            if !is_own {
                return Err(foreign(&report.join(name)));
            }
            self.files.push(report.join(name));
        }
        if sums.is_some() {
            self.files.push(report.join(SUMS));
        }
        Ok(sums.is_some())
    }

    /// Removes all of it, and the folder where nothing else has come into it.
    fn delete(&self, run: &Path) -> io::Result<()> {
        for file in &self.files {
            fs::remove_file(run.join(file))?;
        }
        for folder in &self.folders {
            fs::remove_dir(run.join(folder))?;
        }
        fs::remove_dir(run)
    }
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// The names of what is in a folder.
fn names_in(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.into_string();
        names.push(name.map_err(|name| foreign(Path::new(&name)))?);
    }
    names.sort();
    Ok(names)
}

fn foreign(path: &Path) -> String {
    format!(
        "{} was not written by the run, or has been changed since",
        path.display()
    )
}
