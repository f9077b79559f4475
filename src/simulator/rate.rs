//! The limit on requests, as Cloudflare keeps it: over it, the token is shut out for a whole window.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// So many requests in any stretch of time as long as the window. Cloudflare's own is 1,200 in 300 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests pass; at least one.
    pub requests: u32,
    /// How long the window is; more than nothing, at most a day.
    pub window: Duration,
}

/// The requests of one token.
pub(super) struct Limiter {
    rate: Rate,
    window: TimeDelta,
    /// When the requests of the last window came in, oldest first.
    passed: VecDeque<DateTime<Utc>>,
    blocked_until: Option<DateTime<Utc>>,
}

/// What is said of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass; so many more may pass now, and the next place falls free after so many seconds.
    Pass { remaining: u64, reset: u64 },
    /// It may not, nor may any other for so many seconds.
    Blocked { reset: u64 },
}

impl Limiter {
    /// Fails where the rate is out of bounds.
    pub(super) fn new(rate: Rate) -> io::Result<Self> {
        let day = Duration::from_secs(86_400);
        let window = TimeDelta::from_std(rate.window).ok();
        match window {
            Some(window) if rate.requests > 0 && !rate.window.is_zero() && rate.window <= day => {
                Ok(Self {
                    rate,
                    window,
                    passed: VecDeque::new(),
                    blocked_until: None,
                })
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the simulator's rate limit needs at least 1 request and a window of more than 0 s and at most one day",
            )),
        }
    }

    /// Counts the request that came in `now`. A blocked one does not lengthen the block.
    pub(super) fn admit(&mut self, now: DateTime<Utc>) -> Verdict {
        if let Some(until) = self.blocked_until {
            if now < until {
                return Verdict::Blocked {
                    reset: whole_seconds(until - now),
                };
            }
            self.blocked_until = None;
        }
        while self
            .passed
            .front()
            .is_some_and(|oldest| now - *oldest >= self.window)
        {
            self.passed.pop_front();
        }
        if self.passed.len() as u64 >= u64::from(self.rate.requests) {
            self.passed.clear();
            self.blocked_until = Some(now + self.window);
            return Verdict::Blocked {
                reset: whole_seconds(self.window),
            };
        }
        self.passed.push_back(now);
        let oldest = self.passed.front().copied().unwrap_or(now);
        Verdict::Pass {
            remaining: u64::from(self.rate.requests) - self.passed.len() as u64,
            reset: whole_seconds(oldest + self.window - now),
        }
    }

    /// The `Ratelimit-Policy` header.
    pub(super) fn policy(&self) -> String {
        format!(
            "\"default\";q={};w={}",
            self.rate.requests,
            whole_seconds(self.window)
        )
    }
}

impl Verdict {
    /// The `Ratelimit` header.
    pub(super) fn header(&self) -> String {
        let (remaining, reset) = match self {
            Self::Pass { remaining, reset } => (*remaining, *reset),
            Self::Blocked { reset } => (0, *reset),
        };
        format!("\"default\";r={remaining};t={reset}")
    }
}

/// Rounded up, so that who waits as long as told does not come early.
fn whole_seconds(span: TimeDelta) -> u64 {
    let milliseconds = span.num_milliseconds() + i64::from(span.subsec_nanos() % 1_000_000 != 0);
    u64::try_from(milliseconds).unwrap_or(0).div_ceil(1000)
}
