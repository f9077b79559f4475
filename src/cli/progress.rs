//! How a run goes on, on stderr: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::logging::as_json;
use super::screen::{Stderr, screen};
use crate::accounts::AskedAccount;
use crate::api::{Gate, Lane};
use crate::audit::Watcher;
use crate::collect::Observer;
use crate::evidence::AccountEvidence;
use crate::outcome::Outcome;
use crate::text::{count, grouped};

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// A bar if stderr is a terminal, an occasional line if not.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How often a plain line is written.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how many accounts are done, how many unread, how fast it goes, and what is waited for.
pub struct Progress {
    gate: Arc<Gate>,
    lanes: Vec<Arc<Lane>>,
    total: usize,
    done: usize,
    /// Accounts that were done before this began: an earlier run read them.
    done_before: usize,
    /// Requests that were sent before this began: those of the lists of accounts.
    sent_before: u64,
    unread: usize,
    began: Instant,
    shown: Shown,
}

/// How it is shown.
pub(super) enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Shown {
    /// What is asked for, and what standard error is, decide.
    pub(super) fn new(when: When, quiet: bool, bar: impl FnOnce() -> ProgressBar) -> Self {
        match when {
            When::Never => Self::Nothing,
            When::Auto if quiet => Self::Nothing,
            _ if io::stderr().is_terminal() => Self::Bar(screen().add(bar())),
            _ => Self::Lines {
                last: Instant::now(),
            },
        }
    }
}

/// Writes a plain line.
pub(super) fn line(text: &str) {
    // A progress line that cannot be written is no reason to stop the run.
    let line = as_json("INFO", text, None).unwrap_or_else(|| format!("{text}\n"));
    let _ = Stderr.write_all(line.as_bytes());
}

impl Progress {
    /// Begins to show the progress of reading `total` accounts, `done` of which are done already.
    pub fn new(
        when: When,
        quiet: bool,
        gate: Arc<Gate>,
        lanes: Vec<Arc<Lane>>,
        total: usize,
        done: usize,
    ) -> Self {
        let began = Instant::now();
        let shown = Shown::new(when, quiet, || bar(total as u64));
        let progress = Self {
            sent_before: gate.sent(),
            gate,
            lanes,
            total,
            done,
            done_before: done,
            unread: 0,
            began,
            shown,
        };
        if matches!(progress.shown, Shown::Lines { .. }) && done > 0 {
            line(&format!("{} read already", count(done, "account")));
        }
        progress
    }

    fn figures(&self) -> String {
        format!(
            "{} of {} done, {} not read in full",
            grouped(self.done as u64),
            count(self.total, "account"),
            grouped(self.unread as u64)
        )
    }

    /// Until when the requests of some token wait for the rate limit.
    fn waits(&self) -> Option<String> {
        let until = self
            .lanes
            .iter()
            .filter_map(|lane| lane.waits_until())
            .min()?;
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        // A wait of less is part of an even pace, and nothing to be told.
        if left < Duration::from_secs(1) {
            return None;
        }
        let at = chrono::Utc::now() + left;
        Some(format!("rate limit until {} UTC", at.format("%H:%M:%S")))
    }

    /// How fast it goes or what is waited for, and when the rest will be done.
    fn pace(&self) -> String {
        let elapsed = self.began.elapsed();
        let sent = self.gate.sent().saturating_sub(self.sent_before);
        let rate = sent as f64 / elapsed.as_secs_f64().max(0.001);
        let pace = self.waits();
        let pace = pace.unwrap_or_else(|| format!("{rate:.0} requests/s"));
        let done = self.done.saturating_sub(self.done_before);
        match time_left(elapsed, done, self.total.saturating_sub(self.done)) {
            Some(left) => format!("{pace}, {left} left"),
            None => pace,
        }
    }
}

/// When the rest will be done, if it goes on as for the `done` of this run; to two units, for more would be made up.
fn time_left(elapsed: Duration, done: usize, left: usize) -> Option<String> {
    if done == 0 || left == 0 {
        return None;
    }
    let seconds = (elapsed.as_secs_f64() / done as f64 * left as f64).ceil() as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    Some(match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    })
}

/// The bar takes what the figures leave, so that no terminal is too narrow for them before it is too narrow for a line.
const BAR: &str = "{pos}/{len} accounts, {msg}  {wide_bar}";

fn bar(total: u64) -> ProgressBar {
    // A template of our own making: what is wrong with it would be seen at once, and the default one serves.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

impl Observer for Progress {
    fn account(&mut self, _: &AskedAccount, evidence: &AccountEvidence) {
        self.done += 1;
        self.unread += usize::from(evidence.outcome != Outcome::Read);
    }

    fn tick(&mut self) {
        let more = self.pace();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(self.done as u64);
                bar.set_message(format!("{} unread, {more}", self.unread));
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let text = self.figures();
                line(&format!("{text}; {more}"));
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }
}

impl Watcher for Progress {
    fn again(&mut self, accounts: usize) {
        self.done = self.done.saturating_sub(accounts);
    }

    /// The last figures stay.
    fn finish(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        match &self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Lines { .. } => {
                let text = self.figures();
                line(&format!("{text}, in {seconds:.1} s"));
            }
            Shown::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    #[test]
    fn the_figures_fit_on_a_narrow_terminal() {
        let terminal = InMemoryTerm::new(2, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = bar(20_000);
        bar.set_draw_target(target);
        bar.set_position(12_345);
        let message = "1,234 unread, rate limit until 10:15:00 UTC, 1h 23m left";
        for message in [message, "0 unread, 200 requests/s, 23m 5s left"] {
            bar.set_message(message);
            bar.tick();
            let shown = terminal.contents();
            let expected = format!("12345/20000 accounts, {message}");
            assert!(shown.starts_with(&expected), "{shown}");
            assert_eq!(shown.lines().count(), 1, "{shown}");
        }
    }

    #[test]
    fn the_time_left_goes_by_what_was_done_since_it_began() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 0, 1000), None);
        assert_eq!(time_left(minute, 100, 0), None);
        assert_eq!(time_left(minute, 100, 50).as_deref(), Some("30s"));
        assert_eq!(time_left(minute, 100, 1000).as_deref(), Some("10m 0s"));
        assert_eq!(time_left(minute, 1, 90).as_deref(), Some("1h 30m"));
        assert_eq!(time_left(minute, 1, 1500).as_deref(), Some("1d 1h"));
    }
}
