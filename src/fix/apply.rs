//! Carries a plan out. Each connector is read again first, and left alone where it is no longer as in the evidence.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::log::{FixLog, LOG_NAME, LogError, Sent, StepOutcome, StepResult};
use super::step::Step;
use crate::api::{Answered, Api, Lane};
use crate::clock::Clock;
use crate::outcome::{ErrorKind, ReadError};
use crate::text::{count, for_terminal};

/// After so many failures in a row an account is given up.
const FAILURES: u32 = 3;
/// After so many accounts in a row in which something failed and nothing could be done, everything is.
const FAILED_ACCOUNTS: usize = 10;

/// Why a plan was not carried out whole.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The log cannot be kept.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What became of a step could not be said.
    #[error("cannot write to standard output: {0}")]
    Unsaid(io::Error),
    /// It was asked to stop.
    #[error("interrupted with {} left{}", count(*left, "step"), said_of(under_way.as_deref()))]
    Interrupted {
        /// How many steps were not carried out.
        left: usize,
        /// The step that was sent, and had no answer yet.
        under_way: Option<Box<Step>>,
    },
    /// Some steps failed.
    #[error("not every step was carried out: {tally}")]
    NotAll {
        /// How the steps ended.
        tally: Box<Tally>,
    },
    /// So many failed that others were not tried.
    #[error(
        "stopped after {FAILURES} failures in a row in an account, or failures in {FAILED_ACCOUNTS} accounts in a row, with {} left: {tally}",
        count(tally.left_out, "step")
    )]
    GivenUp {
        /// How the steps ended.
        tally: Box<Tally>,
    },
}

fn said_of(under_way: Option<&Step>) -> String {
    under_way.map_or(String::new(), |step| {
        let (action, domain) = (step.action.as_str(), for_terminal(&step.email_domain));
        format!("; {action} of {domain} was sent, and may have been done")
    })
}

/// What carries a plan out.
#[derive(Debug)]
pub struct Hand {
    api: Api,
    log: FixLog,
    clock: Clock,
    /// What to do about the refusals so far.
    remedies: BTreeSet<String>,
}

impl Hand {
    /// Nothing carried out yet.
    pub fn new(api: Api, log: FixLog, clock: Clock) -> Self {
        Self {
            api,
            log,
            clock,
            remedies: BTreeSet::new(),
        }
    }

    /// The log of what is done.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Carries steps out in their order, each by its lane, and says of each what became of it. Accounts in which too much
    /// fails are given up, and in the end everything is.
    ///
    /// # Errors
    /// It was asked to stop, the log cannot be written, or what became of a step could not be said.
    pub async fn carry_out_all(
        &mut self,
        steps: &[Step],
        lanes: &[Arc<Lane>],
        stop: impl Future<Output = ()>,
        mut say: impl FnMut(&Step, &StepOutcome) -> io::Result<()>,
    ) -> Result<Tally, ApplyError> {
        tokio::pin!(stop);
        let mut tally = Tally::default();
        for (number, (step, lane)) in steps.iter().zip(lanes).enumerate() {
            if tally.is_given_up(&step.account_id) {
                tally.left_out += 1;
                continue;
            }
            let outcome = tokio::select! {
                biased;
                () = &mut stop => {
                    return Err(ApplyError::Interrupted {
                        left: steps.len() - number,
                        under_way: self.abandon(step)?.then(|| Box::new(step.clone())),
                    });
                }
                outcome = self.carry_out(lane, step) => outcome?,
            };
            self.log.write(self.clock.now(), step, &outcome)?;
            say(step, &outcome).map_err(ApplyError::Unsaid)?;
            tally.add(&step.account_id, outcome.result);
            if tally.failed_accounts.len() == FAILED_ACCOUNTS {
                tally.left_out += steps.len() - number - 1;
                break;
            }
        }
        Ok(tally)
    }

    /// Reads the connector again, and does the step where it is still as in the evidence.
    ///
    /// # Errors
    /// The log cannot be written; then nothing is sent.
    async fn carry_out(&mut self, lane: &Arc<Lane>, step: &Step) -> Result<StepOutcome, LogError> {
        let before = self.log.sent(step);
        if before == Some(Sent::Done) {
            let reason = format!("done before, as {LOG_NAME} says");
            return Ok(StepOutcome::new(StepResult::Skipped, reason));
        }
        let (account, connector) = (&step.account_id, &step.connector_id);
        let read = self.api.get_connector(lane, account, connector).await;
        let now = match read.result {
            Ok(connector) => connector,
            Err(error) if is_gone(&error) => return Ok(gone(&error)),
            Err(error) => {
                self.remedies.insert(error.kind.remedy().to_owned());
                let reason = format!("it could not be read again: {}", told(&error));
                return Ok(StepOutcome::new(StepResult::Failed, reason));
            }
        };
        if before == Some(Sent::Unknown) && step.is_done_on(&now) {
            let reason = "already so: an earlier attempt got no answer";
            return Ok(StepOutcome::new(StepResult::Done, reason));
        }
        let sent = |action| self.log.sent_action(step, action).is_some();
        if let Some(reason) = step.objection(&now, sent) {
            return Ok(StepOutcome::new(StepResult::Skipped, reason));
        }
        let sending = StepOutcome::new(StepResult::Sending, "");
        self.log.write(self.clock.now(), step, &sending)?;
        let Some(change) = step.action.change() else {
            let answered = self.api.begin_verification(lane, account, connector).await;
            return Ok(self.concluded(answered));
        };
        let answered = self
            .api
            .update_connector(lane, account, connector, change)
            .await;
        let shown = match &answered.result {
            Ok(shown) => shown.clone(),
            Err(_) => return Ok(self.concluded(answered.without_result())),
        };
        let concluded = self.concluded(answered.without_result());
        // Not every answer shows the connector: then it is looked at once more.
        let shown = match shown {
            Some(connector) => Some(connector),
            None => self
                .api
                .get_connector(lane, account, connector)
                .await
                .result
                .ok(),
        };
        Ok(match shown {
            Some(connector) if step.action.is_done_on(&connector) => concluded,
            Some(connector) => StepOutcome {
                result: StepResult::Failed,
                reason: format!(
                    "the API reported success but shows enabled {} and the FedRAMP text {}",
                    connector.enabled.shown("unknown"),
                    connector.use_fedramp_language.shown("unknown")
                ),
                ..concluded
            },
            None => StepOutcome {
                result: StepResult::Unknown,
                reason: "the API reported success but does not show the connector".to_owned(),
                ..concluded
            },
        })
    }

    /// What an answer to a change means for its step.
    fn concluded(&mut self, answered: Answered<()>) -> StepOutcome {
        let is_lost = answered.is_lost();
        let what = match answered.exchange.arrived {
            true => "the API refused the request the request",
            false => "it was not sent",
        };
        let outcome = match answered.result {
            Ok(()) => StepOutcome::new(StepResult::Done, ""),
            Err(error) if is_lost => {
                let reason = format!("it may have been done: {}", told(&error));
                StepOutcome::new(StepResult::Unknown, reason)
            }
            Err(error) if is_gone(&error) => gone(&error),
            Err(error) => {
                self.remedies.insert(error.kind.remedy_of_change());
                StepOutcome::new(StepResult::Failed, format!("{what}: {}", told(&error)))
            }
        };
        StepOutcome {
            http_status: answered.exchange.http_status,
            cf_ray: answered.exchange.cf_ray,
            ..outcome
        }
    }

    /// Notes that nobody waits for the answer to a step any more, where it was sent; whether it was.
    fn abandon(&mut self, step: &Step) -> Result<bool, LogError> {
        if self.log.sent(step) != Some(Sent::Unknown) {
            return Ok(false);
        }
        let reason = "it may have been done: interrupted before the answer came";
        let unknown = StepOutcome::new(StepResult::Unknown, reason);
        self.log.write(self.clock.now(), step, &unknown)?;
        Ok(true)
    }

    /// What to do about the refusals so far.
    pub fn remedies(&self) -> impl Iterator<Item = &str> {
        self.remedies.iter().map(String::as_str)
    }
}

/// How many steps ended how.
#[derive(Debug, Default)]
pub struct Tally {
    done: usize,
    skipped: usize,
    failed: usize,
    unknown: usize,
    /// Not tried, since their accounts are given up.
    left_out: usize,
    /// For each account, what failed or is unknown since the last step that was done.
    in_a_row: HashMap<String, u32>,
    /// Accounts in which something failed since the last step that was done in any.
    failed_accounts: HashSet<String>,
}

impl Tally {
    /// Whether every step was carried out, or needed not to be.
    ///
    /// # Errors
    /// Some failed, or nobody knows what became of them.
    pub fn check(self) -> Result<(), ApplyError> {
        match (self.failed + self.unknown, self.left_out) {
            (0, _) => Ok(()),
            (_, 0) => Err(ApplyError::NotAll {
                tally: Box::new(self),
            }),
            _ => Err(ApplyError::GivenUp {
                tally: Box::new(self),
            }),
        }
    }

    /// Whether so much failed in an account that the rest of it is not tried.
    fn is_given_up(&self, account_id: &str) -> bool {
        let in_a_row = self.in_a_row.get(account_id);
        in_a_row.is_some_and(|&in_a_row| in_a_row >= FAILURES)
    }

    fn add(&mut self, account_id: &str, result: StepResult) {
        match result {
            StepResult::Done => self.done += 1,
            StepResult::Skipped => self.skipped += 1,
            StepResult::Failed => self.failed += 1,
            StepResult::Sending | StepResult::Unknown => self.unknown += 1,
        }
        match result {
            StepResult::Done => {
                self.in_a_row.remove(account_id);
                self.failed_accounts.clear();
            }
            StepResult::Skipped => {}
            _ => {
                let in_a_row = self.in_a_row.entry(account_id.to_owned()).or_default();
                *in_a_row += 1;
                self.failed_accounts.insert(account_id.to_owned());
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, skipped, failed) = (self.done, self.skipped, self.failed);
        write!(formatter, "{done} done, {skipped} skipped, {failed} failed")?;
        for (number, word) in [(self.unknown, "unknown"), (self.left_out, "left out")] {
            if number > 0 {
                write!(formatter, ", {number} {word}")?;
            }
        }
        Ok(())
    }
}

/// What the API said.
fn told(error: &ReadError) -> String {
    match &error.code {
        Some(code) => format!("{code} {}", error.message),
        None => error.message.clone(),
    }
}

/// Whether the API itself, and not something on the way to it, says that there is no such connector.
fn is_gone(error: &ReadError) -> bool {
    error.kind == ErrorKind::NotFound && error.code.is_some()
}

fn gone(error: &ReadError) -> StepOutcome {
    let reason = format!("it is no longer there: {}", told(error));
    StepOutcome::new(StepResult::Skipped, reason)
}
