//! The time inside a simulated world.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Instant;

/// Tells the time of a world: of its records, its rate limit and its `date` header.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// A clock that shows whatever `now` returns: tests move it by hand.
    pub fn new(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that shows `start` at this moment and runs on from there at the normal pace. It never goes backwards,
    /// whatever happens to the system's clock.
    pub fn running_from(start: DateTime<Utc>) -> Self {
        let started = Instant::now();
        Self::new(move || {
            TimeDelta::from_std(started.elapsed())
                .ok()
                .and_then(|elapsed| start.checked_add_signed(elapsed))
                .unwrap_or(DateTime::<Utc>::MAX_UTC)
        })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}
