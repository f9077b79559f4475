//! Which runs a run is compared with and continues: the newest of its folder, one that is named, those on record, or none.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Baseline, BaselineError, History, Newest};
use crate::evidence::RunHeader;
use crate::ledger::{self, LedgerHeader, PassedOver};
use crate::lock::mark_read;
use crate::runs::ApiAsked;

/// With which run to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare<'a> {
    /// The newest complete run of the same API; of a run that was judged before, the one on record.
    ByItself,
    /// The run in this directory.
    With(&'a Path),
    /// None.
    WithNone,
}

/// What is asked of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// With which run.
    pub compare: Compare<'a>,
    /// Whether it must be known what is new, because the way in which the program ends depends on it.
    pub must_know_what_is_new: bool,
}

/// Why there is no run to compare with, or to continue.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Nothing is where the named run should be.
    #[error("--baseline {}: there is no such folder", run.display())]
    Missing {
        /// Where.
        run: PathBuf,
    },
    /// The named directory is not that of a complete run.
    #[error(
        "--baseline {} is not the directory of a complete run: it has no {}",
        run.display(),
        ledger::FILE_NAME
    )]
    NotARun {
        /// The directory.
        run: PathBuf,
    },
    /// The named run cannot be read.
    #[error("--baseline {} cannot be read: {error}", run.display())]
    Unreadable {
        /// Its directory.
        run: PathBuf,
        /// Why.
        error: BaselineError,
    },
    /// The named run asked another API: what one has or lacks is no change of the other.
    #[error("--baseline {} asked {asked}, but this run asked {asks}", run.display())]
    OtherApi {
        /// Its directory.
        run: PathBuf,
        /// What it asked.
        asked: String,
        /// What this run asks.
        asks: String,
    },
    /// The run that was compared with when the report was first made cannot be read.
    #[error("run {run_id} was compared with run {baseline}, which cannot be read: {error}")]
    Unrecoverable {
        /// The run.
        run_id: String,
        /// The one that it was compared with.
        baseline: String,
        /// Why.
        error: BaselineError,
    },
    /// The newest run cannot be read, so that nobody can tell what is new.
    #[error("--fail-on-new cannot determine what is new: run {run_id} cannot be read: {cause}")]
    NewUnknown {
        /// The newest run.
        run_id: String,
        /// Why.
        cause: String,
    },
}

impl Choice<'_> {
    /// The runs that a run under `output` is compared with and continues.
    ///
    /// # Errors
    /// A run that is named or needed cannot be read.
    pub fn history(&self, header: &RunHeader, output: &Path) -> Result<History, ChoiceError> {
        let Newest {
            run,
            passed_over,
            sequence,
        } = newest_run(output, ApiAsked::by(header), &header.run_id);
        let mut history = match self.compare {
            Compare::WithNone => History::uncompared(run),
            Compare::With(directory) => {
                let compared = named(directory, ApiAsked::by(header))?;
                match run {
                    Some(other) if !stand_in_one_place(&other, &compared) => {
                        History::beside(compared, other)
                    }
                    _ => History::after(compared),
                }
            }
            Compare::ByItself => {
                self.refuse_unreadable(&passed_over)?;
                let mut history = run.map_or_else(History::default, History::after);
                history.passed_over = passed_over;
                history
            }
        };
        history.sequence = sequence;
        Ok(history)
    }

    /// The runs that a run was compared with and continued, as its ledger says; another to compare with where one is
    /// named. `runs` is the folder in which it stands.
    ///
    /// # Errors
    /// A run that is named or on record cannot be read.
    pub fn recorded_history(
        &self,
        record: &LedgerHeader,
        runs: &Path,
    ) -> Result<History, ChoiceError> {
        let beside = |run_id: &String| {
            let unrecoverable = |error| ChoiceError::Unrecoverable {
                run_id: record.run_id.clone(),
                baseline: run_id.clone(),
                error,
            };
            let run = Baseline::open(&runs.join(run_id)).map_err(unrecoverable)?;
            if run.header().run_id != *run_id {
                let other = run.header().run_id.clone();
                return Err(unrecoverable(BaselineError::Other { run_id: other }));
            }
            Ok(run)
        };
        let api = ApiAsked {
            base_url: &record.base_url,
            demo: record.demo,
        };
        let compared = match (self.compare, &record.compared_with) {
            (Compare::WithNone, _) | (Compare::ByItself, None) => None,
            (Compare::With(directory), _) => Some(named(directory, api)?),
            (Compare::ByItself, Some(run_id)) => Some(beside(run_id)?),
        };
        let is = |run: &Option<Baseline>, run_id: Option<&String>| {
            run.as_ref().map(|run| &run.header().run_id) == run_id
        };
        let as_recorded = is(&compared, record.compared_with.as_ref());
        let remembered = match record.parent() {
            Some(run_id) if !is(&compared, Some(run_id)) => match beside(run_id) {
                Err(error) if as_recorded => return Err(error),
                other => other.ok(),
            },
            _ => None,
        };
        let mut history = match (compared, remembered) {
            (Some(compared), Some(remembered)) => History::beside(compared, remembered),
            (Some(compared), None) => History::after(compared),
            (None, remembered) => History::uncompared(remembered),
        };
        if as_recorded {
            history.passed_over.clone_from(&record.passed_over);
        }
        history.sequence = record.sequence.saturating_sub(1);
        Ok(history)
    }

    /// Checks that what a run will be compared with can be read, before anything is asked. As long as the file is held that
    /// it gives, no other command removes the run that was named.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn check(&self, output: &Path, api: ApiAsked<'_>) -> Result<Option<File>, ChoiceError> {
        match self.compare {
            Compare::With(directory) => {
                named(directory, api)?;
                return Ok(mark_read(directory));
            }
            Compare::ByItself if self.must_know_what_is_new => {
                self.refuse_unreadable(&newest_run(output, api, "").passed_over)?;
            }
            Compare::ByItself | Compare::WithNone => {}
        }
        Ok(None)
    }

    /// Where it must be known what is new, a newest run that cannot be read is not passed over.
    fn refuse_unreadable(&self, passed_over: &[PassedOver]) -> Result<(), ChoiceError> {
        match passed_over {
            [first, ..] if self.must_know_what_is_new => Err(ChoiceError::NewUnknown {
                run_id: first.run_id.clone(),
                cause: first.cause.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The newest run of an API. A folder that cannot be read has none: the run will not be written there either.
fn newest_run(output: &Path, api: ApiAsked<'_>, except: &str) -> Newest {
    Newest::find(output, api, except).unwrap_or_else(|error| {
        tracing::warn!(
            "no baseline: cannot look for earlier runs in {}: {error}",
            output.display()
        );
        Newest::default()
    })
}

/// Whether both are the run in one folder. A copy elsewhere may have been judged in another way.
fn stand_in_one_place(one: &Baseline, other: &Baseline) -> bool {
    let place = |run: &Baseline| run.directory().canonicalize().ok();
    one.header().run_id == other.header().run_id && place(one) == place(other)
}

/// The run in a directory that was named.
fn named(run: &Path, api: ApiAsked<'_>) -> Result<Baseline, ChoiceError> {
    if !run.exists() {
        return Err(ChoiceError::Missing {
            run: run.to_owned(),
        });
    }
    if !run.join(ledger::FILE_NAME).is_file() {
        return Err(ChoiceError::NotARun {
            run: run.to_owned(),
        });
    }
    let baseline = Baseline::open(run).map_err(|error| ChoiceError::Unreadable {
        run: run.to_owned(),
        error,
    })?;
    let header = baseline.header();
    if !api.is_that_of(header) {
        return Err(ChoiceError::OtherApi {
            run: run.to_owned(),
            asked: name_of(ApiAsked::by(header)).to_owned(),
            asks: name_of(api).to_owned(),
        });
    }
    Ok(baseline)
}

fn name_of(api: ApiAsked<'_>) -> &str {
    if api.demo {
        "the demo's API"
    } else {
        api.base_url
    }
}
