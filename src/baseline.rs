//! An earlier run, as far as the next one compares itself with it.
//!
//! A run leaves its evidence and a ledger: `ledger.jsonl`, whose first line describes the run and the figures of
//! those before it, and whose further lines hold the findings of one account each. The ledger is what the next
//! run reads; reports are for people and may take any form.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::assess::Finding;
use crate::compare::Side;
use crate::evidence::{self, AccountEvidence, Evidence, EvidenceError, RunHeader};
use crate::policy::PolicySource;
use crate::rules::Severity;

/// The name and version of the ledger's format.
pub const SCHEMA: &str = "cf-sso-audit/ledger/v1";
/// The ledger's name in a run's directory.
pub const FILE_NAME: &str = "ledger.jsonl";
/// The ending of a run's directory that is not whole yet.
pub const PARTIAL: &str = ".partial";
/// How many runs the trend reaches back, this one included.
pub const TREND_RUNS: usize = 30;

/// The first line of a ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerHeader {
    /// [`SCHEMA`].
    pub schema: String,
    /// What the run was judged by; absent where no policy was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicySource>,
    /// The figures of this run and of those before it, oldest first; at most [`TREND_RUNS`].
    pub trend: Vec<TrendPoint>,
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendPoint {
    /// The run.
    pub run_id: String,
    /// Its start, `YYYY-MM-DD HH:MM:SS` in UTC.
    pub started_utc: String,
    /// Connectors read.
    pub connectors: u64,
    /// Connectors whose status is not `verified`.
    pub unverified: u64,
    /// Connectors whose `enabled` is not true.
    pub disabled: u64,
    /// Findings that call for action.
    pub open: u64,
}

/// The further lines of a ledger: what was found in one account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The account.
    pub account_id: String,
    /// Its findings, worst first.
    pub findings: Vec<KnownFinding>,
}

/// A finding as later runs know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFinding {
    /// See [`Finding::id`].
    pub id: String,
    /// The rule's id.
    pub rule: String,
    /// Its severity in that run.
    pub severity: Severity,
    /// Whether it was waived in that run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waived: bool,
    /// Whether it stands here from an earlier run, because the account could not be read whole in that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
    /// The connector's id, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub connector_id: String,
    /// The domain, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email_domain: String,
    /// The start of the first run that found it.
    pub first_seen: DateTime<Utc>,
}

impl Finding {
    /// The finding as later runs know it.
    pub fn known(&self) -> KnownFinding {
        KnownFinding {
            id: self.id.clone(),
            rule: self.rule.id.to_owned(),
            severity: self.severity,
            waived: !self.is_open(),
            carried: false,
            connector_id: self.connector_id.clone(),
            email_domain: self.email_domain.clone(),
            first_seen: self.first_seen,
        }
    }
}

/// Why a run cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Its evidence cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Its ledger cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of its ledger is not what this program writes.
    #[error("{} line {line}: {cause}", path.display())]
    Damaged {
        /// The ledger.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// An account of an earlier run.
#[derive(Debug)]
pub struct BaselineAccount {
    account_id: String,
    account_name: String,
    /// What it was answered; its connectors sorted by domain, then id.
    pub evidence: AccountEvidence,
    /// What was found in it.
    pub findings: Vec<KnownFinding>,
}

impl BaselineAccount {
    /// The account for a comparison.
    pub fn side(&self) -> Side<'_> {
        Side {
            account_id: &self.account_id,
            account_name: &self.account_name,
            evidence: &self.evidence,
            findings: &self.findings,
        }
    }
}

/// An earlier run to compare with.
#[derive(Debug)]
pub struct Baseline {
    evidence: Evidence,
    positions: HashMap<String, usize>,
    ledger: Ledger,
}

impl Baseline {
    /// Opens a run's directory.
    ///
    /// # Errors
    /// Its evidence or ledger is missing or damaged.
    pub fn open(run: &Path) -> Result<Self, BaselineError> {
        let evidence = Evidence::open(&run.join(evidence::FILE_NAME))?;
        let ledger = Ledger::open(&run.join(FILE_NAME))?;
        let accounts = evidence.header().accounts.iter().enumerate();
        Ok(Self {
            positions: accounts
                .map(|(position, account)| (account.id.clone(), position))
                .collect(),
            evidence,
            ledger,
        })
    }

    /// The run.
    pub fn header(&self) -> &RunHeader {
        self.evidence.header()
    }

    /// The figures up to that run, oldest first.
    pub fn trend(&self) -> &[TrendPoint] {
        &self.ledger.header.trend
    }

    /// The accounts' ids, in the order in which they were asked for.
    pub fn account_ids(&self) -> Vec<String> {
        let accounts = self.evidence.header().accounts.iter();
        accounts.map(|account| account.id.clone()).collect()
    }

    /// Whether the run was asked for an account.
    pub fn asked_for(&self, id: &str) -> bool {
        self.positions.contains_key(id)
    }

    /// An account of the run, where it was asked for.
    ///
    /// # Errors
    /// The evidence cannot be read.
    pub fn account(&mut self, id: &str) -> Result<Option<BaselineAccount>, BaselineError> {
        let Some(&position) = self.positions.get(id) else {
            return Ok(None);
        };
        let mut evidence = self.evidence.account(position)?;
        crate::assess::sort_connectors(&mut evidence.connectors);
        let asked = &self.evidence.header().accounts[position];
        Ok(Some(BaselineAccount {
            account_id: asked.id.clone(),
            account_name: asked.name.clone(),
            evidence,
            findings: self.ledger.findings(id)?,
        }))
    }
}

/// What a run was judged by, as its ledger says; `None` where no policy was given, or the run was never judged.
///
/// # Errors
/// The ledger cannot be read, or is damaged.
pub fn policy_of_run(run: &Path) -> Result<Option<PolicySource>, BaselineError> {
    let path = run.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    Ledger::open(&path).map(|ledger| ledger.header.policy)
}

/// A ledger, read account by account: a run may have found more than fits into memory.
#[derive(Debug)]
struct Ledger {
    path: PathBuf,
    reader: BufReader<File>,
    header: LedgerHeader,
    /// The byte offset of each account's line.
    offsets: HashMap<String, u64>,
    line: Vec<u8>,
}

impl Ledger {
    /// Opens a ledger and checks every line of it.
    fn open(path: &Path) -> Result<Self, BaselineError> {
        let io_error = |source| BaselineError::Io {
            path: path.to_owned(),
            source,
        };
        let damaged = |line: usize, cause: String| BaselineError::Damaged {
            path: path.to_owned(),
            line,
            cause,
        };
        let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
        let mut line = Vec::new();
        let mut offset = reader.read_until(b'\n', &mut line).map_err(io_error)? as u64;
        let header: LedgerHeader = serde_json::from_slice(&line)
            .map_err(|error| damaged(1, format!("is not the beginning of a ledger ({error})")))?;
        if header.schema != SCHEMA {
            let cause = format!(
                "the ledger has the format {:?}, and this version reads {SCHEMA:?}",
                header.schema
            );
            return Err(damaged(1, cause));
        }
        let mut offsets = HashMap::new();
        for number in 2.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(io_error)?;
            if length == 0 {
                break;
            }
            let of_account = parse_findings(&line).map_err(|cause| damaged(number, cause))?;
            offsets.insert(of_account.account_id, offset);
            offset += length as u64;
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            header,
            offsets,
            line,
        })
    }

    /// The findings of an account; none where it has no line.
    fn findings(&mut self, account_id: &str) -> Result<Vec<KnownFinding>, BaselineError> {
        let Some(&offset) = self.offsets.get(account_id) else {
            return Ok(Vec::new());
        };
        let path = &self.path;
        let io_error = |source| BaselineError::Io {
            path: path.clone(),
            source,
        };
        // Accounts are mostly asked for in the order of the file: then nothing is read twice.
        let at = self.reader.stream_position().map_err(io_error)?;
        self.reader
            .seek_relative(offset as i64 - at as i64)
            .map_err(io_error)?;
        self.line.clear();
        self.reader
            .read_until(b'\n', &mut self.line)
            .map_err(io_error)?;
        let of_account = parse_findings(&self.line).map_err(|cause| {
            io_error(io::Error::other(format!(
                "the file changed while it was read: a line {cause}"
            )))
        })?;
        Ok(of_account.findings)
    }
}

/// Reads the line of one account.
fn parse_findings(line: &[u8]) -> Result<LedgerLine, String> {
    serde_json::from_slice(line)
        .map_err(|error| format!("is not the findings of an account ({error})"))
}

/// The runs under a directory that are whole and came before another, newest first.
///
/// # Errors
/// The directory cannot be read.
pub fn complete_before(output: &Path, run_id: &str) -> io::Result<Vec<PathBuf>> {
    let runs = runs_under(output)?.into_iter().rev();
    let earlier =
        runs.filter(|name| !name.ends_with(PARTIAL) && run_order(name) < run_order(run_id));
    Ok(earlier.map(|name| output.join(name)).collect())
}

/// The newest run under a directory that was not finished, and can be: one that ended before its evidence began
/// (while it still listed accounts, say) holds nothing to go on with.
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
    let first_line = || -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        BufReader::new(File::open(evidence)?).read_until(b'\n', &mut line)?;
        Ok(line)
    };
    match first_line() {
        Ok(line) => line.ends_with(b"\n"),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
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
        if is_run_id(name.strip_suffix(PARTIAL).unwrap_or(&name)) && entry.path().is_dir() {
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

    #[test]
    fn the_newest_run_before_this_one_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "20261120T000000Z",
            "20261121T000000Z.partial",
            "20261119T000000Z",
            "20261122T000000Z",
            "zzz",
        ] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(
            dir.path()
                .join("20261121T000000Z.partial")
                .join(evidence::FILE_NAME),
            "{}\n",
        )
        .unwrap();
        // Killed before its evidence began, and while its first line was written.
        std::fs::create_dir(dir.path().join("20261123T000000Z.partial")).unwrap();
        let half = dir.path().join("20261124T000000Z.partial");
        std::fs::create_dir(&half).unwrap();
        std::fs::write(half.join(evidence::FILE_NAME), "{\"schema\"").unwrap();
        let found = complete_before(dir.path(), "20261121T000000Z").unwrap();
        assert_eq!(
            found,
            ["20261120T000000Z", "20261119T000000Z"].map(|name| dir.path().join(name))
        );
        assert!(
            newest_partial(dir.path())
                .unwrap()
                .unwrap()
                .ends_with("20261121T000000Z.partial")
        );
        assert_eq!(
            complete_before(&dir.path().join("none"), "9").unwrap(),
            Vec::<PathBuf>::new()
        );
    }
}
