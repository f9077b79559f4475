//! What is counted while the accounts pass through, and what holds for all of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Settings;
use super::columns::compliance;
use crate::assess::Assessed;
use crate::baseline::History;
use crate::compare::{Change, ChangeKind};
use crate::evidence::RunHeader;
use crate::finding::Age;
use crate::ledger::{PassedOver, RuleFigures, TREND_RUNS, TrendPoint};
use crate::model::{Field, Status};
use crate::organizations;
use crate::outcome::Outcome;
use crate::policy::{FedrampExpectation, Policy, PolicySource, Waiver};
use crate::rules::{RULES, Rule};
use crate::severity::Severity;
use crate::text::{count, utc};
use crate::thresholds::Thresholds;

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
    /// How many accounts were not read whole, by the kind of the error.
    pub causes: BTreeMap<&'static str, u64>,
}

impl Coverage {
    fn merge(&mut self, other: Self) {
        self.asked += other.asked;
        self.read += other.read;
        self.incomplete += other.incomplete;
        self.unread += other.unread;
        self.not_asked += other.not_asked;
        add_each(&mut self.causes, other.causes);
    }

    /// Accounts that were not read whole.
    pub fn not_whole(&self) -> u64 {
        self.incomplete + self.unread
    }

    /// Why accounts were not read whole, the most frequent cause first: `101 accounts: auth; 1 account: timeout`. `None` where all
    /// were.
    pub fn causes_in_words(&self) -> Option<String> {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|&(_, number)| std::cmp::Reverse(*number));
        let words = causes
            .into_iter()
            .map(|(kind, number)| format!("{}: {kind}", count(*number as usize, "account")));
        let words: Vec<_> = words.collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

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
    fn merge(&mut self, other: Self) {
        self.open += other.open;
        self.waived += other.waived;
        self.new += other.new;
        self.new_open += other.new_open;
    }

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
#[derive(Debug, Clone, Default)]
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
    pub statuses: Statuses,
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
    fn add(&mut self, assessed: &Assessed<'_>, policy: &Policy) {
        for finding in &assessed.carried {
            *self.by_severity.entry(finding.severity).or_default() += 1;
            let rule = crate::rules::rule(&finding.rule);
            *if assessed.evidence.outcome != Outcome::Read {
                &mut self.unread
            } else if rule.is_some_and(|rule| policy.is_in_force(rule)) {
                &mut self.shared
            } else {
                &mut self.off
            } += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        add_each(&mut self.by_severity, other.by_severity);
        self.unread += other.unread;
        self.off += other.off;
        self.shared += other.shared;
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

fn add_each<K: Ord>(to: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, number) in more {
        *to.entry(key).or_default() += number;
    }
}

fn merge_each<K: Ord>(to: &mut BTreeMap<K, FindingCount>, more: BTreeMap<K, FindingCount>) {
    for (key, count) in more {
        to.entry(key).or_default().merge(count);
    }
}

/// Statuses that nobody documents are counted one by one up to this many, in the order in which they are met, and then
/// together.
const OTHER_STATUSES: usize = 15;

/// How often each status was shown.
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    documented: BTreeMap<&'static str, u64>,
    /// By status: which of them it was, and how often it was shown.
    others: HashMap<String, (usize, u64)>,
    /// Shown by those for which there was no place.
    rest: u64,
}

impl Statuses {
    fn add(&mut self, status: &Field<Status>) {
        match status {
            Field::Known(status) => *self.documented.entry(status.as_str()).or_default() += 1,
            Field::Absent | Field::Null => *self.documented.entry(UNKNOWN).or_default() += 1,
            Field::Unrecognised(_) => self.add_other(&status.shown(UNKNOWN), 1),
        }
    }

    fn add_other(&mut self, status: &str, number: u64) {
        match self.others.get_mut(status) {
            Some((_, count)) => *count += number,
            None => {
                let place = self.others.len();
                self.others.insert(status.to_owned(), (place, number));
            }
        }
    }

    /// Adds what came after, in its order.
    fn merge(&mut self, other: Self) {
        add_each(&mut self.documented, other.documented);
        self.rest += other.rest;
        let mut others: Vec<_> = other.others.into_iter().collect();
        others.sort_unstable_by_key(|(_, (place, _))| *place);
        for (status, (_, number)) in others {
            if self.others.contains_key(&status) || self.others.len() < OTHER_STATUSES {
                self.add_other(&status, number);
            } else {
                self.rest += number;
            }
        }
    }

    /// Each with its number, by name.
    pub fn by_name(&self) -> BTreeMap<&str, u64> {
        let documented = self
            .documented
            .iter()
            .map(|(status, number)| (*status, *number));
        let others = self.others.iter();
        let others = others.map(|(status, (_, number))| (status.as_str(), *number));
        let rest = Some((REST, self.rest)).filter(|(_, number)| *number > 0);
        let mut by_name = BTreeMap::new();
        // One that is not documented may spell a word of ours.
        for (status, number) in documented.chain(others).chain(rest) {
            *by_name.entry(status).or_default() += number;
        }
        by_name
    }
}

const UNKNOWN: &str = "unknown";
const REST: &str = "(others)";

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
                .entry(compliance(expected, connector))
                .or_default() += 1;
            self.statuses.add(&connector.verification.status);
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
        self.accounts_compared += u64::from(assessed.compared);
        self.not_judged.add(assessed, policy);
    }

    fn merge(&mut self, other: Self) {
        self.connectors += other.connectors;
        self.enabled += other.enabled;
        self.disabled += other.disabled;
        self.enabled_unknown += other.enabled_unknown;
        self.unverified += other.unverified;
        self.fedramp_on += other.fedramp_on;
        self.fedramp_off += other.fedramp_off;
        self.fedramp_unknown += other.fedramp_unknown;
        add_each(&mut self.fedramp_compliance, other.fedramp_compliance);
        self.statuses.merge(other.statuses);
        self.findings.merge(other.findings);
        merge_each(&mut self.by_severity, other.by_severity);
        merge_each(&mut self.by_rule, other.by_rule);
        add_each(&mut self.changes, other.changes);
        add_each(&mut self.resolved, other.resolved);
        self.accounts_compared += other.accounts_compared;
        self.not_judged.merge(other.not_judged);
    }

    /// Counts changes.
    pub fn add_changes(&mut self, changes: &[Change<'_>]) {
        for change in changes {
            *self.changes.entry(change.kind).or_default() += 1;
            if change.kind == ChangeKind::FindingResolved {
                *self.resolved.entry(change.what.to_string()).or_default() += 1;
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
    /// When the run does not end with 0.
    pub thresholds: Thresholds,
}

impl Summary<'_> {
    /// Whether an open finding is as bad as `--fail-on` says.
    pub fn reaches_fail_on(&self) -> bool {
        self.thresholds
            .fail_on
            .is_some_and(|severity| self.has(severity, |count| count.open))
    }

    /// Whether an open finding that is new is as bad as `--fail-on-new` says.
    pub fn reaches_fail_on_new(&self) -> bool {
        self.thresholds
            .fail_on_new
            .is_some_and(|severity| self.has(severity, |count| count.new_open))
    }

    fn has(&self, least: Severity, number: impl Fn(&FindingCount) -> u64) -> bool {
        let by_severity = self.totals.by_severity.iter();
        let mut bad_enough = by_severity.filter(|&(&severity, _)| severity <= least);
        bad_enough.any(|(_, count)| number(count) > 0)
    }

    /// Whether as much was read as has to be. What a list of accounts lacks cannot be counted, and is never allowed.
    pub fn is_read_enough(&self) -> bool {
        let Coverage { asked, gaps, .. } = &self.coverage;
        let allowed = self.thresholds.allow_unread;
        gaps.is_empty() && allowed.allows(self.coverage.not_whole(), *asked)
    }

    /// `3 organizations, 41 accounts`; `None` where none was asked for.
    pub fn organizations_sentence(&self) -> Option<String> {
        let organizations = self.header.organizations.len();
        let accounts = self.header.organization_accounts();
        (organizations > 0).then(|| organizations::sentence(organizations, accounts))
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

/// What is counted while the accounts pass through.
#[derive(Debug, Default)]
pub struct Tally {
    /// How far they were read.
    pub coverage: Coverage,
    /// The figures.
    pub totals: Totals,
    /// What became of each waiver of the policy, where it has any.
    waivers: Vec<WaiverCount>,
    /// When the last answer came.
    finished: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct WaiverCount {
    waived: u64,
    matched: u64,
}

impl Tally {
    /// Counts an account.
    pub fn add(&mut self, assessed: &Assessed<'_>, policy: &Policy) {
        let evidence = &assessed.evidence;
        self.coverage.asked += 1;
        *match evidence.outcome {
            Outcome::Read => &mut self.coverage.read,
            Outcome::Incomplete => &mut self.coverage.incomplete,
            Outcome::Unread => &mut self.coverage.unread,
        } += 1;
        if let Some(error) = &evidence.error {
            *self.coverage.causes.entry(error.kind.as_str()).or_default() += 1;
        }
        self.finished = self.finished.max(evidence.read_at);
        self.totals.add(assessed, policy);
        self.waivers
            .resize_with(policy.waivers.len(), Default::default);
        if self.waivers.is_empty() {
            return;
        }
        for finding in &assessed.findings {
            if let crate::finding::Status::Waived(position) = finding.status {
                self.waivers[position].waived += 1;
            }
            let domain = crate::model::canonical_domain(&finding.email_domain);
            let domain = Some(domain.as_ref()).filter(|domain| !domain.is_empty());
            let (rule, account) = (finding.rule.id, &assessed.asked.id);
            for position in policy.waivers.matching(rule, account, domain) {
                self.waivers[position].matched += 1;
            }
        }
    }

    /// Adds what came after.
    pub fn merge(&mut self, other: Self) {
        self.coverage.merge(other.coverage);
        self.totals.merge(other.totals);
        self.finished = self.finished.max(other.finished);
        let most = self.waivers.len().max(other.waivers.len());
        self.waivers.resize_with(most, Default::default);
        for (count, more) in self.waivers.iter_mut().zip(other.waivers) {
            count.waived += more.waived;
            count.matched += more.matched;
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

    /// What holds for all accounts.
    pub fn finish<'a>(
        mut self,
        header: &'a RunHeader,
        settings: &Settings<'a>,
        evidence_sha256: String,
        history: &History,
    ) -> Summary<'a> {
        let policy = settings.policy;
        self.coverage.gaps.clone_from(&header.gaps);
        self.waivers
            .resize_with(policy.waivers.len(), Default::default);
        let used = |(waiver, count): (&'a Waiver, &WaiverCount)| WaiverUse {
            waiver,
            waived: count.waived,
            matched: count.matched,
        };
        let waivers = policy.waivers.iter().zip(&self.waivers).map(used).collect();
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
        let mut absent: Vec<_> = policy
            .accounts
            .keys()
            .filter(|id| !asked.contains(id.as_str()))
            .cloned()
            .collect();
        absent.sort();
        Summary {
            header,
            policy,
            now: settings.now,
            finished: self.finished.unwrap_or(header.started).max(header.started),
            baseline: history.compared().map(|run| run.header().run_id.clone()),
            policy_changed: history
                .compared()
                .is_some_and(|run| !same_policy(&run.judged().policy, &policy.source)),
            passed_over: history.passed_over.clone(),
            coverage: self.coverage,
            totals: self.totals,
            waivers,
            policy_accounts_absent: absent,
            trend,
            evidence_sha256,
            thresholds: settings.ledger.thresholds,
        }
    }
}

/// The rules with their counts, in the order of the list.
pub fn rule_counts(totals: &Totals) -> impl Iterator<Item = (&'static Rule, FindingCount)> + '_ {
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
pub fn judges_fedramp(policy: &Policy) -> bool {
    let any = |expected: FedrampExpectation| expected == FedrampExpectation::Any;
    !any(policy.fedramp)
        || policy
            .accounts
            .values()
            .any(|account| account.fedramp.is_some_and(|expected| !any(expected)))
}
