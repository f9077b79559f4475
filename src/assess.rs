//! Evidence, policy and clock give findings: one account at a time, nothing read and nothing written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::accounts::AskedAccount;
use crate::claims::{KnownElsewhere, OwnClaims};
use crate::compare::{Cause, Change, ChangeKind, changes};
use crate::dns::DnsTxt;
use crate::evidence::{AccountEvidence, Answered, RunHeader, SharedDomains};
use crate::finding::{Age, Finding, FindingId, KnownFinding, KnownFindings, Status};
use crate::judged::{Judged, judged_by_rule};
use crate::memory::{AccountMemory, AccountState, Earlier, Known, LastRead, LookedUp, sources};
use crate::model::{Connector, canonical_domain, canonical_if_any, sort_connectors};
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::rules::{Basis, Hit, Judge, Rule, Subject, Topic};
use crate::severity::Severity;

/// An account with everything that was found in it.
#[derive(Debug)]
pub struct Assessed<'a> {
    /// The account as it was asked for.
    pub asked: &'a AskedAccount,
    /// Who answers for it: the policy's word, else the accounts file's; or empty.
    pub owner: &'a str,
    /// What it was answered; its connectors sorted by domain, then id.
    pub evidence: AccountEvidence,
    /// Worst first, then in the order of the connectors and rules.
    pub findings: Vec<Finding>,
    /// The positions of each connector's findings in [`Self::findings`].
    of_connector: Vec<Vec<u32>>,
    /// How much each rule could judge, in the order of the rules.
    pub judged: Vec<Judged>,
    /// Whether it was read in full in this run, and ever before.
    pub compared: bool,
    /// What later runs will know of it, beside findings and connectors.
    pub state: AccountState,
    /// The findings that later runs will know beside [`Self::findings`]: those that this run could not judge again.
    pub carried: Vec<KnownFinding<'a>>,
    /// Its connectors when it was last read in full, where that was not now.
    carried_connectors: Option<&'a [Connector]>,
}

impl Assessed<'_> {
    /// What later runs will know of it. Connectors that this run's evidence holds are left out.
    pub fn known(&self) -> Known<'_> {
        Known {
            state: &self.state,
            findings: KnownFindings {
                found: &self.findings,
                known: &self.carried,
            },
            connectors: self.carried_connectors,
        }
    }

    /// The findings about one connector.
    pub fn findings_of(&self, connector: usize) -> impl Iterator<Item = &Finding> {
        let positions = self.of_connector.get(connector).into_iter().flatten();
        positions.map(|&position| &self.findings[position as usize])
    }

    /// The worst severity of what one of the three reports shows of a connector, and whether all of it is
    /// waived. `odd` says whether the field that the report is about is not understood.
    pub fn worst_about(
        &self,
        connector: usize,
        topic: Topic,
        odd: bool,
    ) -> (Option<Severity>, bool) {
        let about = |finding: &&Finding| {
            finding.rule.topic == topic || (odd && finding.rule.topic == Topic::Clarity)
        };
        let mut worst: Option<Severity> = None;
        let mut all_waived = true;
        for finding in self.findings_of(connector).filter(about) {
            worst = Some(worst.map_or(finding.severity, |worst| worst.min(finding.severity)));
            all_waived &= !finding.is_open();
        }
        (worst, worst.is_some() && all_waived)
    }
}

/// What all accounts of a run are judged by.
#[derive(Debug)]
pub struct Assessor<'a> {
    /// The run.
    pub header: &'a RunHeader,
    /// What is expected and waived.
    pub policy: &'a Policy,
    /// The domains that several connectors claim.
    pub shared_domains: &'a SharedDomains,
    /// What earlier runs know of the accounts as a whole.
    pub elsewhere: &'a KnownElsewhere,
    /// The moment up to which ages count, and on which waivers hold or do not.
    pub now: DateTime<Utc>,
    /// Whether there is a run to compare with.
    pub compares: bool,
}

impl<'a> Assessor<'a> {
    /// Judges one account, and says of its findings since when they are known.
    pub fn assess<'e>(
        &'e self,
        mut evidence: AccountEvidence,
        earlier: Earlier<'e>,
    ) -> Assessed<'e> {
        sort_connectors(&mut evidence.connectors);
        let asked = &self.header.accounts[evidence.position];
        let mut findings = self.judge(asked, evidence.answered(), self.now);
        let judged = judged_by_rule(&self.subject(asked, evidence.answered(), self.now));
        self.date(&mut findings, earlier);
        let state = self.remember(asked, &evidence, earlier.remembered);
        let carried = self.carried(&evidence, &findings, earlier.remembered);
        let mut of_connector = vec![Vec::new(); evidence.connectors.len()];
        for (position, finding) in findings.iter().enumerate() {
            if let Some(connector) = finding.connector {
                of_connector[connector].push(position as u32);
            }
        }
        let named = self
            .policy
            .account(&asked.id)
            .map_or("", |expectation| expectation.owner.as_str());
        let owner = if named.is_empty() {
            asked.owner.as_str()
        } else {
            named
        };
        let is_read = evidence.outcome == Outcome::Read;
        Assessed {
            asked,
            owner,
            findings,
            of_connector,
            judged,
            compared: is_read
                && earlier
                    .compared
                    .is_some_and(|known| known.state.read.is_some()),
            state,
            carried,
            carried_connectors: earlier
                .remembered
                .filter(|_| !is_read)
                .and_then(|before| before.connectors.as_deref()),
            evidence,
        }
    }

    /// Says of each finding since when it is known, and whether it is new.
    fn date(&self, findings: &mut [Finding], earlier: Earlier<'_>) {
        let remembered = first_seen(earlier.remembered);
        let compared = first_seen(earlier.compared);
        for finding in findings {
            if let Some(first_seen) = remembered.get(&finding.id) {
                finding.first_seen = *first_seen;
            }
            if self.compares {
                finding.age = if compared.contains_key(&finding.id) {
                    Age::Existing
                } else {
                    Age::New
                };
            }
        }
    }

    /// What later runs will know of an account, beside findings and connectors.
    fn remember(
        &self,
        asked: &AskedAccount,
        evidence: &AccountEvidence,
        memory: Option<&AccountMemory<'_>>,
    ) -> AccountState {
        let before = memory.map(|before| &before.state);
        let is_read = evidence.outcome == Outcome::Read;
        AccountState {
            account_id: asked.id.clone(),
            account_name: asked.name.clone(),
            sources: sources(self.header, self.elsewhere.lists_are_old, asked, before),
            former_codes: if is_read {
                former_codes(memory, &evidence.connectors)
            } else {
                before
                    .map(|before| before.former_codes.clone())
                    .unwrap_or_default()
            },
            // An older list that still has it brings no account back.
            removed: self.elsewhere.lists_are_old && before.is_some_and(|before| before.removed),
            outcome: evidence.outcome,
            read: if is_read {
                Some(LastRead {
                    run_id: self.header.run_id.clone(),
                    at: evidence.read_at.unwrap_or(self.header.started),
                    judged_at: self.now,
                    policy: self.policy_sha256().map(str::to_owned),
                    rules_off: self.policy.rules_off().map(str::to_owned).collect(),
                    dns: LookedUp::of(&evidence.connectors),
                })
            } else {
                before.and_then(|before| before.read.clone())
            },
            unread_since: (!is_read).then(|| {
                let since = before.and_then(|before| before.unread_since);
                since.unwrap_or(self.header.started)
            }),
        }
    }

    /// The findings known from before that were not judged again.
    fn carried<'e>(
        &self,
        evidence: &AccountEvidence,
        findings: &[Finding],
        before: Option<&'e AccountMemory<'e>>,
    ) -> Vec<KnownFinding<'e>> {
        let Some(before) = before.filter(|before| !before.findings.is_empty()) else {
            return Vec::new();
        };
        let is_read = evidence.outcome == Outcome::Read;
        let found: HashSet<FindingId> = findings.iter().map(|finding| finding.id).collect();
        let mut here = Here {
            claims: OwnClaims::of(&evidence.connectors),
            unseen: Unseen::of(&evidence.connectors),
        };
        let known = before.findings.iter().filter(|finding| {
            !found.contains(&finding.id) && (!is_read || self.cannot_judge(finding, &mut here))
        });
        known.map(KnownFinding::carried_on).collect()
    }

    /// Whether a finding that was not found in an account that was read in full may be there all the same: its rule is
    /// off, it is about a domain shared with an account that was not read, or about one of which nobody knows what DNS
    /// holds.
    fn cannot_judge(&self, known: &KnownFinding<'_>, here: &mut Here<'_>) -> bool {
        let Some(rule) = crate::rules::rule(&known.rule) else {
            return false;
        };
        if !self.policy.is_in_force(rule) {
            return true;
        }
        let domain = canonical_domain(&known.email_domain);
        match rule.basis {
            Basis::Run => {
                self.elsewhere.unread.hold(&domain)
                    && here.claims.to(&known.connector_id, &domain).is_there
            }
            Basis::Dns => here.unseen.hold(&known.connector_id, &domain),
            Basis::Reading | Basis::Account => false,
        }
    }

    fn policy_sha256(&self) -> Option<&str> {
        let source = self.policy.source.as_ref();
        source.map(|source| source.sha256.as_str())
    }

    /// What changed of an account that it judged since it was last read in full; nothing where there is no run to compare
    /// with.
    pub fn changes<'c>(
        &'c self,
        assessed: &'c Assessed<'_>,
        earlier: Earlier<'c>,
    ) -> Vec<Change<'c>> {
        if !self.compares {
            return Vec::new();
        }
        let before = earlier.compared;
        let mut now = assessed.known();
        if assessed.evidence.outcome == Outcome::Read {
            now.connectors = Some(&assessed.evidence.connectors);
        }
        let mut changes = changes(before.map(AccountMemory::known), Some(now));
        let connectors = &assessed.evidence.connectors;
        let connectors_then = before
            .and_then(|before| before.connectors.as_deref())
            .unwrap_or_default();
        let publish_more = |connector: &&Connector| {
            let dns = connector.dns.as_ref();
            dns.is_some_and(|seen| !seen.other_codes.is_empty())
        };
        let mut causes = Causes {
            assessor: self,
            asked: assessed.asked,
            evidence: assessed.evidence.answered(),
            before,
            claims_then: OwnClaims::of(connectors_then),
            claims_now: OwnClaims::of(connectors),
            wanted_then: Wanted::of(connectors_then),
            wanted_now: Wanted::of(connectors),
            found_in_dns: None,
            published_beside: connectors
                .iter()
                .filter(publish_more)
                .filter_map(Connector::canonical_domain)
                .collect(),
            domains_then: None,
            had_it_not_changed: None,
            had_no_time_passed: None,
        };
        for change in &mut changes {
            change.cause = Some(causes.of(change));
        }
        changes
    }

    /// What the rules find in an account, worst first.
    fn judge(
        &self,
        asked: &AskedAccount,
        evidence: Answered<'_>,
        now: DateTime<Utc>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.judge_into(asked, evidence, now, |finding| findings.push(finding));
        findings.sort_by_key(|finding| (finding.severity, finding.connector));
        findings
    }

    /// The ids alone of what the rules would find: an account may have too many findings to keep them twice.
    fn ids(
        &self,
        asked: &AskedAccount,
        evidence: Answered<'_>,
        now: DateTime<Utc>,
    ) -> HashSet<FindingId> {
        let mut ids = HashSet::new();
        self.judge_into(asked, evidence, now, |finding| {
            ids.insert(finding.id);
        });
        ids
    }

    /// What the rules may look at.
    fn subject<'s>(
        &'s self,
        asked: &'s AskedAccount,
        evidence: Answered<'s>,
        now: DateTime<Utc>,
    ) -> Subject<'s> {
        Subject {
            account: asked,
            evidence,
            policy: self.policy,
            now,
            shared_domains: self.shared_domains,
            accounts: &self.header.accounts,
            known_codes: &self.elsewhere.codes,
        }
    }

    /// Hands on what the rules find in an account, rule by rule.
    fn judge_into(
        &self,
        asked: &AskedAccount,
        evidence: Answered<'_>,
        now: DateTime<Utc>,
        mut take: impl FnMut(Finding),
    ) {
        let subject = self.subject(asked, evidence, now);
        let mut texts = Texts::of(evidence.connectors);
        for rule in self.policy.rules_in_force() {
            let mut twins = Twins::default();
            let mut add = |hit: Hit, connector: Option<usize>| {
                let found = self.finding(rule, hit, connector, &subject, &mut twins, &mut texts);
                found.into_iter().for_each(&mut take);
            };
            match rule.judge {
                Judge::Account(judge) => judge(&subject).into_iter().for_each(|hit| add(hit, None)),
                Judge::Connector(judge) => {
                    for (index, connector) in evidence.connectors.iter().enumerate() {
                        if let Some(hit) = judge(&subject, connector) {
                            add(hit, Some(index));
                        }
                    }
                }
            }
        }
    }

    fn finding(
        &self,
        rule: &'static Rule,
        hit: Hit,
        index: Option<usize>,
        subject: &Subject<'_>,
        twins: &mut Twins,
        texts: &mut Texts<'_>,
    ) -> Option<Finding> {
        let severity = self
            .policy
            .severity(rule, hit.severity.unwrap_or(rule.severity))?;
        let connector = index.and_then(|index| subject.evidence.connectors.get(index));
        let (connector_id, domain) =
            index.map_or_else(Default::default, |index| texts.of_connector(index));
        let email_domain = hit.domain.as_deref().map_or(domain, Into::into);
        let canonical = hit
            .domain
            .as_deref()
            .map(Into::into)
            .or_else(|| connector.and_then(Connector::canonical_domain));
        Some(Finding {
            id: twins.id(rule, &subject.account.id, &connector_id, &email_domain),
            status: self.status(rule, &subject.account.id, canonical.as_deref()),
            first_seen: self.header.started,
            age: Age::NotCompared,
            rule,
            severity,
            connector: index,
            connector_id,
            email_domain,
            message: hit.message,
            remediation: hit.remedy.map_or(rule.remedy.into(), Into::into),
        })
    }

    fn status(&self, rule: &Rule, account: &str, canonical_domain: Option<&str>) -> Status {
        if rule.mandatory.is_some() {
            return Status::Open;
        }
        self.policy
            .waivers
            .holding(rule.id, account, canonical_domain, self.now)
            .map_or(Status::Open, Status::Waived)
    }
}

/// The most codes of connectors that an account had and has no more that are remembered: of more, the last ones.
const MOST_FORMER_CODES: usize = 1000;

/// The codes that an account's connectors had and have no more.
fn former_codes(before: Option<&AccountMemory<'_>>, connectors: &[Connector]) -> Vec<String> {
    let Some(before) = before else {
        return Vec::new();
    };
    let now: HashSet<_> = connectors.iter().filter_map(Connector::code).collect();
    let had = before.connectors.iter().flatten();
    let gone = had.filter_map(Connector::code).map(str::to_owned);
    let mut seen = HashSet::new();
    let mut former: Vec<_> = before
        .state
        .former_codes
        .iter()
        .cloned()
        .chain(gone)
        .collect();
    // The last time counts.
    former.reverse();
    former.retain(|code| !now.contains(code.as_str()) && seen.insert(code.clone()));
    former.truncate(MOST_FORMER_CODES);
    former.reverse();
    former
}

/// When each finding of a memory was seen first.
fn first_seen(memory: Option<&AccountMemory<'_>>) -> HashMap<FindingId, DateTime<Utc>> {
    let known = memory.into_iter().flat_map(|memory| &memory.findings);
    known
        .map(|finding| (finding.id, finding.first_seen))
        .collect()
}

/// The texts that the findings about each connector of an account share.
struct Texts<'a> {
    connectors: &'a [Connector],
    known: Vec<Option<(Arc<str>, Arc<str>)>>,
}

impl<'a> Texts<'a> {
    fn of(connectors: &'a [Connector]) -> Self {
        Self {
            connectors,
            known: vec![None; connectors.len()],
        }
    }

    /// A connector's id and domain, as reports show them.
    fn of_connector(&mut self, index: usize) -> (Arc<str>, Arc<str>) {
        let Some(connector) = self.connectors.get(index) else {
            return Default::default();
        };
        let texts = self.known[index].get_or_insert_with(|| {
            let domain = connector.email_domain.shown("");
            (connector.id.shown("").into(), domain.into())
        });
        texts.clone()
    }
}

/// The ids of one rule's findings in an account. Connectors without id and domain would share one, so each after the
/// first is numbered.
#[derive(Debug, Default)]
struct Twins {
    seen: HashMap<Arc<str>, usize>,
    taken: HashSet<FindingId>,
    name: String,
}

impl Twins {
    fn id(
        &mut self,
        rule: &Rule,
        account: &str,
        connector_id: &Arc<str>,
        domain: &Arc<str>,
    ) -> FindingId {
        let subject = if connector_id.is_empty() {
            domain
        } else {
            connector_id
        };
        let seen = self.seen.entry(Arc::clone(subject)).or_insert(0);
        loop {
            *seen += 1;
            self.name.clear();
            // Writing to a string cannot fail.
            let _ = write!(self.name, "{}|{account}|{subject}", rule.id);
            if *seen > 1 {
                let _ = write!(self.name, "|{seen}");
            }
            let id = FindingId::of(&self.name);
            // A connector may have been given the very id that a numbered one got.
            if self.taken.insert(id) {
                return id;
            }
        }
    }
}

/// Tells why something changed, by judging again as it would have been without the change.
struct Causes<'c, 'a> {
    assessor: &'c Assessor<'a>,
    asked: &'c AskedAccount,
    evidence: Answered<'c>,
    before: Option<&'c AccountMemory<'c>>,
    claims_then: OwnClaims<'c>,
    claims_now: OwnClaims<'c>,
    wanted_then: Wanted<'c>,
    wanted_now: Wanted<'c>,
    /// The connectors about which earlier runs found something in DNS.
    found_in_dns: Option<HashSet<String>>,
    /// The domains that publish codes beside those of their connectors.
    published_beside: HashSet<Cow<'c, str>>,
    /// The domain of each finding as it was known, by the finding's id.
    domains_then: Option<HashMap<FindingId, &'c str>>,
    /// What today's policy and clock would have found in the connectors of the last time.
    had_it_not_changed: Option<HashSet<FindingId>>,
    /// What today's policy would have found in today's connectors the last time.
    had_no_time_passed: Option<HashSet<FindingId>>,
}

impl Causes<'_, '_> {
    fn of(&mut self, change: &Change<'_>) -> Cause {
        match change.kind {
            ChangeKind::FindingNew | ChangeKind::FindingResolved => self.of_finding(change),
            ChangeKind::FindingReopened => self.of_reopened(change),
            ChangeKind::FindingWaived
                if self.would_be_waived_without_the_change(change) == Some(false) =>
            {
                Cause::Connector
            }
            ChangeKind::FindingWaived => self.of_waivers(change),
            ChangeKind::ConnectorAdded
            | ChangeKind::ConnectorRemoved
            | ChangeKind::ConnectorRecreated
            | ChangeKind::ConnectorChanged => Cause::Connector,
            ChangeKind::AccountAdded
            | ChangeKind::AccountRemoved
            | ChangeKind::AccountUnread
            | ChangeKind::AccountRead => Cause::Coverage,
        }
    }

    fn of_finding(&mut self, change: &Change<'_>) -> Cause {
        let rule = crate::rules::rule(&change.what);
        let read_before = self.before.and_then(|before| before.state.read.as_ref());
        let (Some(rule), Some(last)) = (rule, read_before) else {
            return Cause::Coverage;
        };
        if rule.basis == Basis::Reading {
            return Cause::Coverage;
        }
        let appeared = change.kind == ChangeKind::FindingNew;
        if rule.basis == Basis::Run {
            return self.of_shared(change, last);
        }
        if rule.basis == Basis::Dns {
            return self.of_lookup(change, last);
        }
        if has(self.without_the_change(), change) != appeared {
            return Cause::Connector;
        }
        if last.rules_off.iter().any(|rule| *rule == change.what) {
            // What is gone already went while its rule was off; what is there may have come then, and nobody looked.
            return if appeared {
                Cause::Policy
            } else {
                Cause::Connector
            };
        }
        if has(self.without_the_time(last.judged_at), change) != appeared {
            return Cause::Time;
        }
        if last.policy.as_deref() != self.assessor.policy_sha256() {
            Cause::Policy
        } else {
            Cause::Coverage
        }
    }

    /// Of a finding about a domain that several connectors share, which no clock and no threshold brings or takes: a
    /// claim came or went, here or in another account, or the rule was turned on.
    fn of_shared(&mut self, change: &Change<'_>, last: &LastRead) -> Cause {
        let domain = canonical_domain(&change.email_domain);
        let then = self.claims_then.to(&change.connector_id, &domain);
        let now = self.claims_now.to(&change.connector_id, &domain);
        let elsewhere = self.assessor.elsewhere;
        if then.is_there != now.is_there {
            return Cause::Connector;
        }
        if change.kind == ChangeKind::FindingResolved {
            // It was shared then. Where the rule is off, the finding is carried on and not resolved.
            let another_went = then.connectors > now.connectors;
            return if another_went || !elsewhere.removed.hold(&domain) {
                Cause::Connector
            } else {
                Cause::Coverage
            };
        }
        if last.rules_off.iter().any(|rule| *rule == change.what) {
            return Cause::Policy;
        }
        let another_came = now.connectors > then.connectors;
        let was_claimed =
            elsewhere
                .claimed_unread
                .elsewhere(&domain, self.evidence.position, last.at);
        if another_came || !was_claimed && self.another_was_read_before(&domain) {
            Cause::Connector
        } else {
            Cause::Coverage
        }
    }

    /// Of a finding about what DNS holds: the connector that it is about changed, the rule was turned on, nobody had
    /// looked or could know before, or the zone changed.
    fn of_lookup(&mut self, change: &Change<'_>, last: &LastRead) -> Cause {
        let domain = canonical_domain(&change.email_domain);
        let then = self.wanted_then.by(&change.connector_id, &domain);
        if then != self.wanted_now.by(&change.connector_id, &domain) {
            return Cause::Connector;
        }
        if last.rules_off.iter().any(|rule| *rule == change.what) {
            return Cause::Policy;
        }
        let was_known = last.dns.as_ref().is_some_and(|dns| {
            let unknown = dns
                .unknown
                .binary_search_by(|unknown| unknown.as_str().cmp(&domain));
            unknown.is_err()
        });
        // A code that is published still, and is no finding any more, is that of a connector that is known by now.
        let is_known_since = change.kind == ChangeKind::FindingResolved
            && change.connector_id.is_empty()
            && self.published_beside.contains(&*domain);
        // What was found once was known then, and is known until it is resolved.
        let was_known = was_known
            || change.kind == ChangeKind::FindingResolved
            || self.was_found_in_dns(&change.connector_id, &domain);
        if was_known && !is_known_since {
            Cause::Dns
        } else {
            Cause::Coverage
        }
    }

    /// Whether an earlier run found something about what DNS holds for a connector.
    fn was_found_in_dns(&mut self, connector_id: &str, canonical: &str) -> bool {
        let before = self.before;
        let found = self.found_in_dns.get_or_insert_with(|| {
            let known = before.into_iter().flat_map(|before| &before.findings);
            let of_dns = known.filter(|known| {
                crate::rules::rule(&known.rule).is_some_and(|rule| rule.basis == Basis::Dns)
            });
            of_dns
                .map(|known| claim_key(&canonical_domain(&known.email_domain), &known.connector_id))
                .collect()
        });
        found.contains(&claim_key(canonical, connector_id))
    }

    /// Whether an account that was read in full before claims a domain, beside this one.
    fn another_was_read_before(&self, canonical_domain: &str) -> bool {
        let claimants = self.assessor.shared_domains.claimants(canonical_domain);
        let mut positions = claimants.iter().map(|claimant| claimant.position);
        let read_before = &self.assessor.elsewhere.read_before;
        positions.any(|position| {
            position != self.evidence.position && read_before.get(position) == Some(&true)
        })
    }

    /// Whether a waiver of today would hold for a finding's domain as it was; `None` where that has not changed.
    fn would_be_waived_without_the_change(&mut self, change: &Change<'_>) -> Option<bool> {
        let domains = self.domains_then.get_or_insert_with(|| {
            let known = self.before.into_iter().flat_map(|before| &before.findings);
            known
                .map(|finding| (finding.id, &*finding.email_domain))
                .collect()
        });
        let then = canonical_domain(domains.get(&change.finding_id?)?);
        if then == canonical_domain(&change.email_domain) {
            return None;
        }
        let domain = Some(&*then).filter(|domain| !domain.is_empty());
        let waivers = &self.assessor.policy.waivers;
        let holds = waivers.holding(&change.what, &self.asked.id, domain, self.assessor.now);
        Some(holds.is_some())
    }

    fn of_reopened(&mut self, change: &Change<'_>) -> Cause {
        if self.would_be_waived_without_the_change(change) == Some(true) {
            return Cause::Connector;
        }
        let domain = canonical_if_any(&change.email_domain);
        let waivers = &self.assessor.policy.waivers;
        let mut matching = waivers.matching(&change.what, &self.asked.id, domain.as_deref());
        let last = self.before.and_then(|before| before.state.read.as_ref());
        let ended_since = |position: usize| {
            let waiver = &waivers[position];
            waiver.is_expired(self.assessor.now)
                && last.is_none_or(|last| !waiver.is_expired(last.judged_at))
        };
        if matching.any(ended_since) {
            Cause::Time
        } else {
            self.of_waivers(change)
        }
    }

    /// Of a finding that other waivers hold for than before. Where the policy is still the one of the last reading, the
    /// finding was carried on then and is judged again only now: what brought it back brought the change.
    fn of_waivers(&mut self, change: &Change<'_>) -> Cause {
        let last = self.before.and_then(|before| before.state.read.as_ref());
        let is_shared =
            crate::rules::rule(&change.what).is_some_and(|rule| rule.basis == Basis::Run);
        match last {
            Some(last) if is_shared && last.policy.as_deref() == self.assessor.policy_sha256() => {
                self.of_shared(change, last)
            }
            _ => Cause::Policy,
        }
    }

    fn without_the_change(&mut self) -> &HashSet<FindingId> {
        self.had_it_not_changed.get_or_insert_with(|| {
            let connectors = self.before.and_then(|before| before.connectors.as_deref());
            let evidence = Answered {
                position: self.evidence.position,
                outcome: Outcome::Read,
                error: None,
                connectors: connectors.unwrap_or_default(),
            };
            self.assessor.ids(self.asked, evidence, self.assessor.now)
        })
    }

    fn without_the_time(&mut self, then: DateTime<Utc>) -> &HashSet<FindingId> {
        self.had_no_time_passed
            .get_or_insert_with(|| self.assessor.ids(self.asked, self.evidence, then))
    }
}

/// What is needed to tell whether a known finding of an account could be judged.
struct Here<'e> {
    claims: OwnClaims<'e>,
    unseen: Unseen<'e>,
}

/// The connectors of which nobody knows what DNS holds, put in order only where somebody asks.
struct Unseen<'e> {
    connectors: &'e [Connector],
    /// By domain and id; one without id for each domain.
    known: Option<HashSet<String>>,
}

impl<'e> Unseen<'e> {
    fn of(connectors: &'e [Connector]) -> Self {
        Self {
            connectors,
            known: None,
        }
    }

    /// Whether the connector with an id, or any where it is empty, is one of those, under a domain.
    fn hold(&mut self, connector_id: &str, canonical_domain: &str) -> bool {
        let connectors = self.connectors;
        let known = self.known.get_or_insert_with(|| {
            let is_unseen = |connector: &&Connector| {
                matches!(connector.dns_txt(), None | Some(DnsTxt::Unknown))
            };
            let mut known = HashSet::new();
            for connector in connectors.iter().filter(is_unseen) {
                if let Some(domain) = connector.canonical_domain() {
                    if !connector.is_verified() {
                        known.insert(claim_key(&domain, &connector.id.shown("")));
                    }
                    known.insert(claim_key(&domain, ""));
                }
            }
            known
        });
        known.contains(&claim_key(canonical_domain, connector_id))
    }
}

/// A connector by its domain and id, or all of a domain by an empty id.
fn claim_key(canonical_domain: &str, connector_id: &str) -> String {
    format!(
        "{}:{canonical_domain}{connector_id}",
        canonical_domain.len()
    )
}

/// What connectors want to be in DNS, put in order only where somebody asks.
struct Wanted<'c> {
    connectors: &'c [Connector],
    /// By domain and id the codes, and whether they are verified; without id all codes of the domain.
    by_claim: Option<HashMap<String, Vec<WantedCode<'c>>>>,
}

/// A code, where it is known, and whether its domain is verified.
type WantedCode<'c> = (Option<&'c str>, bool);

impl<'c> Wanted<'c> {
    fn of(connectors: &'c [Connector]) -> Self {
        Self {
            connectors,
            by_claim: None,
        }
    }

    /// Of the connector that a change is about; of all of the domain where it is about that.
    fn by(&mut self, connector_id: &str, canonical_domain: &str) -> &[WantedCode<'c>] {
        let connectors = self.connectors;
        let by_claim = self.by_claim.get_or_insert_with(|| {
            let mut by_claim: HashMap<_, Vec<_>> = HashMap::new();
            for connector in connectors {
                if let Some(domain) = connector.canonical_domain() {
                    let code = connector.code();
                    let id = connector.id.shown("");
                    if !id.is_empty() {
                        let of_it = by_claim.entry(claim_key(&domain, &id)).or_default();
                        of_it.push((code, connector.is_verified()));
                    }
                    // What is published beside a connector's own code says nothing of its status.
                    let of_domain = by_claim.entry(claim_key(&domain, "")).or_default();
                    of_domain.push((code, false));
                }
            }
            by_claim
                .values_mut()
                .for_each(|codes| codes.sort_unstable());
            by_claim
        });
        let claim = claim_key(canonical_domain, connector_id);
        by_claim.get(&claim).map_or(&[], Vec::as_slice)
    }
}

/// Whether the finding that a change is about is among these.
fn has(ids: &HashSet<FindingId>, change: &Change<'_>) -> bool {
    change.finding_id.is_some_and(|id| ids.contains(&id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Waiver;
    use crate::rules::testing::{Case, ID, NOW};
    use serde_json::json;

    fn assessed(connectors: serde_json::Value, policy: &Policy) -> Vec<Finding> {
        let case = Case::read(connectors);
        let header = crate::evidence::testing::header(case.accounts.clone());
        let shared = SharedDomains::default();
        let assessor = Assessor {
            header: &header,
            policy,
            shared_domains: &shared,
            now: NOW.parse().unwrap(),
            elsewhere: &KnownElsewhere::default(),
            compares: false,
        };
        assessor.assess(case.evidence, Earlier::default()).findings
    }

    #[test]
    fn the_id_is_that_of_the_contract() {
        let findings = assessed(json!([]), &Policy::default());
        assert_eq!(
            findings[0].id.to_string(),
            crate::text::sha256_hex(format!("no-connector|{ID}|").as_bytes())[..16]
        );
    }

    #[test]
    fn connectors_that_share_everything_still_have_findings_of_their_own() {
        let findings = assessed(
            json!([{}, {}, "x", {"id": "a"}, {"id": "a"}]),
            &Policy::default(),
        );
        let ids: HashSet<_> = findings.iter().map(|finding| &finding.id).collect();
        assert_eq!((findings.len(), ids.len()), (5, 5));
    }

    #[test]
    fn findings_stand_worst_first() {
        let findings = assessed(
            json!([
                {"id": "1", "email_domain": "b.example", "enabled": false, "use_fedramp_language": true, "verification": {"status": "failed"}},
                {"id": "2", "email_domain": "a.example", "enabled": true, "use_fedramp_language": true, "verification": {"status": "pending"}},
            ]),
            &Policy::default(),
        );
        let shown: Vec<_> = findings
            .iter()
            .map(|f| (f.rule.id, &*f.email_domain))
            .collect();
        assert_eq!(
            shown,
            [
                ("enabled-unverified", "a.example"),
                ("unverified-domain", "b.example"),
                ("unverified-domain", "a.example"),
                ("disabled-connector", "b.example"),
            ]
        );
    }

    #[test]
    fn a_waived_finding_keeps_its_severity_and_an_unread_account_is_never_waived() {
        let waiver = |rule: &str| Waiver {
            rule: crate::rules::rule(rule).unwrap().id,
            account: None,
            domain: None,
            reason: "r".to_owned(),
            owner: "o".to_owned(),
            expires: "2026-11-21".parse().unwrap(),
        };
        let policy = Policy {
            waivers: ["no-connector", "unread-account"]
                .map(waiver)
                .into_iter()
                .collect(),
            ..Policy::default()
        };
        let findings = assessed(json!([]), &policy);
        assert_eq!(
            (findings[0].status, findings[0].severity),
            (Status::Waived(0), Severity::Low)
        );
    }

    fn waiver_for(
        rule: &str,
        account: Option<&str>,
        domain: Option<&str>,
        expires: &str,
    ) -> Waiver {
        Waiver {
            rule: crate::rules::rule(rule).unwrap().id,
            account: account.map(str::to_owned),
            domain: domain.map(str::to_owned),
            reason: String::new(),
            owner: String::new(),
            expires: expires.parse().unwrap(),
        }
    }

    #[test]
    fn a_waiver_matches_by_rule_account_and_domain_and_an_expired_one_reopens() {
        let connectors = json!([{"id": "1", "email_domain": "Lab.example.", "enabled": false, "use_fedramp_language": true,
                                 "verification": {"status": "verified"}}]);
        let status = |waiver: Waiver| {
            let policy = Policy {
                waivers: [waiver].into_iter().collect(),
                ..Policy::default()
            };
            assessed(connectors.clone(), &policy)[0].status
        };
        let rule = "disabled-connector";
        for (account, domain, expires, expected) in [
            (None, None, "2026-11-21", Status::Waived(0)),
            (
                Some(ID),
                Some("lab.example"),
                "2026-11-21",
                Status::Waived(0),
            ),
            (None, None, "2026-11-20", Status::Open),
            (
                Some("b0000000000000000000000000000002"),
                None,
                "2026-11-21",
                Status::Open,
            ),
            (None, Some("other.example"), "2026-11-21", Status::Open),
        ] {
            assert_eq!(
                status(waiver_for(rule, account, domain, expires)),
                expected,
                "{account:?} {domain:?} {expires}"
            );
        }
        assert_eq!(
            status(waiver_for("no-connector", None, None, "2026-11-21")),
            Status::Open
        );
    }

    proptest::proptest! {
        #[test]
        fn no_waiver_ever_removes_a_finding(
            waivers in proptest::collection::vec(
                (proptest::sample::select(crate::rules::RULES), proptest::bool::ANY, proptest::bool::ANY, proptest::bool::ANY), 0..6),
        ) {
            let connectors = json!([
                {"id": "1", "email_domain": "a.example", "enabled": false, "verification": {"status": "failed"}},
                {"id": "2", "email_domain": "b.example", "enabled": true, "use_fedramp_language": true, "verification": {"status": "pending"}},
            ]);
            let waivers = waivers.into_iter().map(|(rule, account, domain, expired)| {
                waiver_for(rule.id, account.then_some(ID), domain.then_some("a.example"), if expired { "2001-01-01" } else { "2030-01-01" })
            });
            let policy = Policy { waivers: waivers.collect(), ..Policy::default() };
            let shown = |findings: Vec<Finding>| findings.into_iter().map(|f| (f.id, f.severity, f.message)).collect::<Vec<_>>();
            let with = shown(assessed(connectors.clone(), &policy));
            proptest::prop_assert_eq!(with, shown(assessed(connectors, &Policy::default())));
        }
    }
}
