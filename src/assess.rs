//! Evidence, policy and clock give findings: one account at a time, nothing read and nothing written.

use chrono::{DateTime, Utc};

use crate::accounts::AskedAccount;
use crate::baseline::BaselineAccount;
use crate::compare::{Change, Side, compare_accounts};
use crate::evidence::{AccountEvidence, Outcome, RunHeader, SharedDomains};
use crate::model::{Connector, Field};
use crate::policy::Policy;
use crate::rules::{Hit, Judge, Rule, Severity, Subject, Topic};
use crate::text::sha256_hex;

/// Whether a finding calls for action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Open,
    /// It is accepted until a date: the position of the waiver in the policy.
    Waived(usize),
}

/// Whether a finding was there in the run that this one is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// There is nothing to compare with.
    NotCompared,
    /// It was not there.
    New,
    /// It was.
    Existing,
}

impl Age {
    /// The word in files; empty where nothing was compared.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotCompared => "",
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// What a rule found in an account.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The same from run to run: the first 16 hex digits of the SHA-256 of rule, account and connector or domain.
    pub id: String,
    /// The rule that fired.
    pub rule: &'static Rule,
    /// The rule's, the finding's or the policy's.
    pub severity: Severity,
    /// Whether it calls for action.
    pub status: Status,
    /// Whether it is new.
    pub age: Age,
    /// The position of the connector it is about, in [`Assessed::evidence`]; `None` for the account as a whole.
    pub connector: Option<usize>,
    /// The connector's id, or empty.
    pub connector_id: String,
    /// The domain it is about, or empty.
    pub email_domain: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remediation: String,
    /// The start of the first run that found it, as far as baselines reach.
    pub first_seen: DateTime<Utc>,
}

impl Finding {
    /// Whether it calls for action.
    pub fn is_open(&self) -> bool {
        self.status == Status::Open
    }
}

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
    /// What changed since the baseline.
    pub changes: Vec<Change>,
    /// Whether it was read whole in this run and in the baseline.
    pub compared: bool,
    /// Findings of the baseline that were not looked for, because the account was not read whole this time.
    pub carried: Vec<crate::baseline::KnownFinding>,
}

impl Assessed<'_> {
    /// The findings about one connector.
    pub fn findings_of(&self, connector: usize) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.connector == Some(connector))
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
    /// The moment up to which ages count, and on which waivers hold or do not.
    pub now: DateTime<Utc>,
    /// Whether there is a run to compare with.
    pub has_baseline: bool,
}

impl<'a> Assessor<'a> {
    /// Judges one account, and compares it with the same account in the baseline.
    pub fn assess(
        &self,
        mut evidence: AccountEvidence,
        baseline: Option<&BaselineAccount>,
    ) -> Assessed<'a> {
        sort_connectors(&mut evidence.connectors);
        let asked = &self.header.accounts[evidence.position];
        let findings = self.judge(asked, &evidence, baseline);
        let named = self
            .policy
            .account(&asked.id)
            .map_or("", |expectation| expectation.owner.as_str());
        let owner = if named.is_empty() {
            asked.owner.as_str()
        } else {
            named
        };
        let mut assessed = Assessed {
            asked,
            owner,
            evidence,
            findings,
            changes: Vec::new(),
            compared: false,
            carried: Vec::new(),
        };
        if self.has_baseline {
            self.compare(&mut assessed, baseline);
        }
        assessed
    }

    fn compare(&self, assessed: &mut Assessed<'_>, baseline: Option<&BaselineAccount>) {
        let known: Vec<_> = assessed
            .findings
            .iter()
            .map(|finding| finding.known())
            .collect();
        let new = Side {
            account_id: &assessed.asked.id,
            account_name: &assessed.asked.name,
            evidence: &assessed.evidence,
            findings: &known,
        };
        assessed.changes = compare_accounts(baseline.map(BaselineAccount::side), Some(new));
        let was_read = baseline.is_some_and(|old| old.evidence.outcome == Outcome::Read);
        let is_read = assessed.evidence.outcome == Outcome::Read;
        assessed.compared = was_read && is_read;
        if let Some(old) = baseline.filter(|_| !is_read) {
            let still_here = |id: &str| assessed.findings.iter().any(|finding| finding.id == id);
            let unseen = old
                .findings
                .iter()
                .filter(|finding| finding.rule != "unread-account" && !still_here(&finding.id));
            assessed.carried = unseen.cloned().collect();
        }
    }

    fn judge(
        &self,
        asked: &AskedAccount,
        evidence: &AccountEvidence,
        baseline: Option<&BaselineAccount>,
    ) -> Vec<Finding> {
        let subject = Subject {
            account: asked,
            evidence,
            policy: self.policy,
            now: self.now,
            shared_domains: self.shared_domains,
            accounts: &self.header.accounts,
        };
        let mut findings = Vec::new();
        for rule in self.policy.rules_in_force() {
            let mut add = |hit: Hit, connector: Option<usize>| {
                let finding = self.finding(rule, hit, connector, &subject, baseline, &findings);
                findings.extend(finding);
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
        findings.sort_by_key(|finding| (finding.severity, finding.connector));
        findings
    }

    fn finding(
        &self,
        rule: &'static Rule,
        hit: Hit,
        index: Option<usize>,
        subject: &Subject<'_>,
        baseline: Option<&BaselineAccount>,
        earlier: &[Finding],
    ) -> Option<Finding> {
        let severity = self
            .policy
            .severity(rule, hit.severity.unwrap_or(rule.severity))?;
        let connector = index.and_then(|index| subject.evidence.connectors.get(index));
        let connector_id = connector
            .map(|c| c.id.shown("").into_owned())
            .unwrap_or_default();
        let email_domain = match (&hit.domain, connector) {
            (Some(domain), _) => domain.clone(),
            (None, Some(connector)) => connector.email_domain.shown("").into_owned(),
            (None, None) => String::new(),
        };
        let id = unique_id(
            rule,
            &subject.account.id,
            &connector_id,
            &email_domain,
            earlier,
        );
        let canonical = hit
            .domain
            .as_deref()
            .map(Into::into)
            .or_else(|| connector.and_then(Connector::canonical_domain));
        let before = baseline.and_then(|old| old.findings.iter().find(|known| known.id == id));
        let age = match before {
            _ if !self.has_baseline => Age::NotCompared,
            Some(_) => Age::Existing,
            None => Age::New,
        };
        Some(Finding {
            status: self.status(rule, &subject.account.id, canonical.as_deref()),
            first_seen: before.map_or(self.header.started, |known| known.first_seen),
            id,
            rule,
            severity,
            age,
            connector: index,
            connector_id,
            email_domain,
            message: hit.message,
            remediation: hit.remedy.unwrap_or_else(|| rule.remedy.to_owned()),
        })
    }

    fn status(&self, rule: &Rule, account: &str, canonical_domain: Option<&str>) -> Status {
        self.policy
            .waivers
            .holding(rule.id, account, canonical_domain, self.now)
            .map_or(Status::Open, Status::Waived)
    }
}

/// The id of a finding. Connectors without id and domain would share one within their account, so each after
/// the first is numbered; `earlier` are the account's findings so far.
fn unique_id(
    rule: &Rule,
    account: &str,
    connector_id: &str,
    domain: &str,
    earlier: &[Finding],
) -> String {
    let subject = if connector_id.is_empty() {
        domain
    } else {
        connector_id
    };
    let of_same = |finding: &&Finding| {
        finding.rule.id == rule.id
            && finding.connector_id == connector_id
            && (!connector_id.is_empty() || finding.email_domain == domain)
    };
    // Findings of one rule are added one after the other, so the twins are the last ones.
    let twins = earlier
        .iter()
        .rev()
        .take_while(|finding| finding.rule.id == rule.id)
        .filter(of_same)
        .count();
    let suffix = if twins == 0 {
        String::new()
    } else {
        format!("|{}", twins + 1)
    };
    let mut id = sha256_hex(format!("{}|{account}|{subject}{suffix}", rule.id).as_bytes());
    id.truncate(16);
    id
}

/// Sorts connectors by domain, then by id, each as it is shown; what is absent stands first.
pub fn sort_connectors(connectors: &mut [Connector]) {
    fn text(field: &Field<String>) -> &str {
        field.known().map_or("", String::as_str)
    }
    connectors.sort_by(|a, b| {
        let by_domain = text(&a.email_domain).cmp(text(&b.email_domain));
        by_domain.then_with(|| text(&a.id).cmp(text(&b.id)))
    });
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
            has_baseline: false,
        };
        assessor.assess(case.evidence, None).findings
    }

    #[test]
    fn the_id_is_that_of_the_contract() {
        let findings = assessed(json!([]), &Policy::default());
        assert_eq!(
            findings[0].id,
            sha256_hex(format!("no-connector|{ID}|").as_bytes())[..16]
        );
    }

    #[test]
    fn connectors_that_share_everything_still_have_findings_of_their_own() {
        let findings = assessed(
            json!([{}, {}, "x", {"id": "a"}, {"id": "a"}]),
            &Policy::default(),
        );
        let ids: std::collections::HashSet<_> =
            findings.iter().map(|finding| &finding.id).collect();
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
            .map(|f| (f.rule.id, f.email_domain.as_str()))
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
