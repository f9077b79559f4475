//! From assessed accounts to files: what every format renders, and the one way in which a report is made.
//!
//! Accounts pass through one at a time: read from evidence, judged, handed to every format, each on a thread of its own. What stays in memory
//! are counters, the domains that several accounts claim, and the rows that the page has room for. A format is a
//! file here and a line in [`FORMATS`].

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::assess::{Assessed, Assessor, carry_on};
use crate::baseline::{BaselineError, History};
use crate::compare::{Cause, Change, ChangeKind, Known};
use crate::evidence::{self, Evidence, EvidenceError, RunHeader};
use crate::finding::{Age, Status};
use crate::ledger::{
    self as ledger_file, AccountMemory, LedgerHeader, PassedOver, RuleFigures, TREND_RUNS,
    TrendPoint,
};
use crate::outcome::Outcome;
use crate::policy::{FedrampExpectation, Policy, PolicySource, Waiver};
use crate::rules::RULES;
use crate::severity::Severity;
use crate::text::{count, utc};

mod csv;
pub mod files;
pub mod html;
mod json;
mod ledger;
pub mod tables;
mod workers;

pub use csv::Dialect;
pub use json::{SCHEMA, schema};

use crate::file_mode::FileMode;
use crate::runs::SUMS;
use files::Staging;
use tables::{Context, TABLES};
use workers::{Parcel, Workers, finish_all};

/// Takes assessed accounts one by one, and ends with what holds for all of them.
pub trait Format: Send {
    /// Takes the next account.
    ///
    /// # Errors
    /// A file cannot be written.
    fn account(&mut self, assessed: &Assessed<'_>) -> io::Result<()>;

    /// Takes an account that earlier runs know and this one was not asked for, with what changed of it.
    ///
    /// # Errors
    /// A file cannot be written.
    fn not_asked(&mut self, memory: &AccountMemory, changes: &[Change]) -> io::Result<()>;

    /// Ends the files.
    ///
    /// # Errors
    /// A file cannot be written.
    fn finish(self: Box<Self>, summary: &Summary<'_>) -> io::Result<()>;
}

/// A format by its name on the command line.
pub struct FormatSpec {
    /// The name.
    pub name: &'static str,
    /// The files it writes, with what stands in them.
    pub files: &'static [(&'static str, &'static str)],
    /// Whether it is written where nothing is said.
    pub by_default: bool,
    open: for<'a> fn(&Staging, &'a Settings<'a>) -> io::Result<Box<dyn Format + 'a>>,
}

impl std::fmt::Debug for FormatSpec {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Every format that can be asked for.
pub const FORMATS: &[FormatSpec] = &[
    FormatSpec {
        name: "csv",
        files: &[
            (
                "unverified_domains.csv",
                "connectors whose domain is not verified",
            ),
            ("disabled_connectors.csv", "connectors that are not enabled"),
            (
                "fedramp_settings.csv",
                "the FedRAMP text of every connector",
            ),
            ("findings.csv", "what the rules found, worst first"),
            (
                "accounts.csv",
                "every account asked for, and how far it was read",
            ),
            ("connectors.csv", "every connector"),
            ("changes.csv", "what changed since the baseline"),
        ],
        by_default: true,
        open: |staging, settings| {
            csv::CsvFiles::open(staging, settings.dialect, settings.context())
        },
    },
    FormatSpec {
        name: "html",
        files: &[("report.html", "this page")],
        by_default: true,
        open: |staging, settings| html::Page::open(staging, settings),
    },
    FormatSpec {
        name: "json",
        files: &[(
            "report.json",
            "run, coverage, totals, accounts, findings and changes, for programs",
        )],
        by_default: true,
        open: |staging, settings| json::JsonReport::open(staging, settings.context()),
    },
];

/// What a report is made by, beside the evidence.
pub struct Settings<'a> {
    /// What is expected and waived.
    pub policy: &'a Policy,
    /// The moment up to which ages count, and on which waivers hold or do not.
    pub now: DateTime<Utc>,
    /// What is written.
    pub formats: &'a [&'static FormatSpec],
    /// How CSV is written.
    pub dialect: Dialect,
    /// What the page is made of.
    pub template: &'a html::template::PageTemplate,
    /// Who may read the files.
    pub mode: FileMode,
    /// What the ledger begins with: which runs this one goes on from.
    pub ledger: &'a LedgerHeader,
}

impl Settings<'_> {
    fn context(&self) -> Context<'_> {
        Context {
            policy: self.policy,
            now: self.now,
        }
    }
}

/// How far the accounts were read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Coverage {
    /// Accounts asked for.
    pub asked: u64,
    /// Of them read whole.
    pub read: u64,
    /// Of them read in part.
    pub incomplete: u64,
    /// Of them not read.
    pub unread: u64,
    /// Accounts that earlier runs know, that are not removed, and that this run was not asked for.
    pub not_asked: u64,
    /// Why accounts may be missing from the list itself.
    pub gaps: Vec<String>,
}

impl Coverage {
    /// Whether everything that should have been read was.
    pub fn is_whole(&self) -> bool {
        self.read == self.asked && self.gaps.is_empty()
    }

    /// The coverage in a sentence.
    pub fn sentence(&self) -> String {
        let of_all = format!(
            "{} of {} read",
            self.read,
            count(self.asked as usize, "account")
        );
        let mut missing = Vec::new();
        for (number, word) in [(self.incomplete, "incomplete"), (self.unread, "unread")] {
            if number > 0 {
                missing.push(format!("{number} {word}"));
            }
        }
        if !self.gaps.is_empty() {
            missing.push("the list of accounts is not whole".to_owned());
        }
        if missing.is_empty() {
            return of_all;
        }
        format!(
            "{of_all}; {}, so this report is incomplete",
            missing.join(", ")
        )
    }
}

/// How many findings there are of one kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct FindingCount {
    /// That call for action.
    pub open: u64,
    /// That are waived.
    pub waived: u64,
    /// That are new, waived ones included.
    pub new: u64,
    /// That are new and call for action.
    #[serde(skip)]
    pub new_open: u64,
}

impl FindingCount {
    fn add(&mut self, open: bool, new: bool) {
        *(if open {
            &mut self.open
        } else {
            &mut self.waived
        }) += 1;
        self.new += u64::from(new);
        self.new_open += u64::from(open && new);
    }
}

/// The figures of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Connectors read.
    pub connectors: u64,
    /// Whose `enabled` is true.
    pub enabled: u64,
    /// Whose `enabled` is not true, as `disabled_connectors.csv` lists them.
    pub disabled: u64,
    /// Of the disabled ones, those whose `enabled` is not understood.
    pub enabled_unknown: u64,
    /// Whose status is not `verified`, as `unverified_domains.csv` lists them.
    pub unverified: u64,
    /// Whose FedRAMP text is on.
    pub fedramp_on: u64,
    /// Whose FedRAMP text is off.
    pub fedramp_off: u64,
    /// Whose FedRAMP setting is not understood.
    pub fedramp_unknown: u64,
    /// Against what the policy expects.
    pub fedramp_compliance: BTreeMap<&'static str, u64>,
    /// By status as shown.
    pub statuses: BTreeMap<String, u64>,
    /// Of all severities.
    pub findings: FindingCount,
    /// By severity.
    pub by_severity: BTreeMap<Severity, FindingCount>,
    /// By the rule's id.
    pub by_rule: BTreeMap<&'static str, FindingCount>,
    /// By kind.
    pub changes: BTreeMap<ChangeKind, u64>,
    /// Findings resolved, by the rule's id.
    pub resolved: BTreeMap<String, u64>,
    /// Accounts read whole in this run, and ever before.
    pub accounts_compared: u64,
    /// Findings known from earlier runs that this one could not judge again, in the accounts asked for.
    pub not_judged: NotJudged,
}

/// Findings known from earlier runs that a run could not judge again: how bad they were, and why they were not judged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NotJudged {
    /// By the severity that they had when they were judged.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Their accounts were not read whole.
    pub unread: u64,
    /// Their rules are off.
    pub off: u64,
    /// They depend on accounts that were not read whole.
    pub shared: u64,
}

impl NotJudged {
    fn add(&mut self, memory: &AccountMemory, policy: &Policy) {
        for finding in memory.findings.iter().filter(|finding| finding.carried) {
            *self.by_severity.entry(finding.severity).or_default() += 1;
            let rule = crate::rules::rule(&finding.rule);
            *if memory.outcome != Outcome::Read {
                &mut self.unread
            } else if rule.is_some_and(|rule| policy.is_in_force(rule)) {
                &mut self.shared
            } else {
                &mut self.off
            } += 1;
        }
    }

    /// How many.
    pub fn total(&self) -> u64 {
        self.by_severity.values().sum()
    }

    /// What has to be known of them to read the figures right; `None` where there are none.
    pub fn sentence(&self) -> Option<String> {
        let known = self.total();
        if known == 0 {
            return None;
        }
        let severities: Vec<_> = self
            .by_severity
            .iter()
            .map(|(severity, number)| format!("{number} {severity}"))
            .collect();
        let reasons = [
            (self.unread, "in accounts that were not read whole"),
            (self.off, "of rules that are off"),
            (
                self.shared,
                "about domains shared with accounts that were not read whole",
            ),
        ];
        let reasons: Vec<_> = reasons
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, reason)| format!("{number} {reason}"))
            .collect();
        let (was, they) = if known == 1 {
            ("was", "It counts")
        } else {
            ("were", "They count")
        };
        Some(format!(
            "{} ({}) {was} not judged in this run: {}. {they} neither as open nor as resolved.",
            count(known as usize, "known finding"),
            severities.join(", "),
            reasons.join(", ")
        ))
    }
}

/// Statuses that nobody documents are counted one by one up to this many, and then together.
const OTHER_STATUSES: usize = 20;

impl Totals {
    fn add(&mut self, assessed: &Assessed<'_>, policy: &Policy) {
        let expected = policy.fedramp(&assessed.asked.id);
        for connector in &assessed.evidence.connectors {
            self.connectors += 1;
            match connector.enabled.known() {
                Some(true) => self.enabled += 1,
                Some(false) => self.disabled += 1,
                None => {
                    self.disabled += 1;
                    self.enabled_unknown += 1;
                }
            }
            self.unverified += u64::from(!connector.is_verified());
            *match connector.use_fedramp_language.known() {
                Some(true) => &mut self.fedramp_on,
                Some(false) => &mut self.fedramp_off,
                None => &mut self.fedramp_unknown,
            } += 1;
            *self
                .fedramp_compliance
                .entry(tables::compliance(expected, connector))
                .or_default() += 1;
            let status = connector.verification.status.shown("unknown");
            let has_place =
                self.statuses.contains_key(status.as_ref()) || self.statuses.len() < OTHER_STATUSES;
            let counted = if has_place {
                status.into_owned()
            } else {
                "(others)".to_owned()
            };
            *self.statuses.entry(counted).or_default() += 1;
        }
        for finding in &assessed.findings {
            let (open, new) = (finding.is_open(), finding.age == Age::New);
            self.findings.add(open, new);
            self.by_severity
                .entry(finding.severity)
                .or_default()
                .add(open, new);
            self.by_rule
                .entry(finding.rule.id)
                .or_default()
                .add(open, new);
        }
        self.add_changes(&assessed.changes);
        self.accounts_compared += u64::from(assessed.compared);
        self.not_judged.add(&assessed.memory, policy);
    }

    fn add_changes(&mut self, changes: &[Change]) {
        for change in changes {
            *self.changes.entry(change.kind).or_default() += 1;
            if change.kind == ChangeKind::FindingResolved {
                *self.resolved.entry(change.what.clone()).or_default() += 1;
            }
        }
    }
}

/// A waiver with what became of it.
#[derive(Debug, Clone)]
pub struct WaiverUse<'a> {
    /// The waiver.
    pub waiver: &'a Waiver,
    /// Findings that it waived.
    pub waived: u64,
    /// Findings that it means, be it expired or not.
    pub matched: u64,
}

/// What holds for all accounts of a run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The run.
    pub header: &'a RunHeader,
    /// What it was judged by.
    pub policy: &'a Policy,
    /// The moment at which it was judged.
    pub now: DateTime<Utc>,
    /// When the last answer came.
    pub finished: DateTime<Utc>,
    /// The run it was compared with.
    pub baseline: Option<String>,
    /// Whether that run was judged by another policy.
    pub policy_changed: bool,
    /// Runs that should have been compared with, and could not be read.
    pub passed_over: Vec<PassedOver>,
    /// How far the accounts were read.
    pub coverage: Coverage,
    /// The figures.
    pub totals: Totals,
    /// The policy's waivers.
    pub waivers: Vec<WaiverUse<'a>>,
    /// Accounts that the policy names and the run was not asked for.
    pub policy_accounts_absent: Vec<String>,
    /// The figures of this run and those before it, oldest first.
    pub trend: Vec<TrendPoint>,
    /// Of the evidence.
    pub evidence_sha256: String,
}

impl Summary<'_> {
    /// Whether an open finding is at least this bad; only new ones where `only_new` says so.
    pub fn reaches(&self, severity: Severity, only_new: bool) -> bool {
        let mut reached = self
            .totals
            .by_severity
            .iter()
            .filter(|&(&found, _)| found <= severity);
        reached.any(|(_, count)| {
            if only_new {
                count.new_open > 0
            } else {
                count.open > 0
            }
        })
    }

    /// What cannot be trusted of the comparison, in sentences.
    pub fn passed_over_sentences(&self) -> Vec<String> {
        let sentence = |run: &PassedOver| {
            let instead = match &self.baseline {
                Some(baseline) => format!(
                    "this run was compared with run {baseline} instead, so what became new or was resolved in between \
                     is reported again"
                ),
                None => {
                    "this run was compared with no other, so nothing is reported as new".to_owned()
                }
            };
            format!(
                "Run {} could not be read ({}); {instead}.",
                run.run_id, run.cause
            )
        };
        self.passed_over.iter().map(sentence).collect()
    }

    /// The verdict in a few words.
    pub fn headline(&self) -> String {
        if !self.coverage.is_whole() {
            return self.coverage.sentence();
        }
        let open = self.totals.findings.open;
        if open == 0 {
            "Nothing to mend".to_owned()
        } else {
            count(open as usize, "open finding")
        }
    }
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The evidence cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The baseline cannot be read.
    #[error("the baseline cannot be read: {0}")]
    Baseline(#[from] BaselineError),
    /// A file cannot be written.
    #[error("cannot write the report into {}: {source}", path.display())]
    Write {
        /// The run's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Judges every account of the evidence and writes the report into a directory that is there. Nothing stands in
/// its place before all of it is written.
///
/// # Errors
/// Evidence or baseline cannot be read, or a file cannot be written; then the directory is as it was.
pub fn write<'a>(
    directory: &Path,
    evidence: &mut Evidence,
    header: &'a RunHeader,
    history: &mut History,
    settings: &'a Settings<'a>,
) -> Result<Summary<'a>, ReportError> {
    let write_error = |source| ReportError::Write {
        path: directory.to_owned(),
        source,
    };
    let staging = Staging::new(directory, settings.mode).map_err(write_error)?;
    let made = make(&staging, evidence, header, history, settings, &write_error);
    match made {
        Ok(summary) => {
            staging.publish(report_files()).map_err(write_error)?;
            Ok(summary)
        }
        Err(error) => {
            staging.discard();
            Err(error)
        }
    }
}

fn make<'a>(
    staging: &Staging,
    evidence: &mut Evidence,
    header: &'a RunHeader,
    history: &mut History,
    settings: &'a Settings<'a>,
    write_error: &dyn Fn(io::Error) -> ReportError,
) -> Result<Summary<'a>, ReportError> {
    let mut formats = vec![ledger::Ledger::open(staging, settings).map_err(write_error)?];
    for format in settings.formats {
        formats.push((format.open)(staging, settings).map_err(write_error)?);
    }
    let shared_domains = evidence.index().shared_domains();
    let elsewhere = history.elsewhere(header, evidence.index(), &shared_domains)?;
    let assessor = Assessor {
        header,
        policy: settings.policy,
        shared_domains: &shared_domains,
        elsewhere: &elsewhere,
        now: settings.now,
        compares: history.compared().is_some(),
    };
    let mut tally = Tally::new(header, settings);
    let formats = std::thread::scope(|scope| {
        let workers = Workers::start(scope, formats).map_err(write_error)?;
        let fed = feed(&workers, evidence, &assessor, history, &mut tally);
        // Where a format ended early, its own error says why the feeding did.
        let formats = workers.finish().map_err(write_error)?;
        fed.map(|()| formats)
    })?;
    staging.add_sum(evidence::FILE_NAME, evidence.sha256());
    let summary = tally.finish(header, settings, evidence.sha256(), history);
    finish_all(formats, &summary).map_err(write_error)?;
    Ok(summary)
}

/// Reads, judges and counts every account in turn, and hands it to the formats; then those that only earlier runs know.
fn feed<'a>(
    workers: &Workers<'_, 'a, '_>,
    evidence: &mut Evidence,
    assessor: &Assessor<'a>,
    history: &mut History,
    tally: &mut Tally<'_>,
) -> Result<(), ReportError> {
    let accounts = &assessor.header.accounts;
    for (position, account) in accounts.iter().enumerate() {
        workers.wait_for_room();
        let answered = evidence.account(position)?;
        let known = history.account(&account.id)?;
        let assessed = assessor.assess(answered, known.earlier());
        tally.add(&assessed);
        if workers.hand_out_account(assessed).is_err() {
            return Ok(());
        }
    }
    let asked: HashSet<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
    let known = history
        .remembered()
        .map(|run| run.account_ids())
        .unwrap_or_default();
    for id in known.iter().filter(|id| !asked.contains(id.as_str())) {
        let Some(before) = history.remembered_account(id)? else {
            continue;
        };
        let (memory, is_gone, changes) = not_asked(assessor, before);
        tally.coverage.not_asked += u64::from(!is_gone);
        tally.totals.add_changes(&changes);
        if workers
            .hand_out(&Parcel::NotAsked(Arc::new((memory, changes))))
            .is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// What is known of an account that was not asked for, whether it is removed, and what changed of it.
fn not_asked(assessor: &Assessor<'_>, before: AccountMemory) -> (AccountMemory, bool, Vec<Change>) {
    let memory = carry_on(assessor.header, assessor.elsewhere.lists_are_old, &before);
    let is_removed = memory.removed;
    if !assessor.compares {
        // What is not told now is told by the next run that compares.
        return (before, is_removed, Vec::new());
    }
    let mut changes = crate::compare::changes(Some(Known::of(&before)), Some(Known::of(&memory)));
    for change in &mut changes {
        change.cause = Some(Cause::Coverage);
    }
    (memory, is_removed, changes)
}

/// What is counted while the accounts pass through.
struct Tally<'a> {
    policy: &'a Policy,
    coverage: Coverage,
    totals: Totals,
    waivers: Vec<WaiverUse<'a>>,
    finished: DateTime<Utc>,
}

impl<'a> Tally<'a> {
    fn new(header: &RunHeader, settings: &'a Settings<'a>) -> Self {
        let unused = |waiver| WaiverUse {
            waiver,
            waived: 0,
            matched: 0,
        };
        Self {
            policy: settings.policy,
            coverage: Coverage {
                gaps: header.gaps.clone(),
                ..Coverage::default()
            },
            totals: Totals::default(),
            waivers: settings.policy.waivers.iter().map(unused).collect(),
            finished: header.started,
        }
    }

    fn add(&mut self, assessed: &Assessed<'_>) {
        let evidence = &assessed.evidence;
        self.coverage.asked += 1;
        *match evidence.outcome {
            Outcome::Read => &mut self.coverage.read,
            Outcome::Incomplete => &mut self.coverage.incomplete,
            Outcome::Unread => &mut self.coverage.unread,
        } += 1;
        self.finished = self.finished.max(evidence.read_at.unwrap_or(self.finished));
        self.totals.add(assessed, self.policy);
        if self.waivers.is_empty() {
            return;
        }
        for finding in &assessed.findings {
            if let Status::Waived(position) = finding.status {
                self.waivers[position].waived += 1;
            }
            let domain = crate::model::canonical_domain(&finding.email_domain);
            let domain = Some(domain.as_ref()).filter(|domain| !domain.is_empty());
            let (rule, account) = (finding.rule.id, &assessed.asked.id);
            for position in self.policy.waivers.matching(rule, account, domain) {
                self.waivers[position].matched += 1;
            }
        }
    }

    /// The figures of this run for the trend.
    fn figures(&self, header: &RunHeader) -> TrendPoint {
        let totals = &self.totals;
        let open = |severity| {
            let count = totals.by_severity.get(&severity);
            count.map_or(0, |count| count.open)
        };
        let mut rules: BTreeMap<String, RuleFigures> = BTreeMap::new();
        for (rule, count) in &totals.by_rule {
            rules.insert(
                (*rule).to_owned(),
                RuleFigures {
                    open: count.open,
                    waived: count.waived,
                    new: count.new,
                    resolved: 0,
                },
            );
        }
        for (rule, resolved) in &totals.resolved {
            rules.entry(rule.clone()).or_default().resolved = *resolved;
        }
        TrendPoint {
            run_id: header.run_id.clone(),
            started_utc: utc(header.started),
            accounts_asked: self.coverage.asked,
            accounts_read: self.coverage.read,
            whole: self.coverage.is_whole() && self.coverage.not_asked == 0,
            connectors: totals.connectors,
            unverified: totals.unverified,
            disabled: totals.disabled,
            open: totals.findings.open,
            critical: open(Severity::Critical),
            high: open(Severity::High),
            medium: open(Severity::Medium),
            low: open(Severity::Low),
            new: totals.findings.new,
            resolved: totals.resolved.values().sum(),
            rules,
        }
    }

    fn finish(
        self,
        header: &'a RunHeader,
        settings: &Settings<'_>,
        evidence_sha256: String,
        history: &History,
    ) -> Summary<'a> {
        let mut trend = history
            .remembered()
            .map_or_else(Vec::new, |run| run.trend().to_vec());
        trend.push(self.figures(header));
        trend.drain(..trend.len().saturating_sub(TREND_RUNS));
        let asked: HashSet<_> = header
            .accounts
            .iter()
            .map(|account| account.id.as_str())
            .collect();
        let mut absent: Vec<_> = self
            .policy
            .accounts
            .keys()
            .filter(|id| !asked.contains(id.as_str()))
            .cloned()
            .collect();
        absent.sort();
        Summary {
            header,
            policy: self.policy,
            now: settings.now,
            finished: self.finished,
            baseline: history.compared().map(|run| run.header().run_id.clone()),
            policy_changed: history
                .compared()
                .is_some_and(|run| !same_policy(&run.judged().policy, &self.policy.source)),
            passed_over: history.passed_over.clone(),
            coverage: self.coverage,
            totals: self.totals,
            waivers: self.waivers,
            policy_accounts_absent: absent,
            trend,
            evidence_sha256,
        }
    }
}

/// The names of all files that a report may consist of, whatever the formats.
fn report_files() -> impl Iterator<Item = &'static str> {
    let files = FORMATS.iter().flat_map(|format| format.files);
    files.map(|(name, _)| *name)
}

/// The names of all files that a report with these formats consists of, beside the evidence.
pub fn files_of_report(formats: &[&'static FormatSpec]) -> impl Iterator<Item = &'static str> {
    let files = formats.iter().flat_map(|format| format.files);
    files.map(|(name, _)| *name).chain([ledger_file::FILE_NAME])
}

/// Every file that a run's directory may hold, with what stands in it.
pub fn files_written(formats: &[&'static FormatSpec]) -> Vec<(&'static str, &'static str)> {
    let mut files: Vec<_> = formats
        .iter()
        .flat_map(|format| format.files)
        .copied()
        .collect();
    files.extend([
        (
            evidence::FILE_NAME,
            "what every account was answered: the source of everything else",
        ),
        (
            ledger_file::FILE_NAME,
            "what the next run compares itself with",
        ),
        (SUMS, "the checksums of all files, for sha256sum -c"),
    ]);
    files
}

/// The tables by their files' names; for tests and help.
pub fn table_columns() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    TABLES.iter().map(|table| (table.file, table.columns))
}

/// The rules with their counts, in the order of the list.
fn rule_counts(
    totals: &Totals,
) -> impl Iterator<Item = (&'static crate::rules::Rule, FindingCount)> + '_ {
    RULES.iter().map(|rule| {
        (
            *rule,
            totals.by_rule.get(rule.id).copied().unwrap_or_default(),
        )
    })
}

fn same_policy(one: &Option<PolicySource>, other: &Option<PolicySource>) -> bool {
    let sha256 =
        |source: &Option<PolicySource>| source.as_ref().map(|source| source.sha256.clone());
    sha256(one) == sha256(other)
}

/// Whether a policy expects anything of any FedRAMP text.
fn judges_fedramp(policy: &Policy) -> bool {
    let any = |expected: FedrampExpectation| expected == FedrampExpectation::Any;
    !any(policy.fedramp)
        || policy
            .accounts
            .values()
            .any(|account| account.fedramp.is_some_and(|expected| !any(expected)))
}
