//! When the next question may be asked: evenly, so that no resolver takes the questions for an attack.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::rate::Rate;
use crate::threads::lock;

/// Hands out the moments at which questions may be asked.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At a rate, evenly.
    pub fn new(rate: Rate) -> Self {
        let questions = u32::try_from(rate.requests.max(1)).unwrap_or(u32::MAX);
        Self {
            interval: rate.window / questions,
            next: Mutex::new(None),
        }
    }

    /// Waits for the next moment.
    pub async fn wait(&self) {
        let now = Instant::now();
        let at = {
            let mut next = lock(&self.next);
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.interval);
            at
        };
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn questions_are_asked_evenly_and_what_was_not_used_is_not_made_up_for() {
        let pace = Pace::new(Rate {
            requests: 10,
            window: Duration::from_secs(1),
        });
        let began = Instant::now();
        for _ in 0..10 {
            pace.wait().await;
        }
        assert_eq!(began.elapsed(), Duration::from_millis(900));
        tokio::time::advance(Duration::from_secs(60)).await;
        let began = Instant::now();
        for _ in 0..3 {
            pace.wait().await;
        }
        assert_eq!(began.elapsed(), Duration::from_millis(200));
    }
}
