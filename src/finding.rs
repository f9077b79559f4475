//! What a rule found, and what later runs remember of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rules::{Basis, Rule, rule};
use crate::severity::Severity;
use crate::text::stable_hash;

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
    /// It was not there the last time its account was read in full, nor found since.
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

/// A finding's name, the same from run to run: the first 8 bytes of the SHA-256 of rule, account and connector or domain,
/// which files hold as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(u64);

impl FindingId {
    /// The id that a finding's full name gives.
    pub fn of(name: &str) -> Self {
        Self(stable_hash(name.as_bytes()))
    }

    /// The id that 16 lower-case hex digits spell.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != 16 || !digits.bytes().all(is_digit) {
            return None;
        }
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl Serialize for FindingId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FindingId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&digits).ok_or_else(|| D::Error::custom("a finding's ID is not 16 hex digits"))
    }
}

/// What a rule found in an account.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The same from run to run.
    pub id: FindingId,
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
    /// texts.
    pub connector_id: Arc<str>,
    /// The domain it is about, or empty.
    pub email_domain: Arc<str>,
    /// What is wrong.
    pub message: Cow<'static, str>,
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
    pub fn known(&self) -> KnownFinding<'_> {
        KnownFinding {
            id: self.id,
            rule: self.rule.id.into(),
            severity: self.severity,
            waived: !self.is_open(),
            carried: false,
            connector_id: (&*self.connector_id).into(),
            email_domain: (&*self.email_domain).into(),
            first_seen: self.first_seen,
        }
    }
}

/// A finding as later runs know it, its texts borrowed from the line that holds them where they are there as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFinding<'l> {
    /// See [`Finding::id`].
    pub id: FindingId,
    /// The rule's id.
    #[serde(borrow)]
    pub rule: Cow<'l, str>,
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
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub connector_id: Cow<'l, str>,
    /// The domain, or empty.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub email_domain: Cow<'l, str>,
    /// The start of the first run that found it.
    pub first_seen: DateTime<Utc>,
}

impl KnownFinding<'_> {
    /// Whether it depends on the connectors of several accounts.
    pub fn is_shared(&self) -> bool {
        rule(&self.rule).is_some_and(|rule| rule.basis == Basis::Run)
    }

    /// The same finding, its texts borrowed from this one.
    pub fn borrowed(&self) -> KnownFinding<'_> {
        KnownFinding {
            id: self.id,
            rule: (&*self.rule).into(),
            severity: self.severity,
            waived: self.waived,
            carried: self.carried,
            connector_id: (&*self.connector_id).into(),
            email_domain: (&*self.email_domain).into(),
            first_seen: self.first_seen,
        }
    }

    /// The same finding in the memory of a run that did not judge it again.
    pub fn carried_on(&self) -> KnownFinding<'_> {
        KnownFinding {
            carried: true,
            ..self.borrowed()
        }
    }
}

/// The findings that a run knows of an account: what it found itself, and what it carries on from earlier ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct KnownFindings<'a> {
    /// Found by the run itself.
    pub found: &'a [Finding],
    /// Known from a ledger.
    pub known: &'a [KnownFinding<'a>],
}

impl<'a> KnownFindings<'a> {
    /// Each as later runs know it.
    pub fn iter(self) -> impl Iterator<Item = KnownFinding<'a>> {
        let found = self.found.iter().map(Finding::known);
        found.chain(self.known.iter().map(KnownFinding::borrowed))
    }

    /// How many.
    pub fn len(self) -> usize {
        self.found.len() + self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_16_hex_digits_and_nothing_else() {
        let id = FindingId::of("no-connector|023e105f4ecef8ad9ca31a8372d0c353|");
        assert_eq!(FindingId::parse(&id.to_string()), Some(id));
        assert_eq!(
            FindingId::parse("00000000000000ff")
                .map(|id| id.to_string())
                .as_deref(),
            Some("00000000000000ff")
        );
        for other in [
            "",
            "ff",
            "+0000000000000ff",
            "00000000000000FF",
            "00000000000000ff0",
        ] {
            assert_eq!(FindingId::parse(other), None, "{other}");
        }
    }
}
