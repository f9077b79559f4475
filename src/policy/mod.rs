//! What the user expects of the accounts, and what is waived until when: as valid, whatever it was read of. Rules are
//! their ids here, so that they can judge by a policy without its knowing them.

mod domains;
mod promises;
mod waivers;

pub use domains::AllowedDomains;
pub use promises::{Attestation, Remediation, Remediations};
pub use waivers::{EXPIRING_DAYS, Waiver, Waivers};

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::severity::Severity;

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
    pub waivers: Waivers,
    /// What somebody attests, in the order of the file.
    pub attestations: Vec<Attestation>,
    /// By when findings will be fixed, in the order of the file.
    pub remediations: Remediations,
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
    /// Canonical domains that must each have an enabled, verified connector; each once, in the order of the file.
    pub domains: Vec<String>,
    /// The domains it may have; `None` where it may have any.
    pub allow_domains: Option<AllowedDomains>,
}

impl Policy {
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
}
