//! The rules, one file each. A new rule is a file here and a line in [`RULES`].
//!
//! A rule is pure: it sees one account's evidence and what the policy expects of it, and has no I/O and no
//! clock of its own. Its id, severity, wording and remedy are beside its test.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::accounts::AskedAccount;
use crate::dns::KnownCodes;
use crate::evidence::{Answered, SharedDomains};
use crate::model::Connector;
use crate::policy::Policy;
use crate::severity::Severity;

pub mod controls;
mod disabled_connector;
mod duplicate_domain;
mod enabled_unverified;
mod fedramp_inconsistent;
mod fedramp_language;
mod foreign_code;
mod in_force;
mod missing_domain;
mod no_connector;
mod stale_verification;
mod txt_missing;
mod txt_published;
mod txt_record;
mod unexpected_domain;
mod unknown_value;
mod unread_account;
mod unverified_domain;

use controls::Control;

/// Every rule, in the order in which reports list them.
pub const RULES: &[&Rule] = &[
    &enabled_unverified::RULE,
    &unverified_domain::RULE,
    &stale_verification::RULE,
    &disabled_connector::RULE,
    &fedramp_language::RULE,
    &fedramp_inconsistent::RULE,
    &duplicate_domain::RULE,
    &no_connector::RULE,
    &unexpected_domain::RULE,
    &missing_domain::RULE,
    &unknown_value::RULE,
    &unread_account::RULE,
    &txt_missing::RULE,
    &txt_published::RULE,
    &foreign_code::RULE,
];

/// The rule with an id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// What a rule's findings are about: which of the three reports shows their severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The verification of a domain.
    Verification,
    /// Whether a connector is enabled.
    Enablement,
    /// The FedRAMP text.
    Fedramp,
    /// Whether a connector could be understood at all.
    Clarity,
    /// The account as a whole, or which domains it has.
    Account,
}

/// What a rule judges by: what has to change for its findings to come or go, beside the policy and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// How far the account was read.
    Reading,
    /// The account's own connectors.
    Account,
    /// The connectors of all accounts of the run.
    Run,
    /// TXT records in DNS for the account's connectors, where that was looked up.
    Dns,
}

/// What fixes a finding about a connector, as far as this program can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// The connector has to be disabled.
    Disable,
    /// The connector has to be enabled.
    Enable,
    /// Its verification has to be begun, where it is not in progress.
    Verify,
    /// Its verification has to be begun again, although it is in progress.
    VerifyAgain,
    /// Its FedRAMP text has to be the other one.
    FedrampText,
    /// A person has to publish its TXT record.
    Publish,
    /// A person has to decide about the connector itself: whether it should be there at all. Until then nothing is done
    /// that would build on the connector.
    Decision,
    /// A person has to do something that this program does not do.
    Manual,
}

/// A rule: what it looks for, why, and how to fix it.
#[derive(Debug)]
pub struct Rule {
    /// Its name in every output; never changed.
    pub id: &'static str,
    /// A few words for headings.
    pub title: &'static str,
    /// Of its findings, where neither the finding nor the policy says otherwise.
    pub severity: Severity,
    /// What its findings are about.
    pub topic: Topic,
    /// What it judges by.
    pub basis: Basis,
    /// Why no policy may switch it off or waive what it finds; `None` where one may.
    pub mandatory: Option<&'static str>,
    /// When it fires.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How to fix what it found.
    pub remedy: &'static str,
    /// What `fix` can do about it.
    pub fix: Fix,
    /// The controls that it supports.
    pub controls: &'static [Control],
    /// Whether it can say anything at all of a connector, or of the account where it judges accounts. What it cannot is
    /// counted as not judged: it is no pass. Wherever it fires, it can.
    pub judges: fn(&Subject<'_>, Option<&Connector>) -> bool,
    /// The judgement.
    pub judge: Judge,
}

/// The judgement of a rule.
#[derive(Debug, Clone, Copy)]
pub enum Judge {
    /// Of each connector by itself.
    Connector(fn(&Subject<'_>, &Connector) -> Option<Hit>),
    /// Of the account as a whole.
    Account(fn(&Subject<'_>) -> Vec<Hit>),
}

/// What a rule may look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account as it was asked for.
    pub account: &'a AskedAccount,
    /// What it was answered.
    pub evidence: Answered<'a>,
    /// What is expected.
    pub policy: &'a Policy,
    /// The moment up to which ages count.
    pub now: DateTime<Utc>,
    /// The domains that several connectors of the run claim.
    pub shared_domains: &'a SharedDomains,
    /// Every account of the run, to name those that share a domain.
    pub accounts: &'a [AskedAccount],
    /// The codes of all connectors that this run knows, or those before it.
    pub known_codes: &'a KnownCodes,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hit {
    /// What is wrong, in a sentence.
    pub message: Cow<'static, str>,
    /// Where it is not the rule's own.
    pub severity: Option<Severity>,
    /// Where it says more than the rule's own.
    pub remedy: Option<String>,
    /// The domain it is about, where that is not a connector's.
    pub domain: Option<String>,
}

impl Hit {
    /// A finding with the rule's own severity and remedy.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the rules' tests share: an account from JSON, judged by one rule.

    use super::*;
    use crate::dns::{DnsTxt, SeenInDns};
    use crate::evidence::AccountEvidence;
    use crate::outcome::{ErrorKind, Outcome, ReadError};
    use serde_json::Value;

    pub const ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
    /// The moment at which the tests judge.
    pub const NOW: &str = "2026-11-21T10:15:00Z";

    /// One account to be judged.
    pub struct Case {
        pub policy: Policy,
        pub evidence: AccountEvidence,
        pub shared: SharedDomains,
        pub accounts: Vec<AskedAccount>,
        pub known_codes: KnownCodes,
    }

    /// A connector of which DNS was seen to hold something.
    pub fn with_dns(connector: &Value, txt: DnsTxt, detail: &str) -> Connector {
        let mut connector: Connector = serde_json::from_value(connector.clone()).unwrap();
        connector.dns = Some(Box::new(SeenInDns {
            txt,
            detail: detail.to_owned(),
            other_codes: Vec::new(),
        }));
        connector
    }

    impl Case {
        /// An account read in full, with these connectors.
        pub fn read(connectors: Value) -> Self {
            let mut evidence = AccountEvidence::unread(0, ReadError::new(ErrorKind::Api, ""));
            evidence.outcome = Outcome::Read;
            evidence.error = None;
            evidence.connectors = serde_json::from_value(connectors).unwrap();
            Self::of(evidence)
        }

        /// An account read in full, with these connectors.
        pub fn of_connectors(connectors: Vec<Connector>) -> Self {
            let mut case = Self::read(Value::Array(Vec::new()));
            case.evidence.connectors = connectors;
            case
        }

        pub fn of(evidence: AccountEvidence) -> Self {
            let other = AskedAccount {
                name: "Other Ltd".to_owned(),
                ..AskedAccount::new("b0000000000000000000000000000002", "")
            };
            Self {
                policy: Policy::default(),
                evidence,
                shared: SharedDomains::default(),
                accounts: vec![AskedAccount::new(ID, ""), other],
                known_codes: KnownCodes::default(),
            }
        }

        pub fn judged_by(&self, rule: &Rule) -> Vec<Hit> {
            self.with_subject(|subject| match rule.judge {
                Judge::Connector(judge) => {
                    let connectors = self.evidence.connectors.iter();
                    connectors
                        .filter_map(|connector| judge(subject, connector))
                        .collect()
                }
                Judge::Account(judge) => judge(subject),
            })
        }

        /// What rules may look at.
        pub fn with_subject<T>(&self, look: impl FnOnce(&Subject<'_>) -> T) -> T {
            look(&Subject {
                account: &self.accounts[0],
                evidence: self.evidence.answered(),
                policy: &self.policy,
                now: NOW.parse().unwrap(),
                shared_domains: &self.shared,
                accounts: &self.accounts,
                known_codes: &self.known_codes,
            })
        }

        /// The messages of what the rule found.
        pub fn said_by(&self, rule: &Rule) -> Vec<String> {
            self.judged_by(rule)
                .into_iter()
                .map(|hit| hit.message.into_owned())
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_rule_explains_itself() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                RULES[..index].iter().all(|other| other.id != rule.id),
                "{}",
                rule.id
            );
            assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            for text in [rule.title, rule.what, rule.why, rule.remedy] {
                assert!(text.len() > 8, "{} leaves something unsaid", rule.id);
            }
            assert!(!rule.controls.is_empty(), "{} supports no control", rule.id);
        }
    }
}
