//! The folder of all runs: how their directories are named, which of them go before others, and whether what stands
//! in them is what was written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::evidence::{self, RunHeader};
use crate::file_mode::{FileMode, open_file};
use crate::ledger::{self, LedgerHeader};
use crate::lock::wait_for_lock;
use crate::text::hex;

/// The ending of a run's directory that is not whole yet.
pub const PARTIAL: &str = ".partial";
/// The name of the file with the others' checksums.
pub const SUMS: &str = "SHA256SUMS";
/// The file that is locked while a run is judged and published, where the folder itself cannot be.
const LOCK: &str = ".lock";

/// Held while a run is judged and published: each run goes on from the one before it, so they do so one at a time.
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

/// A whole run of a folder, as far as the first line of its ledger tells.
#[derive(Debug)]
pub struct WholeRun {
    /// Its directory.
    pub path: PathBuf,
    /// Its name.
    pub run_id: String,
    /// The first line of its ledger; else what is wrong with it.
    pub header: Result<LedgerHeader, String>,
}

/// Which API a run asks: only runs of the same one can be compared.
#[derive(Debug, Clone, Copy)]
pub struct ApiAsked<'a> {
    /// Its address.
    pub base_url: &'a str,
    /// Whether it is the embedded simulated one, which listens on another port each time.
    pub demo: bool,
}

impl<'a> ApiAsked<'a> {
    /// That of a run.
    pub fn by(header: &'a RunHeader) -> Self {
        Self {
            base_url: &header.base_url,
            demo: header.demo,
        }
    }

    /// Whether it is the one that a run asked.
    pub fn is_that_of(self, header: &RunHeader) -> bool {
        self.is(&header.base_url, header.demo)
    }

    fn is(self, base_url: &str, demo: bool) -> bool {
        demo == self.demo && (demo || base_url == self.base_url)
    }
}

/// The whole runs of a folder that asked an API, the newest first: the one that all others led to. A run whose ledger
/// cannot be read stands where its name puts it. `except` is left out.
///
/// # Errors
/// The folder cannot be read.
pub fn whole_runs(output: &Path, api: ApiAsked<'_>, except: &str) -> io::Result<Vec<WholeRun>> {
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for run_id in runs_under(output)? {
        if run_id.ends_with(PARTIAL) || run_id == except {
            continue;
        }
        let path = output.join(&run_id);
        match ledger::read_header(&path.join(ledger::FILE_NAME)) {
            Ok(header) if !api.is(&header.base_url, header.demo) => {}
            Ok(header) => readable.push((header.sequence, run_id, path, header)),
            Err(error) if may_have_asked(&path, api) => {
                unreadable.push((run_id, path, error.to_string()));
            }
            Err(_) => {}
        }
    }
    readable.sort_by(|a, b| (b.0, run_order(&b.1)).cmp(&(a.0, run_order(&a.1))));
    let mut runs: Vec<_> = readable
        .into_iter()
        .map(|(_, run_id, path, header)| WholeRun {
            path,
            run_id,
            header: Ok(header),
        })
        .collect();
    // Oldest first, so that each goes before the ones that are older than itself.
    for (run_id, path, cause) in unreadable {
        let place = runs
            .iter()
            .position(|run| run_order(&run.run_id) < run_order(&run_id))
            .unwrap_or(runs.len());
        let run = WholeRun {
            path,
            run_id,
            header: Err(cause),
        };
        runs.insert(place, run);
    }
    Ok(runs)
}

/// The whole runs of an API that go on from the one with a sequence, with their own, the newest first; all for 0.
///
/// # Errors
/// The folder cannot be read.
pub fn runs_since(
    output: &Path,
    api: ApiAsked<'_>,
    sequence: u64,
) -> io::Result<Vec<(String, u64)>> {
    let runs = whole_runs(output, api, "")?.into_iter();
    let readable = runs.filter_map(|run| Some((run.run_id, run.header.ok()?.sequence)));
    Ok(readable.filter(|(_, of_run)| *of_run > sequence).collect())
}

/// Whether a run without a readable ledger asked an API, as far as its evidence tells.
fn may_have_asked(run: &Path, api: ApiAsked<'_>) -> bool {
    let line = first_line(&run.join(evidence::FILE_NAME)).unwrap_or_default();
    evidence::parse_header(&line).map_or(true, |header| api.is(&header.base_url, header.demo))
}

/// The checksums that a directory's list has, by the files' names; `None` where it has no list.
///
/// # Errors
/// The list cannot be read.
pub fn sums_of(directory: &Path) -> io::Result<Option<BTreeMap<String, String>>> {
    let text = match std::fs::read_to_string(directory.join(SUMS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let entry = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_owned(), sum.to_owned()))
    };
    Ok(Some(text.lines().filter_map(entry).collect()))
}

/// Whether a directory is that of a run that is not whole: everything in it is this program's own.
pub fn is_unfinished(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default();
    name.to_string_lossy().ends_with(PARTIAL)
}

/// Those of some files of a directory that are there, and that no run made, or not as they are: its list of checksums
/// does not have them.
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
    let mut others = Vec::new();
    for name in names {
        match sha256_of_file(&directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(sum) if sums.get(name) == Some(&sum) => {}
            Ok(_) => others.push(name),
            // A folder, say: nothing that a run made.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => others.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(others)
}

fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path)?);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
}

/// The newest run under a directory that was not finished, and can be: one that ended before its evidence began
/// (while it still listed accounts, say) holds nothing to resume.
///
/// # Errors
/// The directory cannot be read.
pub fn newest_partial(output: &Path) -> io::Result<Option<PathBuf>> {
    let runs = runs_under(output)?;
    let mut unfinished = runs
        .into_iter()
        .filter(|name| name.ends_with(PARTIAL))
        .map(|name| output.join(name));
    Ok(unfinished.rfind(|run| says_what_was_asked(&run.join(evidence::FILE_NAME))))
}

/// Whether an evidence file has its first line whole; where that cannot be told, whoever opens the file will say why.
fn says_what_was_asked(evidence: &Path) -> bool {
    match first_line(evidence) {
        Ok(line) => line.starts_with(evidence::BEGINNING.as_bytes()) && line.ends_with(b"\n"),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The first line of an evidence file; of anything else no more than shows that it is something else.
fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(open_file(path)?);
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(evidence::BEGINNING.len() as u64)
        .read_until(b'\n', &mut line)?;
    if line == evidence::BEGINNING.as_bytes() {
        reader.read_until(b'\n', &mut line)?;
    }
    Ok(line)
}

/// The names of all runs' directories, oldest first.
fn runs_under(output: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is still to be written to is here, and no link to somewhere else.
        let is_run = match name.strip_suffix(PARTIAL) {
            Some(name) => is_run_id(name) && entry.file_type()?.is_dir(),
            None => is_run_id(&name) && entry.path().is_dir(),
        };
        if is_run {
            names.push(name);
        }
    }
    names.sort_by(|a, b| run_order(a).cmp(&run_order(b)));
    Ok(names)
}

/// What orders runs by their names: the start, then the number among those of the same second.
pub fn run_order(name: &str) -> (&str, u32) {
    let name = name.strip_suffix(PARTIAL).unwrap_or(name);
    let (start, number) = name.split_once('-').unwrap_or((name, "1"));
    (start, number.parse().unwrap_or(1))
}

/// Whether a name is one that runs get: `20261121T101500Z`, with a number where several began in one second.
pub fn is_run_id(name: &str) -> bool {
    let (start, number) = name.split_at_checked(16).unwrap_or((name, ""));
    let number_is_one = number
        .strip_prefix('-')
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    chrono::NaiveDateTime::parse_from_str(start, "%Y%m%dT%H%M%SZ").is_ok()
        && (number.is_empty() || number_is_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::AskedAccount;

    #[test]
    fn names_of_runs_are_told_from_others() {
        for name in ["20261121T101500Z", "20261121T101500Z-2"] {
            assert!(is_run_id(name), "{name}");
        }
        for name in [
            "latest",
            "20261121T101500Z-",
            "20261121T101500Z-x",
            "20261321T101500Z",
            "20261121T101500",
            "",
        ] {
            assert!(!is_run_id(name), "{name}");
        }
    }

    #[test]
    fn runs_of_one_second_are_in_the_order_of_their_numbers() {
        let names = [
            "20261121T101500Z",
            "20261121T101500Z-2",
            "20261121T101500Z-10.partial",
            "20261121T101501Z",
        ];
        assert!(names.is_sorted_by_key(|name| run_order(name)));
    }

    /// A folder with a run whose ledger has this first line.
    fn run(output: &Path, name: &str, ledger: &str) {
        std::fs::create_dir(output.join(name)).unwrap();
        std::fs::write(output.join(name).join(ledger::FILE_NAME), ledger).unwrap();
    }

    fn header(sequence: u64, base_url: &str) -> String {
        let header = LedgerHeader {
            schema: ledger::SCHEMA.to_owned(),
            run_id: String::new(),
            base_url: base_url.to_owned(),
            demo: false,
            sequence,
            judged_at: crate::rules::testing::NOW.parse().unwrap(),
            policy: None,
            compared_with: None,
            carries_on: None,
            passed_over: Vec::new(),
        };
        serde_json::to_string(&header).unwrap() + "\n"
    }

    #[test]
    fn the_newest_run_is_the_one_that_the_others_led_to_whatever_the_clock_said() {
        let dir = tempfile::tempdir().unwrap();
        let of = evidence::testing::header(vec![AskedAccount::new("x", "")]);
        let api = &of.base_url;
        run(dir.path(), "20261118T000000Z", &header(1, api));
        run(dir.path(), "20991119T000000Z", &header(2, api));
        run(dir.path(), "20261120T000000Z", &header(3, api));
        run(dir.path(), "20261119T000000Z", "nonsense\n");
        run(
            dir.path(),
            "20261117T000000Z",
            &header(9, "https://other.example"),
        );
        run(dir.path(), "20261121T000000Z.partial", &header(9, api));
        run(dir.path(), "zzz", &header(9, api));
        let names = |except: &str| -> Vec<String> {
            let runs = whole_runs(dir.path(), ApiAsked::by(&of), except).unwrap();
            runs.into_iter().map(|run| run.run_id).collect()
        };
        assert_eq!(
            names(""),
            [
                "20261120T000000Z",
                "20991119T000000Z",
                "20261119T000000Z",
                "20261118T000000Z"
            ]
        );
        assert_eq!(names("20261120T000000Z")[0], "20991119T000000Z");
        let none = whole_runs(&dir.path().join("none"), ApiAsked::by(&of), "");
        assert!(none.unwrap().is_empty());
    }

    #[test]
    fn a_run_that_cannot_be_read_is_the_newest_where_its_name_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let of = evidence::testing::header(vec![AskedAccount::new("x", "")]);
        run(dir.path(), "20261118T000000Z", &header(1, &of.base_url));
        run(dir.path(), "20261119T000000Z", "{\"schema\"");
        std::fs::create_dir(dir.path().join("20261120T000000Z")).unwrap();
        let runs = whole_runs(dir.path(), ApiAsked::by(&of), "").unwrap();
        let names: Vec<_> = runs.iter().map(|run| run.run_id.as_str()).collect();
        assert_eq!(
            names,
            ["20261120T000000Z", "20261119T000000Z", "20261118T000000Z"]
        );
        assert!(runs[0].header.is_err() && runs[1].header.is_err() && runs[2].header.is_ok());
    }

    #[test]
    fn the_newest_unfinished_run_is_one_that_says_what_was_asked() {
        let dir = tempfile::tempdir().unwrap();
        for (name, line) in [
            (
                "20261120T000000Z",
                "{\"schema\":\"cf-sso-audit/evidence/v2\"}\n",
            ),
            (
                "20261121T000000Z.partial",
                "{\"schema\":\"cf-sso-audit/evidence/v2\"}\n",
            ),
            // Not evidence at all.
            ("20261122T000000Z.partial", "{}\n"),
            // Killed while its first line was written.
            ("20261124T000000Z.partial", "{\"schema\""),
        ] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(evidence::FILE_NAME), line).unwrap();
        }
        std::fs::create_dir(dir.path().join("20261123T000000Z.partial")).unwrap();
        let newest = newest_partial(dir.path()).unwrap().unwrap();
        assert!(newest.ends_with("20261121T000000Z.partial"));
    }
}
