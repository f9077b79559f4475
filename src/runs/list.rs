//! Which runs a folder has, and which of them go before others.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::api_asked::ApiAsked;
use super::directory::RunDirectory;
use super::names::{PARTIAL, is_run_id, run_order};
use crate::evidence;
use crate::file_mode::open_file;
use crate::ledger::{self, LedgerHeader};

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

/// The newest run under a directory that was not finished, and can be: one that ended before its evidence began
/// (while it still listed accounts, say) holds nothing to resume.
///
/// # Errors
/// The directory cannot be read.
pub fn newest_unfinished(output: &Path) -> io::Result<Option<RunDirectory>> {
    let runs = runs_under(output)?.into_iter();
    let mut unfinished = runs.filter_map(|name| {
        let run_id = name.strip_suffix(PARTIAL)?;
        Some(RunDirectory::unfinished(output, run_id))
    });
    let is_of_use =
        |run: &RunDirectory| says_what_was_asked(&run.partial().join(evidence::FILE_NAME));
    Ok(unfinished.rfind(is_of_use))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::AskedAccount;

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
            dns: None,
            thresholds: crate::thresholds::Thresholds::default(),
            compared_with: None,
            carries_on: None,
            passed_over: Vec::new(),
            title: None,
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
        let newest = newest_unfinished(dir.path()).unwrap().unwrap();
        assert_eq!(newest.run_id, "20261121T000000Z");
    }
}
