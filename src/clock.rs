//! What tells the time, so that a run can be given one.

use chrono::{DateTime, Utc};

/// The system's clock, or one that stands still.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock(Option<DateTime<Utc>>);

/// The variable that fixes the clock, in seconds since 1970 (<https://reproducible-builds.org/specs/source-date-epoch/>).
pub const VARIABLE: &str = "SOURCE_DATE_EPOCH";

impl Clock {
    /// A clock that stands still.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Some(at))
    }

    /// The clock that `SOURCE_DATE_EPOCH` fixes, else the system's.
    ///
    /// # Errors
    /// The variable is set, but holds no number of seconds; in words.
    pub fn from_environment() -> Result<Self, String> {
        let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(Self(None));
        };
        let seconds = text.to_str().and_then(|text| text.parse().ok());
        seconds
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .map(Self::fixed)
            .ok_or_else(|| format!("{VARIABLE} is {text:?}, but must be a number of seconds since 1970, such as 1795256100"))
    }

    /// The moment that it is.
    pub fn now(self) -> DateTime<Utc> {
        self.0.unwrap_or_else(Utc::now)
    }

    /// Whether it stands still.
    pub fn is_fixed(self) -> bool {
        self.0.is_some()
    }
}
