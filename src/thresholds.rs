//! When a run does not end with 0 though its report is written: how bad a finding has to be for that, and how many accounts
//! may go unread.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::severity::Severity;

/// When a run does not end with 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// An open finding is at least this bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<Severity>,
    /// An open finding is at least this bad and new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_on_new: Option<Severity>,
    /// More accounts than this were not read in full.
    pub allow_unread: AllowedUnread,
}

impl Thresholds {
    /// Whether they are those of a run where nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a threshold is written, where there may be none.
pub fn severity_or_never(severity: Option<Severity>) -> &'static str {
    severity.map_or("never", Severity::as_str)
}

/// So many accounts, or so many of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllowedUnread {
    /// So many.
    Accounts(u64),
    /// So many of a hundred accounts asked for; 0 to 100.
    Percent(f64),
}

impl AllowedUnread {
    /// Whether so many of the accounts asked for may go unread.
    pub fn allows(self, unread: u64, asked: u64) -> bool {
        match self {
            Self::Accounts(most) => unread <= most,
            // Both are counts of accounts, far below what a double holds to the unit.
            Self::Percent(most) => unread as f64 * 100.0 <= most * asked as f64,
        }
    }
}

impl Default for AllowedUnread {
    fn default() -> Self {
        Self::Accounts(0)
    }
}

impl fmt::Display for AllowedUnread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accounts(most) => write!(formatter, "{most}"),
            Self::Percent(most) => write!(formatter, "{most}%"),
        }
    }
}

impl From<AllowedUnread> for String {
    fn from(allowed: AllowedUnread) -> Self {
        allowed.to_string()
    }
}

impl FromStr for AllowedUnread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is neither a number of accounts (3) nor a percentage (5%)");
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Accounts).map_err(|_| wrong());
        };
        match percent.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for AllowedUnread {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_a_number_or_a_share() {
        let allowed = |text: &str| text.parse::<AllowedUnread>().unwrap();
        for (text, unread, asked, allows) in [
            ("0", 0, 0, true),
            ("0", 1, 10, false),
            ("3", 3, 10, true),
            ("3", 4, 10, false),
            ("5%", 1, 20, true),
            ("5%", 1, 19, false),
            ("0.5%", 1, 200, true),
            ("0.5%", 1, 199, false),
            ("100%", 7, 7, true),
            ("0%", 0, 0, true),
        ] {
            assert_eq!(allowed(text).allows(unread, asked), allows, "{text}");
            assert_eq!(allowed(text).to_string(), text);
        }
        for wrong in [
            "", "-1", "%", "101%", "NaN%", "inf%", "-0.1%", "1.5", "3 %", "a",
        ] {
            assert!(wrong.parse::<AllowedUnread>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn thresholds_come_back_as_they_were_written() {
        let thresholds = Thresholds {
            fail_on: Some(Severity::High),
            fail_on_new: None,
            allow_unread: AllowedUnread::Percent(2.5),
        };
        let text = serde_json::to_string(&thresholds).unwrap();
        assert_eq!(text, r#"{"fail_on":"high","allow_unread":"2.5%"}"#);
        assert_eq!(
            serde_json::from_str::<Thresholds>(&text).unwrap(),
            thresholds
        );
        assert!(
            serde_json::from_str::<Thresholds>("{}")
                .unwrap()
                .is_default()
        );
    }
}
