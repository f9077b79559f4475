//! What the user expects of the accounts, and what is waived until when.

mod read;
pub mod written;

pub use read::{PolicyError, Problem};

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::model::canonical_domain;
use crate::rules::{RULES, Rule, Severity};

/// A policy that is valid. The default one expects nothing and waives nothing.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where it came from; `None` for the default one.
    pub source: Option<PolicySource>,
    /// What the policy says of single rules, by their id.
    pub rules: HashMap<&'static str, RuleSetting>,
    /// When a state has lasted too long.
    pub thresholds: Thresholds,
    /// What is expected where no account says otherwise.
    pub fedramp: FedrampExpectation,
    /// What is expected of single accounts, by their id.
    pub accounts: HashMap<String, AccountExpectation>,
    /// What is accepted for a time, in the order of the file.
    pub waivers: Vec<Waiver>,
}

/// Where a policy came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySource {
    /// The file's path, as it was given.
    pub path: String,
    /// The SHA-256 of the file, in hex.
    pub sha256: String,
}

/// What a policy says of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSetting {
    /// The rule is not judged by.
    Off,
    /// Its findings have this severity.
    Severity(Severity),
}

/// When a state has lasted too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Days that a verification may be pending. Cloudflare gives up within two.
    pub pending_days: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { pending_days: 2 }
    }
}

/// Which FedRAMP text is expected at login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FedrampExpectation {
    /// It must be on.
    Required,
    /// It must be off.
    Forbidden,
    /// Either will do.
    #[default]
    Any,
}

impl FedrampExpectation {
    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Forbidden => "forbidden",
            Self::Any => "any",
        }
    }
}

/// What is expected of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountExpectation {
    /// `None` where the policy's default holds.
    pub fedramp: Option<FedrampExpectation>,
    /// Who answers for it; empty where the policy does not say.
    pub owner: String,
    /// Canonical domains that must each have an enabled, verified connector.
    pub domains: Vec<String>,
    /// The domains it may have; `None` where it may have any.
    pub allow_domains: Option<Vec<DomainPattern>>,
}

/// A domain, or all domains below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// `agency.example`
    Exactly(String),
    /// `*.agency.example`: what stands below it, not the domain itself.
    Below(String),
}

impl DomainPattern {
    /// Reads `agency.example` or `*.agency.example`.
    pub fn parse(text: &str) -> Self {
        match text.trim().strip_prefix("*.") {
            Some(parent) => Self::Below(canonical_domain(parent).into_owned()),
            None => Self::Exactly(canonical_domain(text).into_owned()),
        }
    }

    /// Whether a canonical domain is meant.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Exactly(wanted) => domain == wanted,
            Self::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

/// A finding that is accepted until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule whose findings it waives.
    pub rule: &'static str,
    /// The account, or `None` for every one.
    pub account: Option<String>,
    /// The canonical domain, or `None` for every one.
    pub domain: Option<String>,
    /// Why it was accepted.
    pub reason: String,
    /// Who accepted it.
    pub owner: String,
    /// The last day on which it holds, in UTC.
    pub expires: NaiveDate,
}

/// A waiver that runs out within so many days is listed as expiring.
pub const EXPIRING_DAYS: i64 = 30;

impl Waiver {
    /// Whether it means a finding, be it expired or not.
    pub fn matches(&self, rule: &str, account: &str, canonical_domain: Option<&str>) -> bool {
        self.rule == rule
            && self
                .account
                .as_deref()
                .is_none_or(|wanted| wanted == account)
            && self
                .domain
                .as_deref()
                .is_none_or(|wanted| Some(wanted) == canonical_domain)
    }

    /// Whether it still holds and runs out within [`EXPIRING_DAYS`].
    pub fn is_expiring(&self, now: DateTime<Utc>) -> bool {
        let left = (self.expires - now.date_naive()).num_days();
        (0..=EXPIRING_DAYS).contains(&left)
    }

    /// Whether it no longer holds: from the day after its last.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        now.date_naive() > self.expires
    }
}

impl Policy {
    /// The severity of a rule's findings, `None` where the rule is off. `by_rule` is what the rule itself says.
    pub fn severity(&self, rule: &Rule, by_rule: Severity) -> Option<Severity> {
        match self.rules.get(rule.id) {
            None => Some(by_rule),
            Some(RuleSetting::Severity(severity)) => Some(*severity),
            Some(RuleSetting::Off) => None,
        }
    }

    /// Which FedRAMP text an account is expected to show.
    pub fn fedramp(&self, account: &str) -> FedrampExpectation {
        let own = self
            .accounts
            .get(account)
            .and_then(|expectation| expectation.fedramp);
        own.unwrap_or(self.fedramp)
    }

    /// What is expected of one account, where the policy names it.
    pub fn account(&self, account: &str) -> Option<&AccountExpectation> {
        self.accounts.get(account)
    }

    /// Whether a rule is judged by.
    pub fn is_in_force(&self, rule: &Rule) -> bool {
        self.rules.get(rule.id) != Some(&RuleSetting::Off)
    }

    /// The rules that are judged by, in the order of the list.
    pub fn rules_in_force(&self) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().copied().filter(|rule| self.is_in_force(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_star_means_what_stands_below_and_not_the_domain_itself() {
        let below = DomainPattern::parse("*.Agency.example.");
        assert!(below.matches("a.agency.example") && below.matches("a.b.agency.example"));
        assert!(
            !below.matches("agency.example")
                && !below.matches("myagency.example")
                && !below.matches(".agency.example")
        );
        assert!(DomainPattern::parse("Agency.EXAMPLE").matches("agency.example"));
    }

    #[test]
    fn a_waiver_holds_on_its_last_day_and_not_the_day_after() {
        let waiver = Waiver {
            rule: "disabled-connector",
            account: None,
            domain: Some("a.example".to_owned()),
            reason: String::new(),
            owner: String::new(),
            expires: NaiveDate::from_ymd_opt(2027, 1, 31).unwrap(),
        };
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert!(!waiver.is_expired(at("2027-01-31T23:59:59Z")));
        assert!(waiver.is_expired(at("2027-02-01T00:00:00Z")));
        assert!(waiver.matches("disabled-connector", "x", Some("a.example")));
        assert!(!waiver.matches("disabled-connector", "x", None));
        assert!(!waiver.matches("no-connector", "x", Some("a.example")));
    }
}
