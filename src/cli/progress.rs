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
use crate::text::count;

/// When progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Where stderr is a terminal as a bar, elsewhere as a line now and then.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how many accounts are done, how many unread, how fast it goes, and what is waited for.
pub struct Progress {
    gate: Arc<Gate>,
    lanes: Vec<Arc<Lane>>,
    total: usize,
    done: usize,
    unread: usize,
    began: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
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
        let terminal = io::stderr().is_terminal();
        let began = Instant::now();
        let shown = match when {
            When::Never => Shown::Nothing,
            When::Auto if quiet => Shown::Nothing,
            _ if terminal => Shown::Bar(screen().add(bar(total as u64))),
            _ => Shown::Lines { last: began },
        };
        let progress = Self {
            gate,
            lanes,
            total,
            done,
            unread: 0,
            began,
            shown,
        };
        if matches!(progress.shown, Shown::Lines { .. }) && done > 0 {
            progress.line(&format!("{} read already", count(done, "account")));
        }
        progress
    }

    fn figures(&self) -> String {
        format!(
            "{} of {} done, {} unread",
            self.done,
            count(self.total, "account"),
            self.unread
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
        Some(format!(
            "rate limit until {} UTC, {} s left",
            at.format("%H:%M:%S"),
            left.as_secs()
        ))
    }

    fn line(&self, text: &str) {
        // A progress line that cannot be written is no reason to stop the run.
        let line = as_json("INFO", text, None).unwrap_or_else(|| format!("{text}\n"));
        let _ = Stderr.write_all(line.as_bytes());
    }

    /// When the rest will be done, if it goes on like this.
    fn time_left(&self, requests_a_second: f64) -> String {
        let left = self.total.saturating_sub(self.done);
        if requests_a_second <= 0.0 || self.done == 0 || left == 0 {
            return String::new();
        }
        let seconds = self.began.elapsed().as_secs_f64() / self.done as f64 * left as f64;
        format!(
            ", {} left",
            humantime::format_duration(Duration::from_secs(seconds as u64 + 1))
        )
    }
}

fn bar(total: u64) -> ProgressBar {
    // A template of our own making: what is wrong with it would be seen at once, and the default one serves.
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} accounts  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

impl Observer for Progress {
    fn account(&mut self, _: &AskedAccount, evidence: &AccountEvidence) {
        self.done += 1;
        self.unread += usize::from(evidence.outcome != Outcome::Read);
    }

    fn tick(&mut self) {
        let elapsed = self.began.elapsed().as_secs_f64();
        let rate = self.gate.sent() as f64 / elapsed.max(0.001);
        let more = self
            .waits()
            .unwrap_or_else(|| format!("{rate:.0} requests/s{}", self.time_left(rate)));
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(self.done as u64);
                bar.set_message(format!("{} unread  {more}", self.unread));
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let text = self.figures();
                self.line(&format!("{text}; {more}"));
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
                self.line(&format!("{text}, in {seconds:.1} s"));
            }
            Shown::Nothing => {}
        }
    }
}
