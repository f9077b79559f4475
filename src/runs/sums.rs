//! Whether what is in a run's directory is what was written: its list of checksums.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::names::{STAGING, is_unfinished};
use crate::file_mode::open_file;
use crate::sha256::Sha256;
use crate::text::hex;

/// The name of the file with the others' checksums.
pub const SUMS: &str = "SHA256SUMS";

/// Why a directory's files are not known to be those that were written.
#[derive(Debug, thiserror::Error)]
pub enum SumsError {
    /// The list cannot be read.
    #[error("{}: {source}", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not the one that the run wrote.
    #[error("{} has changed since the run: its SHA-256 does not match {SUMS}", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
}

/// The checksums that a directory's list has, by the files' names; `None` where it has no list.
///
/// # Errors
/// The list cannot be read.
pub(super) fn sums_of(directory: &Path) -> io::Result<Option<BTreeMap<String, String>>> {
    let text = match open_file(&directory.join(SUMS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => io::read_to_string(file?)?,
    };
    let entry = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_owned(), sum.to_owned()))
    };
    Ok(Some(text.lines().filter_map(entry).collect()))
}

/// Whether a directory's list of checksums has a file.
///
/// # Errors
/// The list cannot be read.
pub fn is_listed(directory: &Path, name: &str) -> io::Result<bool> {
    let sums = sums_of(directory)?;
    Ok(sums.is_some_and(|sums| sums.contains_key(name)))
}

/// Checks files of a directory against its list of checksums.
///
/// # Errors
/// The list is missing, cannot be read, or has another checksum for a file.
pub fn check_sums(directory: &Path, files: &[(&str, &str)]) -> Result<(), SumsError> {
    let path = directory.join(SUMS);
    let sums = sums_of(directory).map_err(|source| SumsError::List {
        path: path.clone(),
        source,
    })?;
    let sums = sums.ok_or_else(|| SumsError::List {
        path,
        source: io::ErrorKind::NotFound.into(),
    })?;
    for (name, found) in files {
        if sums.get(*name).is_none_or(|expected| expected != found) {
            let path = directory.join(name);
            return Err(SumsError::Altered { path });
        }
    }
    Ok(())
}

/// Those of some files of a directory that are there, and that no run made, or not as they are: its list of checksums
/// does not have them, nor has that of a report which was killed while its files were moved into place.
///
/// # Errors
/// A file cannot be read.
pub fn not_made_by_a_run<'n>(
    directory: &Path,
    names: impl Iterator<Item = &'n str>,
) -> io::Result<Vec<&'n str>> {
    if is_unfinished(directory) {
        return Ok(Vec::new());
    }
    let sums = sums_of(directory)?.unwrap_or_default();
    let staged = sums_of(&directory.join(STAGING)).ok().flatten();
    let staged = staged.unwrap_or_default();
    let mut others = Vec::new();
    for name in names {
        match sha256_of_file(&directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(sum)
                if [&sums, &staged]
                    .iter()
                    .any(|sums| sums.get(name) == Some(&sum)) => {}
            Ok(_) => others.push(name),
            // A folder or a pipe, say: nothing that a run made.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => others.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(others)
}

pub(super) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::default();
    let mut file = BufReader::with_capacity(256 * 1024, open_file(path)?);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hex(&digest.finish()));
        }
        digest.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
}
