//! The ledger: what a run leaves for the next one, beside its evidence.
//!
//! `ledger.jsonl` begins with a line about the run, continues with a line for each account that the folder knows
//! (asked for by this run or by an earlier one), and ends with the figures of the runs so far. An account's line
//! contains what was known the last time it was read in full, however many runs ago that was. So the newest ledger of a
//! folder, with the evidence of its run, is by itself all that the next run needs.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::file_mode::open_file;
use crate::finding::KnownFinding;
use crate::jsonl::{FileError, LineReader, Place, look_at_all, read_again};
use crate::memory::{AccountMemory, AccountState, Known, LastRead};
use crate::model::Connector;
use crate::outcome::Outcome;
use crate::policy::PolicySource;
use crate::severity::Severity;
use crate::text::hex;
use crate::thresholds::Thresholds;

/// The name and version of the format.
pub const SCHEMA: &str = "cf-sso-audit/ledger/v2";
/// The file's name in a run's directory.
pub const FILE_NAME: &str = "ledger.jsonl";
/// How many runs the trend reaches back, this one included: a quarter of nights, and some.
pub const TREND_RUNS: usize = 120;

/// The first line: which run it was, what it was judged by, and which runs it continues.
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
    /// The SHA-256 of what was looked up in DNS, in hex; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// When it does not end with 0; absent where nothing was said.
    #[serde(default, skip_serializing_if = "Thresholds::is_default")]
    pub thresholds: Thresholds,
    /// The run that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
    /// The run whose memory it carries on, where that is not the one it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carries_on: Option<String>,
    /// The runs that should have been compared with, and could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// The heading of its page; absent where it has the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
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
    /// Of these, read in full.
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
    /// The findings of each rule; in ledgers of earlier versions, of each that had any.
    pub rules: BTreeMap<String, RuleFigures>,
}

/// The findings of one rule in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RuleFigures {
    /// How bad its findings were by the policy of that run, where they did not say themselves; absent where the rule was
    /// off, and in ledgers of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Accounts that it judged; absent in ledgers of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<u64>,
    /// Accounts asked for that it did not judge: not read in full, nothing expected of them, or the rule off. Absent as
    /// above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<u64>,
    /// That call for action.
    pub open: u64,
    /// That are waived.
    pub waived: u64,
    /// That are new, waived ones included.
    pub new: u64,
    /// That were resolved.
    pub resolved: u64,
}

/// A ledger, read account by account: a folder may remember more than fits into memory.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    header: LedgerHeader,
    trend: Vec<TrendPoint>,
    accounts: HashMap<String, Indexed>,
    /// The runs that last read an account whole.
    read_by: Vec<String>,
    has_shared_findings: bool,
    sha256: String,
}

/// Where an account's line stands, and what has to be known of it before it is read.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    place: Place,
    /// The run that last read the account whole: its position in [`Ledger::read_by`].
    read_by: Option<u32>,
    /// When that was.
    read_at: Option<DateTime<Utc>>,
    /// Whether its line holds its connectors, since the run itself did not read it whole.
    carries_connectors: bool,
}

/// Reads the first line of a ledger alone.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read_header(path: &Path) -> Result<LedgerHeader, FileError> {
    let io_error = |source| FileError::io(path, source);
    let mut line = Vec::new();
    BufReader::new(open_file(path).map_err(io_error)?)
        .read_until(b'\n', &mut line)
        .map_err(io_error)?;
    parse_header(&line).map_err(|cause| FileError::damaged(path, 1, cause))
}

/// What a run was judged by, as its ledger says; `None` where no policy was given, or the run was never judged.
///
/// # Errors
/// The ledger cannot be read, or is damaged.
pub fn policy_of_run(run: &Path) -> Result<Option<PolicySource>, FileError> {
    let path = run.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    read_header(&path).map(|header| header.policy)
}

impl Ledger {
    /// Opens a ledger, and notes where each account is in it.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let bad_line = |number, error| FileError::of_line(path, number, error);
        let mut reader =
            LineReader::new(open_file(path).map_err(|error| FileError::io(path, error))?);
        let mut line = Vec::new();
        reader
            .next(u64::MAX, &mut line)
            .map_err(|error| bad_line(1, error))?;
        let header = parse_header(&line).map_err(|cause| FileError::damaged(path, 1, cause))?;
        let mut accounts = HashMap::new();
        let mut runs = Runs::default();
        let mut has_shared_findings = false;
        let mut figures: Option<Figures> = None;
        let take = |seen| {
            if figures.is_some() {
                return Err("comes after the last line".to_owned());
            }
            match seen {
                Seen::Figures(last) => figures = Some(last),
                Seen::Account(account) => {
                    has_shared_findings |= account.has_shared_findings;
                    let indexed = Indexed {
                        place: account.place,
                        read_at: account.read.as_ref().map(|read| read.at),
                        read_by: account.read.map(|read| runs.position(&read.run_id)),
                        carries_connectors: account.carries_connectors,
                    };
                    accounts.insert(account.id, indexed);
                }
            }
            Ok(())
        };
        let reader = look_at_all(reader, u64::MAX, Seen::of, take)
            .map_err(|bad| bad_line(bad.number, bad.error))?;
        let figures = figures.ok_or_else(|| {
            let cause = "is missing: the file is truncated, its last line should hold the figures";
            FileError::damaged(path, accounts.len() + 2, cause.to_owned())
        })?;
        let (file, digest) = reader.into_parts();
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            trend: figures.trend,
            accounts,
            read_by: runs.ids,
            has_shared_findings,
            sha256: hex(&digest.finish()),
        })
    }

    /// Which run it was, what it was judged by, and which runs it continues.
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
        ids.sort_unstable_by_key(|(_, indexed)| indexed.place.offset);
        ids.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The run that last read an account whole.
    pub fn read_by(&self, account_id: &str) -> Option<&str> {
        let position = self.accounts.get(account_id)?.read_by?;
        self.read_by.get(position as usize).map(String::as_str)
    }

    /// When an account was last read in full.
    pub fn read_at(&self, account_id: &str) -> Option<DateTime<Utc>> {
        self.accounts.get(account_id)?.read_at
    }

    /// The length of the line of an account, in bytes; 0 where it has none.
    pub fn length(&self, account_id: &str) -> usize {
        let indexed = self.accounts.get(account_id);
        indexed.map_or(0, |indexed| indexed.place.length)
    }

    /// Whether an account's line holds its connectors, since the run itself did not read it whole.
    pub fn carries_connectors(&self, account_id: &str) -> bool {
        let indexed = self.accounts.get(account_id);
        indexed.is_some_and(|indexed| indexed.carries_connectors)
    }

    /// The accounts that the run itself read in full: its evidence holds them.
    pub fn read_by_itself(&self) -> impl Iterator<Item = &str> {
        let is_itself = |by: &Option<u32>| {
            by.is_some_and(|by| self.read_by.get(by as usize) == Some(&self.header.run_id))
        };
        let accounts = self.accounts.iter();
        let own = accounts.filter(move |(_, indexed)| is_itself(&indexed.read_by));
        own.map(|(id, _)| id.as_str())
    }

    /// Whether it knows a finding that depends on the connectors of several accounts.
    pub fn has_shared_findings(&self) -> bool {
        self.has_shared_findings
    }

    /// What is known of an account, where anything is. Its texts are borrowed from `line`, which is filled anew.
    ///
    /// # Errors
    /// The file cannot be read, has changed since it was opened, or the line is not one of a ledger.
    pub fn account<'l>(
        &self,
        account_id: &str,
        line: &'l mut Vec<u8>,
    ) -> Result<Option<AccountMemory<'l>>, FileError> {
        let Some(&Indexed { place, .. }) = self.accounts.get(account_id) else {
            return Ok(None);
        };
        let io_error = |error| FileError::io(&self.path, error);
        read_again(&self.file, place, line).map_err(io_error)?;
        let parsed: AccountLine<'l> = parse(line).map_err(|cause| {
            io_error(io::Error::other(format!(
                "the line of account {account_id} {cause}"
            )))
        })?;
        if parsed.account_id != account_id {
            return Err(io_error(io::Error::other(
                "the file changed while it was read",
            )));
        }
        Ok(Some(parsed.into()))
    }
}

/// What is kept of a line.
enum Seen {
    Account(SeenAccount),
    Figures(Figures),
}

struct SeenAccount {
    id: String,
    place: Place,
    read: Option<LastRead>,
    carries_connectors: bool,
    has_shared_findings: bool,
}

impl Seen {
    fn of(line: &[u8], place: Place) -> Result<Self, String> {
        // Told apart by hand, so that the message is about the line that it is.
        if line.starts_with(FIGURES) {
            return parse(line).map(Self::Figures);
        }
        let outline: Outline<'_> = parse(line)?;
        Ok(Self::Account(SeenAccount {
            id: outline.account_id.into_owned(),
            place,
            read: outline.read,
            carries_connectors: outline.connectors.is_some(),
            has_shared_findings: outline.findings.any_shared,
        }))
    }
}

/// The runs that last read an account whole, each once.
#[derive(Default)]
struct Runs {
    ids: Vec<String>,
    positions: HashMap<String, u32>,
}

impl Runs {
    fn position(&mut self, run_id: &str) -> u32 {
        if let Some(position) = self.positions.get(run_id) {
            return *position;
        }
        let position = self.ids.len() as u32;
        self.ids.push(run_id.to_owned());
        self.positions.insert(run_id.to_owned(), position);
        position
    }
}

/// What the last line begins with.
const FIGURES: &[u8] = b"{\"trend\"";

/// An account's line, as far as it has to be known before the account is read. All of it is checked, and nothing kept
/// that is large: what is bad must be known before anything is asked.
#[derive(Deserialize)]
struct Outline<'l> {
    #[serde(borrow)]
    account_id: Cow<'l, str>,
    #[serde(borrow, default, rename = "account_name")]
    _account_name: Cow<'l, str>,
    #[serde(default, rename = "sources")]
    _sources: Vec<String>,
    #[serde(default, rename = "former_codes")]
    _former_codes: Vec<String>,
    #[serde(default, rename = "removed")]
    _removed: bool,
    #[serde(rename = "outcome")]
    _outcome: Outcome,
    read: Option<LastRead>,
    #[serde(rename = "unread_since")]
    _unread_since: Option<DateTime<Utc>>,
    #[serde(default)]
    findings: OutlineOfFindings,
    /// Any value is a connector.
    connectors: Option<Vec<IgnoredAny>>,
}

/// Whether one of the findings depends on the connectors of several accounts.
#[derive(Default)]
struct OutlineOfFindings {
    any_shared: bool,
}

impl<'de> Deserialize<'de> for OutlineOfFindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = OutlineOfFindings;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of findings")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut any_shared = false;
                while let Some(finding) = list.next_element::<KnownFinding<'de>>()? {
                    any_shared = any_shared || finding.is_shared();
                }
                Ok(OutlineOfFindings { any_shared })
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// An account's line.
#[derive(Deserialize)]
struct AccountLine<'l> {
    account_id: String,
    #[serde(default)]
    account_name: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    former_codes: Vec<String>,
    #[serde(default)]
    removed: bool,
    outcome: Outcome,
    read: Option<LastRead>,
    unread_since: Option<DateTime<Utc>>,
    #[serde(borrow, default)]
    findings: Vec<KnownFinding<'l>>,
    connectors: Option<Vec<Connector>>,
}

impl<'l> From<AccountLine<'l>> for AccountMemory<'l> {
    fn from(line: AccountLine<'l>) -> Self {
        Self {
            state: AccountState {
                account_id: line.account_id,
                account_name: line.account_name,
                sources: line.sources,
                former_codes: line.former_codes,
                removed: line.removed,
                outcome: line.outcome,
                read: line.read,
                unread_since: line.unread_since,
            },
            findings: line.findings,
            connectors: line.connectors,
        }
    }
}

/// Writes an account's line. Findings go one by one: an account may have too many to hold them twice.
///
/// # Errors
/// `out` cannot be written to.
pub fn write_account(out: &mut impl Write, known: Known<'_>) -> io::Result<()> {
    let mut state = serde_json::to_vec(known.state)?;
    state.pop();
    out.write_all(&state)?;
    if !known.findings.is_empty() {
        out.write_all(b",\"findings\":")?;
        let mut before = b"[";
        for finding in known.findings.iter() {
            out.write_all(before)?;
            serde_json::to_writer(&mut *out, &finding)?;
            before = b",";
        }
        out.write_all(b"]")?;
    }
    if let Some(connectors) = known.connectors {
        out.write_all(b",\"connectors\":")?;
        serde_json::to_writer(&mut *out, connectors)?;
    }
    out.write_all(b"}\n")
}

fn parse<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| format!("is not a line of a ledger ({error})"))
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
            "the ledger has the format {:?}, but this version reads {SCHEMA:?}",
            versioned.schema
        ));
    }
    serde_json::from_slice(line).map_err(not_a_ledger)
}
