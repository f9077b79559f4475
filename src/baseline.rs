//! An earlier run, as far as later ones compare themselves with it: its evidence and its ledger, read account by account.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::claims::KnownElsewhere;
use crate::dns::KnownCodes;
use crate::evidence::{self, Evidence, EvidenceError, Index, RunHeader, SharedDomains};
use crate::jsonl::FileError;
use crate::ledger::{self, Ledger, LedgerHeader, PassedOver, TrendPoint};
use crate::memory::{AccountMemory, Earlier, carry_on};
use crate::model::{Connector, domain_hash};
use crate::policy::PolicySource;
use crate::runs::{ApiAsked, SumsError, check_sums, is_unfinished, whole_runs};
use crate::text::for_terminal;
use crate::thresholds::Thresholds;

pub mod choice;

/// Why a run cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Its evidence cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Its ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] FileError),
    /// It was not completed; what was rendered of it meanwhile is no run to compare with.
    #[error("run {} is unfinished", run.display())]
    Unfinished {
        /// Its directory.
        run: PathBuf,
    },
    /// Another run stands in its place.
    #[error("its folder contains run {run_id}")]
    Other {
        /// That run.
        run_id: String,
    },
    /// Evidence and ledger say different things of an account.
    #[error(
        "{} says that account {account} was read, but {} beside it does not contain it",
        ledger::FILE_NAME,
        evidence::FILE_NAME
    )]
    Contradicted {
        /// The account.
        account: String,
    },
    /// One of them is not what the run wrote.
    #[error(transparent)]
    Sums(#[from] SumsError),
}

/// An earlier run to compare with, or to carry on from.
#[derive(Debug)]
pub struct Baseline {
    directory: PathBuf,
    evidence: Evidence,
    positions: HashMap<String, usize>,
    ledger: Ledger,
}

impl Baseline {
    /// Opens a whole run's directory, and checks that evidence and ledger are those that the run wrote.
    ///
    /// # Errors
    /// One of them is missing, damaged, or not what `SHA256SUMS` says; or they contradict each other.
    pub fn open(run: &Path) -> Result<Self, BaselineError> {
        if is_unfinished(&run.canonicalize().unwrap_or_else(|_| run.to_owned())) {
            return Err(BaselineError::Unfinished {
                run: run.to_owned(),
            });
        }
        let ledger = Ledger::open(&run.join(ledger::FILE_NAME))?;
        let evidence = Evidence::locate(&run.join(evidence::FILE_NAME))?;
        check_sums(
            run,
            &[
                (ledger::FILE_NAME, ledger.sha256()),
                (evidence::FILE_NAME, &evidence.sha256()),
            ],
        )?;
        let accounts = evidence.header().accounts.iter().enumerate();
        let positions: HashMap<_, _> = accounts
            .map(|(position, account)| (account.id.clone(), position))
            .collect();
        let holds = |id: &&str| {
            let position = positions.get(*id);
            position.is_some_and(|&position| evidence.index().is_read(position))
        };
        // Else its connectors would be compared with none, in silence.
        if let Some(id) = ledger.read_by_itself().find(|id| !holds(id)) {
            let account = id.to_owned();
            return Err(BaselineError::Contradicted { account });
        }
        Ok(Self {
            directory: run.to_owned(),
            positions,
            evidence,
            ledger,
        })
    }

    /// Where it stands.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The run, as its evidence describes it.
    pub fn header(&self) -> &RunHeader {
        self.evidence.header()
    }

    /// Whether both are one run, wherever a copy of it stands: another one may have begun in the same second.
    pub fn is_same_run(&self, other: &Self) -> bool {
        self.evidence.sha256() == other.evidence.sha256()
    }

    /// What it was judged by, and which runs it continues.
    pub fn judged(&self) -> &LedgerHeader {
        self.ledger.header()
    }

    /// The figures up to that run, oldest first.
    pub fn trend(&self) -> &[TrendPoint] {
        self.ledger.trend()
    }

    /// Every account that the run knows, asked for by itself or by an earlier one.
    pub fn account_ids(&self) -> Vec<String> {
        self.ledger.account_ids()
    }

    /// The run that last read an account whole.
    pub fn read_by(&self, account_id: &str) -> Option<&str> {
        self.ledger.read_by(account_id)
    }

    /// When an account was last read in full, up to that run.
    pub fn read_at(&self, account_id: &str) -> Option<DateTime<Utc>> {
        self.ledger.read_at(account_id)
    }

    /// Whether it was completed after another run had begun: that one's list of accounts is the older one.
    pub fn overtook(&self, header: &RunHeader) -> bool {
        let begun_after = header.begun_after.unwrap_or(u64::MAX);
        self.judged().sequence > begun_after
    }

    /// Whether the run itself was asked for an account.
    pub fn asked_for(&self, account_id: &str) -> bool {
        self.positions.contains_key(account_id)
    }

    /// How much is read to know of an account, in bytes.
    fn length(&self, account_id: &str) -> usize {
        let position = self.positions.get(account_id);
        let evidence = position.map_or(0, |&position| self.evidence.length(position));
        evidence + self.ledger.length(account_id)
    }

    /// What is known of an account, where anything is; with its connectors, sorted, where it was ever read in full. Texts
    /// are borrowed from `line`, which is filled anew.
    ///
    /// # Errors
    /// Evidence or ledger cannot be read.
    pub fn account<'l>(
        &self,
        account_id: &str,
        line: &'l mut Vec<u8>,
    ) -> Result<Option<AccountMemory<'l>>, BaselineError> {
        let position = self.positions.get(account_id);
        // Read first, into the room that the ledger's line takes next.
        let evidence = match position {
            Some(&position) if self.evidence.index().is_read(position) => {
                Some(self.evidence.account(position, line)?)
            }
            _ => None,
        };
        let Some(mut memory) = self.ledger.account(account_id, line)? else {
            return Ok(None);
        };
        if memory.connectors.is_none() {
            memory.connectors = evidence.map(|evidence| evidence.connectors);
        }
        if let Some(connectors) = &mut memory.connectors {
            crate::model::sort_connectors(connectors);
        }
        Ok(Some(memory))
    }

    /// Adds what this run knows of the domains of accounts that a later one did not read in full.
    fn claims_of_the_unread(
        &self,
        header: &RunHeader,
        index: &Index,
        compares: bool,
        known: &mut KnownElsewhere,
    ) -> Result<(), BaselineError> {
        let positions: HashMap<&str, usize> = header
            .accounts
            .iter()
            .enumerate()
            .map(|(position, account)| (account.id.as_str(), position))
            .collect();
        let mut line = Vec::new();
        for id in self.account_ids() {
            let position = positions.get(id.as_str());
            if position.is_some_and(|&position| index.is_read(position)) {
                continue;
            }
            let Some(memory) = self.account(&id, &mut line)? else {
                continue;
            };
            let connectors = memory.connectors.as_deref().unwrap_or_default();
            if position.is_none() && memory.state.removed {
                continue;
            }
            // A run that compares itself with none reports no account as removed: the next one does.
            let removed = position.is_none()
                && compares
                && carry_on(header, known.lists_are_old, &memory.state).removed;
            let claims = if removed {
                &mut known.removed
            } else {
                &mut known.unread
            };
            claims.add(connectors);
            claims.add_shared(&memory.findings);
        }
        Ok(())
    }

    /// Adds the codes of all connectors that this run knows, or knew.
    fn add_codes(&self, codes: &mut KnownCodes) -> Result<(), BaselineError> {
        let mut line = Vec::new();
        for id in self.account_ids() {
            if let Some(memory) = self.account(&id, &mut line)? {
                let connectors = memory.connectors.iter().flatten();
                codes.add(connectors.filter_map(Connector::code));
                codes.add(memory.state.former_codes.iter().map(String::as_str));
            }
        }
        Ok(())
    }

    /// Adds which accounts of a later run were read in full up to this one; and of those that this one did not read in full
    /// itself, what they claimed already of the domains that they share in the later one.
    fn claimed_unread(
        &self,
        header: &RunHeader,
        shared: &SharedDomains,
        known: &mut KnownElsewhere,
    ) -> Result<(), BaselineError> {
        let accounts = header.accounts.iter();
        known.read_before = accounts
            .map(|account| self.ledger.read_by(&account.id).is_some())
            .collect();
        let mut line = Vec::new();
        for (position, account) in header.accounts.iter().enumerate() {
            if !self.ledger.carries_connectors(&account.id) {
                continue;
            }
            let Some(memory) = self.account(&account.id, &mut line)? else {
                continue;
            };
            let Some(read) = memory.state.read else {
                continue;
            };
            let connectors = memory.connectors.iter().flatten();
            connectors
                .filter_map(Connector::canonical_domain)
                .map(|domain| domain_hash(&domain))
                .filter(|&domain| shared.is_claimed_by(domain, position))
                .for_each(|domain| known.claimed_unread.add(domain, position, read.at));
        }
        Ok(())
    }
}

/// The newest run of a folder that can be read.
#[derive(Debug, Default)]
pub struct Newest {
    /// `None` where there is none.
    pub run: Option<Baseline>,
    /// Newer ones that cannot be read, the newest first.
    pub passed_over: Vec<PassedOver>,
    /// The highest sequence of these runs; 0 where none is known.
    pub sequence: u64,
}

impl Newest {
    /// Looks for the newest whole run of an API under a folder; `except` is left out.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn find(output: &Path, api: ApiAsked<'_>, except: &str) -> io::Result<Self> {
        let mut newest = Self::default();
        for run in whole_runs(output, api, except)? {
            let opened = run.header.and_then(|header| {
                newest.sequence = newest.sequence.max(header.sequence);
                Baseline::open(&run.path).map_err(|error| error.to_string())
            });
            match opened {
                Ok(found) => {
                    newest.run = Some(found);
                    break;
                }
                Err(cause) => {
                    tracing::warn!("cannot compare with {}: {cause}", run.path.display());
                    newest.passed_over.push(PassedOver {
                        run_id: run.run_id,
                        cause: for_terminal(&cause).into_owned(),
                    });
                }
            }
        }
        Ok(newest)
    }
}

/// The earlier runs that a run is compared with, and continues.
#[derive(Debug, Default)]
pub struct History {
    /// One run, or two where the memory that is carried on is another's.
    runs: Vec<Baseline>,
    compared: Option<usize>,
    remembered: Option<usize>,
    /// Runs that should have been compared with, and could not be read.
    pub passed_over: Vec<PassedOver>,
    /// The highest sequence of the folder so far, of runs that cannot be read too: what comes now goes after them all.
    pub sequence: u64,
}

impl History {
    /// Compared with one run, whose memory is carried on too.
    pub fn after(run: Baseline) -> Self {
        Self {
            runs: vec![run],
            compared: Some(0),
            remembered: Some(0),
            ..Self::default()
        }
    }

    /// Compared with nothing; the memory of a run is carried on all the same.
    pub fn uncompared(remembered: Option<Baseline>) -> Self {
        Self {
            remembered: remembered.as_ref().map(|_| 0),
            runs: remembered.into_iter().collect(),
            compared: None,
            ..Self::default()
        }
    }

    /// Compared with one run, while the memory of another is carried on.
    pub fn beside(compared: Baseline, remembered: Baseline) -> Self {
        Self {
            runs: vec![compared, remembered],
            compared: Some(0),
            remembered: Some(1),
            ..Self::default()
        }
    }

    /// The run that is compared with.
    pub fn compared(&self) -> Option<&Baseline> {
        self.runs.get(self.compared?)
    }

    /// The run whose memory is carried on.
    pub fn remembered(&self) -> Option<&Baseline> {
        self.runs.get(self.remembered?)
    }

    /// How much is read to know what these runs know of an account, in bytes.
    pub fn length(&self, account_id: &str) -> usize {
        self.runs.iter().map(|run| run.length(account_id)).sum()
    }

    /// What the two runs know of an account: the one that is compared with, and the one whose memory is carried on.
    ///
    /// # Errors
    /// Evidence or ledger cannot be read.
    pub fn account<'l>(
        &self,
        id: &str,
        lines: &'l mut Lines,
    ) -> Result<Memories<'l>, BaselineError> {
        let compared = match self.compared() {
            Some(run) => run.account(id, &mut lines.compared)?,
            None => None,
        };
        let same = self.compared == self.remembered;
        let remembered = match self.remembered().filter(|_| !same) {
            Some(run) => run.account(id, &mut lines.remembered)?,
            None => None,
        };
        Ok(Memories {
            compared,
            remembered,
            same,
        })
    }

    /// What is known of an account by the run whose memory is carried on.
    ///
    /// # Errors
    /// Evidence or ledger cannot be read.
    pub fn remembered_account<'l>(
        &self,
        id: &str,
        lines: &'l mut Lines,
    ) -> Result<Option<AccountMemory<'l>>, BaselineError> {
        match self.remembered() {
            Some(run) => run.account(id, &mut lines.remembered),
            None => Ok(None),
        }
    }

    /// What is known of the accounts as a whole, for findings that depend on several of them: on the domains that are
    /// shared in this run, or were in an earlier one, and on the codes of all connectors.
    ///
    /// # Errors
    /// Evidence or ledger cannot be read.
    pub fn elsewhere(
        &self,
        evidence: &Evidence,
        shared: &SharedDomains,
    ) -> Result<KnownElsewhere, BaselineError> {
        let header = evidence.header();
        let mut known = KnownElsewhere {
            lists_are_old: self.remembered().is_some_and(|run| run.overtook(header)),
            codes: evidence.codes()?,
            ..KnownElsewhere::default()
        };
        if let Some(run) = self.remembered()
            && run.ledger.has_shared_findings()
        {
            let index = evidence.index();
            run.claims_of_the_unread(header, index, self.compared.is_some(), &mut known)?;
        }
        if let Some(run) = self.remembered()
            && evidence.lookups().is_some()
        {
            run.add_codes(&mut known.codes)?;
        }
        if let Some(run) = self.compared()
            && !shared.is_empty()
        {
            run.claimed_unread(header, shared, &mut known)?;
        }
        Ok(known)
    }

    /// The beginning of the ledger of a run that continues these.
    pub fn ledger_header(
        &self,
        evidence: &Evidence,
        judged_at: DateTime<Utc>,
        policy: Option<PolicySource>,
        thresholds: Thresholds,
    ) -> LedgerHeader {
        let header = evidence.header();
        let lookups = evidence.lookups();
        let run_id = |run: &Baseline| run.header().run_id.clone();
        LedgerHeader {
            schema: ledger::SCHEMA.to_owned(),
            run_id: header.run_id.clone(),
            base_url: header.base_url.clone(),
            demo: header.demo,
            sequence: 1 + self.sequence,
            judged_at,
            policy,
            dns: lookups.map(|lookups| lookups.sha256().to_owned()),
            thresholds,
            compared_with: self.compared().map(run_id),
            carries_on: self
                .remembered()
                .filter(|_| self.remembered != self.compared)
                .map(run_id),
            passed_over: self.passed_over.clone(),
            title: None,
        }
    }
}

/// Room for the lines of an account in two runs.
#[derive(Debug, Default)]
pub struct Lines {
    compared: Vec<u8>,
    remembered: Vec<u8>,
}

/// What two runs know of an account.
#[derive(Debug)]
pub struct Memories<'l> {
    compared: Option<AccountMemory<'l>>,
    remembered: Option<AccountMemory<'l>>,
    same: bool,
}

impl Memories<'_> {
    /// For the judgement.
    pub fn earlier(&self) -> Earlier<'_> {
        Earlier {
            compared: self.compared.as_ref(),
            remembered: if self.same {
                self.compared.as_ref()
            } else {
                self.remembered.as_ref()
            },
        }
    }
}
