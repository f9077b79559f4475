//! When the next request may be sent.
//!
//! Cloudflare blocks a token for a whole window once it goes over its limit, so the limit is never touched:
//! a request may go while fewer than N requests are in progress or were answered within the last window. Each
//! counts as made when its **answer** arrived, because the server's clock saw it somewhere before that; so the
//! server sees request k+N at least a window after request k, whatever the network's delay.
//!
//! [`Schedule`] is the arithmetic, with the time given from outside; [`Pacer`] waits by it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::rate::Rate;

/// How many pauses in a row, with no success between, end the asking with a token.
pub const MAX_PAUSES: u32 = 3;

/// A lowered limit is never lower than this fraction of what was asked for, and rises by the same fraction.
const STEPS: usize = 16;

/// Whether the next request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Go,
    /// Not before this time.
    At(Duration),
    /// Not before one of the requests in progress is answered.
    AfterAnswer,
}

/// What a throttled request led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttled {
    /// Nothing is sent until this time.
    Paused(Duration),
    /// [`MAX_PAUSES`] pauses in a row were in vain, whichever request met them.
    InVain,
    /// The same, but one request alone met them all: it may be that one, and not the token.
    InVainForOne,
}

/// Tells requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u64);

/// The requests of the last window, and what follows from them. Times count from any fixed moment.
#[derive(Debug)]
pub struct Schedule {
    rate: Rate,
    /// At most `rate.requests`; lowered where the server's limit proved to be lower.
    limit: usize,
    limit_set_at: Duration,
    under_way: usize,
    /// When the requests of the last window were answered, oldest first.
    answered: VecDeque<Duration>,
    paused_until: Duration,
    pause_began: Option<Duration>,
    pauses_in_a_row: u32,
    /// The request that met the pauses in a row, and whether others did.
    met_by: Option<(RequestId, bool)>,
}

impl Schedule {
    /// A schedule with nothing sent yet.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            limit: rate.requests,
            limit_set_at: Duration::ZERO,
            under_way: 0,
            answered: VecDeque::new(),
            paused_until: Duration::ZERO,
            pause_began: None,
            pauses_in_a_row: 0,
            met_by: None,
        }
    }

    /// Counts requests that were answered earlier, at these times: before an interruption, say.
    pub fn recall(&mut self, answered: impl IntoIterator<Item = Duration>) {
        self.answered.extend(answered);
        self.answered.make_contiguous().sort_unstable();
    }

    /// Whether a request may be sent at `now`; if so it is counted as in progress.
    pub fn next(&mut self, now: Duration) -> Turn {
        if now < self.paused_until {
            return Turn::At(self.paused_until);
        }
        // After a pause one request goes first, to see whether the block is over.
        if self.pauses_in_a_row > 0 && self.under_way > 0 {
            return Turn::AfterAnswer;
        }
        while self
            .answered
            .front()
            .is_some_and(|&at| at + self.rate.window <= now)
        {
            self.answered.pop_front();
        }
        self.raise_limit(now);
        if self.under_way + self.answered.len() < self.limit {
            self.under_way += 1;
            return Turn::Go;
        }
        // With k too many, the k-th oldest answer has to leave the window first.
        let too_many = self.under_way + self.answered.len() - self.limit;
        match self.answered.get(too_many) {
            Some(&at) => Turn::At(at + self.rate.window),
            None => Turn::AfterAnswer,
        }
    }

    fn raise_limit(&mut self, now: Duration) {
        if self.limit < self.rate.requests && now >= self.limit_set_at + self.rate.window {
            let step = self.rate.requests.div_ceil(STEPS);
            self.limit = (self.limit + step).min(self.rate.requests);
            self.limit_set_at = now;
        }
    }

    /// A request that was in progress is so no longer.
    pub fn answered(&mut self, now: Duration) {
        self.under_way = self.under_way.saturating_sub(1);
        self.answered.push_back(now);
    }

    /// An answer came that was not a refusal for being too many.
    pub fn accepted(&mut self) {
        self.pauses_in_a_row = 0;
        self.met_by = None;
    }

    /// A request sent at `sent` was refused at `now` for being one too many.
    pub fn throttled(
        &mut self,
        now: Duration,
        sent: Duration,
        retry_after: Option<Duration>,
        request: RequestId,
    ) -> Throttled {
        let until = now + retry_after.unwrap_or(self.rate.window);
        let (first, others) = self.met_by.unwrap_or((request, false));
        let others = others || first != request;
        self.met_by = Some((first, others));
        let same_block = self.pause_began.is_some_and(|began| sent <= began);
        if !same_block {
            if self.pauses_in_a_row == MAX_PAUSES {
                return if others {
                    Throttled::InVain
                } else {
                    Throttled::InVainForOne
                };
            }
            self.pauses_in_a_row += 1;
            self.pause_began = Some(now);
            let floor = self.rate.requests.div_ceil(STEPS);
            self.limit = (self.limit / 2).max(floor);
            self.limit_set_at = until;
        }
        self.paused_until = self.paused_until.max(until);
        Throttled::Paused(self.paused_until)
    }
}

/// Waits until a [`Schedule`] lets the next request go; those who wait go in the order in which they came.
#[derive(Debug)]
pub struct Pacer {
    schedule: Mutex<Schedule>,
    epoch: Instant,
    /// Held by the one who is next, so that a free place wakes one and not all.
    first_in_line: tokio::sync::Mutex<()>,
    changed: Notify,
    /// What the first in line waits for.
    waits_until: Mutex<Option<Instant>>,
    /// How long the first in line has waited for the limit so far, in milliseconds.
    waited: AtomicU64,
}

/// A request in progress; dropped when its answer is there or it is given up.
#[derive(Debug)]
pub struct UnderWay<'a> {
    pacer: &'a Pacer,
    sent: Duration,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.pacer.schedule().answered(self.pacer.epoch.elapsed());
        self.pacer.changed.notify_one();
    }
}

impl UnderWay<'_> {
    /// See [`Schedule::accepted`].
    pub fn accepted(&self) {
        self.pacer.schedule().accepted();
    }

    /// See [`Schedule::throttled`].
    pub fn throttled(&self, retry_after: Option<Duration>, request: RequestId) -> Throttled {
        let now = self.pacer.epoch.elapsed();
        let mut schedule = self.pacer.schedule();
        schedule.throttled(now, self.sent, retry_after, request)
    }
}

impl Pacer {
    /// A pacer with nothing sent yet.
    pub fn new(rate: Rate) -> Self {
        Self {
            schedule: Mutex::new(Schedule::new(rate)),
            // A window ago, so that what was answered within it has a time of its own.
            epoch: Instant::now()
                .checked_sub(rate.window)
                .unwrap_or_else(Instant::now),
            first_in_line: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            waits_until: Mutex::new(None),
            waited: AtomicU64::new(0),
        }
    }

    /// Counts requests that were answered so long ago.
    pub fn recall(&self, ago: impl IntoIterator<Item = Duration>) {
        let now = self.epoch.elapsed();
        let answered = ago.into_iter().map(|ago| now.saturating_sub(ago));
        self.schedule().recall(answered);
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to send a request.
    pub async fn turn(&self) -> UnderWay<'_> {
        let _first = self.first_in_line.lock().await;
        loop {
            let now = self.epoch.elapsed();
            let turn = self.schedule().next(now);
            match turn {
                Turn::Go => {
                    return UnderWay {
                        pacer: self,
                        sent: now,
                    };
                }
                Turn::At(at) => {
                    let at = self.epoch + at;
                    let _shown = Shown::new(self, at);
                    tokio::time::sleep_until(at).await;
                    let waited = self.epoch.elapsed().saturating_sub(now);
                    let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    self.waited.fetch_add(waited, Ordering::Relaxed);
                }
                Turn::AfterAnswer => self.changed.notified().await,
            }
        }
    }

    /// For how long the limit has kept all requests waiting so far.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited.load(Ordering::Relaxed))
    }

    /// Until when requests wait for their turn, where they do.
    pub fn waits_until(&self) -> Option<Instant> {
        *self
            .waits_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows for as long as it lives what the first in line waits for.
struct Shown<'a>(&'a Pacer);

impl<'a> Shown<'a> {
    fn new(pacer: &'a Pacer, until: Instant) -> Self {
        *pacer
            .waits_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
        Self(pacer)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self
            .0
            .waits_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn rate(requests: usize, window: Duration) -> Rate {
        Rate { requests, window }
    }

    /// Sends `delays.len()` requests as fast as the schedule lets them go, each answered after its delay;
    /// when each was sent and answered.
    fn run(rate: Rate, at_once: usize, delays: &[Duration]) -> Vec<(Duration, Duration)> {
        let mut schedule = Schedule::new(rate);
        let (mut now, mut under_way, mut done) = (
            Duration::ZERO,
            Vec::<(Duration, Duration)>::new(),
            Vec::new(),
        );
        let mut delays = delays.iter();
        let mut next = delays.next();
        while next.is_some() || !under_way.is_empty() {
            let first_answer = under_way.iter().map(|&(_, answer)| answer).min();
            let turn = match next {
                Some(_) if under_way.len() < at_once => schedule.next(now),
                _ => Turn::AfterAnswer,
            };
            match (turn, first_answer) {
                (Turn::Go, _) => {
                    under_way.push((now, now + *next.unwrap()));
                    next = delays.next();
                }
                (Turn::At(at), answer) if answer.is_none_or(|answer| at < answer) => now = at,
                (_, answer) => {
                    now = now.max(answer.expect("who waits for an answer has asked"));
                    let at = under_way
                        .iter()
                        .position(|&(_, a)| Some(a) == answer)
                        .unwrap();
                    done.push(under_way.swap_remove(at));
                    schedule.answered(now);
                }
            }
        }
        done
    }

    #[test]
    fn the_whole_budget_goes_at_once_and_then_each_as_soon_as_the_window_lets_it() {
        let sent: Vec<_> = run(rate(3, 100 * MS), 32, &[10 * MS; 7])
            .into_iter()
            .map(|(sent, _)| sent)
            .collect();
        assert_eq!(sent, [0, 0, 0, 110, 110, 110, 220].map(|ms| ms * MS));
    }

    #[test]
    fn a_pause_is_counted_once_for_all_that_were_under_way() {
        let mut schedule = Schedule::new(rate(64, 100 * MS));
        for _ in 0..3 {
            assert_eq!(schedule.next(Duration::ZERO), Turn::Go);
        }
        for _ in 0..3 {
            schedule.answered(5 * MS);
            assert_eq!(
                schedule.throttled(5 * MS, Duration::ZERO, Some(50 * MS), RequestId(1)),
                Throttled::Paused(55 * MS)
            );
        }
        assert_eq!(schedule.pauses_in_a_row, 1);
        assert_eq!(schedule.next(54 * MS), Turn::At(55 * MS));
        assert_eq!(schedule.next(55 * MS), Turn::Go);
        assert_eq!(
            schedule.next(55 * MS),
            Turn::AfterAnswer,
            "one goes first after a pause"
        );
        schedule.answered(56 * MS);
        schedule.accepted();
        assert_eq!(schedule.next(56 * MS), Turn::Go);
    }

    #[test]
    fn three_pauses_in_a_row_are_the_most_and_a_success_begins_anew() {
        let mut schedule = Schedule::new(rate(64, 100 * MS));
        let refuse = |schedule: &mut Schedule, at: u32| {
            assert_eq!(schedule.next(at * MS), Turn::Go);
            schedule.answered(at * MS);
            schedule.throttled(
                at * MS,
                at * MS - Duration::from_nanos(1),
                None,
                RequestId(at.into()),
            )
        };
        assert_eq!(refuse(&mut schedule, 1000), Throttled::Paused(1100 * MS));
        assert_eq!(refuse(&mut schedule, 2000), Throttled::Paused(2100 * MS));
        schedule.accepted();
        for at in [3000, 4000, 5000] {
            assert_eq!(
                refuse(&mut schedule, at),
                Throttled::Paused((at + 100) * MS)
            );
        }
        assert_eq!(refuse(&mut schedule, 6000), Throttled::InVain);
    }

    #[test]
    fn a_limit_that_proved_too_high_is_halved_and_comes_back_step_by_step() {
        let mut schedule = Schedule::new(rate(64, 100 * MS));
        schedule.next(Duration::ZERO);
        schedule.throttled(MS, Duration::ZERO, None, RequestId(1));
        schedule.answered(MS);
        assert_eq!(schedule.limit, 32);
        schedule.accepted();
        schedule.next(101 * MS);
        assert_eq!(schedule.limit, 32);
        schedule.next(201 * MS);
        assert_eq!(schedule.limit, 36);
    }

    proptest! {
        /// The server's clock may see a request anywhere between its sending and its answer.
        #[test]
        fn no_window_of_any_schedule_holds_more_than_the_limit(
            requests in 1usize..8,
            window in 1u32..200,
            at_once in 1usize..16,
            delays in proptest::collection::vec(0u32..300, 1..80),
            seen in 0.0f64..=1.0,
        ) {
            let delays: Vec<_> = delays.into_iter().map(|ms| ms * MS).collect();
            let window = window * MS;
            let done = run(rate(requests, window), at_once, &delays);
            prop_assert_eq!(done.len(), delays.len());
            let mut arrivals: Vec<_> = done
                .iter()
                .enumerate()
                .map(|(k, &(sent, answered))| sent + (answered - sent).mul_f64(if k % 2 == 0 { seen } else { 1.0 - seen }))
                .collect();
            arrivals.sort();
            for pair in arrivals.windows(requests + 1) {
                prop_assert!(pair[requests] - pair[0] >= window, "{:?}", pair);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_go_in_order_and_the_wait_is_shown() {
        let pacer = std::sync::Arc::new(Pacer::new(rate(1, Duration::from_secs(300))));
        drop(pacer.turn().await);
        let order = std::sync::Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|k| {
                let (pacer, order) = (pacer.clone(), order.clone());
                tokio::spawn(async move {
                    drop(pacer.turn().await);
                    order.lock().unwrap().push(k);
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(pacer.waits_until().is_some());
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
        assert_eq!(pacer.waits_until(), None);
    }
}
