//! What was seen: one line of JSON an account, in the order in which the answers came in.
//!
//! The first line describes the run and names every account asked for; each further line contains what one
//! account was answered, when, in how many attempts, Cloudflare's name for the answer (`cf-ray`), the
//! SHA-256 of the body, and the body itself where it was a list of connectors. Every report is made from
//! this file and nothing else. An account that was asked again (a resumed run) has several lines: the last holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::accounts::{AskedAccount, Source};
use crate::bounds::{bounded, decodable};
use crate::dns::lookups;
use crate::dns::{KnownCodes, Lookups};
use crate::file_mode::{FileMode, open_file, open_own_file};
use crate::jsonl::{FileError, LineReader, Place, length_of_whole_lines, look_at_all, read_again};
use crate::lock::{Lock, mark_read, try_lock};
use crate::merged::Merged;
use crate::model::{Connector, domain_hash, list_or_null};
use crate::organizations::Organization;
use crate::outcome::{ErrorKind, Outcome, ReadError};
use crate::sha256::Sha256;
use crate::shard::Share;
use crate::text::{hex, sha256_hex};

/// The name and version of the format, in the first line of every file.
pub const SCHEMA: &str = "cf-sso-audit/evidence/v2";
/// What every such file begins with.
pub const BEGINNING: &str = "{\"schema\":\"cf-sso-audit/evidence/";
/// The longest line of an account, in bytes: its body may be of the largest size that is read, and escaped in places.
const LONGEST_LINE: u64 = 2 * 16 * 1024 * 1024;
/// The file's name in a run's directory.
pub const FILE_NAME: &str = "evidence.jsonl";

/// The first line: what was asked, of whom, within which limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// [`SCHEMA`].
    pub schema: String,
    /// The name of the run's directory: its start in UTC, `20261121T101500Z`.
    pub run_id: String,
    /// The version of the program.
    pub version: String,
    /// When the run began. Ages are counted up to this moment.
    pub started: DateTime<Utc>,
    /// The API's address.
    pub base_url: String,
    /// Whether the API was the embedded simulated one.
    pub demo: bool,
    /// The sequence of the newest run of the folder when this one began; 0 where there was none, absent where nobody
    /// looked. A newer one that it is compared with was completed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_after: Option<u64>,
    /// Where the accounts came from.
    pub sources: Vec<Source>,
    /// Why accounts may be missing from the list itself, where the API's list was not whole.
    pub gaps: Vec<String>,
    /// The organizations whose accounts were listed, in the order in which they were met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<Organization>,
    /// The shards whose accounts the run has; absent where it was not divided, nor merged of shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// The runs that it was merged of; absent where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// The limits that the run kept to.
    pub limits: Limits,
    /// Every account asked for, in the order in which they were first named.
    pub accounts: Vec<AskedAccount>,
}

impl RunHeader {
    /// Whether this run would have an account if a source, by its key, still named it: it asked the source, which named
    /// all that it has, the account falls to none of the shards that the run does not have, and these divided one list.
    pub fn would_have(&self, source: &str, account_id: &str) -> bool {
        let is_it = |asked: &&Source| asked.key.as_deref() == Some(source);
        let mut asked = self.sources.iter().filter(is_it).peekable();
        let falls_to_it = |share: &Share| share.is_of_one_list() && share.holds(account_id);
        asked.peek().is_some()
            && asked.all(|source| source.whole)
            && self.share.as_ref().is_none_or(falls_to_it)
    }

    /// Why accounts may be missing: lists that were not whole, and of a merged run the shards that it lacks. A run of one
    /// shard lacks nothing of what it was asked for.
    pub fn all_gaps(&self) -> Vec<String> {
        let mut gaps = self.gaps.clone();
        if let (Some(share), Some(_)) = (&self.share, &self.merged) {
            gaps.extend(share.gaps());
        }
        gaps
    }

    /// The shards whose accounts alone the run has; `None` where it has all accounts.
    pub fn shards_alone(&self) -> Option<&Share> {
        self.share.as_ref().filter(|share| !share.is_whole())
    }

    /// What it was merged of, where that may be named: a report about some of its accounts does not.
    pub fn merged_runs(&self) -> Option<&Merged> {
        self.merged
            .as_ref()
            .filter(|merged| !merged.runs.is_empty())
    }

    /// How many accounts organizations named, each counted once.
    pub fn organization_accounts(&self) -> usize {
        let of_organization = |source: &u32| {
            let source = self.sources.get(*source as usize);
            source.is_some_and(Source::is_organization)
        };
        let accounts = self.accounts.iter();
        accounts
            .filter(|account| account.sources.iter().any(of_organization))
            .count()
    }
}

/// The limits that a run kept to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Accounts asked at once.
    pub concurrency: usize,
    /// Requests in a window, per token: `1000/300s`.
    pub rate: String,
    /// Seconds that one attempt may take.
    pub timeout_seconds: f64,
    /// Further attempts after the first.
    pub retries: u32,
}

/// What one account was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountEvidence {
    /// The account's place in [`RunHeader::accounts`].
    pub position: usize,
    /// How far it was read.
    pub outcome: Outcome,
    /// Why it was not read in full.
    pub error: Option<ReadError>,
    /// What it has, in the order in which it was answered.
    pub connectors: Vec<Connector>,
    /// Of the last answer.
    pub http_status: Option<u16>,
    /// Cloudflare's name for the last answer, for its support.
    pub cf_ray: Option<String>,
    /// Requests sent for it.
    pub attempts: u32,
    /// When the last answer was there.
    pub read_at: Option<DateTime<Utc>>,
    /// Of the last answer's body verbatim, in hex.
    pub body_sha256: Option<String>,
}

impl AccountEvidence {
    /// An account of which nothing was read, and why.
    pub fn unread(position: usize, error: ReadError) -> Self {
        Self {
            position,
            outcome: Outcome::Unread,
            error: Some(error),
            connectors: Vec::new(),
            http_status: None,
            cf_ray: None,
            attempts: 0,
            read_at: None,
            body_sha256: None,
        }
    }

    /// What rules judge of it.
    pub fn answered(&self) -> Answered<'_> {
        Answered {
            position: self.position,
            outcome: self.outcome,
            error: self.error.as_ref(),
            connectors: &self.connectors,
        }
    }
}

/// What rules judge of an account: what it was answered now, or the last time.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// See [`AccountEvidence::position`].
    pub position: usize,
    /// How far it was read.
    pub outcome: Outcome,
    /// Why it was not read in full.
    pub error: Option<&'a ReadError>,
    /// What it has.
    pub connectors: &'a [Connector],
}

/// A line as written and read, but for the body.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "B: Deserialize<'de>"))]
struct Line<'a, B> {
    account: usize,
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ReadError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cf_ray: Option<String>,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_sha256: Option<String>,
    /// Of the body as it stands here, where its line breaks were taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<B>,
}

/// The part of a list's body that is judged.
#[derive(Default, Deserialize)]
struct ListBody {
    #[serde(default, deserialize_with = "list_or_null")]
    result: Option<Vec<Connector>>,
}

/// What has to be known of all accounts before the first can be judged, and where each is in the file.
#[derive(Debug, Default)]
pub struct Index {
    /// Of each account, what its last line says.
    accounts: Vec<Indexed>,
    /// A canonical domain, by hash, that a line claims, one for each connector; none any more once all lines are known.
    claims: Vec<DomainClaim>,
    /// The domains that more than one connector claims, once all lines are known.
    shared_domains: SharedDomains,
    /// The requests that every line reports.
    requests: Vec<Requests>,
}

/// The requests that were sent for an account.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    /// The account's place in [`RunHeader::accounts`].
    pub position: usize,
    /// How many.
    pub count: u32,
    /// When the last was answered, by the clock of the run.
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Indexed {
    /// How many lines it has.
    lines: u32,
    /// Where the last stands.
    place: Place,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DomainClaim {
    domain: u64,
    position: u32,
    /// Which of the account's lines it is in: only the last holds.
    line: u32,
}

/// What the index keeps of a line.
struct Seen {
    position: usize,
    outcome: Outcome,
    place: Place,
    requests: Option<Requests>,
    /// The canonical domain of each connector, by hash.
    domains: Vec<u64>,
}

impl Seen {
    fn of(evidence: &AccountEvidence, place: Place) -> Self {
        let requests = |at| Requests {
            position: evidence.position,
            count: evidence.attempts,
            at,
        };
        let connectors = evidence.connectors.iter();
        let domains = connectors.filter_map(Connector::canonical_domain);
        Self {
            position: evidence.position,
            outcome: evidence.outcome,
            place,
            requests: evidence
                .read_at
                .filter(|_| evidence.attempts > 0)
                .map(requests),
            domains: domains.map(|domain| domain_hash(&domain)).collect(),
        }
    }
}

impl Index {
    fn new(accounts: usize) -> Self {
        Self {
            accounts: vec![Indexed::default(); accounts],
            ..Self::default()
        }
    }

    /// Notes where the newest line of an account stands; how many it has by now.
    fn locate(&mut self, position: usize, outcome: Outcome, place: Place) -> u32 {
        let account = &mut self.accounts[position];
        account.lines += 1;
        account.place = place;
        account.outcome = Some(outcome);
        account.lines
    }

    /// All lines are known: of the claims, only those of shared domains are kept.
    fn complete(&mut self) {
        self.shared_domains = self.find_shared_domains();
        self.claims = Vec::new();
        self.requests.shrink_to_fit();
    }

    fn add(&mut self, seen: Seen) {
        let line = self.locate(seen.position, seen.outcome, seen.place);
        self.requests.extend(seen.requests);
        self.claims
            .extend(seen.domains.into_iter().map(|domain| DomainClaim {
                domain,
                position: seen.position as u32,
                line,
            }));
    }

    /// Whether the account was read in full.
    pub fn is_read(&self, position: usize) -> bool {
        self.outcome(position) == Some(Outcome::Read)
    }

    /// How far the account was read; `None` where the run ended before it was read.
    pub fn outcome(&self, position: usize) -> Option<Outcome> {
        self.accounts[position].outcome
    }

    /// The domains that more than one connector of the run claims.
    pub fn shared_domains(&self) -> &SharedDomains {
        &self.shared_domains
    }

    fn find_shared_domains(&self) -> SharedDomains {
        let holds =
            |claim: &&DomainClaim| self.accounts[claim.position as usize].lines == claim.line;
        let claims = || self.claims.iter().filter(holds);
        // Few are shared: of the others no more than the hash is copied.
        let mut domains: Vec<_> = claims().map(|claim| claim.domain).collect();
        domains.sort_unstable();
        let same = domains.chunk_by(|a, b| a == b);
        let several = same.filter(|same| same.len() > 1).map(|same| same[0]);
        let shared: Vec<_> = several.collect();
        drop(domains);
        let is_shared = |claim: &&DomainClaim| shared.binary_search(&claim.domain).is_ok();
        let mut claims: Vec<_> = claims().filter(is_shared).copied().collect();
        claims.sort_unstable();
        SharedDomains(
            claims
                .chunk_by(|a, b| a.domain == b.domain)
                .map(|claims| {
                    let of_one_account = claims.chunk_by(|a, b| a.position == b.position);
                    let claimant = |claims: &[DomainClaim]| Claimant {
                        position: claims[0].position as usize,
                        connectors: claims.len(),
                    };
                    (claims[0].domain, of_one_account.map(claimant).collect())
                })
                .collect(),
        )
    }
}

/// An account that claims a shared domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimant {
    /// The account's place in [`RunHeader::accounts`].
    pub position: usize,
    /// With how many connectors it claims the domain.
    pub connectors: usize,
}

/// The domains that more than one connector of the run claims, with the accounts that do.
#[derive(Debug, Default)]
pub struct SharedDomains(HashMap<u64, Vec<Claimant>>);

impl SharedDomains {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a canonical domain, by its hash, is one of them, and the account at a position claims it.
    pub fn is_claimed_by(&self, domain: u64, position: usize) -> bool {
        let claimants = self.0.get(&domain).map_or(&[][..], Vec::as_slice);
        let found = claimants.binary_search_by_key(&position, |claimant| claimant.position);
        found.is_ok()
    }

    /// The accounts that claim the canonical domain, in their order; none where only one connector does.
    pub fn claimants(&self, canonical_domain: &str) -> &[Claimant] {
        self.0
            .get(&domain_hash(canonical_domain))
            .map_or(&[], Vec::as_slice)
    }

    /// Names the claimants of a domain, one position a connector, in their order; for tests of rules.
    #[cfg(test)]
    pub fn claimed_by(domain: &str, positions: &[usize]) -> Self {
        let claimants = positions.chunk_by(|a, b| a == b).map(|same| Claimant {
            position: same[0],
            connectors: same.len(),
        });
        Self(HashMap::from([(domain_hash(domain), claimants.collect())]))
    }
}

/// What went wrong with an evidence file.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It, or what was looked up in DNS beside it, cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was looked up in DNS is of another run.
    #[error("{} belongs to run {run_id}, but the evidence beside it does not", path.display())]
    LookupsOfAnother {
        /// The file.
        path: PathBuf,
        /// The run that it says.
        run_id: String,
    },
    /// Another process writes to the file.
    #[error("{}: another run is writing to it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

/// Appends to an evidence file, one account at a time, each flushed before the next.
#[derive(Debug)]
pub struct EvidenceWriter {
    path: PathBuf,
    file: File,
    header: RunHeader,
    offset: u64,
    digest: Sha256,
    index: Index,
    line: Vec<u8>,
}

impl EvidenceWriter {
    /// Begins a file with the run's description.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn create(path: &Path, header: RunHeader, mode: FileMode) -> Result<Self, EvidenceError> {
        let io_error = |source| io_error(path, source);
        let file = mode.create_file(path).map_err(io_error)?;
        lock(path, &file)?;
        let mut writer = Self {
            path: path.to_owned(),
            file,
            offset: 0,
            digest: Sha256::default(),
            index: Index::new(header.accounts.len()),
            line: Vec::new(),
            header,
        };
        writer.line = serde_json::to_vec(&writer.header).map_err(|error| io_error(error.into()))?;
        writer.write_line()?;
        Ok(writer)
    }

    /// Goes on with a file that an interrupted run left. A last line that is only half there is cut off.
    ///
    /// # Errors
    /// The file is damaged, cannot be written, or another run writes to it.
    pub fn resume(path: &Path) -> Result<Self, EvidenceError> {
        let io_error = |source| io_error(path, source);
        let file = open_own_file(path).map_err(io_error)?;
        lock(path, &file)?;
        // Nothing is cut before it is known to be evidence.
        let mut beginning = Vec::new();
        (&file)
            .take(BEGINNING.len() as u64)
            .read_to_end(&mut beginning)
            .map_err(io_error)?;
        if beginning != BEGINNING.as_bytes() {
            return Err(damaged(path, 1, NOT_EVIDENCE.to_owned()));
        }
        let whole = length_of_whole_lines(&file).map_err(io_error)?;
        file.set_len(whole).map_err(io_error)?;
        let evidence = Evidence::of_some_accounts(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            offset: whole,
            digest: evidence.digest,
            header: evidence.header,
            index: evidence.index,
            line: Vec::new(),
        })
    }

    /// The run's description.
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// The requests that the file reports, and when it was last written to.
    ///
    /// # Errors
    /// The file system does not say when.
    pub fn requests(&self) -> Result<(&[Requests], SystemTime), EvidenceError> {
        let modified = self.file.metadata().and_then(|data| data.modified());
        let written = modified.map_err(|error| io_error(&self.path, error))?;
        Ok((&self.index.requests, written))
    }

    /// Whether the account was read in full already.
    pub fn is_read(&self, position: usize) -> bool {
        self.index.is_read(position)
    }

    /// Whether the account has a line already, read or not.
    pub fn has(&self, position: usize) -> bool {
        self.index.accounts[position].lines > 0
    }

    /// Appends what an account was answered, and the body itself where it is a list that was read.
    /// The line is with the operating system when this returns.
    ///
    /// # Errors
    /// The file cannot be written: the disk is full, say.
    pub fn append(
        &mut self,
        evidence: &AccountEvidence,
        body: Option<&[u8]>,
    ) -> Result<(), EvidenceError> {
        let account_id = &self.header.accounts[evidence.position].id;
        let kept = body.map(on_one_line);
        let kept_sha256 = kept
            .as_deref()
            .filter(|kept| body != Some(kept))
            .map(sha256_hex);
        let line = Line::<()> {
            account: evidence.position,
            account_id: account_id.into(),
            outcome: evidence.outcome,
            error: evidence.error.clone(),
            http_status: evidence.http_status,
            cf_ray: evidence.cf_ray.clone(),
            attempts: evidence.attempts,
            read_at: evidence.read_at,
            body_sha256: evidence.body_sha256.clone(),
            kept_sha256,
            body: None,
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)
            .map_err(|error| io_error(&self.path, error.into()))?;
        if let Some(kept) = kept {
            self.line.pop();
            self.line.extend_from_slice(b",\"body\":");
            self.line.extend_from_slice(&kept);
            self.line.push(b'}');
        }
        self.append_line(evidence)
    }

    /// Appends what an account of another run was answered, as it is there; what that was, or `None` where that run did
    /// not reach it. `room` is room for its line.
    ///
    /// # Errors
    /// The other run's evidence cannot be read, or holds an answer that is no list of connectors; or this file cannot be
    /// written.
    pub fn copy(
        &mut self,
        position: usize,
        from: &Evidence,
        at: usize,
        room: &mut Vec<u8>,
    ) -> Result<Option<AccountEvidence>, EvidenceError> {
        if from.index.outcome(at).is_none() {
            return Ok(None);
        }
        let changed = |cause| from.changed(at, cause);
        let line = asked_for(from.line(at, room)?, &from.header).map_err(changed)?;
        let copied = Line {
            account: position,
            ..line
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &copied)
            .map_err(|error| io_error(&self.path, error.into()))?;
        let evidence = evidence_of(copied).map_err(changed)?;
        self.append_line(&evidence)?;
        Ok(Some(evidence))
    }

    /// Appends the line that was made of an account.
    fn append_line(&mut self, evidence: &AccountEvidence) -> Result<(), EvidenceError> {
        let offset = self.offset;
        self.write_line()?;
        let place = Place {
            offset,
            length: self.line.len(),
        };
        self.line.shrink_to(READ_BUFFER);
        self.index.add(Seen::of(evidence, place));
        Ok(())
    }

    fn write_line(&mut self) -> Result<(), EvidenceError> {
        self.line.push(b'\n');
        if let Err(error) = self.file.write_all(&self.line) {
            // What was written of the line is taken back, so that the file still ends with a whole one.
            let _ = self.file.set_len(self.offset);
            return Err(io_error(&self.path, error));
        }
        self.digest.update(&self.line);
        self.offset += self.line.len() as u64;
        Ok(())
    }

    /// Ends the writing: all lines are on the disk when this returns.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(mut self) -> Result<Evidence, EvidenceError> {
        self.index.complete();
        self.file
            .sync_all()
            .map_err(|error| io_error(&self.path, error))?;
        let file = File::open(&self.path).map_err(|error| io_error(&self.path, error))?;
        Ok(Evidence {
            path: self.path,
            file,
            header: self.header,
            index: self.index,
            digest: self.digest,
            lookups: None,
            _lock: Some(self.file),
            _reading: None,
        })
    }
}

const READ_BUFFER: usize = 256 * 1024;
const NOT_EVIDENCE: &str = "is not the beginning of an evidence file";

fn io_error(path: &Path, source: io::Error) -> EvidenceError {
    FileError::io(path, source).into()
}

fn lock(path: &Path, file: &File) -> Result<(), EvidenceError> {
    match try_lock(path, file).map_err(|error| io_error(path, error))? {
        Lock::Held => Ok(()),
        Lock::HeldByAnother => Err(EvidenceError::Locked {
            path: path.to_owned(),
        }),
    }
}

/// A whole evidence file, read account by account.
#[derive(Debug)]
pub struct Evidence {
    path: PathBuf,
    file: File,
    header: RunHeader,
    index: Index,
    digest: Sha256,
    /// What was looked up in DNS.
    lookups: Option<Lookups>,
    /// Keeps the lock of the one who wrote it, until the report is there.
    _lock: Option<File>,
    /// Keeps other commands from removing the run while it is read.
    _reading: Option<File>,
}

impl Evidence {
    /// Opens a file, and what was looked up in DNS beside it, and checks every line of both.
    ///
    /// # Errors
    /// A file cannot be read, or a line of it is damaged.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let mut evidence = Self::of_accounts(path)?;
        let lookups = path.with_file_name(lookups::FILE_NAME);
        if lookups.symlink_metadata().is_ok() {
            evidence.add_lookups(&lookups)?;
        }
        Ok(evidence)
    }

    /// As [`Self::open`], without what was looked up in DNS.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is damaged.
    pub fn of_accounts(path: &Path) -> Result<Self, EvidenceError> {
        let mut evidence = Self::of_some_accounts(path)?;
        evidence.index.complete();
        Ok(evidence)
    }

    /// As [`Self::of_accounts`], of a file to which lines may be added.
    fn of_some_accounts(path: &Path) -> Result<Self, EvidenceError> {
        Self::open_by(path, |line, header, place| {
            let evidence = check_line(line, header)?;
            Ok(Seen::of(&evidence, place))
        })
    }

    /// Opens a file, checks that the answers in it are those that were given, and notes where each account stands. What the
    /// accounts claim is not known then, nor what was requested.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is damaged.
    pub fn locate(path: &Path) -> Result<Self, EvidenceError> {
        Self::open_by(path, |line, header, place| {
            let line = unaltered(line, header)?;
            Ok(Seen {
                position: line.account,
                outcome: line.outcome,
                place,
                requests: None,
                domains: Vec::new(),
            })
        })
    }

    fn open_by(
        path: &Path,
        look: impl Fn(&[u8], &RunHeader, Place) -> Result<Seen, String> + Sync,
    ) -> Result<Self, EvidenceError> {
        let bad_line = |number, error| FileError::of_line(path, number, error);
        let file = open_file(path).map_err(|error| io_error(path, error))?;
        let mut reader = LineReader::new(file);
        let beginning = reader.peek().map_err(|error| io_error(path, error))?;
        let is_evidence = beginning.starts_with(BEGINNING.as_bytes());
        if !is_evidence && beginning.len() >= BEGINNING.len() {
            return Err(damaged(path, 1, NOT_EVIDENCE.to_owned()));
        }
        let mut line = Vec::new();
        // The first line names every account, and may have any length.
        reader
            .next(u64::MAX, &mut line)
            .map_err(|error| bad_line(1, error))?;
        let header = parse_header(&line).map_err(|cause| damaged(path, 1, cause))?;
        let mut index = Index::new(header.accounts.len());
        let look = |line: &[u8], place| look(line, &header, place);
        let take = |seen| {
            index.add(seen);
            Ok(())
        };
        let reader = look_at_all(reader, LONGEST_LINE, look, take)
            .map_err(|bad| bad_line(bad.number, bad.error))?;
        let (file, digest) = reader.into_parts();
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            index,
            digest,
            lookups: None,
            _lock: None,
            _reading: path.parent().and_then(mark_read),
        })
    }

    /// The run's description.
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// Whether every account was read in full, none may be missing from the list itself, and none is in a shard that the
    /// run lacks.
    pub fn is_whole(&self) -> bool {
        let header = &self.header;
        header.gaps.is_empty()
            && header.shards_alone().is_none()
            && (0..header.accounts.len()).all(|position| self.index.is_read(position))
    }

    /// What was looked up in DNS; `None` where nothing was.
    pub fn lookups(&self) -> Option<&Lookups> {
        self.lookups.as_ref()
    }

    /// Adds what was looked up in DNS, in place of what was there before.
    ///
    /// # Errors
    /// It cannot be read, a line of it is damaged, or it is of another run.
    pub fn add_lookups(&mut self, path: &Path) -> Result<(), EvidenceError> {
        let lookups = Lookups::open(path)?;
        let run_id = &lookups.header().run_id;
        if *run_id != self.header.run_id {
            return Err(EvidenceError::LookupsOfAnother {
                path: path.to_owned(),
                run_id: run_id.clone(),
            });
        }
        self.lookups = Some(lookups);
        Ok(())
    }

    /// Leaves out what was looked up in DNS.
    pub fn without_lookups(self) -> Self {
        Self {
            lookups: None,
            ..self
        }
    }

    /// The codes of all connectors; none where nothing was looked up that they could be held against.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn codes(&self) -> Result<KnownCodes, EvidenceError> {
        let mut codes = KnownCodes::default();
        if self.lookups.is_some() {
            let mut line = Vec::new();
            for position in 0..self.header.accounts.len() {
                let account = self.answered(position, &mut line)?;
                codes.add(account.connectors.iter().filter_map(Connector::code));
            }
        }
        Ok(codes)
    }

    /// What has to be known of all accounts before the first can be judged.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The SHA-256 of the file, in hex.
    pub fn sha256(&self) -> String {
        hex(&self.digest.clone().finish())
    }

    /// What the account at a position was answered, and what DNS was seen to hold for its connectors; an account without a
    /// line was not reached. `line` is room for its line.
    ///
    /// # Errors
    /// A file cannot be read, or has changed since it was opened.
    pub fn account(
        &self,
        position: usize,
        line: &mut Vec<u8>,
    ) -> Result<AccountEvidence, EvidenceError> {
        let mut account = self.answered(position, line)?;
        if let Some(lookups) = &self.lookups {
            for connector in &mut account.connectors {
                let seen = connector.claim().map(|claim| lookups.seen(&claim, line));
                connector.dns = seen.transpose()?.flatten().map(Box::new);
            }
        }
        Ok(account)
    }

    /// As [`Self::account`], without what DNS was seen to hold.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn answered(
        &self,
        position: usize,
        line: &mut Vec<u8>,
    ) -> Result<AccountEvidence, EvidenceError> {
        if self.index.outcome(position).is_none() {
            let error = ReadError::new(
                ErrorKind::Interrupted,
                "the run ended before this account was read",
            );
            return Ok(AccountEvidence::unread(position, error));
        }
        parse_line(self.line(position, line)?, &self.header)
            .map_err(|cause| self.changed(position, cause))
    }

    /// The line of the account at a position.
    fn line<'l>(&self, position: usize, line: &'l mut Vec<u8>) -> Result<&'l [u8], EvidenceError> {
        let place = self.index.accounts[position].place;
        read_again(&self.file, place, line).map_err(|error| io_error(&self.path, error))?;
        Ok(line)
    }

    /// The line of the account at a position is not what it was when the file was opened.
    fn changed(&self, position: usize, cause: String) -> EvidenceError {
        let account = &self.header.accounts[position].id;
        let changed =
            format!("it changed while it was read: the line of account {account} {cause}");
        io_error(&self.path, io::Error::other(changed))
    }

    /// The length of the line of the account at a position, in bytes; 0 where it has none.
    pub fn length(&self, position: usize) -> usize {
        self.index.accounts[position].place.length
    }
}

fn damaged(path: &Path, line: usize, cause: String) -> EvidenceError {
    FileError::damaged(path, line, cause).into()
}

/// A body without line breaks: in valid JSON a raw one can only be white space between tokens.
fn on_one_line(body: &[u8]) -> Cow<'_, [u8]> {
    let body = body.trim_ascii();
    let is_break = |b: &u8| *b == b'\n' || *b == b'\r';
    if !body.iter().any(is_break) {
        return Cow::Borrowed(body);
    }
    let spaced = body.iter().map(|b| if is_break(b) { b' ' } else { *b });
    Cow::Owned(spaced.collect())
}

/// Reads the first line of an evidence file.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_header(line: &[u8]) -> Result<RunHeader, String> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: String,
    }
    if line.is_empty() {
        return Err("is missing: the file is empty".to_owned());
    }
    let versioned: Versioned = serde_json::from_slice(line)
        .map_err(|error| format!("is not the beginning of an evidence file ({error})"))?;
    if versioned.schema != SCHEMA {
        return Err(format!(
            "the evidence has the format {:?}, but this version reads {SCHEMA:?}; use the version that wrote it",
            versioned.schema
        ));
    }
    let header: RunHeader = serde_json::from_slice(line)
        .map_err(|error| format!("is not the beginning of an evidence file ({error})"))?;
    let is_possible = |share: &Share| share.is_possible(&header.accounts);
    if !header.share.as_ref().is_none_or(is_possible) {
        return Err("contradicts itself about the shards whose accounts it names".to_owned());
    }
    Ok(header)
}

/// Reads the line of one account.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_line(line: &[u8], header: &RunHeader) -> Result<AccountEvidence, String> {
    evidence_of(asked_for(line, header)?)
}

/// As [`parse_line`], and checks that the body is the one that was answered.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_line(line: &[u8], header: &RunHeader) -> Result<AccountEvidence, String> {
    evidence_of(unaltered(line, header)?)
}

/// A line of an account that the run was asked for. The body is parsed by itself, so that it may be nested as deeply as
/// the answer was.
fn asked_for<'l>(line: &'l [u8], header: &RunHeader) -> Result<Line<'l, &'l RawValue>, String> {
    let line: Line<'l, &'l RawValue> = serde_json::from_slice(line).map_err(not_evidence)?;
    refuse_stranger(line.account, &line.account_id, header)?;
    Ok(line)
}

/// A line of an account whose body is the one that was answered.
fn unaltered<'l>(line: &'l [u8], header: &RunHeader) -> Result<Line<'l, &'l RawValue>, String> {
    let line = asked_for(line, header)?;
    let expected = line.kept_sha256.as_ref().or(line.body_sha256.as_ref());
    if let (Some(body), Some(expected)) = (line.body, expected)
        && sha256_hex(body.get().as_bytes()) != *expected
    {
        return Err(format!(
            "has been changed: the answer kept for account {} does not match its SHA-256",
            line.account_id
        ));
    }
    Ok(line)
}

fn evidence_of(line: Line<'_, &RawValue>) -> Result<AccountEvidence, String> {
    let connectors = line
        .body
        .map(|body| connectors_of(body.get()))
        .transpose()?;
    let connectors = connectors.flatten();
    if connectors.is_none() != (line.outcome == Outcome::Unread)
        || line.error.is_none() != (line.outcome == Outcome::Read)
    {
        return Err(format!(
            "says {:?}, but its body or error says otherwise",
            line.outcome.as_str()
        ));
    }
    Ok(AccountEvidence {
        position: line.account,
        outcome: line.outcome,
        error: line.error,
        connectors: connectors.unwrap_or_default(),
        http_status: line.http_status,
        cf_ray: line.cf_ray,
        attempts: line.attempts,
        read_at: line.read_at,
        body_sha256: line.body_sha256,
    })
}

fn not_evidence(error: serde_json::Error) -> String {
    format!("is not the evidence of an account ({error})")
}

/// Refuses an account that the first line does not name.
fn refuse_stranger(position: usize, id: &str, header: &RunHeader) -> Result<(), String> {
    match header.accounts.get(position) {
        Some(asked) if asked.id == id => Ok(()),
        _ => Err(format!(
            "names account {id} as number {position}, but the first line does not"
        )),
    }
}

/// The connectors of a list's body, as they were read of the answer.
fn connectors_of(body: &str) -> Result<Option<Vec<Connector>>, String> {
    let not_a_list = |error| format!("contains a body that is not a list of connectors ({error})");
    let bounded = bounded(body)?;
    let body = bounded.as_deref().unwrap_or(body);
    let list = serde_json::from_str::<ListBody>(body).or_else(|error| {
        let mended = decodable::<Connector>(body).ok_or(error)?;
        serde_json::from_str(&mended)
    });
    list.map(|list| list.result).map_err(not_a_list)
}

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of other modules share.

    use super::*;

    /// The description of a run over these accounts, begun at the moment at which the rules' tests judge.
    pub fn header(accounts: Vec<AskedAccount>) -> RunHeader {
        RunHeader {
            schema: SCHEMA.to_owned(),
            run_id: "20261121T101500Z".to_owned(),
            version: "0.0.0".to_owned(),
            started: crate::rules::testing::NOW.parse().unwrap(),
            base_url: "https://api.example/client/v4".to_owned(),
            demo: false,
            begun_after: None,
            sources: vec![Source::unrecognisable("the command line")],
            gaps: Vec::new(),
            organizations: Vec::new(),
            share: None,
            merged: None,
            limits: Limits {
                concurrency: 32,
                rate: "1000/300s".to_owned(),
                timeout_seconds: 30.0,
                retries: 5,
            },
            accounts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDS: [&str; 3] = [
        "a0000000000000000000000000000001",
        "b0000000000000000000000000000002",
        "c0000000000000000000000000000003",
    ];

    fn header() -> RunHeader {
        testing::header(IDS.iter().map(|id| AskedAccount::new(id, "")).collect())
    }

    fn read(position: usize, domains: &[&str]) -> (AccountEvidence, String) {
        let records: Vec<_> = domains
            .iter()
            .map(|domain| serde_json::json!({"email_domain": domain}))
            .collect();
        let body = serde_json::json!({"success": true, "result": records});
        let mut evidence = AccountEvidence::unread(position, ReadError::new(ErrorKind::Api, ""));
        evidence.outcome = Outcome::Read;
        evidence.error = None;
        evidence.connectors = serde_json::from_value(records.into()).unwrap();
        (evidence, serde_json::to_string_pretty(&body).unwrap())
    }

    fn unread(position: usize) -> AccountEvidence {
        AccountEvidence::unread(position, ReadError::new(ErrorKind::Timeout, "no answer"))
    }

    #[test]
    fn what_is_written_is_read_back_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut writer = EvidenceWriter::create(&path, header(), FileMode::default()).unwrap();
        let (c, body) = read(2, &["c.example", "d.example"]);
        writer.append(&c, Some(body.as_bytes())).unwrap();
        writer.append(&unread(0), None).unwrap();
        let written = writer.finish().unwrap();
        let opened = Evidence::open(&path).unwrap();
        assert_eq!(written.sha256(), opened.sha256());
        assert_eq!(written.sha256(), sha256_hex(&std::fs::read(&path).unwrap()));
        let mut line = Vec::new();
        for evidence in [&written, &opened] {
            let mut account = |position| evidence.account(position, &mut line).unwrap();
            assert_eq!(account(0), unread(0));
            assert_eq!(account(2), c);
            let missing = account(1);
            assert_eq!(missing.error.unwrap().kind, ErrorKind::Interrupted);
            assert_eq!(account(2), c);
        }
    }

    #[test]
    fn a_line_is_copied_with_its_answer_to_another_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.jsonl");
        let mut writer = EvidenceWriter::create(&path, header(), FileMode::default()).unwrap();
        let (mut c, body) = read(2, &["c.example", "D.example."]);
        c.body_sha256 = Some(sha256_hex(body.as_bytes()));
        writer.append(&c, Some(body.as_bytes())).unwrap();
        writer.append(&unread(0), None).unwrap();
        drop(writer);
        let other = Evidence::locate(&path).unwrap();
        let mut accounts = header().accounts;
        accounts.reverse();
        let path = dir.path().join(FILE_NAME);
        let header = testing::header(accounts);
        let mut writer = EvidenceWriter::create(&path, header, FileMode::default()).unwrap();
        let mut room = Vec::new();
        let mut copy = |to, at| writer.copy(to, &other, at, &mut room).unwrap();
        c.position = 0;
        assert_eq!(copy(0, 2), Some(c.clone()));
        assert_eq!(copy(2, 0), Some(unread(2)));
        assert_eq!(copy(1, 1), None, "the run ended before it was read");
        let written = writer.finish().unwrap();
        let opened = Evidence::open(&path).unwrap();
        assert_eq!(written.sha256(), opened.sha256());
        assert_eq!(opened.account(0, &mut room).unwrap(), c);
        assert_eq!(opened.account(2, &mut room).unwrap(), unread(2));
    }

    #[test]
    fn an_account_that_was_asked_again_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut writer = EvidenceWriter::create(&path, header(), FileMode::default()).unwrap();
        let (mut incomplete, body) = read(0, &["a.example"]);
        incomplete.outcome = Outcome::Incomplete;
        incomplete.error = Some(ReadError::new(ErrorKind::IncompleteList, "1 of 2"));
        writer.append(&incomplete, Some(body.as_bytes())).unwrap();
        assert!(!writer.is_read(0));
        let (whole, body) = read(0, &["a.example", "b.example"]);
        writer.append(&whole, Some(body.as_bytes())).unwrap();
        assert!(writer.is_read(0));
        let evidence = writer.finish().unwrap();
        assert_eq!(evidence.account(0, &mut Vec::new()).unwrap(), whole);
        assert!(
            evidence
                .index()
                .shared_domains()
                .claimants("a.example")
                .is_empty()
        );
    }

    #[test]
    fn domains_claimed_more_than_once_are_found_across_accounts() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            EvidenceWriter::create(&dir.path().join(FILE_NAME), header(), FileMode::default())
                .unwrap();
        for (position, domains) in [(1, vec!["A.example."]), (0, vec!["a.example", "b.example"])] {
            let (evidence, body) = read(position, &domains);
            writer.append(&evidence, Some(body.as_bytes())).unwrap();
        }
        let evidence = writer.finish().unwrap();
        let shared = evidence.index().shared_domains();
        let positions = shared.claimants("a.example").iter();
        assert_eq!(
            positions.map(|claim| claim.position).collect::<Vec<_>>(),
            [0, 1]
        );
        assert!(shared.claimants("b.example").is_empty());
    }

    #[test]
    fn a_half_written_last_line_is_cut_off_when_the_run_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut writer = EvidenceWriter::create(&path, header(), FileMode::default()).unwrap();
        let (a, body) = read(0, &["a.example"]);
        writer.append(&a, Some(body.as_bytes())).unwrap();
        writer.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(br#"{"account":1,"account_id":"b000"#)
            .unwrap();
        let cut = Evidence::open(&path).unwrap_err().to_string();
        assert!(cut.contains("line 3: is truncated"), "{cut}");
        let writer = EvidenceWriter::resume(&path).unwrap();
        assert!(writer.is_read(0) && !writer.is_read(1));
        assert!(matches!(
            EvidenceWriter::resume(&path),
            Err(EvidenceError::Locked { .. })
        ));
        assert_eq!(writer.finish().unwrap().sha256(), sha256_hex(&whole));
    }

    #[test]
    fn damage_is_refused_with_the_line_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let head = serde_json::to_string(&header()).unwrap();
        let said = |text: String| {
            std::fs::write(&path, text).unwrap();
            Evidence::open(&path).unwrap_err().to_string()
        };
        assert!(said(String::new()).contains("line 1: is missing"));
        assert!(said("{}\n".to_owned()).contains("line 1: is not the beginning"));
        assert!(
            said(head.replace("evidence/v2", "evidence/v9") + "\n")
                .contains("use the version that wrote it")
        );
        assert!(said(format!("{head}\nnonsense\n")).contains("line 2: is not the evidence"));
        let odd = |line: &str| said(format!("{head}\n{line}\n"));
        assert!(
            odd(r#"{"account":7,"account_id":"x","outcome":"unread","attempts":1}"#)
                .contains("line 2: names account x as number 7")
        );
        let silent = format!(
            r#"{{"account":0,"account_id":"{}","outcome":"read","attempts":1}}"#,
            IDS[0]
        );
        assert!(odd(&silent).contains("line 2: says \"read\""));
    }

    proptest! {
        #[test]
        fn any_line_is_evidence_or_refused(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_header(&line);
            let _ = parse_line(&line, &header());
        }
    }
}
