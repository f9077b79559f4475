//! What an audit does at its end: it removes older runs (`--keep`), and says in figures how it went (`--metrics`).

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::failure::write_hint;
use super::judgement::Written;
use super::values::parse_keep;
use super::{Failure, exit};
use crate::api::{Api, Gate, Lane};
use crate::clock::Clock;
use crate::file_mode::FileMode;
use crate::metrics::{Figure, MetricsError, MetricsFile, RunEnd};
use crate::runs::{ApiAsked, RunDirectory, keep_newest};
use crate::text::{count, for_terminal};

/// The most runs that are named; the others are counted.
const MOST_NAMED: usize = 5;

/// What is done at the end.
#[derive(Debug, Args)]
pub struct AfterArgs {
    /// After a success (exit code 0 or 10), remove older complete runs of the same API from --output, but for the newest N,
    /// the run compared with, and the last in which everything was read
    #[arg(long, value_name = "N", value_parser = parse_keep)]
    keep: Option<NonZeroUsize>,
    /// Write figures in Prometheus' text format to a file, however the audit ends
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

/// Whether an audit that ends with a code has done all that was asked for.
fn is_success(code: u8) -> bool {
    code == exit::DONE || code == exit::FINDINGS
}

impl AfterArgs {
    /// Begins to measure the audit. That the file can be written is found out now.
    pub fn meter(&self, clock: Clock, mode: u32) -> Result<Meter, Failure> {
        let file = match &self.metrics {
            Some(path) => Some(MetricsFile::new(path, FileMode(mode)).map_err(unwritable)?),
            None => None,
        };
        Ok(Meter {
            file,
            clock,
            began: Instant::now(),
            gate: None,
            lanes: Vec::new(),
            figures: None,
        })
    }

    /// Removes the runs that are not to be kept; says what it did, in lines for the summary. A run that cannot be removed
    /// costs the new one nothing.
    pub fn keep(
        &self,
        output: &Path,
        api: ApiAsked<'_>,
        newest: &RunDirectory,
        written: &Written,
    ) -> String {
        let Some(most) = self.keep else {
            return String::new();
        };
        if !is_success(written.code) {
            return format!(
                "--keep {most} removed nothing: it does so after an audit that ends with 0 or 10, and this one ends with {}.\n",
                written.code
            );
        }
        let removal = match keep_newest(output, api, &newest.run_id, most, &written.trend) {
            Ok(removal) => removal,
            Err(error) => {
                tracing::error!(
                    "--keep {most} removed nothing from {}: {error}",
                    output.display()
                );
                return String::new();
            }
        };
        let mut text = String::new();
        let removed = &removal.removed;
        if !removed.is_empty() {
            let mut names = removed[..removed.len().min(MOST_NAMED)].join(", ");
            if removed.len() > MOST_NAMED {
                let _ = write!(names, " and {} more", removed.len() - MOST_NAMED);
            }
            let runs = count(removed.len(), "older run");
            let _ = writeln!(text, "--keep {most} removed {runs}: {names}.");
        }
        for left in removal.left.iter().take(MOST_NAMED) {
            let cause = for_terminal(&left.cause);
            let _ = writeln!(text, "--keep {most} left {} in place: {cause}.", left.name);
        }
        if removal.left.len() > MOST_NAMED {
            let more = removal.left.len() - MOST_NAMED;
            let _ = writeln!(text, "--keep {most} left {more} more in place.");
        }
        text
    }
}

fn unwritable(error: MetricsError) -> Failure {
    let hint = match &error {
        MetricsError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => "make its folder first, or give another --metrics FILE",
            std::io::ErrorKind::PermissionDenied => {
                "give --metrics FILE in a folder that you may write to"
            }
            _ => write_hint(source),
        },
        MetricsError::Foreign { .. } => "move it away, or give another --metrics FILE",
    };
    Failure::usage(format!("--metrics: {error}")).hint(hint)
}

/// Measures an audit from its beginning to its end.
pub struct Meter {
    file: Option<MetricsFile>,
    clock: Clock,
    began: Instant,
    gate: Option<Arc<Gate>>,
    lanes: Vec<Arc<Lane>>,
    figures: Option<Vec<Figure>>,
}

impl Meter {
    /// Counts what goes to an API from now on.
    pub fn watch(&mut self, api: &Api) {
        self.gate = Some(Arc::clone(api.gate()));
    }

    /// Counts how long these lanes wait.
    pub fn watch_lanes(&mut self, lanes: Vec<Arc<Lane>>) {
        self.lanes = lanes;
    }

    /// The audit has published a report with these figures.
    pub fn report(&mut self, figures: Vec<Figure>) {
        self.figures = Some(figures);
    }

    /// Writes the file, where one is asked for. The audit has ended: that its figures cannot be written changes nothing
    /// about that, and whoever watches them sees that they are old.
    pub fn write(&self, exit_code: u8) {
        let Some(file) = &self.file else { return };
        let waited: Duration = self.lanes.iter().map(|lane| lane.waited()).sum();
        let end = RunEnd {
            at: self.clock.now(),
            exit_code,
            is_success: is_success(exit_code),
            took: self.began.elapsed(),
            requests: self.gate.as_ref().map_or(0, |gate| gate.sent()),
            waited,
        };
        if let Err(error) = file.write(&end, self.figures.as_deref()) {
            tracing::error!("the figures of this audit are not written: {error}");
        }
    }
}
