//! How often something may be asked.

use std::fmt;
use std::time::Duration;

/// So many requests in so long a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub requests: usize,
    /// More than zero.
    pub window: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window.as_secs_f64();
        write!(formatter, "{}/{seconds}s", self.requests)
    }
}
