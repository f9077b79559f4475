//! What a rule found, and what later runs remember of it.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::rules::{Basis, Rule, rule};
use crate::severity::Severity;

/// Whether a finding calls for action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Open,
    /// It is accepted until a date: the position of the waiver in the policy.
    Waived(usize),
}

/// Whether a finding was known before this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// There is nothing to compare with.
    NotCompared,
    /// It was not there the last time its account was read whole, nor found since.
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
    pub id: Arc<str>,
    /// The rule that fired.
    pub rule: &'static Rule,
    /// The rule's, the finding's or the policy's.
    pub severity: Severity,
    /// Whether it calls for action.
    pub status: Status,
    /// Whether it is new.
    pub age: Age,
    /// The position of the connector it is about, in [`crate::assess::Assessed::evidence`]; `None` for the account as
    /// a whole.
    pub connector: Option<usize>,
    /// The connector's id, or empty. An account has many findings, and several about one connector: they share their
    /// texts, also with what later runs know of them.
    pub connector_id: Arc<str>,
    /// The domain it is about, or empty.
    pub email_domain: Arc<str>,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub remediation: Cow<'static, str>,
    /// The start of the first run that found it, as far back as the folder remembers.
    pub first_seen: DateTime<Utc>,
}

impl Finding {
    /// Whether it calls for action.
    pub fn is_open(&self) -> bool {
        self.status == Status::Open
    }

    /// The finding as later runs know it.
    pub fn known(&self) -> KnownFinding {
        KnownFinding {
            id: Arc::clone(&self.id),
            rule: self.rule.id.into(),
            severity: self.severity,
            waived: !self.is_open(),
            carried: false,
            connector_id: Arc::clone(&self.connector_id),
            email_domain: Arc::clone(&self.email_domain),
            first_seen: self.first_seen,
        }
    }
}

/// A finding as later runs know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFinding {
    /// See [`Finding::id`].
    pub id: Arc<str>,
    /// The rule's id.
    pub rule: Cow<'static, str>,
    /// Its severity in that run.
    pub severity: Severity,
    /// Whether it was waived in that run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waived: bool,
    /// Whether it stands here from an earlier run, because that run could not judge it again: the account was not read
    /// whole or not asked for, or the rule was off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
    /// The connector's id, or empty.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub connector_id: Arc<str>,
    /// The domain, or empty.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub email_domain: Arc<str>,
    /// The start of the first run that found it.
    pub first_seen: DateTime<Utc>,
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

impl KnownFinding {
    /// Whether it depends on the connectors of several accounts.
    pub fn is_shared(&self) -> bool {
        rule(&self.rule).is_some_and(|rule| rule.basis == Basis::Run)
    }

    /// The same finding in the memory of a run that did not judge it again.
    #[must_use]
    pub fn carried_on(&self) -> Self {
        Self {
            carried: true,
            ..self.clone()
        }
    }
}
