//! What is counted while the accounts pass through, and what holds for all of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::columns::compliance;
use super::{About, Settings};
use crate::assess::Assessed;
use crate::baseline::History;
use crate::compare::{Change, ChangeKind};
use crate::dns::{DnsTxt, LookupsHeader};
use crate::evidence::{Evidence, RunHeader};
use crate::finding::Age;
use crate::judged::Judged;
use crate::ledger::{PassedOver, RuleFigures, TREND_RUNS, TrendPoint};
use crate::model::{Field, Status, canonical_if_any};
use crate::organizations;
use crate::outcome::Outcome;
use crate::policy::{Policy, PolicySource, Remediation, Waiver};
use crate::rules::{Basis, RULES, Rule};
use crate::severity::Severity;
use crate::shard::Share;
use crate::text::{count, grouped, utc};
use crate::thresholds::Thresholds;

/// How far the accounts were read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Coverage {
    /// Accounts asked for.
    pub asked: u64,
    /// Of them read in full.
    pub read: u64,
    /// Of them read in part.
    pub incomplete: u64,
    /// Of them not read.
    pub unread: u64,
    /// Accounts that earlier runs know, that are not removed, and that this run was not asked for.
    pub not_asked: u64,
    /// Why accounts may be missing from the list itself.
    pub gaps: Vec<String>,
    /// How many accounts were not read in full, by the kind of the error.
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

    /// Accounts that were not read in full.
    pub fn not_whole(&self) -> u64 {
        self.incomplete + self.unread
    }

    /// Why accounts were not read in full, the most frequent cause first: `101 accounts: auth; 1 account: timeout`. `None` where all
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
            grouped(self.read),
            count(self.asked as usize, "account")
        );
        let mut missing = Vec::new();
        for (number, word) in [(self.incomplete, "incomplete"), (self.unread, "unread")] {
            if number > 0 {
                missing.push(format!("{} {word}", grouped(number)));
            }
        }
        if !self.gaps.is_empty() {
            missing.push("the list of accounts is incomplete".to_owned());
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
    /// Accounts judged, by the rule's id.
    pub judged: BTreeMap<&'static str, u64>,
    /// Accounts read in full in this run, and ever before.
    pub accounts_compared: u64,
    /// Findings known from earlier runs that this one could not judge again, in the accounts asked for.
    pub not_judged: NotJudged,
    /// Connectors whose domains were looked up in DNS, by how their records stand.
    pub dns: BTreeMap<&'static str, u64>,
    /// Of those, verified ones whose record is not there.
    pub records_gone: u64,
}

/// Findings known from earlier runs that a run could not judge again: how bad they were, and why they were not judged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NotJudged {
    /// By the severity that they had when they were judged.
    pub by_severity: BTreeMap<Severity, u64>,
    /// Their accounts were not read in full.
    pub unread: u64,
    /// Their rules are off.
    pub off: u64,
    /// They depend on accounts that were not read in full.
    pub shared: u64,
    /// They depend on what DNS holds, and that was not looked up, or nobody knows.
    pub dns: u64,
}

impl NotJudged {
    fn add(&mut self, assessed: &Assessed<'_>, policy: &Policy) {
        for finding in &assessed.carried {
            *self.by_severity.entry(finding.severity).or_default() += 1;
            let rule = crate::rules::rule(&finding.rule);
            *if assessed.evidence.outcome != Outcome::Read {
                &mut self.unread
            } else {
                match rule.filter(|rule| policy.is_in_force(rule)) {
                    None => &mut self.off,
                    Some(rule) if rule.basis == Basis::Dns => &mut self.dns,
                    Some(_) => &mut self.shared,
                }
            } += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        add_each(&mut self.by_severity, other.by_severity);
        self.unread += other.unread;
        self.off += other.off;
        self.shared += other.shared;
        self.dns += other.dns;
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
            (self.unread, "in accounts that were not read in full"),
            (self.off, "from rules that are off"),
            (
                self.shared,
                "about domains shared with accounts that this run did not read in full or was not asked for",
            ),
            (
                self.dns,
                "about DNS records that were not checked, or that no resolver answered for",
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
            if let Some(txt) = connector.dns_txt() {
                *self.dns.entry(txt.as_str()).or_default() += 1;
            }
            self.records_gone += u64::from(connector.is_verified_and_record_gone());
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
        for (rule, judged) in RULES.iter().zip(&assessed.judged) {
            let is_known =
                assessed.evidence.outcome == Outcome::Read || rule.basis == Basis::Reading;
            // Of an account that has nothing to be judged, nothing is left to judge.
            let is_judged = judged.judged > 0 || judged.not_judged == 0;
            if is_known && policy.is_in_force(rule) && is_judged {
                *self.judged.entry(rule.id).or_default() += 1;
            }
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
        add_each(&mut self.judged, other.judged);
        self.accounts_compared += other.accounts_compared;
        self.not_judged.merge(other.not_judged);
        add_each(&mut self.dns, other.dns);
        self.records_gone += other.records_gone;
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

/// A remediation with what it means.
#[derive(Debug, Clone)]
pub struct RemediationUse<'a> {
    /// The remediation.
    pub remediation: &'a Remediation,
    /// Open findings that it means.
    pub open: u64,
    /// Findings known from before that it means and that this run could not judge again.
    pub not_judged: u64,
    /// Whether its rule judged anything at all.
    pub is_judged: bool,
}

impl RemediationUse<'_> {
    /// Whether its day has passed and something that it means is still open, as far as is known.
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.open + self.not_judged > 0 && self.remediation.is_past(now)
    }

    /// How it stands: nothing is done that nobody could look at.
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        if self.is_overdue(now) {
            "overdue"
        } else if self.open > 0 {
            "planned"
        } else if self.not_judged > 0 || !self.is_judged {
            "not-judged"
        } else {
            "done"
        }
    }
}

/// Accounts that were not read in full for the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadCause {
    /// The kind of the error.
    pub kind: &'static str,
    /// How many.
    pub accounts: u64,
    /// Since when the one that was not read longest was not read in full.
    pub longest: DateTime<Utc>,
    /// Since when the one that was not read shortest was not read in full.
    pub shortest: DateTime<Utc>,
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
    /// How much each rule could judge, in the order of the rules.
    pub judged: Vec<Judged>,
    /// Why accounts were not read in full, the most frequent cause first.
    pub causes: Vec<UnreadCause>,
    /// The policy's waivers.
    pub waivers: Vec<WaiverUse<'a>>,
    /// The policy's remediations.
    pub remediations: Vec<RemediationUse<'a>>,
    /// Accounts that the policy names and the run was not asked for.
    pub policy_accounts_absent: Vec<String>,
    /// The figures of this run and those before it, oldest first.
    pub trend: Vec<TrendPoint>,
    /// Of the evidence.
    pub evidence_sha256: String,
    /// When the run does not end with 0.
    pub thresholds: Thresholds,
    /// Who was asked what DNS holds; `None` where nothing was looked up.
    pub lookups: Option<LookupsHeader>,
}

impl Summary<'_> {
    /// What has to be known where DNS was to be looked up, and no answer came.
    pub fn dns_silence(&self) -> Option<&'static str> {
        let lookups = self.lookups.as_ref()?;
        let is_unknown = |(txt, _): (&&str, &u64)| *txt == DnsTxt::Unknown.as_str();
        let dns = &self.totals.dns;
        let nothing_is_known = !dns.is_empty() && dns.iter().all(is_unknown);
        (lookups.nobody.is_some() || nothing_is_known)
            .then_some("DNS could not be checked, so the state of every TXT record is unknown.")
    }

    /// What DNS was seen to hold, in words; `None` where nothing was looked up.
    pub fn dns_sentences(&self) -> Option<Vec<String>> {
        let lookups = self.lookups.as_ref()?;
        if let Some(nobody) = &lookups.nobody {
            return Some(vec![format!("DNS was not checked: {nobody}.")]);
        }
        let dns = &self.totals.dns;
        let of = |txt: &DnsTxt| {
            let number = dns.get(txt.as_str()).filter(|number| **number > 0)?;
            Some(format!("{number} {}", txt.as_str()))
        };
        let mut counts: Vec<_> = DnsTxt::ALL.iter().filter_map(of).collect();
        let looked_up: u64 = dns.values().sum();
        if looked_up > 0 && looked_up < self.totals.connectors {
            counts.push(format!(
                "{} not checked",
                self.totals.connectors - looked_up
            ));
        }
        let mut sentences = vec![match counts.is_empty() {
            true => {
                "None of the connectors read has a domain that can be looked up in DNS.".to_owned()
            }
            false => format!(
                "TXT records of {}, checked with {}: {}.",
                count(self.totals.connectors as usize, "connector"),
                // Its port is another each time.
                match lookups.simulated {
                    true => "the simulated name server".to_owned(),
                    false => lookups.resolvers.join(" and "),
                },
                counts.join(", ")
            ),
        }];
        sentences.extend(self.dns_silence().map(str::to_owned));
        let gone = self.totals.records_gone;
        if gone > 0 {
            sentences.push(format!(
                "{} without {} record: not a finding, because Cloudflare does not say that the record must stay.",
                count(gone as usize, "verified connector"),
                if gone == 1 { "its" } else { "their" }
            ));
        }
        Some(sentences)
    }

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

    /// The shard, or shards, whose accounts alone the run has: `1/3: 34 of 100 accounts`; `None` where it has all.
    pub fn shard(&self) -> Option<String> {
        self.header.shards_alone().map(Share::sentence)
    }

    /// What has to be known of a run that has the accounts of shards alone, or was merged of several.
    pub fn parts_sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        match self.coverage.not_asked {
            0 => {}
            1 => sentences.push(
                "1 further account is known from earlier runs and was not included.".to_owned(),
            ),
            several => sentences.push(format!(
                "{} further accounts are known from earlier runs and were not included.",
                grouped(several)
            )),
        }
        let header = self.header;
        match (&header.share, &header.merged) {
            (Some(share), None) => sentences.push(format!(
                "This is shard {}. Domains are compared only within this shard; merge all shards to compare them across all accounts.",
                share.words()
            )),
            (_, Some(merged)) => sentences.extend(merged.sentences()),
            (None, None) => {}
        }
        sentences
    }

    /// Whether the policy expects anything of the FedRAMP text of any connector that was read.
    pub fn judges_fedramp(&self) -> bool {
        let mut compliance = self.totals.fedramp_compliance.iter();
        compliance.any(|(word, number)| *word != "not-judged" && *number > 0)
    }

    /// What cannot be trusted of the comparison, in sentences.
    pub fn passed_over_sentences(&self) -> Vec<String> {
        let sentence = |run: &PassedOver| {
            let instead = match &self.baseline {
                Some(baseline) => format!(
                    "this run was compared with run {baseline} instead, so anything new or resolved in between \
                     is reported again"
                ),
                None => "this run was not compared with any other, so nothing is reported as new"
                    .to_owned(),
            };
            format!(
                "Run {} could not be read ({}); {instead}.",
                run.run_id, run.cause
            )
        };
        self.passed_over.iter().map(sentence).collect()
    }

    /// The open findings of a severity in what was read. That an account was not read is coverage, and is beside it.
    pub fn found(&self, severity: Severity) -> FindingCount {
        let of = |counts: Option<&FindingCount>| counts.copied().unwrap_or_default();
        let mut found = of(self.totals.by_severity.get(&severity));
        let about_reading = RULES.iter().filter(|rule| rule.basis == Basis::Reading);
        for rule in about_reading {
            if self.policy.severity(rule, rule.severity) == Some(severity) {
                let unread = of(self.totals.by_rule.get(rule.id));
                found.open -= unread.open;
                found.new_open -= unread.new_open;
            }
        }
        found
    }

    /// The verdict in a few words: what is open in what was read, worst first, and how much of it is new.
    pub fn headline(&self) -> String {
        let coverage = &self.coverage;
        let asked = count(coverage.asked as usize, "account");
        if coverage.asked > 0
            && coverage.not_whole() == coverage.asked
            && self.totals.connectors == 0
        {
            return format!("Nothing was assessed: none of {asked} could be read");
        }
        let found = Severity::ALL.map(|severity| (severity, self.found(severity)));
        let open = |(_, found): &&(Severity, FindingCount)| found.open > 0;
        let (urgent, lesser) = found.split_at(2);
        let listed: Vec<_> = urgent.iter().filter(open).collect();
        let listed = if listed.is_empty() {
            lesser.iter().filter(open).collect()
        } else {
            listed
        };
        let mut headline = if listed.is_empty() && coverage.is_whole() {
            "No open findings".to_owned()
        } else if listed.is_empty() && coverage.asked > 0 && coverage.read * 2 < coverage.asked {
            return format!(
                "Mostly not assessed: only {} of {asked} read",
                grouped(coverage.read)
            );
        } else if listed.is_empty() {
            "No open findings in what could be read".to_owned()
        } else {
            let words = listed
                .iter()
                .map(|(severity, found)| format!("{} {severity}", grouped(found.open)));
            words.collect::<Vec<_>>().join(", ")
        };
        let new: u64 = listed.iter().map(|(_, found)| found.new_open).sum();
        if self.baseline.is_some() && !listed.is_empty() {
            headline.push_str(&match new {
                0 => "; none new".to_owned(),
                new => format!("; {} new", grouped(new)),
            });
        }
        for (number, words) in [
            (coverage.unread, "not assessed"),
            (coverage.incomplete, "read in part"),
        ] {
            if number > 0 {
                let accounts = count(number as usize, "account");
                headline.push_str(&format!("; {accounts} {words}"));
            }
        }
        headline
    }
}

/// What is counted while the accounts pass through.
#[derive(Debug, Default)]
pub struct Tally {
    /// How far they were read.
    pub coverage: Coverage,
    /// The figures.
    pub totals: Totals,
    /// How much each rule could judge.
    judged: Vec<Judged>,
    /// By cause, since when the accounts that were not read longest and shortest were not read in full.
    unread_since: BTreeMap<&'static str, (DateTime<Utc>, DateTime<Utc>)>,
    /// What became of each waiver of the policy, where it has any.
    waivers: Vec<WaiverCount>,
    /// The open findings that each remediation of the policy means, and those that were not judged again.
    remediations: Vec<(u64, u64)>,
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
            let kind = error.kind.as_str();
            *self.coverage.causes.entry(kind).or_default() += 1;
            if let Some(since) = assessed.state.unread_since {
                add_span(&mut self.unread_since, kind, (since, since));
            }
        }
        add_judged(&mut self.judged, &assessed.judged);
        self.finished = self.finished.max(evidence.read_at);
        self.totals.add(assessed, policy);
        self.waivers
            .resize_with(policy.waivers.len(), Default::default);
        self.remediations.resize(policy.remediations.len(), (0, 0));
        if self.waivers.is_empty() && self.remediations.is_empty() {
            return;
        }
        for finding in &assessed.findings {
            if let crate::finding::Status::Waived(position) = finding.status {
                self.waivers[position].waived += 1;
            }
            let domain = canonical_if_any(&finding.email_domain);
            let domain = domain.as_deref();
            let (rule, account) = (finding.rule.id, &assessed.asked.id);
            for position in policy.waivers.matching(rule, account, domain) {
                self.waivers[position].matched += 1;
            }
            let remediation = policy.remediations.of(rule, account, domain);
            if let Some(position) = remediation.filter(|_| finding.is_open()) {
                self.remediations[position].0 += 1;
            }
        }
        for known in &assessed.carried {
            let domain = canonical_if_any(&known.email_domain);
            let domain = domain.as_deref();
            let remediation = policy
                .remediations
                .of(&known.rule, &assessed.asked.id, domain);
            if let Some(position) = remediation {
                self.remediations[position].1 += 1;
            }
        }
    }

    /// Adds what came after.
    pub fn merge(&mut self, other: Self) {
        self.coverage.merge(other.coverage);
        self.totals.merge(other.totals);
        self.finished = self.finished.max(other.finished);
        add_judged(&mut self.judged, &other.judged);
        for (kind, span) in other.unread_since {
            add_span(&mut self.unread_since, kind, span);
        }
        let most = self.remediations.len().max(other.remediations.len());
        self.remediations.resize(most, (0, 0));
        for (count, more) in self.remediations.iter_mut().zip(other.remediations) {
            count.0 += more.0;
            count.1 += more.1;
        }
        let most = self.waivers.len().max(other.waivers.len());
        self.waivers.resize_with(most, Default::default);
        for (count, more) in self.waivers.iter_mut().zip(other.waivers) {
            count.waived += more.waived;
            count.matched += more.matched;
        }
    }

    /// The figures of this run for the trend.
    fn figures(&self, header: &RunHeader, policy: &Policy) -> TrendPoint {
        let totals = &self.totals;
        let open = |severity| {
            let count = totals.by_severity.get(&severity);
            count.map_or(0, |count| count.open)
        };
        let mut rules: BTreeMap<String, RuleFigures> = BTreeMap::new();
        for (rule, count) in rule_counts(totals) {
            let judged = totals.judged.get(rule.id).copied().unwrap_or_default();
            rules.insert(
                rule.id.to_owned(),
                RuleFigures {
                    severity: policy.severity(rule, rule.severity),
                    judged: Some(judged),
                    not_judged: Some(self.coverage.asked.saturating_sub(judged)),
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
        About { header, mut trend }: About<'a>,
        settings: &Settings<'a>,
        evidence: &Evidence,
        history: &History,
    ) -> Summary<'a> {
        let policy = settings.policy;
        self.coverage.gaps = header.all_gaps();
        self.waivers
            .resize_with(policy.waivers.len(), Default::default);
        let used = |(waiver, count): (&'a Waiver, &WaiverCount)| WaiverUse {
            waiver,
            waived: count.waived,
            matched: count.matched,
        };
        let waivers = policy.waivers.iter().zip(&self.waivers).map(used).collect();
        self.remediations.resize(policy.remediations.len(), (0, 0));
        add_judged(&mut self.judged, &vec![Judged::default(); RULES.len()]);
        let judged = RULES.iter().zip(&self.judged);
        let judged: HashSet<_> = judged
            .filter(|(_, judged)| judged.judged > 0)
            .map(|(rule, _)| rule.id)
            .collect();
        let remediations = policy.remediations.iter().zip(&self.remediations);
        let remediations = remediations.map(|(remediation, &(open, not_judged))| RemediationUse {
            remediation,
            open,
            not_judged,
            is_judged: judged.contains(remediation.rule),
        });
        let cause =
            |(kind, (longest, shortest)): (&&'static str, &(DateTime<Utc>, DateTime<Utc>))| {
                UnreadCause {
                    kind,
                    accounts: self.coverage.causes.get(kind).copied().unwrap_or_default(),
                    longest: *longest,
                    shortest: *shortest,
                }
            };
        let mut causes: Vec<_> = self.unread_since.iter().map(cause).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.accounts));
        trend.push(self.figures(header, policy));
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
            judged: self.judged,
            causes,
            waivers,
            remediations: remediations.collect(),
            policy_accounts_absent: absent,
            trend,
            evidence_sha256: evidence.sha256(),
            thresholds: settings.ledger.thresholds,
            lookups: evidence.lookups().map(|lookups| lookups.header().clone()),
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

fn add_judged(to: &mut Vec<Judged>, more: &[Judged]) {
    to.resize(to.len().max(more.len()), Judged::default());
    for (judged, more) in to.iter_mut().zip(more) {
        judged.merge(*more);
    }
}

/// Widens the span of a cause.
fn add_span(
    spans: &mut BTreeMap<&'static str, (DateTime<Utc>, DateTime<Utc>)>,
    kind: &'static str,
    (longest, shortest): (DateTime<Utc>, DateTime<Utc>),
) {
    let span = spans.entry(kind).or_insert((longest, shortest));
    *span = (span.0.min(longest), span.1.max(shortest));
}

fn same_policy(one: &Option<PolicySource>, other: &Option<PolicySource>) -> bool {
    let sha256 =
        |source: &Option<PolicySource>| source.as_ref().map(|source| source.sha256.clone());
    sha256(one) == sha256(other)
}
