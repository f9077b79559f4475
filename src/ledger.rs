//! The ledger: what a run leaves for the next one, beside its evidence.
//!
//! `ledger.jsonl` begins with a line about the run, goes on with a line for each account that the folder knows
//! (asked for by this run or by an earlier one), and ends with the figures of the runs so far. An account's line
//! holds what was known the last time it was read whole, however many runs ago that was. So the newest ledger of a
//! folder, with the evidence of its run, is by itself all that the next run needs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::file_mode::open_file;
use crate::finding::KnownFinding;
use crate::model::Connector;
use crate::outcome::Outcome;
use crate::policy::PolicySource;
use crate::text::hex;

/// The name and version of the format.
pub const SCHEMA: &str = "cf-sso-audit/ledger/v2";
/// The file's name in a run's directory.
pub const FILE_NAME: &str = "ledger.jsonl";
/// How many runs the trend reaches back, this one included: a quarter of nights, and some.
pub const TREND_RUNS: usize = 120;

/// The first line: which run it was, what it was judged by, and which runs it goes on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerHeader {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run_id: String,
    /// The API's address.
    pub base_url: String,
    /// Whether the API was the embedded simulated one.
    pub demo: bool,
    /// One more than that of the run whose memory it carries on; 1 for the first of a folder. Not the clock: a run that
    /// began earlier may end later, and a clock may be wrong.
    pub sequence: u64,
    /// The moment at which it was judged.
    pub judged_at: DateTime<Utc>,
    /// What it was judged by; absent where no policy was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicySource>,
    /// The run that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
    /// The run whose memory it carries on, where that is not the one it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carries_on: Option<String>,
    /// The runs that should have been compared with, and could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
}

impl LedgerHeader {
    /// The run whose memory it carries on.
    pub fn parent(&self) -> Option<&String> {
        self.carries_on.as_ref().or(self.compared_with.as_ref())
    }
}

/// A run that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The run.
    pub run_id: String,
    /// What is wrong with it.
    pub cause: String,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountMemory {
    /// The account.
    pub account_id: String,
    /// Its name when it was last asked for, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_name: String,
    /// What named it ([`crate::accounts::Source::key`]), as far as that can be recognised from run to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Whether it was reported as removed from what named it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// How far it was read when it was last asked for.
    pub outcome: Outcome,
    /// When it was last read whole; absent where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<LastRead>,
    /// The start of the first run since then that asked for it and did not read it whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_since: Option<DateTime<Utc>>,
    /// What was found when it was last read whole, and what was found since in what was read of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<KnownFinding>,
    /// Its connectors when it was last read whole; absent where the evidence of this very run holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<Connector>>,
}

/// The last time an account was read whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRead {
    /// The run.
    pub run_id: String,
    /// When the answer was there.
    pub at: DateTime<Utc>,
    /// The moment at which it was judged.
    pub judged_at: DateTime<Utc>,
    /// The SHA-256 of the policy it was judged by; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The rules that were off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules_off: Vec<String>,
}

/// The last line: the figures of the runs so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of this run and of those before it, oldest first; at most [`TREND_RUNS`].
    pub trend: Vec<TrendPoint>,
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendPoint {
    /// The run.
    pub run_id: String,
    /// Its start, `YYYY-MM-DD HH:MM:SS` in UTC.
    pub started_utc: String,
    /// Accounts asked for.
    pub accounts_asked: u64,
    /// Of these, read whole.
    pub accounts_read: u64,
    /// Whether everything that the folder knows was asked for and read: only such runs can be held against each other.
    pub whole: bool,
    /// Connectors read.
    pub connectors: u64,
    /// Connectors whose status is not `verified`.
    pub unverified: u64,
    /// Connectors whose `enabled` is not true.
    pub disabled: u64,
    /// Findings that call for action.
    pub open: u64,
    /// Of these, critical.
    pub critical: u64,
    /// Of these, high.
    pub high: u64,
    /// Of these, medium.
    pub medium: u64,
    /// Of these, low.
    pub low: u64,
    /// Findings that are new, waived ones included.
    pub new: u64,
    /// Findings that were resolved.
    pub resolved: u64,
    /// The findings of each rule that had any.
    pub rules: BTreeMap<String, RuleFigures>,
}

/// The findings of one rule in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleFigures {
    /// That call for action.
    pub open: u64,
    /// That are waived.
    pub waived: u64,
    /// That are new, waived ones included.
    pub new: u64,
    /// That were resolved.
    pub resolved: u64,
}

/// The room that is kept for a line, in bytes; a longer one gets its own.
const ORDINARY_LINE: usize = 256 * 1024;

/// What went wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what this program writes.
    #[error("{} line {line}: {cause}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// A ledger, read account by account: a folder may remember more than fits into memory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    reader: BufReader<File>,
    header: LedgerHeader,
    trend: Vec<TrendPoint>,
    accounts: HashMap<String, Indexed>,
    /// The runs that last read an account whole.
    read_by: Vec<String>,
    has_shared_findings: bool,
    sha256: String,
    line: Vec<u8>,
}

/// Where an account's line stands, and what has to be known of it before it is read.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    /// In bytes from the beginning of the file.
    offset: u64,
    /// The run that last read the account whole: its position in [`Ledger::read_by`].
    read_by: Option<u32>,
    /// Whether its line holds its connectors, since the run itself did not read it whole.
    carries_connectors: bool,
}

/// Reads the first line of a ledger alone.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read_header(path: &Path) -> Result<LedgerHeader, LedgerError> {
    let io_error = |source| io_error(path, source);
    let mut line = Vec::new();
    BufReader::new(open_file(path).map_err(io_error)?)
        .read_until(b'\n', &mut line)
        .map_err(io_error)?;
    parse_header(&line).map_err(|cause| damaged(path, 1, cause))
}

/// What a run was judged by, as its ledger says; `None` where no policy was given, or the run was never judged.
///
/// # Errors
/// The ledger cannot be read, or is damaged.
pub fn policy_of_run(run: &Path) -> Result<Option<PolicySource>, LedgerError> {
    let path = run.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    read_header(&path).map(|header| header.policy)
}

impl Ledger {
    /// Opens a ledger and checks every line of it.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let io_error = |source| io_error(path, source);
        let damaged = |line, cause| damaged(path, line, cause);
        let mut reader = BufReader::new(open_file(path).map_err(io_error)?);
        let mut digest = Sha256::new();
        let mut line = Vec::new();
        let mut offset = reader.read_until(b'\n', &mut line).map_err(io_error)? as u64;
        digest.update(&line);
        let header = parse_header(&line).map_err(|cause| damaged(1, cause))?;
        let mut accounts = HashMap::new();
        let mut read_by = Vec::new();
        let mut positions: HashMap<String, u32> = HashMap::new();
        let mut has_shared_findings = false;
        let mut figures: Option<Figures> = None;
        for number in 2.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(io_error)?;
            if length == 0 {
                break;
            }
            digest.update(&line);
            if figures.is_some() {
                return Err(damaged(number, "comes after the last line".to_owned()));
            }
            match parse_line(&line).map_err(|cause| damaged(number, cause))? {
                Line::Account(memory) => {
                    has_shared_findings |= memory.findings.iter().any(KnownFinding::is_shared);
                    let by = memory.read.as_ref().map(|read| {
                        *positions.entry(read.run_id.clone()).or_insert_with(|| {
                            read_by.push(read.run_id.clone());
                            read_by.len() as u32 - 1
                        })
                    });
                    let indexed = Indexed {
                        offset,
                        read_by: by,
                        carries_connectors: memory.connectors.is_some(),
                    };
                    accounts.insert(memory.account_id, indexed);
                }
                Line::Figures(last) => figures = Some(last),
            }
            offset += length as u64;
            line.shrink_to(ORDINARY_LINE);
        }
        let figures = figures.ok_or_else(|| {
            let cause = "is missing: the file is cut off, its last line should hold the figures";
            damaged(accounts.len() + 2, cause.to_owned())
        })?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            header,
            trend: figures.trend,
            accounts,
            read_by,
            has_shared_findings,
            sha256: hex(&digest.finalize()),
            line,
        })
    }

    /// Which run it was, what it was judged by, and which runs it goes on from.
    pub fn header(&self) -> &LedgerHeader {
        &self.header
    }

    /// The figures of the runs so far, oldest first.
    pub fn trend(&self) -> &[TrendPoint] {
        &self.trend
    }

    /// The SHA-256 of the file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every account that it knows, in the order of the file.
    pub fn account_ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.accounts.iter().collect();
        ids.sort_unstable_by_key(|(_, indexed)| indexed.offset);
        ids.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The run that last read an account whole.
    pub fn read_by(&self, account_id: &str) -> Option<&str> {
        let position = self.accounts.get(account_id)?.read_by?;
        self.read_by.get(position as usize).map(String::as_str)
    }

    /// Whether an account's line holds its connectors, since the run itself did not read it whole.
    pub fn carries_connectors(&self, account_id: &str) -> bool {
        let indexed = self.accounts.get(account_id);
        indexed.is_some_and(|indexed| indexed.carries_connectors)
    }

    /// Whether it knows a finding that depends on the connectors of several accounts.
    pub fn has_shared_findings(&self) -> bool {
        self.has_shared_findings
    }

    /// What is known of an account, where anything is.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn account(&mut self, account_id: &str) -> Result<Option<AccountMemory>, LedgerError> {
        let Some(&Indexed { offset, .. }) = self.accounts.get(account_id) else {
            return Ok(None);
        };
        let path = &self.path;
        let io_error = |source| io_error(path, source);
        // Accounts are mostly asked for in the order of the file: then nothing is read twice.
        let at = self.reader.stream_position().map_err(io_error)?;
        self.reader
            .seek_relative(offset as i64 - at as i64)
            .map_err(io_error)?;
        self.line.clear();
        self.reader
            .read_until(b'\n', &mut self.line)
            .map_err(io_error)?;
        let parsed = parse_line(&self.line);
        self.line.shrink_to(ORDINARY_LINE);
        match parsed {
            Ok(Line::Account(memory)) if memory.account_id == account_id => Ok(Some(*memory)),
            _ => Err(io_error(io::Error::other(
                "the file changed while it was read",
            ))),
        }
    }
}

/// A line after the first.
enum Line {
    Account(Box<AccountMemory>),
    Figures(Figures),
}

fn parse_line(line: &[u8]) -> Result<Line, String> {
    if !line.ends_with(b"\n") {
        return Err("is cut off in the middle".to_owned());
    }
    // Told apart by hand, so that the message is about the line that it is, and connectors are parsed once.
    let parsed = if line.starts_with(b"{\"trend\"") {
        serde_json::from_slice(line).map(Line::Figures)
    } else {
        serde_json::from_slice(line).map(|memory| Line::Account(Box::new(memory)))
    };
    parsed.map_err(|error| format!("is not a line of a ledger ({error})"))
}

fn parse_header(line: &[u8]) -> Result<LedgerHeader, String> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: String,
    }
    let not_a_ledger = |error| format!("is not the beginning of a ledger ({error})");
    let versioned: Versioned = serde_json::from_slice(line).map_err(not_a_ledger)?;
    if versioned.schema != SCHEMA {
        return Err(format!(
            "the ledger has the format {:?}, and this version reads {SCHEMA:?}",
            versioned.schema
        ));
    }
    serde_json::from_slice(line).map_err(not_a_ledger)
}

fn io_error(path: &Path, source: io::Error) -> LedgerError {
    LedgerError::Io {
        path: path.to_owned(),
        source,
    }
}

fn damaged(path: &Path, line: usize, cause: String) -> LedgerError {
    LedgerError::Damaged {
        path: path.to_owned(),
        line,
        cause,
    }
}
